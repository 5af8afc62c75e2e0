//! What `replay` prints: hit ratios cell by cell, then what each contestant cost.

use super::journey::Outcome;
use crate::failure::Result;
use crate::size;
use crate::table::Table;
use serde::Serialize;
use std::io::Write as _;

/// Prints the cells as a table, or as JSON.
pub(crate) fn print(outcomes: &[Outcome], json: bool) -> Result<()> {
    let contestants = contestants(outcomes);
    let summaries: Vec<Summary> = contestants.iter().map(|name| Summary::of(name, outcomes)).collect();
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &Report { cells: outcomes, contestants: &summaries })?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "\n  hit ratio in percent\n\n{}", hits(outcomes, &contestants, &summaries))?;
    writeln!(out, "{}", costs(&summaries))?;
    if let Some(ahead) = ahead(&summaries) {
        writeln!(out, "  {ahead}")?;
    }
    for line in overfull(&summaries) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  {}", checks(outcomes))?;
    Ok(())
}

#[derive(Serialize)]
struct Report<'a> {
    cells: &'a [Outcome],
    contestants: &'a [Summary],
}

/// One contestant over all its cells.
#[derive(Serialize)]
struct Summary {
    contestant: String,
    cells: usize,
    mean_hit_percent: f64,
    /// Most entries held over entries allowed, at the end of a cell; `None` with a capacity in bytes.
    fullness_max: Option<f64>,
    median_millions_per_second: f64,
    resident_bytes_max: u64,
    refused: u64,
    wrong: u64,
}

impl Summary {
    fn of(name: &str, outcomes: &[Outcome]) -> Self {
        let mine: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.contestant == name).collect();
        let mut speeds: Vec<f64> = mine.iter().map(|outcome| outcome.millions_per_second()).collect();
        speeds.sort_by(f64::total_cmp);
        Self {
            contestant: name.to_owned(),
            cells: mine.len(),
            mean_hit_percent: mine.iter().map(|outcome| outcome.hit_percent()).sum::<f64>() / mine.len() as f64,
            fullness_max: mine.iter().filter_map(|outcome| outcome.fullness()).max_by(f64::total_cmp),
            median_millions_per_second: speeds[speeds.len() / 2],
            resident_bytes_max: mine.iter().map(|outcome| outcome.resident_bytes).max().unwrap_or(0),
            refused: mine.iter().map(|outcome| outcome.refused).sum(),
            wrong: mine.iter().map(|outcome| outcome.wrong).sum(),
        }
    }
}

fn contestants(outcomes: &[Outcome]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for outcome in outcomes {
        if !names.contains(&outcome.contestant) {
            names.push(outcome.contestant.clone());
        }
    }
    names
}

fn hits(outcomes: &[Outcome], contestants: &[String], summaries: &[Summary]) -> Table {
    let titles = ["trace", "accesses", "capacity"].into_iter().map(str::to_owned).chain(contestants.iter().cloned());
    let mut table = Table::new(titles);
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for outcome in outcomes {
        let place = (outcome.trace.as_str(), outcome.capacity.as_str());
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let at = |name: &String| {
            outcomes
                .iter()
                .find(|other| (other.trace.as_str(), other.capacity.as_str()) == place && other.contestant == *name)
        };
        let mut row = vec![outcome.trace.clone(), size::count(outcome.accesses), outcome.capacity.clone()];
        row.extend(
            contestants.iter().map(|name| at(name).map_or("-".into(), |cell| format!("{:.2}", cell.hit_percent()))),
        );
        table.row(row);
    }
    let mut mean = vec!["mean".to_owned(), String::new(), String::new()];
    mean.extend(summaries.iter().map(|summary| format!("{:.2}", summary.mean_hit_percent)));
    table.row(mean);
    table
}

fn costs(summaries: &[Summary]) -> Table {
    let mut table = Table::new(["contestant", "M accesses/s (median)", "resident memory (most)", "fills refused"]);
    for summary in summaries {
        let simulated = summary.contestant == SIMULATION;
        table.row(vec![
            summary.contestant.clone(),
            if simulated { "simulated".into() } else { format!("{:.2}", summary.median_millions_per_second) },
            if simulated { "-".into() } else { size::bytes(summary.resident_bytes_max) },
            size::count(summary.refused),
        ]);
    }
    table
}

fn ahead(summaries: &[Summary]) -> Option<String> {
    let ours = summaries.first()?;
    let reference = summaries.iter().find(|summary| summary.contestant == SIMULATION)?;
    let points = ours.mean_hit_percent - reference.mean_hit_percent;
    Some(format!("{} is {points:+.2} points from S3-FIFO in the mean of {} cells.", ours.contestant, ours.cells))
}

/// A hit ratio says nothing where more was held than the capacity allows.
fn overfull(summaries: &[Summary]) -> Vec<String> {
    let over =
        |summary: &Summary| Some((summary.contestant.clone(), summary.fullness_max.filter(|most| *most > 1.01)?));
    let line = |(name, most)| format!("{name} held up to {most:.2} times as many entries as it may.");
    summaries.iter().filter_map(over).map(line).collect()
}

fn checks(outcomes: &[Outcome]) -> String {
    let (checked, wrong) = outcomes.iter().fold((0, 0), |(checked, wrong), o| (checked + o.checked, wrong + o.wrong));
    format!("{} hits were checked byte by byte, {} were wrong.", size::count(checked), size::count(wrong))
}

const SIMULATION: &str = "s3fifo";
