//! Datagrams: each sealed, numbered, and taken once.
//!
//! ```text
//! byte 0       2         3      4          8          16            24         32       40      n - 16   n
//!      +-------+---------+------+----------+----------+-------------+----------+--------+-------+--------+
//!      | magic | version | kind | key name | sender   | incarnation | counter  | salt   | body  | seal   |
//!      +-------+---------+------+----------+----------+-------------+----------+--------+-------+--------+
//!      |<----------------- bound into the seal, in the clear -------------------------->|sealed |
//!                                                     |<---------- nonce -------------->|
//!
//!   kind 1  sealed: XChaCha20-Poly1305, 16 bytes of seal
//!   kind 2  plain, on loopback: CRC32C over all before it, 4 bytes of seal; key name and salt are 0
//! ```
//!
//! A nonce must never come twice under one key: the counter rises within a life, the incarnation with each life, and the
//! salt is random for each life, so even two copies of one node differ.
//!
//! What comes is checked in order of cost: length, kind and key name, then the seal, and only then the window of its
//! sender. A sealing node takes no plain datagram, nor the reverse.
//!
//! Source: RFC 8439, draft-irtf-cfrg-xchacha-03.

#![forbid(unsafe_code)]

use super::entropy::Entropy;
use super::secret::{Keys, Secrets};
use super::window::Windows;
use crate::sync::bite;
use crate::types::checksum;
use crate::types::limits::DATAGRAM_BYTES_MAX;
use crate::types::stream::Incarnation;
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What protects datagrams.
#[derive(Clone, Debug)]
pub(crate) enum Protection {
    /// The keys of these secrets.
    Sealed(Secrets),
    /// Nothing but a checksum: loopback only, by explicit choice.
    Plain,
}

/// Seals what one node sends, and opens what it gets.
#[derive(Debug)]
pub(crate) struct Datagrams {
    protection: Protection,
    sender: u64,
    incarnation: Incarnation,
    salt: u64,
    counter: u64,
    windows: Windows,
}

/// Why a datagram was not taken. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DatagramRefusal {
    /// Longer than any node sends.
    #[error("a datagram of {bytes} bytes; {DATAGRAM_BYTES_MAX} are the most")]
    TooLong { bytes: usize },
    /// No datagram of this protocol, or cut short.
    #[error("bytes that are no datagram")]
    Malformed,
    /// Sealed where plain ones are taken, or plain where sealed ones are.
    #[error("another protection than this node's")]
    OtherProtection,
    /// Sealed with a key that this node does not have: another secret or another cluster.
    #[error("sealed with an unknown key")]
    UnknownKey,
    /// The seal is wrong: invented, or changed on its way.
    #[error("a wrong seal")]
    Forged,
    /// Seen before.
    #[error("seen before")]
    Replayed,
    /// So far behind that nobody knows any more whether it was seen.
    #[error("too far behind its sender's newest")]
    TooOld,
    /// Of an earlier life of a node that is known in a later one.
    #[error("of an earlier life of its sender")]
    FormerLife,
    /// This node's own: it has its own address among its seeds.
    #[error("this node's own")]
    Own,
}

impl DatagramRefusal {
    /// The name of its counter.
    pub(crate) fn counter(self) -> &'static str {
        match self {
            Self::TooLong { .. } => "datagrams_too_long",
            Self::Malformed => "datagrams_malformed",
            Self::OtherProtection => "datagrams_other_protection",
            Self::UnknownKey => "datagrams_unknown_key",
            Self::Forged => "datagrams_forged",
            Self::Replayed => "datagrams_replayed",
            Self::TooOld => "datagrams_too_old",
            Self::FormerLife => "datagrams_former_life",
            Self::Own => "datagrams_own",
        }
    }
}

impl Datagrams {
    /// For a node of this name in this life. The entropy makes its salt.
    pub(crate) fn new(protection: Protection, name: &str, incarnation: Incarnation, entropy: &Entropy) -> Self {
        let salt = if matches!(protection, Protection::Plain) { 0 } else { entropy.number() };
        let sender = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        Self { protection, sender, incarnation, salt, counter: 0, windows: Windows::default() }
    }

