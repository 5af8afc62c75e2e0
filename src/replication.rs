//! Replication: every change goes to the peers, and a node that missed some catches up.
//!
//! ```text
//!   store        what replication asks of the engine
//!   wire         frames as bytes
//!   session      one connection: frames in, batches out
//!   node         all that a member of a cluster decides, without sockets or clocks
//!   security     who may speak: shared secrets, the channel over a connection, sealed datagrams, limits on knocking
//!   membership   who is there: probes and gossip over datagrams, by foca, without a socket
//!   driver       sockets, and one thread around all of these
//! ```

#![forbid(unsafe_code)]

pub(crate) mod driver;
#[cfg(test)]
mod golden;
pub(crate) mod membership;
pub(crate) mod node;
pub(crate) mod security;
pub(crate) mod session;
pub(crate) mod store;
pub(crate) mod wire;
