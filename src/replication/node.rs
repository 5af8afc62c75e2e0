//! The node: all that a member of a cluster decides, without a socket, a clock, a thread or randomness of its own.
//!
//! ```text
//!   handle_connected, handle_received, handle_closed ---+
//!   handle_member, handle_seeds, handle_dial_failed  ---+--> Node --+--> poll_action      Dial, Close
//!   handle_changes, handle_timeout, leave            ---+           +--> poll_transmit    a batch of one connection
//!                                                                   +--> poll_event       for users
//!                                                                   +--> poll_timeout     the next deadline
//!
//!   book          whom to dial        connections  handshakes, ends       inbound   frames in
//!   streams       who gives what      outbound     batches out            relay     the changes of others
//!   sync_donor    giving to a node    sync         catching up            standing  held, joining, complete
//! ```
//!
//! After each input: `poll_action` until `None`, then `poll_transmit` for each connection that `wants_to_send` and whose last
//! batch is written out, `poll_event` until `None`, and `poll_timeout` for how long to sleep.

#![forbid(unsafe_code)]

pub(crate) mod api;
mod book;
mod connections;
pub(crate) mod counters;
mod inbound;
mod outbound;
mod relay;
mod standing;
mod streams;
mod sync;
mod sync_donor;
mod timers;

use crate::arena::change::Change;
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::replication::session::{Pulse, Session};
use crate::replication::store::{Origination, Store};
use crate::replication::wire::NodeFlags;
use crate::types::stream::{StreamId, Vector};
use api::{
    Acknowledged, Action, ClosedBy, ConnectionId, Departure, Lag, Member, MemberChange, NodeConfig, NodeEvent,
    Readiness, Side,
};
use book::Book;
use counters::NodeCounters;
use outbound::OutgoingValue;
use relay::Relays;
use standing::Standing;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use streams::Source;
use sync::Sync;
use sync_donor::Giving;
use timers::{Timer, Timers};

/// Events that wait for their reader; with more, the oldest goes.
const EVENTS_MAX: usize = 1024;
/// Bytes of a record of the own ring, per cell.
const CELL_BYTES: u64 = crate::arena::ring::CELL_BYTES;

/// One member of a cluster.
pub(crate) struct Node {
    config: NodeConfig,
    store: Store,
    sessions: BTreeMap<ConnectionId, Session>,
    /// Syncs that are being given.
    givings: BTreeMap<ConnectionId, Giving>,
    /// Large values that are on their way out.
    values: BTreeMap<ConnectionId, OutgoingValue>,
    /// How far each stream of others, and of own former lives, has been applied.
    applied: Vector,
    /// From whom each stream comes.
    sources: BTreeMap<StreamId, Source>,
    relays: Relays,
    sync: Option<Sync>,
    standing: Standing,
    book: Book,
    timers: Timers,
    counters: NodeCounters,
    actions: VecDeque<Action>,
    events: VecDeque<NodeEvent>,
    leaving: Option<Micros>,
    departure: Option<Departure>,
    /// Reused from read to read.
    change: Change,
}

impl Node {
    /// A node over a store, which it may put on hold at once.
    pub(crate) fn new(config: NodeConfig, store: Store, now: Micros) -> Self {
        let warm = store.origination() == Origination::Warm;
        let mut applied = store.saved_applied();
        // What a former life of this node wrote is known up to its end; what another one may have more of comes back.
        let own = store.streams();
        for range in own.iter().take(own.len().saturating_sub(1)) {
            applied.advance(range.stream, range.end);
        }
        let mut node = Self {
            sessions: BTreeMap::new(),
            givings: BTreeMap::new(),
            values: BTreeMap::new(),
            applied,
            sources: BTreeMap::new(),
            relays: Relays::new(config.relay_bytes),
            sync: None,
            standing: Standing::new(warm, now),
            book: Book::new(config.timings.redial_us_max, config.seed),
            timers: Timers::default(),
            counters: NodeCounters::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            leaving: None,
            departure: None,
            change: Change::default(),
            config,
            store,
        };
        node.timers.set(Timer::Tick, now.plus(node.config.timings.heartbeat_us));
        node.timers.set(Timer::Alone, now.plus(node.config.timings.alone_us));
        node.begin_standing(now);
        node
    }

