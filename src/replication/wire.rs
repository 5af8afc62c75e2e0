//! The wire: frames as bytes. What they mean to a node, and when one is in its place, is not known here.
//!
//! ```text
//!              32                 bytes
//!   +----------------+------------------------+
//!   | FrameHeader    | body                   |   one frame; docs/PROTOCOL.md has every byte
//!   +----------------+------------------------+
//!
//!   out:   Hello, Heartbeat, .. .encode(.., &mut Vec<u8>)       RecordsBuilder, VerifyBuilder: frames that grow
//!   in:    socket -> FrameReader::space, filled -> next -> Message<'_>, which borrows what was received
//!
//!   header     the 32 bytes, kinds, versions          records       entries and clears in CHANGES, VERIFIED, SYNC_ENTRIES
//!   body       reading a body, field by field         chunk         a part of a large value
//!   list       counted lists: vectors, streams        hello         HELLO and REFUSE, the same in every version
//!   error      what can be wrong                      sync_frames   SYNC_REQUEST, SYNC_BEGIN, FLOORS, SYNC_END
//!   reader     bytes in, frames out                   verify        keys and versions that a node holds
//!                                                     messages      all others, and `Message` over all of them
//! ```
//!
//! Invariants: nothing is handed out of a frame before its checksum and every length in it were found right. Nothing that
//! a peer says makes a reader allocate more than one frame. Encoding what was decoded gives the same bytes.

#![forbid(unsafe_code)]

pub(crate) mod body;
pub(crate) mod chunk;
#[cfg(any(test, fuzzing))]
mod echo;
pub(crate) mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub(crate) mod header;
pub(crate) mod hello;
pub(crate) mod list;
pub(crate) mod messages;
pub(crate) mod reader;
pub(crate) mod records;
pub(crate) mod sync_frames;
#[cfg(test)]
mod tests;
pub(crate) mod verify;

pub(crate) use chunk::{Chunk, ChunkHead};
pub(crate) use error::DecodeError;
#[cfg(test)]
pub(crate) use header::{HEADER_BYTES, Kind};
pub(crate) use header::{PROTOCOL, StreamChecksum, negotiate};
pub(crate) use hello::{Hello, NodeFlags, Reason, Refuse};
pub(crate) use list::{List, Positions};
pub(crate) use messages::{Ack, Goodbye, Heartbeat, Message, NotCovered, Subscribe, Unsubscribe};
pub(crate) use reader::FrameReader;
pub(crate) use records::{Changes, Placed, Record, RecordBody, Records, RecordsBuilder, SyncEntries, Verified};
pub(crate) use sync_frames::{Floors, SyncBegin, SyncEnd, SyncRequest};
pub(crate) use verify::{Verify, VerifyBuilder};
