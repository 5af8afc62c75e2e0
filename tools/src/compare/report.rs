//! What `compare` prints: per workload and figure one line, contestants side by side, medians over the rounds.

use super::run::Sample;
use crate::contestant::Kind;
use crate::failure::Result;
use crate::table::Table;
use serde::Serialize;
use std::io::Write as _;

/// Prints medians as a table, or medians and samples as JSON.
pub(super) fn print(samples: &[Sample], json: bool) -> Result<()> {
    let medians = medians(samples);
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &Report { medians: &medians, samples })?;
        writeln!(out)?;
    } else {
        writeln!(out, "\n{}", table(&medians))?;
        writeln!(
            out,
            "  Medians over the rounds; in brackets the spread, (most - least) / median, where it exceeds 10 %."
        )?;
        if samples.iter().any(|sample| sample.contestant == Kind::Heap.name()) {
            writeln!(out, "  heap: the engine of also-cache, with each value an allocation of its own.")?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'a> {
    medians: &'a [Median],
    samples: &'a [Sample],
}

/// One figure of one contestant over all rounds.
#[derive(Serialize)]
struct Median {
    workload: String,
    figure: String,
    contestant: String,
    median: f64,
    least: f64,
    most: f64,
}

fn medians(samples: &[Sample]) -> Vec<Median> {
    let mut medians: Vec<Median> = Vec::new();
    for sample in samples {
        for (figure, _) in &sample.figures {
            let same = |other: &&Median| {
                (&other.workload, &other.figure, &other.contestant) == (&sample.workload, figure, &sample.contestant)
            };
            if medians.iter().any(|median| same(&median)) {
                continue;
            }
            let mut values: Vec<f64> = samples
                .iter()
                .filter(|other| other.workload == sample.workload && other.contestant == sample.contestant)
                .flat_map(|other| other.figures.iter().filter(|(name, _)| name == figure).map(|(_, value)| *value))
                .collect();
            values.sort_by(f64::total_cmp);
            medians.push(Median {
                workload: sample.workload.clone(),
                figure: figure.clone(),
                contestant: sample.contestant.clone(),
                median: values[values.len() / 2],
                least: values[0],
                most: values[values.len() - 1],
            });
        }
    }
    medians
}

fn table(medians: &[Median]) -> Table {
    let contestants = distinct(medians.iter().map(|median| median.contestant.clone()));
    let lines = distinct(medians.iter().map(|median| (median.workload.clone(), median.figure.clone())));
    let titles = ["workload", "figure"].into_iter().map(str::to_owned).chain(contestants.iter().cloned());
    let mut table = Table::new(titles);
    for (workload, figure) in lines {
        let find = |name: &String| {
            medians
                .iter()
                .find(|median| (&median.workload, &median.figure, &median.contestant) == (&workload, &figure, name))
        };
        let mut row = vec![workload.clone(), figure.clone()];
        row.extend(contestants.iter().map(|name| find(name).map_or("-".to_owned(), Median::text)));
        table.row(row);
    }
    table
}

impl Median {
    fn text(&self) -> String {
        let spread = (self.most - self.least) / self.median.abs().max(1e-9);
        let digits = if self.median.abs() >= 100.0 { 0 } else { 2 };
        let bracket = if spread > 0.1 { format!(" ({:.0} %)", spread * 100.0) } else { String::new() };
        format!("{:.digits$}{bracket}", self.median)
    }
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut seen, item| {
        if !seen.contains(&item) {
            seen.push(item);
        }
        seen
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_each_figure_is_printed_beside_the_others() {
        let sample = |contestant: &str, round, value| Sample {
            workload: "churn".to_owned(),
            contestant: contestant.to_owned(),
            round,
            figures: vec![("M ops/s".to_owned(), value)],
        };
        let samples = [sample("a", 1, 1.0), sample("b", 1, 5.0), sample("a", 2, 9.0), sample("a", 3, 2.0)];
        let medians = medians(&samples);
        assert_eq!(medians.len(), 2);
        assert_eq!((medians[0].median, medians[0].least, medians[0].most), (2.0, 1.0, 9.0));
        assert!(table(&medians).to_string().contains("2.00 (400 %)"));
    }
}
