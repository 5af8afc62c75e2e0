//! The driver: sockets and one thread around the node, membership and security.
//!
//! ```text
//!   handles --- commands, waits ---> +----------- also-cache-net ------------+ <=== TCP ===> other nodes
//!           <-- status, events ----  |  node   membership   channels  (net)  | <=== UDP ===>
//!   writers --- doorbell ----------> +---------------------------------------+
//!                                       ^ addresses
//!                                    also-cache-dns: names of seeds
//!
//!   net        the thread's rounds                       traffic    bytes in and out of a connection
//!   arrivals   connections that begin and end            gossip     datagrams, membership, seeds
//!   report     commands, status, the end                 resolving  names, on their own thread
//!   sockets    sockets and their options                 connection, spill     one connection
//!   shared, applied, log, waits, wake, pace, deadlines, counters, happening, told
//! ```
//!
//! The only user of mio. No decision about the protocol is taken here: bytes and times go in, and what comes out is done.

#![forbid(unsafe_code)]

mod applied;
mod arrivals;
mod connection;
pub(crate) mod counters;
mod deadlines;
mod gossip;
pub(crate) mod happening;
pub(crate) mod log;
mod net;
mod pace;
mod report;
mod resolving;
pub(crate) mod shared;
mod sockets;
mod spill;
mod told;
mod traffic;
pub(crate) mod waits;
mod wake;

use crate::replication::driver::gossip::Gossip;
use crate::replication::driver::net::{ALARM, Net};
use crate::replication::driver::pace::Pace;
use crate::replication::driver::resolving::ResolvingThread;
use crate::replication::driver::shared::Shared;
use crate::replication::driver::sockets::Listening;
use crate::replication::driver::wake::Alarm;
use crate::replication::membership::{Membership, MembershipSettings, OwnIdentity, Resolver};
use crate::replication::node::Node;
use crate::replication::node::api::NodeConfig;
use crate::replication::security::{Admission, Datagrams, Entropy, Protection, Rates, Secrets};
use crate::replication::session::time::Micros;
use crate::replication::store::Store;
use crate::sync::Arc;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use crate::replication::driver::sockets::listen;

/// What a driver needs to know.
pub(crate) struct Settings {
    /// The node's, but for its address and its seed of randomness.
    pub(crate) node: NodeConfig,
    pub(crate) advertise: Option<SocketAddr>,
    /// Addresses, and names with a port.
    pub(crate) seeds: Vec<String>,
    /// `None`: plaintext, which leaves no host.
    pub(crate) secrets: Option<Secrets>,
    pub(crate) resolver: Box<dyn Resolver>,
}

/// Why a driver could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub(crate) struct StartFailure {
    pub(crate) what: &'static str,
    pub(crate) error: io::Error,
}

/// The running threads. Dropping it makes the node leave at once, and waits for its thread.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
    _resolving: ResolvingThread,
}

impl Driver {
    /// Starts a node on sockets that listen already.
    pub(crate) fn start(settings: Settings, listening: Listening, store: Store) -> Result<Self, StartFailure> {
        let address = listening.address;
        let (seeds, resolver) = (settings.seeds, settings.resolver);
        let net = assemble(settings.node, settings.advertise, settings.secrets, listening, store);
        let mut net = net.map_err(|error| StartFailure { what: "the poller", error })?;
        net.take_seeds(net.now(), &resolving::addresses(&seeds));
        let shared = net.shared.clone();
        if let Some(node) = net.store.engine().replicated() {
            let woken = shared.clone();
            node.set_sleeper(Some(Box::new(move || woken.alarm.wake())));
        }
        let resolving = ResolvingThread::start(&seeds, resolver, shared.clone());
        let resolving = resolving.map_err(|error| StartFailure { what: "the resolving thread", error })?;
        let thread = std::thread::Builder::new().name("also-cache-net".to_owned()).spawn(move || net.run());
        let thread = thread.map_err(|error| StartFailure { what: "the network thread", error })?;
        Ok(Self { shared, address, thread: Some(thread), _resolving: resolving })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What is listened on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Ended already: there is nothing to leave.
        let _ = self.shared.leave(Duration::ZERO);
        // A waker that the thread itself calls may drop the last handle.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Puts the thread's parts together.
fn assemble(
    mut node: NodeConfig,
    advertise: Option<SocketAddr>,
    secrets: Option<Secrets>,
    listening: Listening,
    store: Store,
) -> io::Result<Net> {
    let poll = mio::Poll::new()?;
    let shared = Arc::new(Shared::new(Alarm::new(mio::Waker::new(poll.registry(), ALARM)?)));
    let now = Micros(store.engine().clock().fine_us());
    let bound = listening.address;
    // An address that stands for all of the host's is none that others could use.
    let advertised = advertise.or((!bound.ip().is_unspecified()).then_some(bound));
    let (entropy, incarnation) = (Entropy::of_system()?, store.stream().incarnation);
    let protection = secrets.clone().map_or(Protection::Plain, Protection::Sealed);
    let datagrams = Datagrams::new(protection, &node.name, incarnation, &entropy);
    let own = OwnIdentity { name: &node.name, incarnation, address: advertised };
    // Another number than the salt of the datagrams, which everybody sees.
    let seed = Entropy::of_system()?.number();
    let membership = Membership::new(&MembershipSettings::default(), &own, seed);
    let gossip = Gossip::new(listening.udp, membership, datagrams);
    node.advertised = Some(advertised.unwrap_or(bound));
    node.seed = seed;
    let seen = store.settled(store.streams().last().map_or(store.end(), |own| own.first));
    let mut net = Net {
        listener: listening.tcp,
        acceptable: true,
        accept_fails: false,
        bound,
        advertised,
        is_learned: false,
        node: Node::new(node, store.clone(), now),
        gossip,
        secrets,
        admission: Admission::new(Rates::default()),
        attempts: Default::default(),
        connections: Default::default(),
        next_id: 0,
        first: 0,
        order: Vec::new(),
        transmit: Default::default(),
        deadlines: Default::default(),
        waits: Default::default(),
        leaving: None,
        seen,
        pace: Pace::new(now, seen),
        refusals: Default::default(),
        told_addresses: Default::default(),
        told_refusals: Default::default(),
        told_names: Default::default(),
        happened: Vec::new(),
        status_due: now,
        shared,
        store,
        poll,
    };
    net.listen()?;
    net.listen_for_datagrams()?;
    Ok(net)
}
