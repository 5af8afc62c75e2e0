//! The public replicated API: a node of a cluster around a cache.
//!
//! ```text
//!   builder   settings -> Cluster     handle    what every clone shares, and the end
//!   wait      replicated, applied, tokens: each for threads and for tasks
//!   member    who is there, how far behind         event, events    what happened, for any number of readers
//!   token     what a session carries               policy           what to do when others are not heard
//!   stats     figures, which publish hands to `metrics` where that feature is on
//!   seed      where to look                      error            why something was not done
//! ```
//!
//! Every call but those that wait answers at once from what the network thread last said.

#![forbid(unsafe_code)]

mod builder;
mod error;
mod event;
mod events;
mod handle;
mod member;
mod policy;
#[cfg(feature = "metrics")]
mod publish;
mod seed;
mod stats;
mod wait;

pub use crate::replication::driver::waits::Acks;
pub use crate::replication::membership::Resolver;
pub use builder::ClusterBuilder;
pub use error::{LeaveError, StartError, WaitError};
pub use event::{Event, SyncKind};
pub use events::Events;
pub use handle::Cluster;
pub use member::{Lag, Member, MemberState, Readiness};
pub use policy::{OnIsolated, OnOriginLost};
pub use stats::ClusterStats;
