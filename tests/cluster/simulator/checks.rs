//! What must hold: during a run at every read, and at its end.
//!
//! - A read shows what was written, with that version, whole.
//! - On one arena, no read of a key shows an older version than a read or a write before it.
//! - At rest all nodes that have a key have the same version of it, nothing older than the newest write that can not be lost,
//!   and nothing where that was a removal.
//! - At rest every node is complete, knows every other one, and has applied all that any other one has.

use crate::ledger::rank;
use crate::world::World;
use also_cache::simulation::SimulatedNode;

/// Bytes on the heap of one node's protocol, relayed changes apart.
const HEAP_BYTES_MAX: usize = 8 << 20;

impl World {
    /// A user's read.
    pub(crate) fn read(&mut self, host: usize, key: &[u8]) {
        let Some(shown) = self.with(host, |node| node.read(key)) else { return };
        self.count("reads", 1);
        let Some((value, version)) = shown else { return };
        self.count("hits", 1);
        let rank = rank(&version);
        let name = self.hosts[host].name.clone();
        let shows = || format!("seed {}: {name} shows {} {version}", self.plan.seed, key.escape_ascii());
        let written = self.ledger.value_of(key, rank);
        assert!(written == Some(&value), "{}, which nobody wrote like that", shows());
        let before = self.hosts[host].shown.get(key).copied().unwrap_or_default().max(self.hosts[host].cleared);
        assert!(rank >= before, "{}, and before that {:016x}-{:04x}", shows(), before.0, before.1);
        self.hosts[host].show(key, rank);
    }

    /// Whether nothing is left to say.
    pub(crate) fn is_quiet(&self) -> bool {
        let nodes: Vec<&SimulatedNode> = self.hosts.iter().filter_map(|host| host.node.as_ref()).collect();
        nodes.len() == self.hosts.len()
            && nodes.iter().all(|node| node.readiness() == 3 && node.peers().len() == nodes.len() - 1)
            && nodes.iter().all(|node| self.has_all(node))
    }

    fn has_all(&self, node: &SimulatedNode) -> bool {
        let applied = node.applied();
        let nodes = || self.hosts.iter().filter_map(|host| host.node.as_ref());
        // What others have of former lives, too: who comes late has to get it from them.
        let written = nodes().map(|other| (other.stream(), other.end()));
        let all = nodes().flat_map(|other| other.applied()).chain(written);
        let all = all.filter(|(stream, _)| stream.0 != node.stream().0);
        // Of a stream without a change nobody has anything to apply.
        all.filter(|(_, end)| *end > 0)
            .all(|(wanted, end)| applied.iter().any(|(stream, at)| *stream == wanted && *at >= end))
    }

    /// Why a run does not come to rest.
    pub(crate) fn unrest(&self) -> String {
        let mut text = format!("seed {}: not at rest long after the last fault\n", self.plan.seed);
        for host in &self.hosts {
            let Some(node) = &host.node else {
                text += &format!("{}: down\n", host.name);
                continue;
            };
            let stream = node.stream();
            text += &format!(
                "{}: {:04x}/{} end {} readiness {} peers {:?} applied {:?}\n",
                host.name,
                stream.0,
                stream.1,
                node.end(),
                node.readiness(),
                node.peers(),
                node.applied()
            );
        }
        text
    }

    pub(crate) fn check_at_rest(&mut self) {
        self.check_memory();
        for host in &self.hosts {
            let reached = host.node.iter().flat_map(SimulatedNode::counters).filter(|(_, count)| *count > 0);
            self.tell(|| format!("{}: {:?}", host.name, reached.collect::<Vec<_>>()));
        }
        let keys: Vec<Vec<u8>> = self.ledger.keys().cloned().collect();
        for key in keys {
            self.check_key(&key);
        }
    }

    fn check_key(&mut self, key: &[u8]) {
        for host in 0..self.hosts.len() {
            self.read(host, key);
        }
        let seed = self.plan.seed;
        let read = |host: &crate::host::Host| host.node.as_ref().and_then(|node| node.read(key));
        let shown: Vec<_> = self.hosts.iter().map(|host| read(host).map(|(_, version)| version)).collect();
        let there: Vec<_> = shown.iter().flatten().map(rank).collect();
        let text = || format!("seed {seed}: {} is {shown:?}", key.escape_ascii());
        assert!(there.iter().all(|rank| *rank == there[0]), "{}: nodes differ", text());
        let newest = self.ledger.newest_certain(key);
        if let (Some(rank), Some(newest)) = (there.first(), newest) {
            let certain = newest.rank;
            assert!(*rank >= certain, "{}: older than {:016x}-{:04x}", text(), certain.0, certain.1);
        }
        let is_value = newest.is_some_and(|write| write.value.is_some());
        let everywhere = there.len() == self.hosts.len();
        self.count("keys at rest", u64::from(is_value));
        self.count("keys at rest, everywhere", u64::from(is_value && everywhere));
        if self.keeps_everything() && is_value {
            let ours = self.ledger.newest(key).is_some_and(|write| !write.may_be_lost);
            assert!(everywhere || !ours, "{}: a key is missing, and nothing evicts", text());
        }
    }

    /// Whether this plan gives no node a reason to drop anything.
    fn keeps_everything(&self) -> bool {
        use crate::faults::Fault;
        let drops = [
            Fault::CrashCold,
            Fault::CrashOldArena,
            Fault::CrashCopiedArena,
            Fault::Corrupt,
            Fault::ClockJump,
            Fault::Storm,
        ];
        self.plan.entries_max.is_none()
            && !self.plan.small_values_node
            && !self.plan.large_values
            && self.plan.keys <= 40
            && self.plan.value_bytes <= 400
            && self.plan.removes == 0
            && self.plan.clears == 0
            && !drops.iter().any(|fault| self.plan.faults.contains(fault))
    }

    fn check_memory(&self) {
        for host in &self.hosts {
            let bytes = host.node.as_ref().map_or(0, SimulatedNode::heap_bytes);
            assert!(bytes <= HEAP_BYTES_MAX + self.plan.relay_bytes, "{} keeps {bytes} bytes", host.name);
        }
    }
}
