//! Replication: every change goes to the peers, and a node that missed some catches up.
//!
//! ```text
//!   store    what replication asks of the engine
//!   wire     frames as bytes
//!   session  one connection: frames in, batches out
//!   node     all that a member of a cluster decides, without sockets or clocks
//! ```

#![forbid(unsafe_code)]

pub(crate) mod node;
pub(crate) mod session;
pub(crate) mod store;
#[expect(dead_code, unused_imports, reason = "its callers are on their way")]
pub(crate) mod wire;
