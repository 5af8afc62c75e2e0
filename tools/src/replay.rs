//! `replay`: access traces cache-aside through the real cache, with real values, beside other caches.
//!
//! ```text
//!   trace file --trace.rs--> keys --cells--> one process per (trace, capacity, contestant) --report.rs--> table | JSON
//!                                             journey.rs: get, check every byte, on a miss fill
//! ```

mod equal;
mod heavy;
mod journey;
pub(crate) mod reference;
mod report;
mod trace;

pub(crate) use journey::measure;

use crate::contestant::{Capacity, Kind};
use crate::failure::{Failure, Result};
use crate::{cell, interrupt, progress, size, value};
use also_cache::limits::CAPACITY_MAX;
use clap::{Args, ValueEnum};
use journey::{Outcome, Question};
use std::path::{Path, PathBuf};
use trace::{Format, Source, Trace};

/// Options of `replay`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplayOptions {
    /// Trace files.
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Capacity in entries; the reference of the goals, S3-FIFO, runs beside it.
    #[arg(long, value_name = "N", group = "capacity", value_parser = clap::value_parser!(u64).range(2..=1 << 32))]
    capacity_entries: Option<u64>,
    /// Capacity in bytes, such as 16MiB.
    #[arg(long, value_name = "B", group = "capacity", value_parser = size::parse_capacity)]
    capacity_bytes: Option<u64>,
    /// Capacities of 0.1, 1, 5 and 10 % of the keys, at least 100 entries. The default.
    #[arg(long, group = "capacity")]
    sweep: bool,
    /// Length of the values in bytes, one number or a range; each key has its own. [default: 64 with a capacity in
    /// entries, 64..4096 with one in bytes]
    #[arg(long, value_name = "RANGE", value_parser = parse_range)]
    value_bytes: Option<(u64, u64)>,
    /// Spread the lengths of the values evenly by their logarithm: small ones are as usual as they are in life.
    #[arg(long)]
    by_logarithm: bool,
    /// Threads that share the trace.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Caches to run beside it; `all` adds foyer, TinyUFO and segcache, built from tools/peers by cargo.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    against: Vec<Against>,
    /// Format of the files. [default: by their name]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Column of the keys in a csv file, by name or by number from 0. [default: "key", else the first]
    #[arg(long, value_name = "COLUMN")]
    key_column: Option<String>,
    /// Use the first N accesses only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Bytes per entry that the others are charged beside key and value, with a capacity in bytes.
    #[arg(long, default_value_t = 0, value_name = "B")]
    peer_overhead: u64,
    /// With a capacity in bytes: run the others again with less, until their resident memory is the capacity.
    #[arg(long, requires = "capacity_bytes")]
    equal_memory: bool,
    /// Our cache only, without the S3-FIFO simulation.
    #[arg(long, conflicts_with = "against")]
    alone: bool,
    /// Print every cell as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  also-cache replay oltp.u32.zst                                  0.1, 1, 5, 10 % of the keys, beside S3-FIFO
  also-cache replay --against quick_cache,moka traces/*.u32.zst
  also-cache replay --capacity-bytes 16MiB --value-bytes 64..4096 --against all web.csv
  also-cache replay --capacity-bytes 16MiB --by-logarithm --equal-memory --against quick_cache,moka web.csv
  also-cache replay --capacity-entries 10000 --threads 4 --json accesses.u64

Formats: u32.zst (zstd over little-endian u32), u64 (little-endian u64), csv (with a header line).
Every value is checked byte by byte on every hit; one wrong value makes the exit status 1.";

/// Who else runs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Against {
    /// The quick_cache crate.
    QuickCache,
    /// The moka crate.
    Moka,
    /// These two and the heavy ones.
    All,
}

/// Runs every cell, one after the other, and prints them.
pub(crate) fn run(options: &ReplayOptions) -> Result<()> {
    interrupt::catch();
    let bar = progress::bar(0, "replay", options.json);
    let heavy = if options.against.contains(&Against::All) { Some(heavy::build(&bar)?) } else { None };
    let mut outcomes: Vec<Outcome> = Vec::new();
    for path in &options.traces {
        bar.set_message(format!("reading {}", path.display()));
        let source = source(options, path)?;
        let trace = source.read()?;
        let questions = questions(options, &source, &trace);
        check_sizes(&questions)?;
        bar.inc_length(questions.len() as u64);
        let attachment = trace.bytes();
        drop(trace);
        for question in &questions {
            interrupt::check()?;
            bar.set_message(question.title());
            let ask = |question: &Question| cell::ask("replay-cell", &question.title(), question, &attachment);
            outcomes.extend(at_equal_memory(options, question, ask(question)?, ask)?);
            bar.inc(1);
        }
        if let Some(program) = &heavy {
            outcomes.extend(heavy::run(program, options, &questions, &attachment, &bar)?);
        }
    }
    bar.finish_and_clear();
    report::print(&outcomes, options.json)?;
    let wrong: u64 = outcomes.iter().map(|outcome| outcome.wrong).sum();
    if wrong > 0 {
        return Err(Failure::Wrong(format!("{wrong} hits returned a wrong value")));
    }
    Ok(())
}

/// A peer's outcome as it is, or with `--equal-memory` both: by weight, and at equal memory.
fn at_equal_memory(
    options: &ReplayOptions,
    question: &Question,
    first: Outcome,
    ask: impl Fn(&Question) -> Result<Outcome>,
) -> Result<Vec<Outcome>> {
    let Capacity::Bytes { bytes, overhead } = question.capacity else { return Ok(vec![first]) };
    if !options.equal_memory || first.contestant == Kind::Ours.name() {
        return Ok(vec![first]);
    }
    let weighed = Outcome { contestant: equal::by_weight(&first.contestant), ..first.clone() };
    let fitted = equal::fit(bytes, first, |bytes| {
        interrupt::check()?;
        ask(&Question { capacity: Capacity::Bytes { bytes, overhead }, ..question.clone() })
    })?;
    Ok(vec![fitted, weighed])
}

fn source(options: &ReplayOptions, path: &Path) -> Result<Source> {
    let format = options.format.map_or_else(|| Format::of(path), Ok)?;
    Ok(Source { path: path.to_owned(), format, key_column: options.key_column.clone(), limit: options.limit })
}

fn questions(options: &ReplayOptions, source: &Source, trace: &Trace) -> Vec<Question> {
    let question = |label: &str, capacity, contestant| Question {
        source: source.clone(),
        label: label.to_owned(),
        contestant,
        capacity,
        value_bytes: value_bytes(options),
        by_logarithm: options.by_logarithm,
        threads: options.threads,
        accesses: trace.accesses.len() as u64,
    };
    let mut questions = Vec::new();
    for (label, capacity) in capacities(options, trace.keys) {
        questions.extend(contestants(options, capacity).into_iter().map(|kind| question(&label, capacity, kind)));
    }
    questions
}

/// Entries and values that no arena can hold are refused before the first cell.
fn check_sizes(questions: &[Question]) -> Result<()> {
    let too_large = |question: &&Question| question.capacity.arena_bytes() > CAPACITY_MAX;
    match questions.iter().find(too_large) {
        None => Ok(()),
        Some(question) => Err(Failure::Option {
            option: "capacity-entries",
            met: question.label.clone(),
            bound: format!(
                "with values of {} bytes that takes {}, and an arena has at most {}",
                question.value_bytes.1,
                size::bytes(question.capacity.arena_bytes()),
                size::bytes(CAPACITY_MAX)
            ),
        }),
    }
}

fn capacities(options: &ReplayOptions, keys: u64) -> Vec<(String, Capacity)> {
    let longest = value_bytes(options).1;
    let in_entries = |entries| Capacity::Entries { entries, value_bytes: longest };
    if let Some(bytes) = options.capacity_bytes {
        return vec![(size::bytes(bytes), Capacity::Bytes { bytes, overhead: options.peer_overhead })];
    }
    if let Some(entries) = options.capacity_entries {
        return vec![(size::count(entries), in_entries(entries))];
    }
    let size = |share: u64| (keys * share / 1000).max(SWEEP_ENTRIES_MIN);
    let label = |share: u64| format!("{} % = {}", share as f64 / 10.0, size::count(size(share)));
    let mut sizes: Vec<(String, u64)> = SWEEP_PER_MILLE.iter().map(|share| (label(*share), size(*share))).collect();
    sizes.dedup_by_key(|(_, entries)| *entries);
    sizes.into_iter().map(|(label, entries)| (label, in_entries(entries))).collect()
}

fn contestants(options: &ReplayOptions, capacity: Capacity) -> Vec<Kind> {
    let all = options.against.contains(&Against::All);
    let mut kinds = vec![Kind::Ours];
    if matches!(capacity, Capacity::Entries { .. }) && !options.alone {
        kinds.push(Kind::S3fifo);
    }
    if all || options.against.contains(&Against::QuickCache) {
        kinds.push(Kind::QuickCache);
    }
    if all || options.against.contains(&Against::Moka) {
        kinds.push(Kind::Moka);
    }
    kinds
}

fn value_bytes(options: &ReplayOptions) -> (u64, u64) {
    let default = if options.capacity_bytes.is_some() { (64, 4096) } else { (64, 64) };
    options.value_bytes.unwrap_or(default)
}

fn parse_range(text: &str) -> std::result::Result<(u64, u64), String> {
    let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
    let (shortest, longest) = (size::parse_bytes(shortest)?, size::parse_bytes(longest.trim_start_matches('='))?);
    let bounds = value::VALUE_BYTES_MIN..=VALUE_BYTES_MAX;
    if shortest > longest || !bounds.contains(&shortest) || !bounds.contains(&longest) {
        return Err(format!(
            "{shortest}..{longest} is no range from shortest to longest within {} to {} bytes",
            bounds.start(),
            bounds.end()
        ));
    }
    Ok((shortest, longest))
}

const SWEEP_PER_MILLE: [u64; 4] = [1, 10, 50, 100];
const SWEEP_ENTRIES_MIN: u64 = 100;
const VALUE_BYTES_MAX: u64 = 1 << 20;
