//! A region: the bytes of one arena, mapped once and shared by all threads.
//!
//! ```text
//!   words, controls, bytes    atomics, any thread, any time
//!   payload                   plain bytes: written by one owner, then immutable until the slot is reused
//!
//!   heap        zeroed allocation              models, tests, sanitizers
//!   anonymous   memory without a file          a cache that need not survive its process
//!   file        OpenedFile -> Region           open + lock, look at the superblock, then back and map
//! ```
//!
//! All unsafe code about mapped memory is here. Offsets come in, references go out; no pointer is ever stored in the
//! region. Under loom a region is a table of modelled cells, made when first touched.
//!
//! Invariant: a region is handed out only when each of its bytes outside of the declared holes is backed, so that no
//! store ends in SIGBUS, and a file stays locked for exactly as long as it is mapped.

#[cfg(not(loom))]
mod backing;
#[cfg(not(loom))]
mod boot;
#[cfg(all(test, not(loom)))]
mod conformance;
mod error;
#[cfg(not(loom))]
mod file;
mod kind;
#[cfg(not(loom))]
mod mapped;
#[cfg(not(loom))]
mod memory;
#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod pages;
#[cfg(not(loom))]
mod pressure;
#[cfg(not(loom))]
mod reservation;
#[cfg(not(loom))]
mod smaps;
#[cfg(not(loom))]
mod view;

#[cfg(not(loom))]
pub(crate) use boot::boot_id;
#[cfg(not(loom))]
pub(crate) use error::{MemoryLimit, RegionError};
#[cfg(not(loom))]
pub(crate) use file::OpenedFile;
#[cfg(not(loom))]
pub(crate) use kind::{FileIdentity, HUGE_PAGE};
#[cfg(not(loom))]
pub(crate) use mapped::Region;
#[cfg(loom)]
pub(crate) use model::{Line, Region, View};
#[cfg(not(loom))]
pub(crate) use view::{Line, View};

#[cfg(all(test, not(loom)))]
use kind::RegionKind;
#[cfg(all(test, not(loom)))]
use memory::MemoryProbe;
