//! A region: the bytes of one arena, mapped once and shared by all threads.
//!
//! ```text
//!   words, controls, bytes    atomics, any thread, any time
//!   payload                   plain bytes: written by one owner, then immutable until the slot is reused
//! ```
//!
//! All unsafe code about mapped memory is here. Offsets come in, references go out; no pointer is ever stored in the
//! region. Under loom a region is a table of modelled cells, made when first touched.

#[cfg(not(loom))]
mod mapped;
#[cfg(loom)]
mod model;

#[cfg(not(loom))]
pub(crate) use mapped::Region;
#[cfg(loom)]
pub(crate) use model::Region;
