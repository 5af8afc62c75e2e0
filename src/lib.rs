//! An embedded cache in an mmap-backed slab arena.

mod arena;
mod eviction;
mod region;
mod sync;
mod types;

/// For the models in `loom-tests`; exists under loom only.
#[cfg(loom)]
#[doc(hidden)]
pub mod loom_internals {
    pub use crate::eviction::loom_internals as eviction;
}
