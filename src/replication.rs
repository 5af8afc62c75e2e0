//! Replication: every change goes to the peers, and a node that missed some catches up.
//!
//! ```text
//!   store    what replication asks of the engine
//! ```

#![forbid(unsafe_code)]

pub(crate) mod driver;
pub(crate) mod store;
