//! What all caches under measurement have in common: look up and check in place, fill, count.
//!
//! Each implementation is used as its documentation proposes: ours reads in place, the peers hand out an `Arc`. All hash
//! with the same aHash. A journey is written once, generic over [`Contestant`], and started by [`enter`].

mod moka;
mod ours;
mod quick_cache;
mod s3fifo;

use crate::failure::Result;
use clap::ValueEnum;
use ours::Values;
use serde::{Deserialize, Serialize};

/// Which cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// also-cache.
    Ours,
    /// The same engine with its values on the heap, one exact allocation each.
    Heap,
    /// The quick_cache crate.
    QuickCache,
    /// The moka crate, `moka::sync`.
    Moka,
    /// A simulation of S3-FIFO: the policy alone, without values. Nobody can ask `compare` for it.
    #[value(skip)]
    S3fifo,
}

impl Kind {
    /// As the tables print it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "also-cache",
            Self::Heap => "heap",
            Self::QuickCache => "quick_cache",
            Self::Moka => "moka",
            Self::S3fifo => "s3fifo",
        }
    }
}

/// How large a cache is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Capacity {
    /// At most so many entries of at most `value_bytes`; bytes are ample.
    Entries { entries: u64, value_bytes: u64 },
    /// So many bytes: all included for ours; slots and values where its values are on the heap; keys, values and `overhead`
    /// per entry for the others, which count no more.
    Bytes { bytes: u64, overhead: u64 },
    /// Room for about so many entries of `value_bytes`, bounded the way each contestant is bounded in use: ours by bytes,
    /// the others by count.
    Population { entries: u64, value_bytes: u64 },
}

impl Capacity {
    /// Bytes that our arena needs so that the entries fit with everything around them.
    pub(crate) fn arena_bytes(self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => bytes,
            Self::Entries { entries, value_bytes } => entries * (entry_bytes(value_bytes) * 3 / 2) + (8 << 20),
            Self::Population { entries, value_bytes } => (entries * entry_bytes(value_bytes) * 17 / 16).max(1 << 20),
        }
    }
}

/// What our arena spends on an entry: key, value, 56 bytes of header and index, class rounding.
fn entry_bytes(value_bytes: u64) -> u64 {
    let plain = value_bytes + crate::value::KEY_BYTES as u64 + 56;
    plain + plain / 16
}

/// A cache under measurement.
pub(crate) trait Contestant: Sync {
    /// Whether a hit hands out bytes; only the simulation has none.
    const STORES_VALUES: bool = true;

    /// Looks a key up and, on a hit, hands the value to `read`. Returns whether it hit.
    fn get(&self, key: &[u8], read: impl FnOnce(&[u8])) -> bool;

    /// Stores a value. Returns whether it was taken.
    fn fill(&self, key: &[u8], value: &[u8]) -> bool;

    /// Entries resident now.
    fn entries(&self) -> u64;

    /// Whether a key is resident, without counting as a read.
    fn holds(&self, key: &[u8]) -> bool;

    /// The figures of our arena; others have none of this kind.
    fn stats(&self) -> Option<also_cache::Stats> {
        None
    }

    /// Does what the cache left for later, before something is counted.
    fn settle(&self) {}
}

/// A journey over any contestant.
pub(crate) trait Journey {
    /// What it comes home with.
    type Outcome;

    /// Runs it.
    fn run<C: Contestant>(self, contestant: &C) -> Self::Outcome;
}

/// Opens a contestant and sends a journey through it.
///
/// # Errors
///
/// If the cache does not open with this capacity.
pub(crate) fn enter<J: Journey>(kind: Kind, capacity: Capacity, journey: J) -> Result<J::Outcome> {
    Ok(match kind {
        Kind::Ours => journey.run(&ours::Ours::open(capacity, Values::InArena)?),
        Kind::Heap => journey.run(&ours::Ours::open(capacity, Values::OnHeap)?),
        Kind::QuickCache => journey.run(&quick_cache::QuickCache::open(capacity)),
        Kind::Moka => journey.run(&moka::Moka::open(capacity)),
        Kind::S3fifo => journey.run(&s3fifo::S3Fifo::open(capacity)?),
    })
}

/// The hash of every contestant.
fn hasher() -> ahash::RandomState {
    ahash::RandomState::with_seeds(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344)
}
