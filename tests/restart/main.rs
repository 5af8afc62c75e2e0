//! The kill test: a writing process is killed at random moments and at every named step, and its arena opened again.
//!
//! ```text
//!   child    3 writers + housekeeping     arena file     ledger file: begun and done of each key
//!              |  SIGKILL, from outside or at a failpoint after 10^4 acknowledged writes
//!   parent   opens: warm.  Each value whole, of its key, not older than acknowledged, no removed key back;
//!            nothing lost where everything fits;  after the sweep each slot exactly once;  then it is filled again
//! ```
//!
//! Beside it, kills of a node in a cluster (`clustered`), what a life leaves that ends in the middle of a sweep (`sweep`), and
//! writes into a warm arena with room (`room`).
//!
//! `ALSO_CACHE_KILLS=n` makes it n kills instead of 100, `ALSO_CACHE_SEED=n` another sequence.

#![cfg(debug_assertions)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

mod child;
mod clustered;
mod creation;
mod lives;
mod room;
mod scenario;
mod sweep;

use also_cache::failpoint;
use lives::{Kill, Lives};
use scenario::Scenario;
use std::collections::BTreeMap;

/// The entry of the child; in a parent's run it has nothing to do.
#[test]
fn child() {
    if let Some(orders) = child::Orders::from_environment() {
        child::run(&orders);
    }
}

/// The step that each failpoint belongs to, and the workload that reaches it.
fn step(name: &str) -> (&'static str, Scenario) {
    match name.split('.').next() {
        Some("split" | "index" | "overflow") => ("growth", Scenario::Roomy),
        Some("page") => ("page move", Scenario::Full),
        Some("evict") => ("eviction", Scenario::Full),
        Some("open" | "close") => ("open and close", Scenario::Roomy),
        _ => ("writes", Scenario::Full),
    }
}

/// An arena in no cluster has no ring of changes; `clustered` kills there.
pub(crate) fn is_of_arena(failpoint: &str) -> bool {
    !failpoint.starts_with("ring.")
}

#[test]
fn an_arena_survives_every_kill() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("ALSO_CACHE_KILLS").unwrap_or(100);
    let seed = number("ALSO_CACHE_SEED").unwrap_or(1);
    println!("ALSO_CACHE_KILLS={kills} ALSO_CACHE_SEED={seed}");
    // Each failpoint twice, and those of evictions and page moves once more.
    let names = || failpoint::NAMES.iter().filter(|name| is_of_arena(name));
    let moves = names().filter(|name| matches!(step(name).0, "page move" | "eviction"));
    let named: Vec<&str> = names().chain(names()).chain(moves).copied().collect();
    let mut lives = Lives::new(seed);
    let mut steps = BTreeMap::new();
    let start = std::time::Instant::now();
    for number in 0..kills {
        let (what, kill) = match named.get(number as usize) {
            Some(name) => (step(name).0, Kill::At(name)),
            None => ("any moment", Kill::AnyMoment),
        };
        lives.one(kill, number);
        *steps.entry(what).or_insert(0_u64) += 1;
    }
    let report = lives.report();
    println!("{kills} kills in {:.1?}: {steps:?}\n{report}", start.elapsed());
    if kills >= 100 {
        for what in ["growth", "page move", "eviction"] {
            assert!(steps.get(what).is_some_and(|kills| *kills >= 5), "too few kills during {what}");
        }
        lives.require_all_reached();
    }
}

#[test]
fn a_kill_while_the_arena_is_made_is_no_error() {
    for passage in 1..=3 {
        creation::kill_during_creation(passage);
    }
}

#[test]
fn three_lives_that_end_within_seconds_start_the_next_one_cold_and_half_as_large() {
    creation::crash_loop();
}
