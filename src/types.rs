//! Plain values with their rules and no behaviour beyond them.
//!
//! ```text
//!   handle    which slot, and the word in the index that names it
//!   key       key space + bytes, and their hash
//!   version   stamps, what is newer than what
//!   stream    who changed something, in which life, and how far
//!   token     what one node had written, in a form that travels
//!   clock     where stamps and the time of day of the cache come from
//!   checksum  CRC32C over a frame
//!   limits    every bound in one place
//! ```

#![forbid(unsafe_code)]

pub(crate) mod checksum;
pub(crate) mod clock;
pub(crate) mod handle;
pub(crate) mod key;
pub mod limits;
pub(crate) mod stream;
pub(crate) mod token;
pub(crate) mod version;
