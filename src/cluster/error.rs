//! Why a cluster could not be started, a wait was not met, or a leave left something behind.

#![forbid(unsafe_code)]

use crate::cluster::member::Lag;
use crate::types::version::Version;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a node could not be started. The cache goes on without a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A name is empty or too long. Names of nodes differ, the cluster's is the same on all of them.
    #[error("{setting} of {bytes} bytes is outside of 1 to {max} bytes: {text:?}")]
    Name {
        /// `name` or `cluster`.
        setting: &'static str,
        /// The name.
        text: String,
        /// Its length.
        bytes: usize,
        /// The longest.
        max: usize,
    },
    /// What is listened on is an address and a port, like `0.0.0.0:7400` or `[::]:7400`; names are not looked up.
    #[error("listen {text:?} is no address with a port, like 0.0.0.0:7400")]
    ListenAddress {
        /// What was given.
        text: String,
    },
    /// The address can not be listened on: it is taken, or not of this host.
    #[error("listen {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The protocol, and what the operating system says.
        reason: String,
    },
    /// Nobody can reach an address without a host or a port. Leave it out, or give one that the other nodes can reach.
    #[error("advertise {address} can not be reached: it has no host or no port")]
    Advertise {
        /// The address.
        address: SocketAddr,
    },
    /// A seed is a host or an address, and a port. That it can not be resolved is no error.
    #[error("seed {text:?} is no host with a port, like users.svc:7400 or 10.0.0.7:7400")]
    Seed {
        /// What was given.
        text: String,
    },
    /// More seeds than any cluster needs. One name may stand for all nodes.
    #[error("{count} seeds, at most {max} are taken")]
    Seeds {
        /// How many were given.
        count: usize,
        /// The most.
        max: usize,
    },
    /// Without a secret anybody who reaches the port reads and writes the cache. Give one with `secrets`, or choose
    /// `insecure_plaintext` on a loopback address.
    #[error("no secret for {listen}: give one with secrets, or insecure_plaintext on a loopback address")]
    NoSecret {
        /// What would be listened on.
        listen: SocketAddr,
    },
    /// A secret is too short to be one, or too long, or there are too many. During a rotation there are two.
    #[error("secrets: {reason}")]
    Secrets {
        /// What was met, and the bounds.
        reason: String,
    },
    /// Secrets were given, and plaintext asked for. Leave one of them out.
    #[error("secrets and insecure_plaintext exclude each other")]
    SecretsAndPlaintext,
    /// Plaintext leaves no host. Use a loopback address, or secrets.
    #[error("insecure_plaintext is for loopback addresses, and {setting} is {address}")]
    PlaintextAddress {
        /// `listen`, `advertise` or `seed`.
        setting: &'static str,
        /// What was given.
        address: String,
    },
    /// This cache is in a cluster already. Use that one, or drop all its handles first.
    #[error("the cache is in a cluster already")]
    AlreadyStarted,
    /// The cache was closed.
    #[error("the cache was closed")]
    Closed,
    /// The arena has no room for what a node keeps beside its entries: readers or pins hold them. Let go, and try again.
    #[error("no room for {pages} pages of floors and changes: readers or pins hold entries")]
    NoRoom {
        /// Pages that are needed.
        pages: u32,
    },
    /// Writes that began before the start did not end within a second. Try again.
    #[error("{threads} threads stayed inside a write that began before")]
    WritesUnderWay {
        /// Threads that stayed inside.
        threads: u32,
    },
    /// The cache keeps its values on the heap, as `also-cache compare` has it: what lies in its arena can not be sent.
    #[cfg(feature = "values-on-heap")]
    #[doc(hidden)]
    #[error("a cache with values on the heap can not be in a cluster")]
    ValuesOnHeap,
    /// The operating system refused a thread or a poller.
    #[error("{what}: {error}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the operating system says.
        error: std::io::Error,
    },
}

/// Why something that other nodes do was not waited for to the end. What was written stays written, and goes on its way.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over. Wait again, go on without, or look at [`crate::Cluster::lag`] for who is behind.
    #[error("not replicated after {waited:?}: {confirmed} of {wanted} nodes have it")]
    NotReplicated {
        /// How long was waited.
        waited: Duration,
        /// Nodes that have it.
        confirmed: usize,
        /// Nodes that were asked for.
        wanted: usize,
    },
    /// The time is over, and what the token covers has not come. Read from the database.
    #[error("not applied after {waited:?}: what the token covers has not come")]
    NotApplied {
        /// How long was waited.
        waited: Duration,
    },
    /// Only what this node has written since it was started can be waited for by its version: changes of an earlier life go
    /// in a stream of their own. A token is for what others have written.
    #[error("version {version} was not written by this node since it was started")]
    NotOwn {
        /// The version.
        version: Version,
    },
    /// So many calls wait already that one more would only wait for them.
    #[error("{max} calls wait already")]
    TooManyWaits {
        /// The most.
        max: usize,
    },
    /// The node has left the cluster.
    #[error("the node has left the cluster")]
    Left,
}

/// What a node left behind when it left, or why that is not known.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// The time is over, and not every node has confirmed everything. The arena keeps the rest: if it is opened again
    /// under the same name, it is offered before anything new.
    #[error("left after {waited:?} with {left} unconfirmed by {members} nodes")]
    Unconfirmed {
        /// How long was waited.
        waited: Duration,
        /// What is unconfirmed, of the node that is furthest behind.
        left: Lag,
        /// How many nodes have not confirmed everything.
        members: usize,
    },
    /// It had left before.
    #[error("the node had left before")]
    Left,
    /// The network thread is held up, by a waker that does not return for example. It leaves as soon as it goes on.
    #[error("the network thread has not answered within {waited:?}")]
    NoAnswer {
        /// How long was waited: the time that it was given, and a second.
        waited: Duration,
    },
}
