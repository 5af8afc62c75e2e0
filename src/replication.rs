//! Replication: every change goes to the peers, and a node that missed some catches up.
//!
//! ```text
//!   store        what replication asks of the engine
//!   wire         frames as bytes
//!   security     who may speak: shared secrets, the channel over a connection, sealed datagrams, limits on knocking
//!   membership   who is there: probes and gossip over datagrams, by foca, without a socket
//! ```

#![forbid(unsafe_code)]

pub(crate) mod membership;
pub(crate) mod security;
pub(crate) mod store;
#[cfg_attr(not(any(test, fuzzing)), expect(dead_code, unused_imports, reason = "its callers are on their way"))]
pub(crate) mod wire;
