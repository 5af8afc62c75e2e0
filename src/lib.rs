//! An embedded cache in an mmap-backed slab arena that survives `kill -9` warm.
//!
//! ```text
//!   Cache::builder() -> Builder -> open -> Cache       clones are one cache; recovery() says how it came up
//!
//!   read     get -> Value (a guard: short)   read (a closure)   get_pinned -> PinnedValue (kept, sent)   get_many   reader
//!   write    insert   insert_with(InsertOptions)   reserve -> Reservation -> commit   remove   clear
//!   look     stats -> Stats   explain -> Explanation   recovery -> Recovery   len   iter
//!
//!   Cluster::builder(&cache) -> ClusterBuilder -> start -> Cluster      every change goes to the other nodes, and theirs come
//!
//!   wait     wait_replicated(Acks)   token -> Token -> get_after   flush   each with an async twin
//!   look     readiness   members -> Member   lag -> Lag   events -> Events   stats -> ClusterStats
//!   end      leave, or drop
//! ```
//!
//! Begin at [`Cache`], then [`Cluster`]. What is promised, what a restart keeps and the limits stand in the README; how it works stands in
//! `docs/ARCHITECTURE.md`.

#![cfg_attr(loom, expect(dead_code, reason = "the models reach a part of the crate"))]

mod arena;
#[cfg(not(loom))]
mod cache;
#[cfg(not(loom))]
mod cluster;
mod engine;
mod eviction;
mod index;
#[cfg(not(loom))]
pub mod inspect;
mod region;
#[cfg(not(loom))]
mod replication;
#[cfg(all(debug_assertions, not(loom)))]
#[doc(hidden)]
pub mod simulation;
mod sync;
mod types;

#[cfg(not(loom))]
pub use cache::{
    Answer, Builder, Bytes, Cache, ClassStats, Explanation, InsertError, InsertOptions, InsertVersion, Load, LoadError,
    LoadMany, Loaded, OpenError, PinnedValue, Place, Reader, Reservation, Stats, Value,
};
#[cfg(not(loom))]
pub use cluster::{
    Acks, Cluster, ClusterBuilder, ClusterStats, Event, Events, Lag, LeaveError, Member, MemberState, OnIsolated,
    OnOriginLost, Readiness, Resolver, StartError, SyncKind, WaitError,
};
#[cfg(not(loom))]
pub use engine::recovery::{ColdReason, Recovery};
pub use types::clock::ManualClock;
pub use types::limits;
pub use types::token::{Token, TokenError};
pub use types::version::{Order, Version};

/// Failpoints, for tests of this crate; exists in debug builds only.
#[cfg(all(debug_assertions, not(loom)))]
#[doc(hidden)]
pub mod failpoint {
    pub use crate::sync::failpoint::{Action, NAMES, arm, arm_from_environment, disarm, hits};
}

/// What the models in `loom-tests/` see of the crate's inside.
#[cfg(loom)]
#[doc(hidden)]
pub mod loom_internals {
    pub use crate::arena::model as arena;
    pub use crate::arena::ring::model as ring;
    pub use crate::engine::model as engine;
    pub use crate::eviction::loom_internals as eviction;
    pub use crate::index::model as index;
}

/// What the targets in `tools/fuzz/` see of the crate's inside.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::replication::membership::fuzzing as membership;
    pub use crate::replication::security::fuzzing as security;
    pub use crate::replication::wire::fuzzing as wire;
}

/// Compiles the examples of the README and of the guide to deployment.
#[cfg(all(doctest, not(loom)))]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/DEPLOY.md")]
pub struct PageExamples;
