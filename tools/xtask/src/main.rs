//! Chores of the project, as `cargo xtask <chore>`.
//!
//! ```text
//!   ci       the steps of .ci/run that install nothing
//!   loom     the interleaving models:  RUSTFLAGS="--cfg loom", a target folder of its own
//!   bite     each listed defect compiled in, one at a time; the check that names it must go red
//!   numbers  the goals beside what compare, replay, reopen and criterion measured
//! ```

#![forbid(unsafe_code)]

mod bite;
mod ci;
mod loom;
mod numbers;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("help", arguments.as_slice()),
    };
    let outcome = match chore {
        "ci" => ci::run(rest),
        "loom" => loom::run(rest),
        "bite" => bite::run(rest),
        "numbers" => numbers::run(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no chore {other:?}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The folder of build results of one set of flags, so that different flags do not rebuild each other's.
fn target(name: &str) -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    base.join(name)
}

const HELP: &str = "\
Chores of also-cache

  cargo xtask ci [--only TEXT] [--list]           format, lints, tests, docs, loom, bite, benches, demo
  cargo xtask loom [TEST] [-- ARGUMENTS]          the models; LOOM_MAX_PREEMPTIONS=3 searches deeper
  cargo xtask bite [--only NAME] [--list]         every listed defect must turn its check red
  cargo xtask numbers [--traces FOLDER] [--write] [--quick] [--only TEXT] [--from FOLDER]
                                                  goal, ours, peer, spread, reached; --write: docs/PERFORMANCE.md";