    /// The seeds, as they resolve now. Replaces those of before.
    pub(crate) fn handle_seeds(&mut self, now: Micros, addresses: &[SocketAddr]) {
        self.counters.addresses_dropped += self.book.set_seeds(now, addresses);
        self.timers.set_earlier(Timer::Dial, now);
    }

    /// Where others reach this node is known now: for every handshake from here on.
    pub(crate) fn set_advertised(&mut self, address: SocketAddr) {
        self.config.advertised = Some(address);
    }

    /// What membership has seen.
    pub(crate) fn handle_member(&mut self, now: Micros, change: MemberChange) {
        if let MemberChange::Up(address) = change {
            self.counters.addresses_dropped += u64::from(!self.book.add(now, address, false));
            self.book.hasten(now, address);
            self.timers.set_earlier(Timer::Dial, now);
        }
        // Whoever is said to be down is still heard, or its connection ends by silence; either way streams find a source.
        self.choose_sources(now);
    }

    /// The moment of `poll_timeout` has come, or any other.
    pub(crate) fn handle_timeout(&mut self, now: Micros) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Tick => self.tick(now),
                Timer::Acknowledge => {
                    self.sessions.values_mut().for_each(|session| session.acknowledge_due = session.is_established());
                }
                Timer::Dial => self.dial(now),
                Timer::Alone => self.find_nobody(now),
                Timer::Leave => self.depart(now),
            }
        }
    }

    fn tick(&mut self, now: Micros) {
        self.timers.set(Timer::Tick, now.plus(self.config.timings.heartbeat_us));
        for session in self.sessions.values_mut().filter(|session| session.is_established()) {
            session.heartbeat_due = true;
        }
        self.close_silent(now);
        self.notice_isolation(now);
        self.choose_sources(now);
        self.review_standing(now);
        self.review_leave(now);
        self.timers.set_earlier(Timer::Dial, now);
    }

    fn dial(&mut self, now: Micros) {
        if self.leaving.is_some() {
            return;
        }
        let names: Vec<&str> = self.sessions.values().filter_map(|s| Some(s.peer.as_ref()?.name.as_str())).collect();
        while let Some(address) = self.book.take_due(now, |name| names.contains(&name)) {
            self.counters.dials += 1;
            self.actions.push_back(Action::Dial(address));
        }
        if let Some(due) = self.book.next_due(|name| names.contains(&name)) {
            self.timers.set_earlier(Timer::Dial, due.max(now.plus(1_000)));
        }
    }

    /// The own ring has grown.
    pub(crate) fn handle_changes(&mut self, _now: Micros) {
        let own = self.store.stream();
        self.sessions.values_mut().for_each(|session| session.wake(own));
    }

    /// Somebody waits for acknowledgements: peers are asked at once.
    pub(crate) fn ask_acknowledgements(&mut self, now: Micros) {
        // A peer acknowledges ten milliseconds after it applied; a heartbeat of ours changes nothing about that.
        self.handle_changes(now);
    }

    /// Sends what is unsent, waits for acknowledgements until a deadline, and says goodbye. No connection is made any more.
    pub(crate) fn leave(&mut self, now: Micros, deadline: Micros) {
        self.leaving = Some(deadline);
        self.timers.set(Timer::Leave, deadline);
        self.handle_changes(now);
        self.review_leave(now);
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
        self.events.pop_front()
    }

    fn tell(&mut self, event: NodeEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.counters.events_dropped += 1;
        }
        self.events.push_back(event);
    }

    /// What every heartbeat and HELLO says of the node.
    fn flags(&self) -> NodeFlags {
        NodeFlags { held: self.standing.is_held(), complete: self.standing.is_complete() }
    }

    /// How far others may count on this node: during a sync, no further than before it.
    fn told(&self) -> &Vector {
        self.sync.as_ref().and_then(Sync::before).unwrap_or(&self.applied)
    }

    /// Fills the next batch of a connection, which must be empty. `false`: there is nothing to send.
    pub(crate) fn poll_transmit(&mut self, now: Micros, id: ConnectionId, transmit: &mut Transmit) -> bool {
        let Some(mut session) = self.sessions.remove(&id) else { return false };
        let pulse = Pulse { end: self.store.end(), flags: self.flags(), vector: self.told() };
        session.send_short_frames(now, &pulse, transmit);
        if session.is_established() {
            self.fill(now, id, &mut session, transmit);
        }
        self.sessions.insert(id, session);
        !transmit.is_empty()
    }

    /// Whether `poll_transmit` has something for a connection.
    pub(crate) fn wants_to_send(&self, id: ConnectionId) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        session.has_short_frames()
            || (session.is_established()
                && (session.has_changes()
                    || self.values.contains_key(&id)
                    || self.givings.get(&id).is_some_and(Giving::wants_to_send)
                    || self.sync.as_ref().is_some_and(|sync| sync.wants_to_send(id))))
    }

    /// The peers whose handshake is done, by name.
    pub(crate) fn members(&self, now: Micros) -> Vec<Member> {
        let own = self.store.stream();
        let end = self.store.end();
        let member = |session: &Session| {
            let peer = session.peer.as_ref().filter(|_| session.is_established())?;
            let clock = session.clock.best();
            let lag = |cells: u64| Lag {
                cells,
                bytes: cells * CELL_BYTES,
                us: if cells > 0 { now.since(session.heard) } else { 0 },
            };
            let has = peer.vector.get(own).unwrap_or_default();
            let ours = self.applied.get(peer.stream()).unwrap_or_default();
            Some(Member {
                name: peer.name.clone(),
                incarnation: peer.incarnation,
                address: peer.address,
                protocol: session.version,
                readiness: if peer.flags.held {
                    Readiness::Held
                } else if peer.flags.complete {
                    Readiness::Complete
                } else {
                    Readiness::Joining
                },
                connected_us: now.since(session.opened),
                silent_us: now.since(session.heard),
                rtt_us: clock.map_or(0, |sample| sample.rtt_us),
                clock_offset_us: clock.map_or(0, |sample| sample.offset_us),
                clock_bound_us: clock.map_or(0, |sample| sample.bound_us()),
                behind: lag(end.0.saturating_sub(has.0)),
                ahead: lag(peer.end().0.saturating_sub(ours.0)),
            })
        };
        let mut members: Vec<Member> = self.sessions.values().filter_map(member).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// How far the node has come.
    pub(crate) fn readiness(&self) -> Readiness {
        self.standing.readiness()
    }

    /// How far each stream of another node has been applied, and the own ones go.
    pub(crate) fn applied(&self) -> Vector {
        let mut all = self.told().clone();
        all.advance(self.store.stream(), self.store.end());
        all
    }

    /// What each connected peer has acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<Acknowledged> {
        let peers = self.sessions.values().filter(|session| session.is_established());
        let of = |session: &Session| {
            let peer = session.peer.as_ref()?;
            Some(Acknowledged { name: peer.name.clone(), vector: peer.vector.clone() })
        };
        peers.filter_map(of).collect()
    }

    /// The error between this node's clock and any peer's that can not be ruled out; 0 without peers.
    pub(crate) fn clock_bound_us(&self) -> u64 {
        self.sessions.values().filter_map(|session| Some(session.clock.best()?.bound_us())).max().unwrap_or(0)
    }

    /// Set once the node has left: every connection is to be closed.
    pub(crate) fn departure(&self) -> Option<&Departure> {
        self.departure.as_ref()
    }

    /// How often each thing happened.
    pub(crate) fn counters(&self) -> &NodeCounters {
        &self.counters
    }

    /// Bytes on the heap for connections, relayed changes and syncs.
    pub(crate) fn heap_bytes(&self) -> usize {
        let readers: usize = self.sessions.values().map(|session| session.reader.heap_bytes()).sum();
        readers + self.relays.bytes() + self.givings.values().map(Giving::heap_bytes).sum::<usize>()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.config.name)
            .field("readiness", &self.readiness())
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}
