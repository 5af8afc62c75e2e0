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
    Step::new("loom models", LIMIT_S, &["cargo", "test", "--release", "-p", "also-cache-loom-tests"])
        .with("RUSTFLAGS", "--cfg loom")
        .target(crate::target("loom"))
}

const LIMIT_S: u64 = 900;
