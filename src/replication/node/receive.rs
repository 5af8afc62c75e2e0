//! Receiving: bytes of a connection become messages, each in its place or the connection is closed.
//!
//! ```text
//!   receive_space    the reader's buffer, or the slot of a large value whose head has come
//!   handle_received  -> messages, until more bytes are needed -> whoever they concern
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{CloseReason, ConnectionId, NodeEvent};
use crate::replication::session::State;
use crate::replication::session::time::Micros;
use crate::replication::wire::{DecodeError, Message, Reason, Refuse};
use std::mem;

/// Why a connection ends here.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is closed without a word.
    Close(CloseReason),
    /// The peer is told why.
    Refuse(Reason, String),
    /// Bytes that are no frame.
    Frame(DecodeError),
    /// A frame that no correct peer sends now.
    Order(&'static str),
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Frame(error)
    }
}

impl Node {
    /// Where the next bytes of a connection belong: never empty for a connection that is open. Empty for others.
    pub(crate) fn receive_space(&mut self, id: ConnectionId) -> &mut [u8] {
        let Some(session) = self.links.get_mut(&id).map(|link| &mut link.session) else { return &mut [] };
        if session.is_closing() {
            return &mut [];
        }
        let rest = session.reader.chunk_rest();
        match &mut session.incoming {
            Some(incoming) if rest > 0 && incoming.has_room() => incoming.space(rest),
            _ => session.reader.space(),
        }
    }

    /// So many bytes were put where `receive_space` said.
    pub(crate) fn handle_received(&mut self, now: Micros, id: ConnectionId, bytes: usize) {
        let Some(session) = self.links.get_mut(&id).map(|link| &mut link.session) else { return };
        if session.is_closing() {
            return;
        }
        session.heard = now;
        self.isolation.heard = now;
        let rest = session.reader.chunk_rest();
        match &mut session.incoming {
            Some(incoming) if rest > 0 && incoming.has_room() => {
                incoming.count(bytes);
                session.reader.chunk_received(bytes);
            }
            incoming => {
                session.reader.filled(bytes);
                let passed = rest - session.reader.chunk_rest();
                incoming.iter_mut().for_each(|incoming| incoming.count(passed));
            }
        }
        let read = if rest > 0 && session.reader.chunk_rest() == 0 { self.chunk_is_whole(now, id) } else { Ok(()) };
        let read = match read.and_then(|()| self.read_messages(now, id)) {
            Err(Fault::Close(CloseReason::Leaving)) if self.leave_closed(now, id) => self.read_messages(now, id),
            read => read,
        };
        if let Err(fault) = read {
            self.end(now, id, fault);
        }
        self.settle(now);
    }

    fn read_messages(&mut self, now: Micros, id: ConnectionId) -> Result<(), Fault> {
        let Some(session) = self.links.get_mut(&id).map(|link| &mut link.session) else { return Ok(()) };
        // The messages borrow it while the rest of the node deals with them.
        let mut reader = mem::take(&mut session.reader);
        let (mut read, mut understood) = (Ok(()), false);
        while read.is_ok() {
            read = match reader.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    understood = true;
                    self.handle_message(now, id, message)
                }
                Err(error) => Err(Fault::Frame(error)),
            };
            let version = self.links.get(&id).map_or(0, |link| link.session.version);
            if version != 0 && reader.version().is_none() {
                reader.agree(version);
            }
            match self.links.get(&id) {
                None => break,
                Some(link) if link.session.is_closing() => break,
                // It asks, and reads no answers.
                Some(link) if link.session.is_choked() && read.is_ok() => {
                    self.counters.choked_closed += 1;
                    read = Err(Fault::Close(CloseReason::Silent));
                }
                Some(_) => {}
            }
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.session.reader = reader;
            if understood {
                link.session.understood = now;
            }
        }
        read
    }

    fn handle_message(&mut self, now: Micros, id: ConnectionId, message: Message<'_>) -> Result<(), Fault> {
        let state = self.links.get(&id).map(|link| link.session.state);
        match (state, message) {
            (Some(State::Greeting), Message::Hello(hello)) => self.handle_hello(now, id, &hello),
            (_, Message::Refuse(refuse)) => Err(self.handle_refuse(id, &refuse)),
            (Some(State::Established), message) => self.handle_established(now, id, message),
            _ => Err(Fault::Order("a frame before HELLO")),
        }
    }

    fn handle_established(&mut self, now: Micros, id: ConnectionId, message: Message<'_>) -> Result<(), Fault> {
        match message {
            Message::Hello(_) => return Err(Fault::Order("a second HELLO")),
            // Dealt with before.
            Message::Refuse(_) => {}
            Message::Subscribe(subscribe) => self.handle_subscribe(id, subscribe),
            Message::Unsubscribe(unsubscribe) => self.handle_unsubscribe(id, unsubscribe),
            Message::NotCovered(not_covered) => self.handle_not_covered(id, not_covered),
            Message::Changes(changes) => self.handle_changes_of(now, id, changes)?,
            Message::Chunk(chunk) => self.handle_chunk(now, id, &chunk)?,
            Message::Ack(ack) => self.handle_acknowledgement(id, &ack),
            Message::Heartbeat(heartbeat) => self.handle_heartbeat(now, id, &heartbeat)?,
            Message::Goodbye(goodbye) => return Err(self.handle_goodbye(id, goodbye)),
            Message::SyncRequest(request) => self.handle_sync_request(id, &request)?,
            Message::Verify(verify) => self.handle_verify(id, verify)?,
            Message::SyncBegin(begin) => self.handle_sync_begin(now, id, &begin)?,
            Message::Verified(verified) => self.handle_verified(now, id, verified)?,
            Message::SyncEntries(entries) => self.handle_sync_entries(now, id, entries)?,
            Message::Floors(floors) => self.handle_floors(now, id, &floors)?,
            Message::SyncEnd(end) => self.handle_sync_end(now, id, end)?,
            Message::Skipped => self.counters.skipped_frames += 1,
        }
        Ok(())
    }

    fn handle_refuse(&mut self, id: ConnectionId, refuse: &Refuse<'_>) -> Fault {
        self.counters.refused_by_peer += 1;
        let address = self.links.get(&id).map(|link| link.session.side.address());
        if let Some(address) = address {
            // Nor will it be different before something has changed there.
            if matches!(
                refuse.reason,
                Reason::Itself | Reason::Duplicate | Reason::Former | Reason::Name | Reason::Cluster | Reason::Protocol
            ) {
                self.book.in_vain(address);
            }
            // Which of two connections stays is nobody's concern.
            if refuse.reason != Reason::Duplicate {
                let reason = format!("{}: {}", refuse.reason, refuse.why.escape_debug());
                self.tell(NodeEvent::Refused { address, by_peer: true, reason });
            }
        }
        Fault::Close(CloseReason::Refused)
    }
}
