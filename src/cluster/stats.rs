//! Figures of a node: what its sockets did, who was refused, and what the protocol counted.

#![forbid(unsafe_code)]

use crate::replication::driver::counters::Counter;
use crate::replication::driver::shared::Shared;
use crate::replication::store::Settled;
use std::fmt;
use std::time::Duration;

/// What a node has done since it was started. Made by [`crate::Cluster::stats`].
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ClusterStats {
    /// Connections that this node tried to make.
    pub dialled: u64,
    /// Of them: those that led to nobody.
    pub dials_failed: u64,
    /// Addresses that were not dialled, as plaintext leaves no host.
    pub dials_forbidden: u64,
    /// Connections that others made.
    pub accepted: u64,
    /// Connections that were closed without a word: too many, or too many wrong ones, from there.
    pub turned_away: u64,
    /// Of them: those from where too many were wrong lately.
    pub turned_away_wrong: u64,
    /// Of them: those from where too many came lately. The rest found no room.
    pub turned_away_many: u64,
    /// Looks at the budget that networks share which are beyond the 1,024 that have one of their own.
    pub networks_shared: u64,
    /// Connections of others that could not be taken: they were gone, or the system has no descriptor left.
    pub accepts_failed: u64,
    /// Handshakes that ended well, where there are secrets.
    pub secured: u64,
    /// Handshakes of who has another secret, or is in another cluster.
    pub wrong_secret: u64,
    /// Handshakes that the other side ended: it does not take this node's secret, or has no room.
    pub rejected: u64,
    /// Bytes in the place of a handshake or a record that no node sends.
    pub forged: u64,
    /// Handshakes that took too long.
    pub timed_out: u64,
    /// Connections that the other side, or the network, has ended.
    pub lost: u64,
    /// Bytes that came over connections.
    pub bytes_in: u64,
    /// Bytes that went over connections.
    pub bytes_out: u64,
    /// Rounds of the network thread: how often it woke.
    pub rounds: u64,
    /// Batches that were sent.
    pub batches: u64,
    /// Batches of which the kernel took only a part at first: the other side is slow.
    pub batches_cut: u64,
    /// Datagrams that came.
    pub datagrams_in: u64,
    /// Datagrams that went.
    pub datagrams_out: u64,
    /// Datagrams that were not opened: forged, repeated, of another cluster.
    pub datagrams_refused: u64,
    /// Datagrams that could not be sent, or reached nobody.
    pub datagrams_lost: u64,
    /// Datagrams that were opened and say nothing that a node says.
    pub datagrams_malformed: u64,
    /// Datagrams that name more nodes than are remembered, and were not looked at.
    pub datagrams_crowded: u64,
    /// Datagrams that found no room on their way out of membership.
    pub datagrams_unsent: u64,
    /// Look-ups of the names of seeds.
    pub resolves: u64,
    /// Of them: those that led to no address.
    pub resolves_failed: u64,
    /// Times that membership was late: this process had no processor, or was stopped.
    pub overslept: u64,
    /// What membership has seen and the node was not told of, as too much came at once.
    pub membership_missed: u64,
    /// Times that others took this node for dead while it was not.
    pub taken_for_dead: u64,
    /// Datagrams of other processes with this node's name.
    pub namesakes: u64,
    /// Changes of the last life that the arena brought along, to be offered to the others.
    pub former_changes: u64,
    /// Of them: those whose writers died before they said that they had made them; they count as made.
    pub former_taken_as_made: u64,
    /// Changes of the last life whose writers died before they can have made them.
    pub former_voided: u64,
    /// Places in the ring of changes that the last life had taken and not yet gone past.
    pub former_passed: u64,
    /// Bytes of heap for connections and for the changes of others, beside those of the cache.
    pub heap_bytes: usize,
    /// Between the clocks of this node and of any other no larger error is possible; zero without others.
    pub clock_bound: Duration,
    /// Changes, streams, joins: what the protocol counted, by name.
    pub protocol: Vec<(&'static str, u64)>,
    /// Why datagrams and connections were not let in, by name: `datagrams_..` and `channel_..`. Those that happened.
    pub refusals: Vec<(&'static str, u64)>,
}

impl ClusterStats {
    pub(super) fn of(shared: &Shared, former: Settled) -> Self {
        let status = shared.status();
        let get = |counter| shared.counters.get(counter);
        Self {
            dialled: get(Counter::Dialled),
            dials_failed: get(Counter::DialsFailed),
            dials_forbidden: get(Counter::DialsForbidden),
            accepted: get(Counter::Accepted),
            turned_away: get(Counter::Turned),
            turned_away_wrong: status.admission.too_wrong,
            turned_away_many: status.admission.too_many,
            networks_shared: status.admission.shared,
            accepts_failed: get(Counter::AcceptsFailed),
            secured: get(Counter::Secured),
            wrong_secret: get(Counter::WrongSecret),
            rejected: get(Counter::Rejected),
            forged: get(Counter::Forged),
            timed_out: get(Counter::TimedOut),
            lost: get(Counter::Lost),
            bytes_in: get(Counter::BytesIn),
            bytes_out: get(Counter::BytesOut),
            rounds: get(Counter::Rounds),
            batches: get(Counter::Batches),
            batches_cut: get(Counter::Spilled),
            datagrams_in: get(Counter::DatagramsIn),
            datagrams_out: get(Counter::DatagramsOut),
            datagrams_refused: get(Counter::DatagramsRefused),
            datagrams_lost: get(Counter::DatagramsLost),
            datagrams_malformed: status.membership.malformed,
            datagrams_crowded: status.membership.crowded,
            datagrams_unsent: status.membership.unsent,
            resolves: get(Counter::Resolves),
            resolves_failed: get(Counter::ResolvesFailed),
            overslept: status.membership.overslept,
            membership_missed: status.membership.missed_events,
            taken_for_dead: status.membership.renewed,
            namesakes: status.membership.namesakes,
            former_changes: former.changes,
            former_taken_as_made: former.taken_as_made,
            former_voided: former.voided,
            former_passed: former.passed,
            heap_bytes: status.heap_bytes,
            clock_bound: Duration::from_micros(status.clock_bound_us),
            protocol: status.protocol.clone(),
            refusals: status.refusals.clone(),
        }
    }

    /// What the protocol counted under a name, or a refusal; 0 if there is none of that name.
    pub fn counted(&self, name: &str) -> u64 {
        self.protocol.iter().chain(&self.refusals).find(|(own, _)| *own == name).map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for ClusterStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "dialled    {}, {} failed, {} forbidden; accepted {}, {} failed, {} turned away",
            self.dialled, self.dials_failed, self.dials_forbidden, self.accepted, self.accepts_failed, self.turned_away
        )?;
        writeln!(
            f,
            "secrets    {} right, {} wrong, {} rejected, {} forged, {} timed out",
            self.secured, self.wrong_secret, self.rejected, self.forged, self.timed_out
        )?;
        writeln!(
            f,
            "bytes      {} in, {} out in {} batches, {} of them cut; {} connections lost",
            self.bytes_in, self.bytes_out, self.batches, self.batches_cut, self.lost
        )?;
        writeln!(
            f,
            "datagrams  {} in, {} out, {} refused, {} lost, {} malformed, {} crowded, {} unsent",
            self.datagrams_in,
            self.datagrams_out,
            self.datagrams_refused,
            self.datagrams_lost,
            self.datagrams_malformed,
            self.datagrams_crowded,
            self.datagrams_unsent
        )?;
        writeln!(f, "seeds      {} look-ups, {} failed", self.resolves, self.resolves_failed)?;
        writeln!(
            f,
            "last life  {} changes, {} of them taken as made, {} void, {} passed",
            self.former_changes, self.former_taken_as_made, self.former_voided, self.former_passed
        )?;
        write!(
            f,
            "node       {} rounds, {} bytes of heap, clocks within {:?}, {} times overslept",
            self.rounds, self.heap_bytes, self.clock_bound, self.overslept
        )?;
        for (name, count) in &self.refusals {
            write!(f, "\nrefused    {name} {count}")?;
        }
        for (name, count) in self.protocol.iter().filter(|(_, count)| *count > 0) {
            write!(f, "\nprotocol   {name} {count}")?;
        }
        Ok(())
    }
}
