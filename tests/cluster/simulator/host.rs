//! A host: a machine with one node, its clock, its arena, and what its readers have been shown.

use crate::ledger::Rank;
use crate::plan::Plan;
use crate::random::{Random, mix};
use also_cache::ManualClock;
use also_cache::simulation::{SimulatedNode, SimulatedSettings, StreamNumber};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A machine with one node.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) file: PathBuf,
    pub(crate) node: Option<SimulatedNode>,
    pub(crate) life: u64,
    pub(crate) clock: ManualClock,
    pub(crate) offset_us: u64,
    pub(crate) drift_ppm: i64,
    pub(crate) paused_until: u64,
    pub(crate) next_number: u32,
    /// When the next timeout is due that is in the queue.
    pub(crate) wakes_at: u64,
    /// What its arena was some time before.
    pub(crate) kept_arena: Option<Vec<u8>>,
    pub(crate) leaving: bool,
    /// What reads of this arena have shown, by key: nothing older may be shown later.
    pub(crate) shown: BTreeMap<Vec<u8>, Rank>,
    pub(crate) cleared: Rank,
    /// How often the node has been isolated, by the last look.
    pub(crate) seen_isolations: u64,
    /// Its next sync is to be cut off.
    pub(crate) to_cut_off: bool,
    /// While reads are held: what the others had when that began, by host, life and stream.
    pub(crate) to_confirm: Option<Vec<(usize, u64, Applied)>>,
}

/// How far streams have come.
pub(crate) type Applied = Vec<(StreamNumber, u64)>;

/// A manual clock begins a day after its epoch.
pub(crate) const CLOCK_BEGINS_US: u64 = 86_400_000_000;

impl Host {
    pub(crate) fn new(number: usize, plan: &Plan, random: &mut Random, directory: &tempfile::TempDir) -> Self {
        let name = format!("node-{number}");
        Self {
            address: SocketAddr::from(([10, 0, 0, number as u8 + 1], 7400)),
            file: directory.path().join(&name),
            name,
            node: None,
            life: 0,
            clock: ManualClock::new(),
            offset_us: random.below(plan.clock_offset_us + 1),
            drift_ppm: random.below(2 * plan.drift_ppm + 1) as i64 - plan.drift_ppm as i64,
            paused_until: 0,
            next_number: 0,
            wakes_at: u64::MAX,
            kept_arena: None,
            leaving: false,
            shown: BTreeMap::new(),
            cleared: (0, 0),
            seen_isolations: 0,
            to_cut_off: false,
            to_confirm: None,
        }
    }

    pub(crate) fn settings(&self, number: usize, plan: &Plan) -> impl FnOnce(ManualClock) -> SimulatedSettings + use<> {
        let smaller = plan.small_values_node && number == 1;
        let settings = SimulatedSettings {
            name: self.name.clone(),
            address: self.address,
            file: self.file.clone(),
            capacity: if plan.huge_values { 8 << 20 } else { 1 << 20 },
            clock: ManualClock::new(),
            seed: mix(plan.seed ^ number as u64 ^ (self.life << 32)),
            entries_max: plan.entries_max,
            value_bytes_max: if smaller { 30 } else { 1 << 20 },
            relay_bytes: plan.relay_bytes,
            protocol_max: if plan.mixed_protocol && number == 0 { 2 } else { 1 },
            fences: plan.fences,
            cluster: 7,
        };
        move |clock| SimulatedSettings { clock, ..settings }
    }

    /// What its clock says at a moment of the world.
    pub(crate) fn local(&self, time: u64) -> u64 {
        let drift = time as i64 * self.drift_ppm / 1_000_000;
        (CLOCK_BEGINS_US + time + self.offset_us).saturating_add_signed(drift)
    }

    /// The moment of the world at which its clock will say so; not before now.
    pub(crate) fn global(&self, deadline: u64, now: u64) -> u64 {
        let behind = deadline.saturating_sub(self.local(now));
        now + behind.saturating_mul(1_000_000) / 1_000_000_u64.saturating_add_signed(self.drift_ppm) + 1
    }

    pub(crate) fn jump(&mut self, by_us: u64) {
        self.offset_us += by_us;
    }

    /// Notes that a version of a key was shown, or made, here.
    pub(crate) fn show(&mut self, key: &[u8], rank: Rank) {
        let shown = self.shown.entry(key.to_vec()).or_default();
        *shown = (*shown).max(rank);
    }
}
