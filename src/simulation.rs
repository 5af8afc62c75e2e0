//! A door for the simulator in `tests/cluster`: one node over a real engine, with its time, bytes and faults in the caller's
//! hand. Exists in builds with debug assertions only.
//!
//! ```text
//!   simulator: time, links, faults  ---bytes, moments--->  SimulatedNode { Node, Store, Engine }  ---bytes, dials--->
//! ```

#![forbid(unsafe_code)]

use crate::arena::frame::FrameKind;
use crate::engine::changes::Ordering;
use crate::engine::insert::{Entry, Source};
use crate::engine::open::{Request, open};
use crate::engine::recovery::Recovery;
use crate::engine::{Engine, Settings};
use crate::eviction::expiry::TimeToLive;
use crate::replication::node::Node;
use crate::replication::node::api::{
    Action, ClosedBy, ConnectionId, MemberChange, NodeConfig, OnIsolated, OnOriginLost, Readiness, Side, Timings,
};
use crate::replication::session::time::Micros;
use crate::replication::session::transmit::Transmit;
use crate::replication::store::Store;
use crate::types::clock::ManualClock;
use crate::types::key::{Key, KeyspaceId};
use crate::types::stream::{Incarnation, Origin, Position, StreamId};
use crate::types::version::Version;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a simulated node is made of.
#[derive(Clone, Debug)]
pub struct SimulatedSettings {
    pub name: String,
    pub address: SocketAddr,
    pub file: PathBuf,
    /// Bytes of its arena and all beside it.
    pub capacity: u64,
    /// The node's clock, which the simulator moves.
    pub clock: ManualClock,
    pub seed: u64,
    pub entries_max: Option<u64>,
    pub value_bytes_max: u64,
    pub relay_bytes: usize,
    /// The highest protocol version it speaks.
    pub protocol_max: u8,
    /// Whether it stops to answer reads when it hears nobody.
    pub fences: bool,
    pub cluster: u64,
}

/// A stream of one life, in plain numbers: origin and incarnation.
pub type StreamNumber = (u16, u64);

/// What the driver of a node would be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Dial(SocketAddr),
    Close(u32),
}

/// How a connection came about or ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    Dialled(SocketAddr),
    Accepted(SocketAddr),
    ClosedByPeer,
    Reset,
}

/// A hint of membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hint {
    Up(SocketAddr),
    Down(SocketAddr),
    Left(SocketAddr),
}

/// A node whose world is simulated.
#[derive(Debug)]
pub struct SimulatedNode {
    node: Node,
    store: Store,
    clock: ManualClock,
    transmit: Transmit,
    warm: bool,
}

impl SimulatedNode {
    /// Opens its arena and starts it.
    pub fn start(settings: &SimulatedSettings) -> Self {
        let request = Request {
            capacity: settings.capacity,
            file: Some(settings.file.clone()),
            settings: Settings {
                value_bytes_max: settings.value_bytes_max,
                entries_max: settings.entries_max,
                ..Settings::default()
            },
            clock: Some(settings.clock.clone()),
            seed: Some(settings.seed),
            crash_loop_guard: false,
        };
        let (engine, recovery) = open(&request).expect("the simulator's files can be opened");
        let store = Store::enlist(Arc::new(engine), &settings.name, settings.cluster).expect("nobody is inside");
        let config = NodeConfig {
            name: settings.name.clone(),
            cluster: settings.cluster,
            advertised: Some(settings.address),
            protocol: 1..=settings.protocol_max,
            timings: Timings::default(),
            has_seeds: true,
            serve_unconfirmed: false,
            on_isolated: if settings.fences { OnIsolated::Miss } else { OnIsolated::Serve },
            on_origin_lost: OnOriginLost::Keep,
            relay_bytes: settings.relay_bytes,
            seed: settings.seed,
        };
        let warm = matches!(recovery, Recovery::Warm { .. });
        let now = Micros(store.engine().clock().fine_us());
        let node = Node::new(config, store.clone(), now);
        Self { node, store, clock: settings.clock.clone(), transmit: Transmit::default(), warm }
    }

    fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// The node's own time, in microseconds.
    pub fn now(&self) -> u64 {
        self.engine().clock().fine_us()
    }

    fn micros(&self) -> Micros {
        Micros(self.now())
    }

    /// Moves its clock.
    pub fn advance(&self, by_us: u64) {
        self.clock.advance(Duration::from_micros(by_us));
    }

    /// Whether its arena came up with what a former life left.
    pub fn is_warm(&self) -> bool {
        self.warm
    }

    /// A connection is open, or ended.
    pub fn link(&mut self, connection: u32, link: Link) {
        let (now, id) = (self.micros(), ConnectionId(connection));
        match link {
            Link::Dialled(address) => self.node.handle_connected(now, id, Side::Dialled(address)),
            Link::Accepted(address) => self.node.handle_connected(now, id, Side::Accepted(address)),
            Link::ClosedByPeer => self.node.handle_closed(now, id, ClosedBy::Peer),
            Link::Reset => self.node.handle_closed(now, id, ClosedBy::Error),
        }
    }

    /// A dial has failed.
    pub fn dial_failed(&mut self, address: SocketAddr) {
        self.node.handle_dial_failed(self.micros(), address);
    }

    /// Bytes have come. `false` if the node takes no more of this connection.
    pub fn receive(&mut self, connection: u32, mut bytes: &[u8]) -> bool {
        let id = ConnectionId(connection);
        while !bytes.is_empty() {
            let space = self.node.receive_space(id);
            let count = space.len().min(bytes.len());
            if count == 0 {
                return false;
            }
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.node.handle_received(self.micros(), id, count);
        }
        true
    }

