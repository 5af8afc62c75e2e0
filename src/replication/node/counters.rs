//! Counters: how often each thing happened since the node began.
//!
//! One list gives the fields and their names, so that whoever shows or asserts them misses none.

#![forbid(unsafe_code)]

use crate::replication::store::Applied;
use crate::replication::wire::{DecodeError, Reason};

/// Declares the counters, and the walk over them.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// How often each thing happened.
        #[derive(Clone, PartialEq, Eq, Default, Debug)]
        pub(crate) struct NodeCounters {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        impl NodeCounters {
            /// Names and counts, in the order of their declaration.
            pub(crate) fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Streams that went on, after a connection was made, exactly where they had stopped.
    exact_resumes
    /// Streams taken from another node than their origin.
    relays
    /// Changes of others that were sent to somebody.
    relayed
    /// Frames that did not begin where the stream stood: it was asked for again from there.
    gap_repairs
    /// Streams that were asked for again because nothing came, though the other side had more.
    stalls
    /// Frames of streams that were not, or no longer, asked for on that connection.
    stray_frames
    /// Requests for a part of a stream that is no longer here.
    not_covered_sent
    /// Answers that a part of a stream is no longer there.
    not_covered_received
    /// Cursors that were overtaken by the writers of their ring.
    overtaken
    /// Changes of a former life of this node that were sent.
    former_life_replays
    /// Changes of a former life of another node that came.
    former_received

    /// Syncs received by a node that had nothing.
    snapshot_syncs
    /// Syncs received by a node that had entries.
    delta_syncs
    /// Syncs that were given to others, to their end.
    syncs_given
    /// Syncs that ended before their end.
    syncs_aborted
    /// Times that a sync has left something of which nobody may know.
    leftovers
    /// Times that others have said what of it is known.
    leftovers_cleared
    /// Entries that a donor was asked about.
    verified
    /// Entries of which the donor had a newer version.
    verified_newer
    /// Entries that the donor could not vouch for.
    verified_voided
    /// Times that a relay has waited, for its writer's word or the end of a sync.
    relays_waited
    /// Streams that stood still until the end of a sync, since no more could be put off.
    streams_halted

    /// Changes applied, whatever became of them.
    changes_applied
    /// Of them: stored.
    stored
    /// Of them: older than what was there.
    older
    /// Of them: there already.
    same
    /// Of them: absent, and below the floor.
    floor_refusals
    /// Of them: of unknown order.
    unordered
    /// Of them: refused for room.
    refused
    /// Of them: stamped too far ahead.
    stamps_ahead
    /// Clears applied.
    clears_applied

    /// Changes sent, markers included.
    changes_sent
    /// Changes that a newer version of their key stood in for.
    conflations
    /// Values that were gone when their turn came: sent as markers.
    evicted_values
    /// Tombstones that were gone when their turn came: sent as markers.
    evicted_tombstones
    /// Changes whose key another node has changed since: that entry was sent in their place.
    overwritten_sent
    /// Large values that could not be pinned: sent as markers.
    unpinned_sent
    /// Chunks sent.
    chunks_sent
    /// Chunks received.
    chunks_received

    /// Connections made, dialled or accepted.
    connections
    /// Handshakes that came to their end.
    handshakes
    /// Dials.
    dials
    /// Dials that led to nothing.
    dial_failures
    /// Addresses that found no room in the book.
    addresses_dropped
    /// Streams that found no room in the table.
    streams_dropped
    /// Events that found no room in the queue.
    events_dropped
    /// Connections closed because another one to the same node stays.
    duplicates_closed
    /// Connections closed because a later life of the same node came.
    former_closed
    /// Connections closed because nothing was heard.
    silent_closed
    /// Connections closed because a frame came to no end.
    endless_closed
    /// Connections closed because the peer does not read.
    choked_closed
    /// Connections without a handshake in time.
    handshake_timeouts
    /// Connections refused because their address misbehaved too often.
    quarantined
    /// Handshakes refused: another cluster.
    refused_cluster
    /// Handshakes refused: no common version.
    refused_protocol
    /// Handshakes refused: the name, or its hash, is another node's.
    refused_name
    /// Handshakes refused: a later life is here.
    refused_former
    /// Handshakes refused: it was this node.
    refused_itself
    /// Handshakes refused: too many peers.
    refused_full
    /// Handshakes refused: this node leaves.
    refused_leaving
    /// Handshakes that the other side refused.
    refused_by_peer

    /// Bad frames: not a frame of this protocol.
    bad_magic
    /// Bad frames: of an unknown kind or version, or before the handshake.
    bad_kind
    /// Bad frames: longer than they may be.
    bad_length
    /// Bad frames: damaged on the way.
    bad_checksum
    /// Bad frames: a field that may not be so.
    bad_field
    /// Bad frames: an entry that is none.
    bad_entry
    /// Frames that are right, but not in their place.
    bad_order
    /// Heartbeats whose checksum of the stream was not the one found here.
    checksum_mismatches
    /// Frames of kinds that a later version has, passed over.
    skipped_frames

    /// Times that no peer was heard any more.
    isolations
    /// Times that reads were answered again after that.
    fences_opened
    /// Arenas confirmed by members.
    confirmed
    /// Arenas served without that.
    served_unconfirmed
    /// Clusters founded: nobody was there that had joined one.
    founded
    /// Streams whose origin is gone.
    origins_lost
    /// Goodbyes heard.
    goodbyes
}

impl NodeCounters {
    pub(super) fn applied(&mut self, applied: Applied) {
        self.changes_applied += 1;
        let counter = match applied {
            Applied::Stored => &mut self.stored,
            Applied::Older => &mut self.older,
            Applied::Same => &mut self.same,
            Applied::BelowFloor => &mut self.floor_refusals,
            Applied::Unordered => &mut self.unordered,
            Applied::Refused => &mut self.refused,
            Applied::Ahead => &mut self.stamps_ahead,
            Applied::Closed => return,
        };
        *counter += 1;
    }

    pub(super) fn bad_frame(&mut self, error: &DecodeError) {
        let counter = match error {
            DecodeError::Magic { .. } => &mut self.bad_magic,
            DecodeError::Kind { .. } | DecodeError::Version { .. } | DecodeError::Early { .. } => &mut self.bad_kind,
            DecodeError::TooLong { .. } | DecodeError::Short { .. } | DecodeError::Trailing { .. } => {
                &mut self.bad_length
            }
            DecodeError::Checksum { .. } => &mut self.bad_checksum,
            DecodeError::Entry { .. } => &mut self.bad_entry,
            _ => &mut self.bad_field,
        };
        *counter += 1;
    }

    pub(super) fn refused(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::Cluster => &mut self.refused_cluster,
            Reason::Protocol => &mut self.refused_protocol,
            Reason::Name => &mut self.refused_name,
            Reason::Former => &mut self.refused_former,
            Reason::Itself => &mut self.refused_itself,
            Reason::Duplicate => &mut self.duplicates_closed,
            Reason::Full => &mut self.refused_full,
            Reason::Leaving => &mut self.refused_leaving,
            Reason::Frame | Reason::Order | Reason::Other(_) => &mut self.bad_order,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_own_name() {
        let counters = NodeCounters { gap_repairs: 3, ..NodeCounters::default() };
        let mut named = counters.named();
        let names: std::collections::BTreeSet<_> = named.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), named.len());
        named.retain(|(_, count)| *count > 0);
        assert_eq!(named, [("gap_repairs", 3)]);
    }
}
