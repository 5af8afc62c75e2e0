//! The node: all that a member of a cluster decides, without a socket, a clock, a thread or randomness of its own.
//!
//! ```text
//!   handle_connected, handle_received, handle_closed ---+
//!   handle_member, handle_seeds, handle_dial_failed  ---+--> Node --+--> poll_action      Dial, Close
//!   handle_changes, handle_timeout, leave            ---+           +--> poll_transmit    a batch of one connection
//!                                                                   +--> poll_event       for users
//!                                                                   +--> poll_timeout     the next deadline
//!
//!   connections  made and ended          streams   how far each stream has come    sync_receiver   what was missed, from a donor
//!   handshake    who may stay            sources   from whom                       sync_donor      to whoever missed it
//!   book         whom to dial            apply     changes and values in           confirm         held, joining, complete
//!   link         one connection          serve     who asks for what               isolation       nobody is heard
//!   receive      bytes to messages       outbound, choice  batches out             members, leave  what others are told
//!   heartbeats   signs of life           relay     changes of others, kept         timers, counters, events, key_queue, api
//! ```
//!
//! After each input: `poll_action` until `None`, then `poll_transmit` for each connection that `wants_to_send` and whose last
//! batch is written out, `poll_event` until `None`, and `poll_timeout` for how long to sleep.

#![forbid(unsafe_code)]

mod ahead;
pub(crate) mod api;
mod apply;
mod book;
mod choice;
mod confirm;
mod connections;
mod counters;
mod events;
mod given;
mod handshake;
mod heartbeats;
mod isolation;
mod key_queue;
mod leave;
mod leftovers;
mod link;
mod losses;
mod members;
mod outbound;
mod put_off;
mod receive;
mod relay;
mod row;
mod serve;
mod sources;
mod streams;
mod sync_choice;
mod sync_donor;
mod sync_edges;
mod sync_receiver;
mod timers;

use crate::arena::change::Change;
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::replication::store::{ChangesAhead, Store};
use crate::types::stream::{StreamId, Vector};
use api::{Action, ConnectionId, Departure, MemberChange, NodeConfig, NodeEvent, Readiness};
use book::Book;
use confirm::Standing;
pub(crate) use counters::NodeCounters;
use events::Events;
use isolation::Isolation;
use leave::Leaving;
use leftovers::Leftovers;
use link::Link;
use members::Ends;
use relay::Relays;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use streams::Streams;
use sync_receiver::SyncReceiver;
use timers::{Timer, Timers};

/// One member of a cluster.
#[derive(Debug)]
pub(crate) struct Node {
    config: NodeConfig,
    store: Store,
    /// The stream that this node writes.
    stream: StreamId,
    links: BTreeMap<ConnectionId, Link>,
    streams: Streams,
    relays: Relays,
    sync: Option<SyncReceiver>,
    standing: Standing,
    leftovers: Leftovers,
    /// Before this no sync is begun for their sake alone.
    leftovers_again: Micros,
    isolation: Isolation,
    leaving: Option<Leaving>,
    departure: Option<Departure>,
    book: Book,
    ends: Ends,
    timers: Timers,
    actions: VecDeque<Action>,
    events: Events,
    losses: Vec<losses::Loss>,
    counters: NodeCounters,
    /// Sources are to be looked at before the next output.
    review_due: bool,
    /// The change that is being read.
    scratch: Change,
    ahead: ChangesAhead,
}

impl Node {
    /// A node over a store, whose reads it may leave on hold.
    pub(crate) fn new(config: NodeConfig, store: Store, now: Micros) -> Self {
        let mut timers = Timers::default();
        let standing = Standing::new(&store, now);
        timers.set(Timer::Alone, now.plus(config.timings.alone_us));
        let mut node = Self {
            stream: store.stream(),
            links: BTreeMap::new(),
            streams: Streams::new(store.saved_applied()),
            relays: Relays::new(config.relay_bytes),
            sync: None,
            leftovers: Leftovers::of_arena(&store),
            leftovers_again: now.plus(leftovers::WAIT_US),
            standing,
            isolation: Isolation::new(now),
            leaving: None,
            departure: None,
            book: Book::new(config.timings.redial_us_max, config.seed),
            ends: Ends::default(),
            timers,
            actions: VecDeque::new(),
            events: Events::default(),
            losses: Vec::new(),
            counters: NodeCounters::default(),
            review_due: false,
            scratch: Change::default(),
            ahead: ChangesAhead::default(),
            config,
            store,
        };
        if node.store.dropped() > 0 {
            node.tell(NodeEvent::StartedOver { entries: node.store.dropped() });
        }
        node.begin_standing(now);
        node
    }

    /// Where others reach this node is known now: for every handshake from here on.
    pub(crate) fn set_advertised(&mut self, address: SocketAddr) {
        self.config.advertised = Some(address);
    }

