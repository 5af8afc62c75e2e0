//! What `compare` measures, and the sizes it does it at.

use crate::contestant::Kind;
use crate::size;
use serde::{Deserialize, Serialize};

/// One workload.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Workload {
    /// Lookups of resident keys, zipf 0.99.
    Hit { entries: u64, value_bytes: u64 },
    /// Cache-aside over ten times as many keys as fit: lookups with fills on a miss, and plain writes.
    Aside { entries: u64, value_bytes: u64, writes_percent: u64 },
    /// Inserts of keys never seen before, into a full cache.
    Churn { entries: u64, value_bytes: u64 },
    /// Value sizes that move, under a capacity in bytes.
    Drift { capacity: u64 },
    /// A cache filled to twice its capacity.
    Overhead { capacity: u64, value_bytes: u64 },
    /// A cache filled with values of all sizes up to one: what its slots leave unused.
    Waste { capacity: u64, longest: u64 },
}

impl Workload {
    /// All of them.
    pub(super) fn all(quick: bool) -> Vec<Self> {
        let populations: &[u64] = if quick { &[10_000, 200_000] } else { &[10_000, 1_000_000, 4_000_000] };
        let (entries, capacity) = if quick { (40_000, 32 << 20) } else { (400_000, 256 << 20) };
        let hits = populations.iter().flat_map(|entries| HIT_VALUE_BYTES.map(|bytes| (*entries, bytes)));
        let mut all: Vec<Self> = hits.map(|(entries, value_bytes)| Self::Hit { entries, value_bytes }).collect();
        all.extend([5, 50].map(|writes_percent| Self::Aside { entries, value_bytes: 256, writes_percent }));
        all.push(Self::Churn { entries, value_bytes: 256 });
        all.push(Self::Drift { capacity });
        all.extend([64, 256].map(|value_bytes| Self::Overhead { capacity, value_bytes }));
        // Pages of 2 MiB begin at 1 GiB: below, the longest values take pages of their own.
        let wastes = [(capacity, 4 << 10), (capacity, 1 << 20), (1 << 30, 1 << 20)];
        all.extend(wastes.map(|(capacity, longest)| Self::Waste { capacity, longest }));
        all
    }

    /// Whether a contestant can be asked for it: only ours has slots.
    pub(super) fn suits(&self, contestant: Kind) -> bool {
        !matches!(self, Self::Waste { .. }) || contestant == Kind::Ours
    }

    /// As the table prints it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Hit { entries, value_bytes } => format!("hit/{}x{value_bytes}", short(*entries)),
            Self::Aside { writes_percent, .. } => format!("aside/{}-{writes_percent}", 100 - writes_percent),
            Self::Churn { .. } => "churn".to_owned(),
            Self::Drift { .. } => "drift".to_owned(),
            Self::Overhead { value_bytes, .. } => format!("overhead/{value_bytes}"),
            Self::Waste { capacity, longest } => format!("waste/{} in {}", plain(*longest), plain(*capacity)),
        }
    }
}

fn plain(bytes: u64) -> String {
    size::bytes(bytes).replace(' ', "")
}

fn short(entries: u64) -> String {
    if entries >= 1_000_000 { format!("{}M", entries / 1_000_000) } else { format!("{}k", entries / 1000) }
}

const HIT_VALUE_BYTES: [u64; 2] = [64, 256];