    /// Makes a datagram of a body of at most [`DATAGRAM_BODY_MAX`] bytes, in place of what `out` holds.
    pub(crate) fn seal(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), DatagramRefusal> {
        let bytes = HEADER_BYTES + body.len() + SEAL_BYTES;
        if bytes > DATAGRAM_BYTES_MAX {
            return Err(DatagramRefusal::TooLong { bytes });
        }
        self.counter += 1;
        let (kind, key_name) = match &self.protection {
            Protection::Sealed(secrets) => (SEALED, secrets.first().datagram_name),
            Protection::Plain => (PLAIN, 0),
        };
        let header = Header {
            magic: MAGIC.into(),
            version: VERSION,
            kind,
            key_name: key_name.into(),
            sender: self.sender.into(),
            incarnation: self.incarnation.0.into(),
            counter: self.counter.into(),
            salt: self.salt.into(),
        };
        out.clear();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(body);
        match &self.protection {
            Protection::Sealed(secrets) => {
                let (header, body) = out.split_at_mut(HEADER_BYTES);
                let sealed = cipher(secrets.first()).encrypt_in_place_detached(nonce(header), header, body);
                out.extend_from_slice(&sealed.expect("a body far below the cipher's limit"));
            }
            Protection::Plain => out.extend_from_slice(&checksum::extend(0, out).to_le_bytes()),
        }
        Ok(())
    }

    /// The body of a datagram, which is opened where it lies.
    pub(crate) fn open<'d>(&mut self, now_us: u64, datagram: &'d mut [u8]) -> Result<&'d [u8], DatagramRefusal> {
        let bytes = datagram.len();
        if bytes > DATAGRAM_BYTES_MAX {
            return Err(DatagramRefusal::TooLong { bytes });
        }
        let header = Header::read_from_prefix(datagram).map_err(|_| DatagramRefusal::Malformed)?.0;
        if header.magic.get() != MAGIC || header.version != VERSION || !matches!(header.kind, SEALED | PLAIN) {
            return Err(DatagramRefusal::Malformed);
        }
        let (sender, incarnation) = (header.sender.get(), Incarnation(header.incarnation.get()));
        let body = match (&self.protection, header.kind) {
            (Protection::Sealed(secrets), SEALED) => unseal(secrets, &header, datagram)?,
            (Protection::Plain, PLAIN) => check(datagram)?,
            _ => return Err(DatagramRefusal::OtherProtection),
        };
        if (sender, incarnation, header.salt.get()) == (self.sender, self.incarnation, self.salt) {
            return Err(DatagramRefusal::Own);
        }
        self.windows.note(now_us, sender, incarnation, header.counter.get())?;
        Ok(body)
    }
}

fn unseal<'d>(secrets: &Secrets, header: &Header, datagram: &'d mut [u8]) -> Result<&'d [u8], DatagramRefusal> {
    let (head, rest) = datagram.split_at_mut(HEADER_BYTES);
    let (body, seal) = rest.split_last_chunk_mut::<SEAL_BYTES>().ok_or(DatagramRefusal::Malformed)?;
    // Secrets whose keys have one name are one in four thousand million; all of that name are tried.
    let mut named = secrets.iter().filter(|keys| keys.datagram_name == header.key_name.get()).peekable();
    named.peek().ok_or(DatagramRefusal::UnknownKey)?;
    let seal = Tag::from_slice(seal);
    // The cipher changes the body only if the seal is right.
    if named.any(|keys| cipher(keys).decrypt_in_place_detached(nonce(head), head, body, seal).is_ok())
        || bite("security.seal-unchecked")
    {
        return Ok(body);
    }
    Err(DatagramRefusal::Forged)
}

fn check(datagram: &[u8]) -> Result<&[u8], DatagramRefusal> {
    let (checked, sum) = datagram.split_last_chunk().ok_or(DatagramRefusal::Malformed)?;
    let right = checksum::extend(0, checked) == u32::from_le_bytes(*sum) || bite("security.checksum-unchecked");
    let body = checked.get(HEADER_BYTES..).ok_or(DatagramRefusal::Malformed)?;
    if right { Ok(body) } else { Err(DatagramRefusal::Forged) }
}

fn cipher(keys: &Keys) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*keys.datagram).into())
}

/// Incarnation, counter and salt, as they lie in the header.
fn nonce(header: &[u8]) -> &XNonce {
    XNonce::from_slice(&header[NONCE_AT..HEADER_BYTES])
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: U16,
    version: u8,
    kind: u8,
    key_name: U32,
    sender: U64,
    incarnation: U64,
    counter: U64,
    salt: U64,
}

const MAGIC: u16 = u16::from_le_bytes(*b"aD");
const VERSION: u8 = 1;
const SEALED: u8 = 1;
const PLAIN: u8 = 2;
const HEADER_BYTES: usize = size_of::<Header>();
const NONCE_AT: usize = std::mem::offset_of!(Header, incarnation);
const SEAL_BYTES: usize = 16;
const _: () = assert!(HEADER_BYTES == 40 && NONCE_AT == 16 && HEADER_BYTES - NONCE_AT == 24);

/// Longest body of a datagram.
pub(crate) const DATAGRAM_BODY_MAX: usize = DATAGRAM_BYTES_MAX - HEADER_BYTES - SEAL_BYTES;
