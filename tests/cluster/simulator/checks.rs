//! What must hold: during a run at every read, and at its end.
//!
//! - A read shows what was written, with that version, whole.
//! - On one arena, no read of a key shows an older version than a read or a write before it.
//! - A node that has come to where a write ends shows nothing older than it: so a session with a token reads its own writes.
//! - Reads that were held are answered once all is there that the peers had when they were met.
//! - At rest all nodes that have a key have the same version of it, nothing older than the newest write that can not be lost,
//!   and nothing where that was a removal.
//! - At rest every node is complete, knows every other one, and has applied all that any other one has.

use crate::fault::Fault;
use crate::host::Host;
use crate::ledger::{Rank, Write, rank};
use crate::world::World;
use also_cache::simulation::{SimulatedNode, StreamNumber};

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
        self.check_token(host, key, rank);
        self.hosts[host].show(key, rank);
    }

    /// What `get_after` promises, whichever write the token is of.
    fn check_token(&mut self, host: usize, key: &[u8], rank: Rank) {
        let Some(node) = &self.hosts[host].node else { return };
        let applied = node.applied();
        let covers = |write: &Write| applied.iter().any(|(stream, at)| *stream == write.stream && *at >= write.end);
        let Some(write) = self.ledger.newest_within(key, covers) else { return };
        let (seed, name, key) = (self.plan.seed, &self.hosts[host].name, key.escape_ascii());
        assert!(
            rank >= write.rank,
            "seed {seed}: {name} has come to {} of {:?}, and shows {key} as of {:016x}-{:04x}, before {:016x}-{:04x}",
            write.end,
            write.stream,
            rank.0,
            rank.1,
            write.rank.0,
            write.rank.1
        );
        self.count("reads after a token", 1);
    }

    /// Notes what the others have when a host begins to hold its reads.
    pub(crate) fn expect_confirmation(&mut self, host: usize) {
        let is_held = self.hosts[host].node.as_ref().is_some_and(|node| node.readiness() == 0);
        let others = self.hosts.iter().enumerate().filter(|(other, _)| *other != host);
        let had = others.filter_map(|(other, of)| {
            let node = of.node.as_ref()?;
            Some((other, of.life, node.applied().into_iter().chain([(node.stream(), node.end())]).collect()))
        });
        self.hosts[host].to_confirm = is_held.then(|| had.collect());
    }

    /// Whether a host has just begun to hold its reads, or to answer them again.
    pub(crate) fn check_confirmation(&mut self, host: usize) {
        let Host { node: Some(node), to_confirm, name, leaving, seen_isolations, .. } = &mut self.hosts[host] else {
            return;
        };
        let is_held = node.readiness() == 0;
        if is_held == to_confirm.is_some() {
            return;
        }
        let count =
            |name: &str| node.counters().iter().find(|(counter, _)| *counter == name).map_or(0, |(_, count)| *count);
        let (name, isolations) = (name.clone(), count("isolations"));
        // Who leaves answers them whatever is missing.
        let Some(had) = to_confirm.take().filter(|_| !*leaving) else {
            // Else they were met before, and what they said may be as old as their connection.
            if std::mem::replace(seen_isolations, isolations) < isolations {
                self.expect_confirmation(host);
            }
            return;
        };
        let Some(node) = &self.hosts[host].node else { return };
        let counter = |name: &str| node.counters().iter().any(|(counter, count)| *counter == name && *count > 0);
        if counter("served_unconfirmed") {
            return;
        }
        let (own, applied, peers) = (node.stream(), node.applied(), node.peers());
        for (other, life, vector) in had {
            let of = &self.hosts[other];
            if of.life != life || !peers.contains(&of.name) {
                continue;
            }
            for (stream, end) in vector.into_iter().filter(|(stream, end)| stream.0 != own.0 && *end > 0) {
                let here = applied.iter().find(|(known, _)| *known == stream).map_or(0, |(_, at)| *at);
                assert!(
                    here >= end,
                    "seed {}: {name} answers reads at {here} of {stream:?}, of which {} had {end}",
                    self.plan.seed,
                    of.name
                );
            }
        }
        self.count("confirmations", 1);
    }

    /// Whether nothing is left to say.
    pub(crate) fn is_quiet(&self) -> bool {
        let nodes: Vec<&SimulatedNode> = self.hosts.iter().filter_map(|host| host.node.as_ref()).collect();
        nodes.len() == self.hosts.len()
            && nodes
                .iter()
                .all(|node| node.readiness() == 3 && node.peers().len() == nodes.len() - 1 && node.is_settled())
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

    /// Nobody claims more of a stream than its writer has written, or finds another checksum, unless bytes were flipped.
    fn check_streams(&self) {
        let nodes = || self.hosts.iter().filter_map(|host| host.node.as_ref());
        for writer in nodes() {
            let (stream, end) = (writer.stream(), writer.end());
            let beyond = |(of, at): &(StreamNumber, u64)| *of == stream && *at > end;
            let all = nodes().flat_map(SimulatedNode::applied).find(beyond);
            assert_eq!(all, None, "seed {}: beyond the end {end} of its writer", self.plan.seed);
        }
        if !self.plan.faults.contains(&Fault::Corrupt) {
            let is_of_bytes = |name: &str| name.starts_with("bad_") || name == "checksum_mismatches";
            let found = self.counts.iter().find(|(name, count)| is_of_bytes(name) && **count > 0);
            assert_eq!(found, None, "seed {}: no bytes were flipped", self.plan.seed);
        }
    }

    pub(crate) fn check_at_rest(&mut self) {
        self.check_memory();
        self.check_streams();
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
        let read = |host: &Host| host.node.as_ref().and_then(|node| node.read(key));
        let shown: Vec<_> = self.hosts.iter().map(|host| read(host).map(|(_, version)| version)).collect();
        let there: Vec<_> = shown.iter().flatten().map(rank).collect();
        let text = || format!("seed {seed}: {} is {shown:?}", key.escape_ascii());
        let newest = self.ledger.newest_certain(key);
        let least = there.iter().min().copied().unwrap_or_default();
        if let (false, Some(newest)) = (there.is_empty(), newest) {
            let certain = newest.rank;
            assert!(least >= certain, "{}: older than {:016x}-{:04x}", text(), certain.0, certain.1);
        }
        assert!(there.iter().all(|rank| *rank == least), "{}: nodes differ", text());
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
        let drops = [
            Fault::CrashCold,
            Fault::CrashTwice,
            Fault::CrashOldArena,
            Fault::CrashCopiedArena,
            Fault::CrashTwinArena,
            Fault::Corrupt,
            Fault::ClockJump,
            Fault::Storm,
        ];
        self.plan.entries_max.is_none()
            && !self.plan.small_values_node
            && !self.plan.large_values
            && !self.plan.huge_values
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
