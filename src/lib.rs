//! An embedded cache in an mmap-backed slab arena.
//!
//! See [`Cache`].

mod arena;
#[cfg(not(loom))]
mod cache;
mod engine;
mod eviction;
mod index;
mod region;
mod sync;
mod types;

#[cfg(not(loom))]
pub use cache::{
    Builder, Cache, ClassStats, Explanation, InsertError, InsertOptions, InsertVersion, OpenError, PinnedValue, Place,
    Reader, Reservation, Stats, Value,
};
#[cfg(not(loom))]
pub use engine::open::{ColdReason, Recovery};
pub use types::clock::ManualClock;
pub use types::limits;
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
    pub use crate::engine::model as engine;
    pub use crate::eviction::loom_internals as eviction;
    pub use crate::index::model as index;
}
