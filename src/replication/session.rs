//! One connection to a peer: its states, its frames in and out, what was heard and said.
//!
//! ```text
//!   time        moments that are handed in
//!   transmit    a batch on its way out
//! ```

#![forbid(unsafe_code)]

pub(crate) mod time;
pub(crate) mod transmit;
