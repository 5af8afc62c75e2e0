//! The peers whose dependencies are too many for the workspace: built by cargo from `tools/peers`, one process a cell.
//!
//! ```text
//!   stdin   one line of JSON, the question | key numbers, little-endian u32, to the end
//!   stdout  one line of JSON, the answer
//! ```

use super::journey::{Outcome, Question};
use super::{ReplayOptions, at_equal_memory};
use crate::contestant::{Capacity, Kind};
use crate::failure::{Failure, Result};
use crate::interrupt;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs foyer, TinyUFO and segcache over one trace, at the same capacities.
pub(super) fn run(
    program: &Path,
    options: &ReplayOptions,
    questions: &[Question],
    numbers: &[u8],
    bar: &ProgressBar,
) -> Result<Vec<Outcome>> {
    let places = || questions.iter().filter(|question| question.contestant == Kind::Ours);
    bar.inc_length((places().count() * PEERS.len()) as u64);
    let mut outcomes = Vec::new();
    for place in places() {
        for peer in PEERS {
            interrupt::check()?;
            bar.set_message(format!("{} at {}: {peer}", place.source.name(), place.label));
            if suits(peer, place.capacity) {
                let ask = |place: &Question| ask(program, peer, place, numbers);
                outcomes.extend(at_equal_memory(options, place, ask(place)?, ask)?);
            }
            bar.inc(1);
        }
    }
    Ok(outcomes)
}

/// segcache counts no entries.
fn suits(peer: &str, capacity: Capacity) -> bool {
    peer != "segcache" || matches!(capacity, Capacity::Bytes { .. })
}

/// Builds them and returns the program.
///
/// # Errors
///
/// [`Failure::Child`] if cargo is not there, or the sources have moved since this command was built.
pub(super) fn build(bar: &ProgressBar) -> Result<PathBuf> {
    bar.set_message("building foyer, TinyUFO, segcache");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
    if !manifest.exists() {
        return Err(failed(format!("has no sources at {}; leave --against all out", manifest.display())));
    }
    let base = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = base.map_or_else(|| manifest.with_file_name("target"), |base| base.join("peers"));
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--manifest-path"])
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &target)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| failed(format!("could not be built: {error}")))?;
    interrupt::check()?;
    if !status.success() {
        return Err(failed(format!("could not be built: cargo ended with {status}")));
    }
    Ok(target.join("release/also-cache-peers"))
}

fn ask(program: &Path, peer: &str, place: &Question, numbers: &[u8]) -> Result<Outcome> {
    let (entries, bytes, overhead) = match place.capacity {
        Capacity::Entries { entries, .. } | Capacity::Population { entries, .. } => (entries, None, 0),
        Capacity::Bytes { bytes, overhead } => (bytes / 512, Some(bytes), overhead),
    };
    let question = PeerQuestion {
        peer,
        entries,
        bytes,
        overhead,
        value_bytes: place.value_bytes,
        by_logarithm: place.by_logarithm,
        threads: place.threads,
        accesses: place.accesses,
    };
    let mut process = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("did not start: {error}")))?;
    if let Some(mut stdin) = process.stdin.take() {
        stdin.write_all(&serde_json::to_vec(&question)?)?;
        stdin.write_all(b"\n")?;
        stdin.write_all(numbers)?;
    }
    let output = process.wait_with_output()?;
    interrupt::check()?;
    if !output.status.success() {
        return Err(failed(format!("ended with {} in {peer}", output.status)));
    }
    let answer: PeerAnswer = serde_json::from_slice(&output.stdout)?;
    Ok(answer.outcome(peer, place))
}

#[derive(Serialize)]
struct PeerQuestion<'a> {
    peer: &'a str,
    entries: u64,
    bytes: Option<u64>,
    overhead: u64,
    value_bytes: (u64, u64),
    by_logarithm: bool,
    threads: u16,
    accesses: u64,
}

#[derive(Deserialize)]
struct PeerAnswer {
    hits: u64,
    checked: u64,
    wrong: u64,
    refused: u64,
    entries: u64,
    seconds: f64,
    resident_bytes: u64,
}

impl PeerAnswer {
    fn outcome(self, peer: &str, place: &Question) -> Outcome {
        Outcome {
            trace: place.source.name(),
            capacity: place.label.clone(),
            contestant: peer.to_owned(),
            threads: place.threads,
            accesses: place.accesses,
            hits: self.hits,
            checked: self.checked,
            wrong: self.wrong,
            refused: self.refused,
            entries: self.entries,
            entries_max: place.entries_max(),
            seconds: self.seconds,
            resident_bytes: self.resident_bytes,
        }
    }
}

fn failed(problem: String) -> Failure {
    Failure::Child { what: "tools/peers".to_owned(), problem }
}

const PEERS: [&str; 3] = ["foyer", "tinyufo", "segcache"];
