//! `numbers`: each goal beside what was measured, and whether it is reached.
//!
//! ```text
//!   measure.rs   also-cache compare | replay | reopen | replication, cargo bench   --json files-->   figures.rs   by name
//!   goals.rs     what is to be reached                                --judge.rs-->    lines
//!   tables.rs    what has no goal and is worth knowing: every size of hits, the same engine with values on the heap
//!   page.rs      all of it as docs/PERFORMANCE.md, with docs/performance-notes.md, which people write, at its end
//!   origin.rs    commit, date, machine: kept beside the figures
//! ```
//!
//! A number that is not reached makes the exit status 0 all the same: it is a report, and timing on a busy machine is no
//! verdict. A measurement that fails is named, and its goals say that nothing was measured.

mod figures;
mod goals;
mod judge;
mod measure;
mod origin;
mod page;
mod tables;

use figures::Figures;
use std::path::PathBuf;
use std::time::Instant;

/// Measures, or takes what was measured, prints the table, and with `--write` the page.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let started = Instant::now();
    let mut figures = Figures::default();
    let mut failed = Vec::new();
    origin::keep(&options)?;
    for measurement in measure::all(&options)? {
        let outcome = measurement.answer(&options).and_then(|text| measurement.hand_over(&text, &mut figures));
        if let Err(problem) = outcome {
            eprintln!("xtask: {}: {problem}", measurement.name);
            failed.push(measurement.name);
        }
    }
    figures.compare_threads();
    let lines = judge::lines(&figures);
    judge::print(&lines);
    if !failed.is_empty() {
        println!("  could not be measured: {}", failed.join(", "));
    }
    println!("  {} s in all; the figures are in {}", started.elapsed().as_secs(), options.folder().display());
    if options.write { page::write(&lines, &figures, &origin::of(&options)) } else { Ok(()) }
}

/// What is to be measured, and where figures come from.
#[derive(Default)]
struct Options {
    quick: bool,
    write: bool,
    traces: Option<PathBuf>,
    from: Option<PathBuf>,
    only: Option<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--write" => options.write = true,
                "--traces" => options.traces = Some(PathBuf::from(value()?)),
                "--from" => options.from = Some(PathBuf::from(value()?)),
                "--only" => options.only = Some(value()?),
                other => return Err(format!("numbers has no option {other:?}\n\n{HELP}")),
            }
        }
        if options.quick && options.write {
            return Err("--quick is rough: it is not written".to_owned());
        }
        Ok(options)
    }

    /// Where figures are kept, to be taken again by `--from`.
    fn folder(&self) -> PathBuf {
        let name = if self.quick { "numbers-quick" } else { "numbers" };
        self.from.clone().unwrap_or_else(|| crate::target(name))
    }
}

pub(crate) const HELP: &str = "\
cargo xtask numbers [--traces FOLDER] [--write] [--quick] [--only TEXT] [--from FOLDER]

Measures, and prints goal by goal what came out, beside the best peer of the same run.

  --traces FOLDER   access traces, one .u32.zst each; without it no hit ratios
  --write           write docs/PERFORMANCE.md, with docs/performance-notes.md at its end as it stands there
  --quick           small sizes and short runs: minutes become seconds, and the figures rough
  --only TEXT       only measurements whose name contains the text
  --from FOLDER     take the figures that a run kept instead of measuring

Measurements: speed, memory, reopen, hits, batches; cluster-insert, -rates, -visible, -rejoin, -deaths, -partition and
-allocations; with traces replay, replay-4-threads, replay-16MiB. Without valkey-server or redis-server what is held against
their replica is not measured, and says so.

Examples:
  cargo xtask numbers --quick
  cargo xtask numbers --only cluster
  cargo xtask numbers --traces FOLDER --write
  cargo xtask numbers --from target/numbers --write";
