//! One heavy peer over one trace: foyer, TinyUFO or segcache, in the process that `also-cache replay --against all`
//! starts for it. They stand outside the workspace because of their dependencies.
//!
//! ```text
//!   stdin   one line of JSON, the question | key numbers, little-endian u32, to the end
//!   stdout  one line of JSON, the answer
//! ```
//!
//! Keys, values and their checks are `value.rs` of the command itself.

#![forbid(unsafe_code)]

mod peer;
#[path = "../../src/random.rs"]
#[expect(dead_code, reason = "the command uses more of it")]
mod random;
#[path = "../../src/value.rs"]
#[expect(dead_code, reason = "the command uses more of it")]
mod value;

use peer::{Foyer, Peer, Segcache, TinyUfo};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{BufRead as _, Read as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What to measure.
#[derive(Deserialize)]
struct Question {
    peer: String,
    /// Entries of `value_bytes`, unless `bytes` is given.
    entries: u64,
    bytes: Option<u64>,
    overhead: u64,
    value_bytes: (u64, u64),
    /// Whether lengths are spread evenly by their logarithm.
    by_logarithm: bool,
    threads: u16,
    /// Accesses of the trace, four bytes each.
    accesses: u64,
}

/// What came out.
#[derive(Default, Serialize)]
struct Answer {
    hits: u64,
    checked: u64,
    wrong: u64,
    refused: u64,
    entries: u64,
    seconds: f64,
    resident_bytes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line)?;
    let question: Question = serde_json::from_str(&line)?;
    let mut bytes = Vec::with_capacity(question.accesses as usize * 4 + 1);
    input.read_to_end(&mut bytes)?;
    let (numbers, _) = bytes.as_chunks::<4>();
    let before = resident();
    let answer = match question.peer.as_str() {
        "foyer" => replay(&Foyer::open(&question), &question, numbers, before),
        "tinyufo" => replay(&TinyUfo::open(&question), &question, numbers, before),
        "segcache" => replay(&Segcache::open(&question)?, &question, numbers, before),
        other => return Err(format!("there is no peer {other:?}; foyer, tinyufo, segcache are").into()),
    };
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

fn replay<P: Peer>(peer: &P, question: &Question, numbers: &[[u8; 4]], before: u64) -> Answer {
    let cursor = AtomicUsize::new(0);
    let started = Instant::now();
    let tallies: Vec<Answer> = std::thread::scope(|scope| {
        let walk = || walk(peer, question, numbers, &cursor);
        let threads: Vec<_> = (0..question.threads).map(|_| scope.spawn(walk)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let sum = |field: fn(&Answer) -> u64| tallies.iter().map(field).sum();
    Answer {
        hits: sum(|tally| tally.hits),
        checked: sum(|tally| tally.checked),
        wrong: sum(|tally| tally.wrong),
        refused: sum(|tally| tally.refused),
        entries: peer.entries(),
        seconds: started.elapsed().as_secs_f64(),
        resident_bytes: resident().saturating_sub(before),
    }
}

fn walk<P: Peer>(peer: &P, question: &Question, numbers: &[[u8; 4]], cursor: &AtomicUsize) -> Answer {
    let mut tally = Answer::default();
    let mut buffer = Vec::new();
    loop {
        // Relaxed: the cursor hands out positions and publishes nothing.
        let from = cursor.fetch_add(RUN_ACCESSES, Ordering::Relaxed);
        let Some(rest) = numbers.get(from..).filter(|rest| !rest.is_empty()) else {
            return tally;
        };
        for number in rest[..rest.len().min(RUN_ACCESSES)].iter().map(|number| u64::from(u32::from_le_bytes(*number))) {
            let key = value::key(number);
            let mut right = false;
            if peer.get(&key, |bytes| right = value::check(bytes, number).is_ok()) {
                tally.hits += 1;
                tally.checked += 1;
                tally.wrong += u64::from(!right);
                continue;
            }
            let (shortest, longest) = question.value_bytes;
            let length = match question.by_logarithm {
                true => value::length_by_logarithm(number, shortest, longest),
                false => value::length(number, 0, shortest, longest),
            };
            value::write(&mut buffer, number, 0, length);
            tally.refused += u64::from(!peer.fill(&key, &buffer));
        }
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

const RUN_ACCESSES: usize = 64;