    /// What membership has seen.
    pub(crate) fn handle_member(&mut self, now: Micros, change: MemberChange) {
        match change {
            MemberChange::Up(address) => {
                self.learn_address(now, address, false);
                self.book.list(now, address);
            }
            MemberChange::Down(address) => self.book.unlist(address),
            MemberChange::Left(address) => self.book.left(address),
        }
        self.dial(now);
    }

    /// The seeds, as they resolve now. Replaces those of before.
    pub(crate) fn handle_seeds(&mut self, now: Micros, addresses: &[SocketAddr]) {
        self.counters.addresses_dropped += self.book.set_seeds(now, addresses);
        self.dial(now);
    }

    /// The moment of `poll_timeout` has come, or any other.
    pub(crate) fn handle_timeout(&mut self, now: Micros) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Tick => self.tick(now),
                Timer::Acknowledge => self.acknowledge_all(),
                Timer::Dial => self.dial(now),
                Timer::Alone => self.look_for_company(now),
                Timer::Leave => self.finish_leaving(now),
            }
        }
        self.settle(now);
    }

    /// The own ring has grown.
    pub(crate) fn handle_changes(&mut self, now: Micros) {
        let _ = now;
        for link in self.links.values_mut() {
            link.session.wake(self.stream);
        }
    }

    /// Somebody waits for acknowledgements: peers are asked at once.
    pub(crate) fn ask_acknowledgements(&mut self, now: Micros) {
        let _ = now;
        self.links.values_mut().for_each(|link| link.session.heartbeat_due = true);
    }

    /// When `handle_timeout` is due.
    pub(crate) fn poll_timeout(&self) -> Option<Micros> {
        self.timers.next()
    }

    /// The next thing for the driver to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing for users to know.
    pub(crate) fn poll_event(&mut self) -> Option<NodeEvent> {
        self.events.pop()
    }

    /// Whether `poll_transmit` may have something for a connection.
    pub(crate) fn wants_to_send(&self, id: ConnectionId) -> bool {
        self.links.get(&id).is_some_and(|link| {
            let session = &link.session;
            let is_asked = || link.outgoing.is_some() || link.donor.as_ref().is_some_and(|donor| donor.has_work());
            session.has_short_frames()
                || session.is_closing()
                || (session.is_established() && (session.has_changes() || is_asked() || self.has_sync_work(id)))
        })
    }

    /// Fills the next batch of a connection, which must be empty. `false`: there is nothing to send.
    pub(crate) fn poll_transmit(&mut self, now: Micros, id: ConnectionId, transmit: &mut Transmit) -> bool {
        let (end, flags) = (self.store.end(), self.flags());
        let Some(link) = self.links.get_mut(&id) else { return false };
        let pulse = crate::replication::session::Pulse { end, flags, vector: &self.streams.applied };
        link.session.send_short_frames(now, &pulse, transmit);
        if link.session.is_established() {
            self.fill(now, id, transmit);
        } else if transmit.is_empty() && link.session.is_closing() {
            self.links.remove(&id);
        }
        !transmit.is_empty()
    }

    /// How far the node has come.
    pub(crate) fn readiness(&self) -> Readiness {
        let is_alone = || !self.config.has_seeds && !self.links.values().any(|link| link.peer().is_some());
        self.standing.readiness(self.sync.is_some(), is_alone())
    }

    /// Whether what was missed is on its way from a donor.
    #[cfg(debug_assertions)]
    pub(crate) fn is_syncing(&self) -> bool {
        self.sync.is_some()
    }

    /// How far each stream of another node has been applied.
    pub(crate) fn applied(&self) -> Vector {
        self.streams.applied.clone()
    }

    /// How often each thing happened.
    pub(crate) fn counters(&self) -> &NodeCounters {
        &self.counters
    }

    /// Set once the node has left: every connection is to be closed.
    pub(crate) fn departure(&self) -> Option<&Departure> {
        self.departure.as_ref()
    }

    /// Bytes that the protocol keeps on the heap, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of_link =
            |link: &Link| link.session.heap_bytes() + link.donor.as_ref().map_or(0, |donor| donor.heap_bytes());
        let of_sync = self.sync.as_ref().map_or(0, SyncReceiver::heap_bytes);
        let of_links = self.links.values().map(of_link).sum::<usize>();
        self.ahead.heap_bytes() + self.relays.bytes() + of_sync + of_links
    }

    fn tell(&mut self, event: NodeEvent) {
        if !self.events.push(event) {
            self.counters.events_dropped += 1;
        }
    }

    /// What follows from an input, once it is dealt with.
    fn settle(&mut self, now: Micros) {
        if self.review_due {
            self.review(now);
        }
        self.tell_losses();
        self.look_at_standing(now);
        self.look_at_isolation(now);
    }
}

#[cfg(test)]
mod tests;
