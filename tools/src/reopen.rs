//! `reopen`: how soon a killed cache serves again, how much of it is left, and how it reads at first.
//!
//! ```text
//!   this process                     a child (child.rs), killed while it overwrites
//!   notes the time, starts it -----> opens the arena; the first hit; a second of reads; looks at every entry;
//!   reads its report          <----- another second of reads
//!   SIGKILL               ---------> x                      the first life fills, the others find it warm
//! ```
//!
//! Time runs from before the process is started to after its first hit: the start of a process is part of being down.

mod child;

pub(crate) use child::{ChildOptions, Life, live};

use crate::failure::{Failure, Result};
use crate::place::Place;
use crate::table::Table;
use crate::{interrupt, machine, progress, size};
use clap::Args;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Options of `reopen`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReopenOptions {
    /// Size of the arena in /dev/shm; where that is too small, the largest that fits, with fewer entries.
    #[arg(long, default_value = "4GiB", value_name = "BYTES", value_parser = size::parse_capacity)]
    capacity: u64,
    /// Entries, of 320 bytes each.
    #[arg(long, default_value_t = 8_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..=1 << 32))]
    entries: u64,
    /// Lives after the first, each ended by SIGKILL.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    repetitions: u16,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  also-cache reopen                                       4 GiB, eight million entries, five lives
  also-cache reopen --capacity 512MiB --entries 1000000

The exit status is 1 if an arena did not come back, or a value was wrong.";

/// Fills, kills, reopens, several times over.
pub(crate) fn run(options: &ReopenOptions) -> Result<()> {
    interrupt::catch();
    let (capacity, entries) = fitting(options);
    if capacity < options.capacity {
        eprintln!("also-cache: /dev/shm has no room for {}: {}", size::bytes(options.capacity), size::bytes(capacity));
    }
    let place = Place::find(capacity, false)?;
    let bar = progress::bar(u64::from(options.repetitions) + 1, "reopen", options.json);
    let mut lives = Vec::new();
    for life in 0..=options.repetitions {
        bar.set_message(if life == 0 { "filling".to_owned() } else { format!("life {life}") });
        lives.push(one_life(&place.file("reopen"), capacity, entries)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let figures = figures(&lives, entries, capacity);
    print(&figures, options.json)?;
    wrong(&lives[1..])
}

/// What fits /dev/shm with an eighth to spare, and entries in proportion.
fn fitting(options: &ReopenOptions) -> (u64, u64) {
    let free = machine::free_bytes(Path::new("/dev/shm")).unwrap_or(0);
    let capacity = options.capacity.min(free / 9 * 8 / UNIT_BYTES * UNIT_BYTES).max(UNIT_BYTES);
    let entries = (u128::from(options.entries) * u128::from(capacity) / u128::from(options.capacity)) as u64;
    (capacity.min(options.capacity), entries.min(options.entries))
}

fn one_life(file: &Path, capacity: u64, entries: u64) -> Result<Life> {
    interrupt::check()?;
    let program = std::env::current_exe()?;
    let mut process = Command::new(program)
        .arg("reopen-child")
        .arg("--file")
        .arg(file)
        .args(["--capacity", &capacity.to_string(), "--entries", &entries.to_string()])
        .args(["--started-ns", &machine::monotonic_ns().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("did not start: {error}")))?;
    let mut line = String::new();
    let read = match process.stdout.take() {
        Some(pipe) => BufReader::new(pipe).read_line(&mut line),
        None => Ok(0),
    };
    // It overwrites from here on, and is killed in the middle of it.
    std::thread::sleep(OVERWRITING);
    // Fails only if it is gone already, which its report then tells.
    let _ = process.kill();
    let status = process.wait()?;
    interrupt::check()?;
    if read? == 0 {
        return Err(failed(format!("ended with {status} before it had opened the arena and looked at it")));
    }
    Ok(serde_json::from_str(&line)?)
}

/// A figure over all lives but the first.
#[derive(serde::Serialize)]
struct Median {
    workload: &'static str,
    figure: String,
    contestant: &'static str,
    median: f64,
    least: f64,
    most: f64,
}

fn figures(lives: &[Life], entries: u64, capacity: u64) -> Vec<Median> {
    let warm = &lives[1..];
    let pairs = || lives.iter().zip(warm);
    vec![
        median("first hit, ms", warm.iter().map(|life| life.first_hit_ms.unwrap_or(f64::INFINITY))),
        median("open alone, ms", warm.iter().map(|life| life.open_ms)),
        median("entries kept, %", pairs().map(|(before, life)| 100.0 * life.found as f64 / before.found.max(1) as f64)),
        median("read p99 in the first second, us", warm.iter().map(|life| life.p99_first_us)),
        median("read p99 when steady, us", warm.iter().map(|life| life.p99_steady_us)),
        median("read p99, first second / steady", warm.iter().map(|life| life.p99_first_us / life.p99_steady_us)),
        median("entries", [entries as f64]),
        median("capacity, MiB", [(capacity >> 20) as f64]),
    ]
}

fn median(figure: &str, values: impl IntoIterator<Item = f64>) -> Median {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    let median = values[values.len() / 2];
    Median { workload: "reopen", figure: figure.to_owned(), contestant: "also-cache", median, least, most }
}

fn print(figures: &[Median], json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &serde_json::json!({ "medians": figures }))?;
        writeln!(out)?;
        return Ok(());
    }
    let mut table = Table::new(["after SIGKILL", "median", "least", "most"]);
    for figure in figures {
        let text = |value: f64| format!("{value:.3}");
        table.row(vec![figure.figure.clone(), text(figure.median), text(figure.least), text(figure.most)]);
    }
    writeln!(out, "\n{table}")?;
    Ok(())
}

fn wrong(lives: &[Life]) -> Result<()> {
    if let Some(life) = lives.iter().find(|life| life.wrong > 0) {
        return Err(Failure::Wrong(format!("{} entries came back with a wrong value", life.wrong)));
    }
    match lives.iter().find(|life| life.first_hit_ms.is_none()) {
        Some(life) => Err(Failure::Wrong(format!("the arena did not come back: {}", life.recovery))),
        None => Ok(()),
    }
}

fn failed(problem: String) -> Failure {
    Failure::Child { what: "reopening".to_owned(), problem }
}

const UNIT_BYTES: u64 = 64 << 20;
const OVERWRITING: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_shrinks_with_its_entries() {
        let options = ReopenOptions { capacity: 1 << 50, entries: 1 << 40, repetitions: 1, json: false };
        let (capacity, entries) = fitting(&options);
        assert!(capacity < 1 << 50 && capacity.is_multiple_of(UNIT_BYTES));
        assert_eq!(entries, capacity >> 10);
        let options = ReopenOptions { capacity: 1 << 20, entries: 1000, repetitions: 1, json: false };
        assert_eq!(fitting(&options), (1 << 20, 1000));
    }
}
