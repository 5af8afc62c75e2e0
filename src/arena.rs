//! The arena: pages of slots in a region, and who may take which slot.
//!
//! ```text
//!   +--------------+--------------+------------------------+-----------------------------------------+
//!   | superblock A | superblock B | page descriptors 64 B  | pages, each of one kind                 |
//!   +--------------+--------------+------------------------+-----------------------------------------+
//!                                   sparse: room for 16 x    data (one size class) | large | index | ...
//!
//!   layout    offsets and page size from a capacity        classes   slot sizes
//!   frame     the immutable bytes of a slot                slot      its states           control   the word of them
//!   page      what each page is                            entry     a frame, read where it lies
//!   free      its free slots                               reclaim   retired slots that wait for readers
//!   turnover  its life from free to free                   large     contiguous blocks for large values
//!   change    what was done to a key    ring  of changes   received  a frame from elsewhere, checked
//!   floors    what absent keys may not become             cluster_header  who this arena was, how far it came
//!   header    the superblocks     descriptor  of pages     pin       counted pins with a budget
//! ```
//!
//! Free space is never stored in the file: it is derived from the control words, page by page, after an open.

pub(crate) mod change;
pub(crate) mod classes;
pub(crate) mod cluster_header;
mod control;
mod descriptor;
mod entry;
pub(crate) mod floors;
pub(crate) mod frame;
mod free;
pub(crate) mod header;
pub(crate) mod large;
pub(crate) mod layout;
#[cfg(loom)]
pub mod model;
pub(crate) mod page;
pub(crate) mod pin;
pub(crate) mod received;
pub(crate) mod reclaim;
pub(crate) mod ring;
pub(crate) mod slot;
mod turnover;
