//! An embedded cache in an mmap-backed slab arena.

mod arena;
mod engine;
mod eviction;
mod index;
mod region;
mod sync;
mod types;

/// What the models in `loom-tests/` see of the crate's inside.
#[cfg(loom)]
#[doc(hidden)]
pub mod loom_internals {
    pub use crate::eviction::loom_internals as eviction;
    pub use crate::index::model as index;
}
