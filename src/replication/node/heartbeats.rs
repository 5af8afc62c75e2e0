//! Heartbeats and acknowledgements: what is said at intervals, and what is heard.
//!
//! ```text
//!   Tick, 50 ms   heartbeat to each peer: clocks, own end, vector, checksum of the stream so far
//!   10 ms after   ACK: what has moved; at once behind a heartbeat, so that who waits asks by one
//!   heard         checksum differs -> closed, and gone on exactly from what was applied
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{CloseReason, ConnectionId};
use super::link::Owed;
use super::receive::Fault;
use super::timers::Timer;
use crate::replication::session::time::Micros;
use crate::replication::wire::{Ack, Heartbeat};
use crate::sync::bite;
use crate::types::limits::CLOCK_LATE_US;
use crate::types::stream::Position;
use crate::types::version::Stamp;

impl Node {
    /// Everything that is done at each heartbeat.
    pub(super) fn tick(&mut self, now: Micros) {
        let timings = self.config.timings;
        let overslept = self.isolation.tick(now) > timings.idle_us / 2;
        self.look_at_connections(now, overslept);
        if !overslept {
            self.look_at_sync(now);
        }
        for link in self.links.values_mut().filter(|link| link.session.is_established()) {
            link.session.heartbeat_due = true;
            link.session.reader.trim();
            // What an open record has held up is looked at again.
            link.session.wake(self.stream);
        }
        self.ends.note(now, self.store.end());
        self.note_clock_error();
        self.judge_isolation(now);
        self.look_for_orphans(now);
        self.look_at_leaving(now);
        self.review(now);
        if !self.links.is_empty() || self.isolation.is_expecting() || self.sync.is_some() {
            self.timers.set(Timer::Tick, now.plus(timings.heartbeat_us));
        }
    }

    pub(super) fn handle_heartbeat(
        &mut self,
        now: Micros,
        id: ConnectionId,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<(), Fault> {
        let acknowledges = self.timers.is_set(Timer::Acknowledge);
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        if heartbeat.checksum != link.session.received.value() && !bite("node.checksum-ignored") {
            self.counters.checksum_mismatches += 1;
            return Err(Fault::Close(CloseReason::ChecksumMismatch));
        }
        link.session.hear_heartbeat(now, heartbeat);
        link.session.acknowledge_due |= acknowledges;
        let Some(peer) = &mut link.session.peer else { return Ok(()) };
        peer.flags = heartbeat.flags;
        peer.set_vector(heartbeat.vector);
        peer.grow(heartbeat.end);
        let stream = peer.stream();
        if matches!(link.owed, Owed::Unknown) && self.isolation.is_answer(Micros(heartbeat.echo_us)) {
            link.owed = Owed::Vector(peer.everything());
        }
        if let Owed::Vector(owed) = &mut link.owed {
            self.streams.release(owed, |stream| stream == self.stream || peer.reach(stream).is_some());
        }
        let until = Stamp::from_micros(heartbeat.sent_us.saturating_sub(CLOCK_LATE_US));
        if self.streams.rows.get_mut(&stream).is_some_and(|row| row.promise(heartbeat.end, until)) {
            self.wake_relays(stream);
        }
        self.look_at_leftovers(now, id);
        Ok(())
    }

    pub(super) fn handle_acknowledgement(&mut self, id: ConnectionId, ack: &Ack<'_>) {
        if let Some(peer) = self.links.get_mut(&id).and_then(|link| link.session.peer.as_mut()) {
            peer.learn(ack.applied);
        }
    }

    /// Something was applied that peers wait to hear of.
    pub(super) fn has_applied(&mut self, now: Micros) {
        self.timers.set_earlier(Timer::Acknowledge, now.plus(self.config.timings.acknowledge_us));
    }

    pub(super) fn acknowledge_all(&mut self) {
        for link in self.links.values_mut().filter(|link| link.session.is_established()) {
            link.session.acknowledge_due = true;
        }
    }

    /// How far this node has a stream, its own lives included.
    pub(super) fn position_of(&self, stream: crate::types::stream::StreamId) -> Position {
        let own = if stream.origin == self.stream.origin {
            self.store.streams().into_iter().find(|range| range.stream == stream).map(|range| range.end)
        } else {
            None
        };
        own.max(self.streams.rows.get(&stream).map(|row| row.position))
            .max(self.streams.applied.get(stream))
            .unwrap_or_default()
    }
}
