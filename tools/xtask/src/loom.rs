//! `loom`: the models of `loom-tests`, with the flags that turn the facade in `src/sync.rs` over to loom.

use crate::step::{Ending, Step};

/// Runs the models; arguments go to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match step().and(arguments).show()?.0 {
        Ending::Green => Ok(()),
        Ending::Red => Err("a model failed; the first panic above is the one to read".to_owned()),
        Ending::TimedOut => Err(format!("the models took longer than {LIMIT_S} s")),
    }
}

/// The step that `ci` shares.
pub(crate) fn step() -> Step {
    models("loom", LIMIT_S)
}

/// `cargo test` of the models, to which the words that choose some are added. The release profile without what takes long
/// to build: loom's own work is what a model takes.
pub(crate) fn models(title: &str, limit_s: u64) -> Step {
    Step::new(title, limit_s, &["cargo", "test", "--release", "-p", "also-cache-loom-tests"])
        .with("RUSTFLAGS", "--cfg loom")
        .with("CARGO_PROFILE_RELEASE_LTO", "off")
        .with("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .with("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .target(crate::target("loom"))
}

pub(crate) const HELP: &str = "\
cargo xtask loom [TEST] [-- ARGUMENTS]

The interleaving models; what is given goes to `cargo test`. LOOM_MAX_PREEMPTIONS=3 searches deeper.

Examples:
  cargo xtask loom
  cargo xtask loom --test slot
  LOOM_MAX_PREEMPTIONS=3 cargo xtask loom";

const LIMIT_S: u64 = 900;