    /// What membership says.
    pub fn hint(&mut self, hint: Hint) {
        let change = match hint {
            Hint::Up(address) => MemberChange::Up(address),
            Hint::Down(address) => MemberChange::Down(address),
            Hint::Left(address) => MemberChange::Left(address),
        };
        self.node.handle_member(self.micros(), change);
    }

    /// The seeds, as they resolve now.
    pub fn seeds(&mut self, addresses: &[SocketAddr]) {
        self.node.handle_seeds(self.micros(), addresses);
    }

    /// Time has passed.
    pub fn timeout(&mut self) {
        self.node.handle_timeout(self.micros());
    }

    /// The own ring has grown.
    pub fn changed(&mut self) {
        self.node.handle_changes(self.micros());
    }

    /// Begins to leave.
    pub fn leave(&mut self, within_us: u64) {
        let now = self.micros();
        self.node.leave(now, now.plus(within_us));
    }

    /// Whether it has left.
    pub fn has_left(&self) -> bool {
        self.node.departure().is_some()
    }

    /// The next thing that its driver would do.
    pub fn order(&mut self) -> Option<Order> {
        while self.node.poll_event().is_some() {}
        Some(match self.node.poll_action()? {
            Action::Dial(address) => Order::Dial(address),
            Action::Close(connection, _) => Order::Close(connection.0),
        })
    }

    /// When it wants to be told that time has passed, on its own clock.
    pub fn deadline(&self) -> Option<u64> {
        self.node.poll_timeout().map(|at| at.0)
    }

    /// The next batch of a connection.
    pub fn transmit(&mut self, connection: u32) -> Option<Vec<u8>> {
        let id = ConnectionId(connection);
        if !self.node.wants_to_send(id) {
            return None;
        }
        self.transmit.clear();
        let any = self.node.poll_transmit(self.micros(), id, &mut self.transmit);
        let bytes = any.then(|| self.transmit.slices().flatten().copied().collect());
        self.transmit.clear();
        bytes
    }

    /// How far it has come: 0 held, 1 joining, 2 serving, 3 complete.
    pub fn readiness(&self) -> u8 {
        match self.node.readiness() {
            Readiness::Held => 0,
            Readiness::Joining => 1,
            Readiness::Serving => 2,
            Readiness::Complete => 3,
        }
    }

    /// Whether what others have written is here for good: no sync is under way, and none that was cut off has left anything.
    pub fn is_settled(&self) -> bool {
        self.node.is_settled()
    }

    /// Whether it receives a sync.
    pub fn is_syncing(&self) -> bool {
        self.node.is_syncing()
    }

    /// Figures by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.node.counters().named()
    }

    /// Peers whose handshake is done.
    pub fn peers(&self) -> Vec<String> {
        self.node.members(self.micros()).into_iter().map(|member| member.name).collect()
    }

    /// Bytes that the node keeps on the heap for its protocol.
    pub fn heap_bytes(&self) -> usize {
        self.node.heap_bytes()
    }

    /// The stream that it writes now.
    pub fn stream(&self) -> StreamNumber {
        let StreamId { origin: Origin(origin), incarnation: Incarnation(incarnation) } = self.store.stream();
        (origin, incarnation)
    }

    /// Behind its last change.
    pub fn end(&self) -> u64 {
        self.store.end().0
    }

    /// How far it has applied each stream.
    pub fn applied(&self) -> Vec<(StreamNumber, u64)> {
        let plain = |(stream, at): (StreamId, Position)| ((stream.origin.0, stream.incarnation.0), at.0);
        self.node.applied().iter().map(plain).collect()
    }

    /// Stores a value, as a caller of this node: its version, and whether it was stored or refused. `None`: closed.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Option<(Version, bool)> {
        let engine = self.store.engine();
        let key = Key::new(KeyspaceId::RAW, key)?;
        let (_writing, guard) = engine.begin_write()?;
        let version = engine.next_version(&Ordering::default());
        let entry = Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local };
        let stored = engine.store(guard, &engine.seek(key), value, &entry).is_ok();
        Some((version, stored))
    }

    /// Takes an entry out, as a caller of this node; the version of the removal.
    pub fn remove(&mut self, key: &[u8]) -> Option<Version> {
        let engine = self.store.engine();
        let key = Key::new(KeyspaceId::RAW, key)?;
        let (_writing, guard) = engine.begin_write()?;
        engine.remove_and_tell(guard, &engine.seek(key)).1
    }

    /// Clears the cache, as a caller of this node; the moment at which it did.
    pub fn clear(&mut self) -> Option<u64> {
        let engine = self.store.engine();
        let (_writing, _guard) = engine.begin_write()?;
        Some(engine.clear_all().0)
    }

    /// What a read gets: the value and its version.
    pub fn read(&self, key: &[u8]) -> Option<(Vec<u8>, Version)> {
        let engine = self.engine();
        let key = Key::new(KeyspaceId::RAW, key)?;
        let guard = engine.pin();
        let hit = engine.get(&guard, &engine.aim(engine.seek(key)))?;
        Some((engine.value(&guard, &hit).to_vec(), engine.version(&hit)))
    }

    /// Entries that reads can find.
    pub fn len(&self) -> u64 {
        self.engine().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Does one step of housekeeping, whatever the time of the machine is.
    pub fn maintain(&self) {
        self.engine().maintain(Duration::ZERO);
    }

    /// Ends it in order.
    pub fn close(self) {
        drop(self.engine().seal());
    }
}
