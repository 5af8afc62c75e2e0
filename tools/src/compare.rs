//! `compare`: throughput, latency and memory of the real cache beside others, in interleaved rounds.
//!
//! ```text
//!   workload.rs   what is measured, and how large
//!   hit.rs        all keys resident: lookups alone
//!   aside.rs      cache-aside with evictions, and inserts of keys never seen: throughput, then p99.9 on its own
//!   drift.rs      value sizes move from 64 B to 6 KiB and back under a fixed capacity: resident memory
//!   overhead.rs   bytes per entry beyond key and value
//!   waste.rs      what the slots of the size classes leave unused
//!   report.rs     medians over the rounds; table | JSON
//! ```
//!
//! A round runs every contestant once per workload, each in a process of its own; the next round does it all again, so
//! that a slow minute of the machine falls on everybody.

mod aside;
mod drift;
mod hit;
mod overhead;
mod report;
mod run;
mod waste;
mod workload;

pub(crate) use report::print;
pub(crate) use run::{Sample, measure};

use crate::contestant::Kind;
use crate::failure::{Failure, Result};
use crate::{cell, interrupt, progress};
use clap::{Args, ValueEnum};
use run::Question;
use workload::Workload;

/// Options of `compare`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareOptions {
    /// Small sizes and short runs: minutes become seconds, and the figures rough.
    #[arg(long)]
    quick: bool,
    /// Only workloads whose name contains one of these.
    #[arg(long, value_delimiter = ',', value_name = "TEXT")]
    only: Vec<String>,
    /// Contestants. [default: all]
    #[arg(long, value_delimiter = ',', value_enum, value_name = "NAMES")]
    contestants: Vec<Kind>,
    /// Rounds over everything.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Print every sample as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  also-cache compare --quick                              a first impression in about a minute
  also-cache compare --only hit --contestants ours,quick_cache
  also-cache compare --only drift,overhead --rounds 1
  also-cache compare --json > compare.json

Workloads: hit/<entries>x<bytes>, aside/95-5, aside/50-50, churn, drift, overhead/<bytes>,
waste/<longest> in <capacity>.
Figures are comparable within one run on a quiet machine, not between runs.";

/// Runs all rounds and prints the medians.
pub(crate) fn run(options: &CompareOptions) -> Result<()> {
    interrupt::catch();
    let workloads = workloads(options)?;
    let contestants = contestants(options);
    let cells_of = |workload: &Workload| contestants.iter().filter(|contestant| workload.suits(**contestant)).count();
    let cells = workloads.iter().map(cells_of).sum::<usize>() * usize::from(options.rounds);
    let bar = progress::bar(cells as u64, "compare", options.json);
    let mut samples: Vec<Sample> = Vec::with_capacity(cells);
    for round in 1..=options.rounds {
        for workload in &workloads {
            for contestant in contestants.iter().filter(|contestant| workload.suits(**contestant)) {
                interrupt::check()?;
                let title = format!("round {round}: {}: {}", workload.name(), contestant.name());
                bar.set_message(title.clone());
                let question = Question { workload: *workload, contestant: *contestant, quick: options.quick, round };
                samples.push(cell::ask("compare-cell", &title, &question, &[])?);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    print::<()>(&samples, &[], options.json)
}

fn workloads(options: &CompareOptions) -> Result<Vec<Workload>> {
    let mut chosen = Workload::all(options.quick);
    let is_wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|text| name.contains(text.as_str()));
    let names: Vec<String> = chosen.iter().map(Workload::name).collect();
    chosen.retain(|workload| {
        is_wanted(&workload.name()) && contestants(options).iter().any(|contestant| workload.suits(*contestant))
    });
    if chosen.is_empty() {
        let bound = format!("no workload of these contestants has that in its name; there are {}", names.join(", "));
        return Err(Failure::Option { option: "only", met: options.only.join(","), bound });
    }
    Ok(chosen)
}

fn contestants(options: &CompareOptions) -> &[Kind] {
    if options.contestants.is_empty() { Kind::value_variants() } else { &options.contestants }
}
