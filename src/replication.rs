//! Replication: every change goes to the peers, and a node that missed some catches up.
//!
//! ```text
//!   store    what replication asks of the engine
//!   wire     frames as bytes
//! ```

#![forbid(unsafe_code)]

pub(crate) mod store;
#[expect(dead_code, unused_imports, reason = "its callers are on their way")]
pub(crate) mod wire;
