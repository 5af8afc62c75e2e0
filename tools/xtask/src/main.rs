//! Chores of the project, as `cargo xtask <chore>`.
//!
//! ```text
//!   ci       the steps of .ci/run that install nothing
//!   loom     the interleaving models:  RUSTFLAGS="--cfg loom", a target folder of its own
//!   bite     each listed defect compiled in, one at a time; the check that names it must go red
//!   sanitize tools/sanitize.sh: ThreadSanitizer, AddressSanitizer
//!   fuzz     tools/fuzz/run.sh: every target for a while
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
use step::Ending;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = match arguments.split_first() {
        Some((chore, rest)) => (chore.as_str(), rest),
        None => ("help", arguments.as_slice()),
    };
    let outcome = match chore {
        _ if rest.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") => help(chore),
        "ci" => ci::run(rest),
        "loom" => loom::run(rest),
        "bite" => bite::run(rest),
        "sanitize" => script("tools/sanitize.sh", rest),
        "fuzz" => script("tools/fuzz/run.sh", rest),
        "numbers" => numbers::run(rest),
        "help" | "--help" | "-h" => help(rest.first().map_or("help", |chore| chore)),
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

/// Prints what a chore is for, or which there are.
fn help(chore: &str) -> Result<(), String> {
    let text = match chore {
        "ci" => ci::HELP,
        "loom" => loom::HELP,
        "bite" => bite::HELP,
        "sanitize" => SANITIZE_HELP,
        "fuzz" => FUZZ_HELP,
        "numbers" => numbers::HELP,
        "help" | "--help" | "-h" => HELP,
        other => return Err(format!("there is no chore {other:?}\n\n{HELP}")),
    };
    println!("{text}");
    Ok(())
}

/// Runs a script of the repository with all arguments.
fn script(path: &str, arguments: &[String]) -> Result<(), String> {
    match ci::script(path, &[path]).and(arguments).show()?.0 {
        Ending::Green => Ok(()),
        ending => Err(format!("{path}: {}", ending.word())),
    }
}

/// The root of the repository from which `cargo xtask` was called: two clones may share one folder of build results.
fn root() -> PathBuf {
    let built_in = env!("CARGO_MANIFEST_DIR");
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| built_in.into(), PathBuf::from).join("../..")
}

/// The folder of build results of one set of flags, so that different flags do not rebuild each other's.
fn target(name: &str) -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    base.join(name)
}

const HELP: &str = "\
Chores of also-cache; `cargo xtask CHORE --help` says more

  cargo xtask ci [--only TEXT] [--list]           format, lints, tests, docs, loom, benches, demo, bite, sanitizers, fuzz
  cargo xtask loom [TEST] [-- ARGUMENTS]          the models; LOOM_MAX_PREEMPTIONS=3 searches deeper
  cargo xtask bite [--only NAME] [--list]         every listed defect must turn its check red
  cargo xtask sanitize [thread] [address]         threads under ThreadSanitizer, whole caches under AddressSanitizer
  cargo xtask fuzz [SECONDS] [TARGET...]          the fuzz targets, 30 s each
  cargo xtask numbers [--write] [--from FOLDER]   goals beside what was measured; --write: docs/PERFORMANCE.md";

const SANITIZE_HELP: &str = "\
cargo xtask sanitize [thread] [address]

  thread    tests/tsan under ThreadSanitizer, which first has to see three defects; ALSO_CACHE_STEPS=N steps a thread
  address   unit tests, local, stress, restart and files under AddressSanitizer

Both unless one is named. Needs nothing but the toolchain.

Examples:
  cargo xtask sanitize
  ALSO_CACHE_STEPS=500000 cargo xtask sanitize thread";

const FUZZ_HELP: &str = "\
cargo xtask fuzz [SECONDS] [TARGET...]

Builds the targets of tools/fuzz and runs each for so many seconds, 30 unless said: `datagrams` and handshakes of anybody,
`frames` of a peer, `opener` over damaged files, `operations` against a map. The corpus is kept in the target folder. Needs
nothing but the toolchain.

Examples:
  cargo xtask fuzz
  cargo xtask fuzz 600 opener";
