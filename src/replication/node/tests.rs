//! Nodes in one hand: stores in memory, one clock, and connections whose bytes are carried by the test.

#![forbid(unsafe_code)]

mod addresses;
mod clocks;
mod confirm;
mod handshakes;
mod isolation;
mod leaving;
mod leftovers;
mod streams;
mod syncs;

use super::*;
use crate::arena::frame::FrameKind;
use crate::engine::Settings;
use crate::engine::changes::Ordering;
use crate::engine::insert::{Entry, Source};
use crate::engine::open::{Request, open};
use crate::eviction::expiry::TimeToLive;
use crate::replication::node::api::{ClosedBy, OnIsolated, OnOriginLost, Side, Timings};
use crate::sync::Arc;
use crate::types::clock::ManualClock;
use crate::types::key::{Key, KeyspaceId};
use crate::types::version::{Stamp, Version};
use std::path::Path;
use std::time::Duration;

/// A node, its store, and where it is dialled.
struct Host {
    node: Node,
    store: Store,
    clock: ManualClock,
    address: SocketAddr,
}

/// What a host is made of.
struct Made<'p> {
    capacity: u64,
    file: Option<&'p Path>,
    on_isolated: OnIsolated,
    on_origin_lost: OnOriginLost,
    has_seeds: bool,
}

impl Default for Made<'_> {
    fn default() -> Self {
        Self {
            capacity: 1 << 20,
            file: None,
            on_isolated: OnIsolated::Serve,
            on_origin_lost: OnOriginLost::Keep,
            has_seeds: true,
        }
    }
}

fn address(last: u16) -> SocketAddr {
    let [high, low] = last.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7400))
}

impl Host {
    fn new(name: &str, last: u16, clock: &ManualClock) -> Self {
        Self::made(name, last, clock, &Made::default())
    }

    fn made(name: &str, last: u16, clock: &ManualClock, made: &Made<'_>) -> Self {
        let request = Request {
            capacity: made.capacity,
            file: made.file.map(Path::to_owned),
            settings: Settings::default(),
            clock: Some(clock.clone()),
            seed: Some(7),
            crash_loop_guard: false,
        };
        let (engine, _) = open(&request).expect("opens");
        let store = Store::enlist(Arc::new(engine), name, 1).expect("nobody is inside");
        let config = NodeConfig {
            name: name.to_owned(),
            cluster: 1,
            advertised: Some(address(last)),
            protocol: 1..=1,
            timings: Timings::default(),
            has_seeds: made.has_seeds,
            serve_unconfirmed: false,
            on_isolated: made.on_isolated,
            on_origin_lost: made.on_origin_lost,
            relay_bytes: 64 << 10,
            seed: 7,
        };
        let now = Micros(store.engine().clock().fine_us());
        let node = Node::new(config, store.clone(), now);
        Self { node, store, clock: clock.clone(), address: address(last) }
    }

    fn now(&self) -> Micros {
        Micros(self.store.engine().clock().fine_us())
    }

    fn insert(&mut self, key: &[u8]) {
        assert!(self.writes(key), "room");
    }

    /// Whether an insert of a key is stored.
    fn writes(&mut self, key: &[u8]) -> bool {
        self.writes_value(key, b"value")
    }

    fn writes_value(&mut self, key: &[u8], value: &[u8]) -> bool {
        let engine = self.store.engine();
        let version = engine.next_version(&Ordering::default());
        let entry = Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local };
        let key = Key::new(KeyspaceId::RAW, key).expect("a valid key");
        let (_writing, guard) = engine.begin_write().expect("open");
        let is_stored = engine.store(guard, &engine.seek(key), value, &entry).is_ok();
        self.node.handle_changes(self.now());
        is_stored
    }

    fn version_of(&self, key: &[u8]) -> Option<Version> {
        self.store.version_of(Key::new(KeyspaceId::RAW, key).expect("a valid key"))
    }

    /// Whether a read finds a key.
    fn has(&self, key: &[u8]) -> bool {
        let engine = self.store.engine();
        let guard = engine.pin();
        let key = Key::new(KeyspaceId::RAW, key).expect("a valid key");
        engine.get(&guard, &engine.aim(engine.seek(key))).is_some()
    }

    /// All that it has to say over a connection at the moment.
    fn said(&mut self, id: ConnectionId) -> Vec<u8> {
        let (mut transmit, mut bytes) = (Transmit::default(), Vec::new());
        while self.node.wants_to_send(id) && self.node.poll_transmit(self.now(), id, &mut transmit) {
            transmit.slices().for_each(|slice| bytes.extend_from_slice(slice));
            transmit.clear();
        }
        bytes
    }

    fn hears(&mut self, id: ConnectionId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.node.receive_space(id);
            let count = space.len().min(bytes.len());
            if count == 0 {
                return;
            }
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.node.handle_received(self.now(), id, count);
        }
    }

    /// What is due at this moment.
    fn tick(&mut self) {
        if self.node.poll_timeout().is_some_and(|at| at <= self.now()) {
            self.node.handle_timeout(self.now());
        }
    }

    /// The events so far.
    fn told(&mut self) -> Vec<NodeEvent> {
        std::iter::from_fn(|| self.node.poll_event()).collect()
    }

    /// Addresses that it wants to be dialled at the moment.
    fn dials(&mut self) -> Vec<SocketAddr> {
        let dialled = |action| if let Action::Dial(address) = action { Some(address) } else { None };
        std::iter::from_fn(|| self.node.poll_action()).filter_map(dialled).collect()
    }
}

/// Opens a connection, with the same number on both sides.
fn connect(from: &mut Host, to: &mut Host, number: u32) -> ConnectionId {
    let id = ConnectionId(number);
    to.node.handle_connected(to.now(), id, Side::Accepted(SocketAddr::new(from.address.ip(), 50_000)));
    from.node.handle_connected(from.now(), id, Side::Dialled(to.address));
    id
}

/// Carries bytes both ways until nobody has any.
fn exchange(one: &mut Host, other: &mut Host, id: ConnectionId) {
    loop {
        let (there, back) = (one.said(id), other.said(id));
        if there.is_empty() && back.is_empty() {
            return;
        }
        other.hears(id, &there);
        one.hears(id, &back);
    }
}

/// Lets time pass over connections, each of two hosts by their places.
fn pass_all(hosts: &mut [Host], links: &[(usize, usize, ConnectionId)], by: Duration) {
    for _ in 0..by.as_millis() / 10 {
        hosts[0].clock.advance(Duration::from_millis(10));
        hosts.iter_mut().for_each(Host::tick);
        for &(one, other, id) in links {
            let (before, behind) = hosts.split_at_mut(one.max(other));
            exchange(&mut before[one.min(other)], &mut behind[0], id);
        }
    }
}

/// Lets time pass over a connection.
fn pass(one: &mut Host, other: &mut Host, id: ConnectionId, by: Duration) {
    for _ in 0..by.as_millis() / 10 {
        one.clock.advance(Duration::from_millis(10));
        one.tick();
        other.tick();
        exchange(one, other, id);
    }
}
