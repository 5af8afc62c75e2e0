//! The peers whose dependencies are too many for the workspace: built and run by cargo from `tools/peers`.
//!
//! ```text
//!   cargo run --release --manifest-path tools/peers/Cargo.toml  <-- the questions, a JSON array, on stdin
//!                                                               --> the outcomes, a JSON array, on stdout
//! ```

use super::journey::{Outcome, Question};
use crate::contestant::Kind;
use crate::failure::{Failure, Result};
use crate::interrupt;
use indicatif::ProgressBar;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs foyer, TinyUFO and segcache over the same traces and capacities.
///
/// # Errors
///
/// [`Failure::Child`] if cargo is not there, the sources have moved since this command was built, or a run fails.
pub(crate) fn run(questions: &[Question], bar: &ProgressBar) -> Result<Vec<Outcome>> {
    let failed = |problem: String| Failure::Child { what: "tools/peers".to_owned(), problem };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
    if !manifest.exists() {
        return Err(failed(format!("has no sources at {}; leave --against all out", manifest.display())));
    }
    bar.set_message("building foyer, TinyUFO, segcache");
    let places: Vec<&Question> = questions.iter().filter(|question| question.contestant == Kind::Ours).collect();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--release", "--manifest-path"])
        .arg(&manifest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("could not be built: {error}")))?;
    if let Some(mut stdin) = cargo.stdin.take() {
        stdin.write_all(&serde_json::to_vec(&places)?)?;
    }
    let output = cargo.wait_with_output()?;
    interrupt::check()?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
