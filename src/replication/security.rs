//! Who may speak: shared secrets, and what they do to connections and datagrams.
//!
//! ```text
//!   "the secret of the user", cluster name
//!        |  BLAKE2s
//!        +--> key for Noise      --> Channel     TCP: handshake, then records, each sealed
//!        +--> key for datagrams  --> Datagrams   UDP: each sealed, numbered, seen once
//!
//!   Admission   before both: how often an address may knock, and how often be wrong
//! ```
//!
//! Nothing here has a socket, a clock or a random source: bytes, time and [`Entropy`] are arguments.
//!
//! What this protects: reading, changing, replaying, inventing. Everybody with the secret is trusted. A secret is used as
//! it is, without a slow hash: it should be random bytes (`openssl rand -base64 32`), not a word.

#![forbid(unsafe_code)]

mod admission;
mod channel;
mod datagram;
mod entropy;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod noise;
mod secret;
mod window;

pub(crate) use admission::{Admission, AdmissionCounters, Rates};
pub(crate) use channel::{Channel, ChannelError};
pub(crate) use datagram::{DATAGRAM_BODY_MAX, DatagramRefusal, Datagrams, Protection};
pub(crate) use entropy::Entropy;
pub(crate) use noise::CHANNEL_BYTES_MAX;
#[cfg(test)]
pub(crate) use noise::Noise;
pub(crate) use secret::{Secret, Secrets};

#[cfg(test)]
mod tests;
