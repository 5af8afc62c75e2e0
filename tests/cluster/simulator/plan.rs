//! The plan of a run: everything about it that is decided before it begins, from its seed alone.
//!
//! Swarm testing: each seed switches a random part of the faults on, and draws its own sizes, so that no fault hides another.

use crate::fault::Fault;
use crate::random::Random;

/// What has to be reached in at least one of a hundred seeds.
pub(crate) const REACHED: &[&str] = &[
    "exact_resumes",
    "delta_syncs",
    "snapshot_syncs",
    "relays",
    "gap_repairs",
    "floor_refusals",
    "conflations",
    "evicted_tombstones",
    "isolations",
    "former_life_replays",
    "syncs_aborted",
    "chunks_received",
    "verified_voided",
    "leftovers_cleared",
];

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) operations: u64,
    /// Virtual microseconds over which they are spread.
    pub(crate) busy_us: u64,
    pub(crate) keys: u64,
    /// In percent of the operations: removes, clears, reads; the rest are inserts.
    pub(crate) removes: u64,
    pub(crate) clears: u64,
    pub(crate) reads: u64,
    pub(crate) value_bytes: u64,
    pub(crate) large_values: bool,
    /// Arenas with room for values that go out in chunks.
    pub(crate) huge_values: bool,
    pub(crate) latency_us: (u64, u64),
    pub(crate) entries_max: Option<u64>,
    pub(crate) relay_bytes: usize,
    /// Clocks: how far apart at the start, and how fast they drift.
    pub(crate) clock_offset_us: u64,
    pub(crate) drift_ppm: u64,
    /// How far a clock may jump: further than others follow it, or not.
    pub(crate) clock_jump_us: u64,
    pub(crate) faults: Vec<Fault>,
    /// How many faults there are, drawn from those.
    pub(crate) fault_count: u64,
    /// Clusters that begin apart and meet in the middle.
    pub(crate) merges: bool,
    /// One node speaks a newer protocol too.
    pub(crate) mixed_protocol: bool,
    pub(crate) fences: bool,
    /// One node takes smaller values than the others.
    pub(crate) small_values_node: bool,
    /// How many of a hundred verdicts of membership do not come.
    pub(crate) verdicts_lost: u64,
    /// Nodes find the first one alone by themselves; of the others membership has to tell them.
    pub(crate) one_seed: bool,
    /// The last node comes when the others are at work.
    pub(crate) late_join: bool,
}

impl Plan {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut faults: Vec<Fault> = Fault::ALL.iter().copied().filter(|_| random.chance(40)).collect();
        if faults.len() < 2 {
            faults = vec![Fault::Reset, Fault::CrashWarm, Fault::Stall];
        }
        Self {
            seed,
            nodes: random.within(3, 5) as usize,
            operations: random.within(200, 500),
            busy_us: random.within(2_000_000, 8_000_000),
            keys: *random.of(&[3, 10, 40, 200, 1000]),
            removes: *random.of(&[0, 5, 20, 40]),
            clears: u64::from(random.chance(20)),
            reads: *random.of(&[10, 40]),
            value_bytes: *random.of(&[8, 60, 400, 2000]),
            large_values: random.chance(15),
            latency_us: *random.of(&[(50, 100), (100, 2_000), (1_000, 30_000)]),
            entries_max: random.chance(40).then(|| random.within(5, 60)),
            relay_bytes: *random.of(&[2_000, 20_000, 200_000]),
            clock_offset_us: *random.of(&[0, 1_000, 100_000]),
            drift_ppm: *random.of(&[0, 50, 500]),
            fault_count: random.within(5, 12),
            merges: random.chance(15),
            mixed_protocol: random.chance(10),
            fences: random.chance(30),
            small_values_node: random.chance(15),
            verdicts_lost: *random.of(&[0, 20, 60]),
            one_seed: random.chance(30),
            late_join: random.chance(30),
            huge_values: random.chance(4),
            clock_jump_us: *random.of(&[200_000, 200_000, 2_000_000]),
            faults,
        }
    }
}
