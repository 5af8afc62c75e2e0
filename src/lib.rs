//! An embedded cache in an mmap-backed slab arena.

mod arena;
mod region;
mod sync;
mod types;
