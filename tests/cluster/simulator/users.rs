//! What users do: operations on a node that runs, and what the ledger keeps of them.

use crate::ledger::{Rank, Write, rank};
use crate::world::World;
use also_cache::Version;
use also_cache::limits::STAMP_SKEW_MAX_US;
use also_cache::simulation::SimulatedNode;

/// Below the microseconds of a stamp.
const STAMP_COUNTER_BITS: u32 = 14;

impl World {
    /// One operation of a user, on some host that runs.
    pub(crate) fn operate(&mut self, number: u64) {
        let up: Vec<usize> = (0..self.hosts.len()).filter(|host| self.is_up(*host)).collect();
        if up.is_empty() {
            return;
        }
        let host = *self.random.of(&up);
        let key = format!("key-{}", self.random.below(self.plan.keys)).into_bytes();
        let dice = self.random.below(100);
        if dice < self.plan.reads {
            self.read(host, &key);
        } else if dice < self.plan.reads + self.plan.removes {
            self.remove(host, &key);
        } else if self.random.chance(self.plan.clears) && self.random.chance(10) {
            self.clear(host);
        } else {
            let value = self.value(number, host);
            self.insert(host, &key, &value);
        }
        self.with(host, SimulatedNode::changed);
        if self.random.chance(20) {
            self.with(host, |node| node.maintain());
        }
    }

    fn value(&mut self, number: u64, host: usize) -> Vec<u8> {
        let large = self.plan.large_values && self.random.chance(5);
        let huge = self.plan.huge_values && self.random.chance(3);
        let bytes = match () {
            () if huge => self.random.within(260_000, 600_000),
            () if large => self.random.within(20_000, 60_000),
            () => self.random.below(self.plan.value_bytes),
        };
        let mut value = format!("{number}/{host}/").into_bytes();
        value.resize(value.len() + bytes as usize, number as u8);
        value
    }

    pub(crate) fn insert(&mut self, host: usize, key: &[u8], value: &[u8]) {
        if let Some(written) = self.with(host, |node| node.insert(key, value)).flatten() {
            self.note_insert(host, key, value, written);
        }
    }

    /// Writes of which no other node hears in this life.
    pub(crate) fn write_unsent(&mut self, host: usize) {
        self.set_clock(host);
        for number in 0..self.random.within(1, 4) {
            let key = format!("key-{}", self.random.below(self.plan.keys)).into_bytes();
            let value = format!("unsent {number} of {host} at {}", self.time).into_bytes();
            let Some(node) = self.hosts[host].node.as_mut() else { return };
            if let Some(written) = node.insert(&key, &value) {
                self.note_insert(host, &key, &value, written);
                self.count("writes unsent at a kill", 1);
            }
        }
    }

    fn note_insert(&mut self, host: usize, key: &[u8], value: &[u8], (version, stored): (Version, bool)) {
        self.count("inserts", 1);
        self.count("inserts refused", u64::from(!stored));
        self.tell(|| format!("{} inserts {} {version}", self.hosts[host].name, key.escape_ascii()));
        let write = self.write(host, rank(&version), stored.then(|| value.to_vec()));
        self.hosts[host].show(key, write.rank);
        self.ledger.note(key, write);
    }

    fn remove(&mut self, host: usize, key: &[u8]) {
        let Some(version) = self.with(host, |node| node.remove(key)).flatten() else { return };
        self.count("removes", 1);
        self.tell(|| format!("{} removes {} {version}", self.hosts[host].name, key.escape_ascii()));
        let write = self.write(host, rank(&version), None);
        self.hosts[host].show(key, write.rank);
        self.ledger.note(key, write);
    }

    fn clear(&mut self, host: usize) {
        let Some(stamp) = self.with(host, |node| node.clear()).flatten() else { return };
        self.count("clears", 1);
        self.tell(|| format!("{} clears {stamp:016x}", self.hosts[host].name));
        self.hosts[host].cleared = self.hosts[host].cleared.max((stamp, u16::MAX));
        let until = self.cleared_everywhere(stamp);
        let write = self.write(host, (until, u16::MAX), None);
        self.ledger.note_clear(write);
    }

    /// Up to which stamp a clear holds on every node: where it is further ahead than the clock follows it counts as the
    /// moment of its arrival, which is not before this one.
    fn cleared_everywhere(&mut self, stamp: u64) -> u64 {
        let least = self.hosts.iter().map(|host| host.local(self.time)).min().unwrap_or(0);
        let is_followed = (stamp >> STAMP_COUNTER_BITS).saturating_sub(least) <= STAMP_SKEW_MAX_US;
        self.count("clears ahead", u64::from(!is_followed));
        if is_followed { stamp } else { least << STAMP_COUNTER_BITS }
    }

    fn write(&self, host: usize, rank: Rank, value: Option<Vec<u8>>) -> Write {
        let node = self.hosts[host].node.as_ref().expect("it has just written");
        Write { rank, value, host, stream: node.stream(), end: node.end(), may_be_lost: false }
    }
}
