//! What `compare` prints: a heading per workload, a line per figure, contestants side by side, medians over the rounds.

use super::run::Sample;
use crate::contestant::Kind;
use crate::failure::Result;
use crate::size;
use crate::table::Table;
use serde::Serialize;
use std::io::Write as _;

/// Prints medians as a table, or medians, samples and who is absent as JSON.
pub(crate) fn print<A: Serialize>(samples: &[Sample], absent: &[A], json: bool) -> Result<()> {
    let medians = medians(samples);
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &Report { medians: &medians, absent, samples })?;
        writeln!(out)?;
    } else {
        writeln!(out, "\n{}", table(&medians))?;
        writeln!(out, "  Medians over the rounds. spread: (most - least) / median of whoever varies most.")?;
        if samples.iter().any(|sample| sample.contestant == Kind::Heap.name()) {
            writeln!(out, "  heap: the engine of also-cache, with each value an allocation of its own.")?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'a, A> {
    medians: &'a [Median],
    absent: &'a [A],
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
    let titles = std::iter::once("workload".to_owned()).chain(contestants.iter().cloned());
    let mut table = Table::new(titles.chain(["spread".to_owned()]));
    let mut group = String::new();
    for (workload, figure) in lines {
        let (part, short) = split(&workload, &figure);
        if part != group {
            table.heading(part.clone());
            group = part;
        }
        let same = |median: &&Median| (&median.workload, &median.figure) == (&workload, &figure);
        let find = |name: &String| medians.iter().filter(same).find(|median| median.contestant == *name);
        let mut row = vec![format!("  {short}")];
        row.extend(contestants.iter().map(|name| find(name).map_or("-".to_owned(), |median| number(median.median))));
        let spread = medians.iter().filter(same).map(Median::spread).fold(0.0, f64::max);
        row.push(format!("{:.0} %", spread * 100.0));
        table.row(row);
    }
    table
}

/// Heading and line of a figure: each phase has a heading of its own.
fn split(workload: &str, figure: &str) -> (String, String) {
    match figure.rsplit_once(", phase ") {
        Some((figure, phase)) => (format!("{workload}, phase {phase}"), figure.to_owned()),
        None => (workload.to_owned(), figure.to_owned()),
    }
}

impl Median {
    fn spread(&self) -> f64 {
        (self.most - self.least) / self.median.abs().max(1e-9)
    }
}

/// Three digits or all of a count.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 || value.abs() >= 1000.0 => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", size::count(value.abs().round() as u64))
        }
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
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
        let text = table(&medians).to_string();
        let line = text.lines().find(|line| line.contains("M ops/s")).expect("a line for the figure");
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["M", "ops/s", "2", "5", "400", "%"]);
    }

    #[test]
    fn numbers_keep_three_digits_and_phases_have_headings() {
        let texts = [0.0, 1.0, 1.234, 12.34, 123.4, 1234.5, -2.5].map(number);
        assert_eq!(texts, ["0", "1", "1.23", "12.3", "123", "1,235", "-2.50"]);
        let parts = split("drift", "RSS / capacity, phase 2");
        assert_eq!(parts, ("drift, phase 2".to_owned(), "RSS / capacity".to_owned()));
    }
}
