//! Shared secrets, and the keys made of them.
//!
//! ```text
//!   root     = BLAKE2s("also-cache secret 1" | length of cluster name | cluster name | secret)
//!   key      = BLAKE2s keyed with root: "noise" -> 32 bytes,   "datagram" -> 32 bytes,   "datagram name" -> 4 bytes
//!
//!   [new, old]      sent with: new        accepted: new, old          while secrets are exchanged node by node
//! ```
//!
//! One label, one use: no key serves two. The name of a datagram key goes in the clear, so that a receiver need not try
//! all of its keys on what it can not open anyway.

#![forbid(unsafe_code)]

use crate::sync::Arc;
use crate::types::limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRETS_MAX};
use blake2::digest::{FixedOutput, Mac};
use blake2::{Blake2s256, Blake2sMac256, Digest};
use std::fmt;
use zeroize::Zeroizing;

/// What all nodes of a cluster know and nobody else does. Wiped when dropped, never printed.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

/// Secrets that are not taken. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SecretError {
    /// Too short to be safe, or too long to be a secret.
    #[error("a secret of {bytes} bytes; {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are taken")]
    Length { bytes: usize },
    /// None, or more than a rotation needs.
    #[error("{count} secrets; 1 to {SECRETS_MAX} are taken")]
    Count { count: usize },
}

impl Secret {
    /// A secret of these bytes, or of the bytes of this text.
    pub(crate) fn new(secret: impl AsRef<[u8]>) -> Result<Self, SecretError> {
        let bytes = secret.as_ref();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(SecretError::Length { bytes: bytes.len() });
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The keys of a cluster's secrets, in the order in which the secrets were given. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Secrets {
    keys: Arc<[Keys]>,
    cluster: u64,
}

/// What one secret is used for.
pub(super) struct Keys {
    pub(super) noise: Zeroizing<[u8; 32]>,
    pub(super) datagram: Zeroizing<[u8; 32]>,
    /// Says in the clear which key seals a datagram.
    pub(super) datagram_name: u32,
}

impl Secrets {
    /// The first secret is the one to send with; all are accepted.
    pub(crate) fn new(secrets: &[Secret], cluster: &str) -> Result<Self, SecretError> {
        if !(1..=SECRETS_MAX).contains(&secrets.len()) {
            return Err(SecretError::Count { count: secrets.len() });
        }
        let keys = secrets.iter().map(|secret| Keys::of(secret, cluster)).collect();
        Ok(Self { keys, cluster: xxhash_rust::xxh3::xxh3_64(cluster.as_bytes()) })
    }

    /// How many there are: one at least.
    pub(crate) fn count(&self) -> u32 {
        self.keys.len() as u32
    }

    /// The keys to send with.
    pub(super) fn first(&self) -> &Keys {
        &self.keys[0]
    }

    /// The keys to dial with: the first, and after each refusal the next.
    pub(super) fn of_attempt(&self, attempt: u32) -> &Keys {
        &self.keys[attempt as usize % self.keys.len()]
    }

    /// All that are accepted.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Keys> {
        self.keys.iter()
    }

    /// The hash of the cluster's name, as frames carry it.
    pub(super) fn cluster(&self) -> u64 {
        self.cluster
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} of cluster {:016x})", self.keys.len(), self.cluster)
    }
}

impl Keys {
    fn of(secret: &Secret, cluster: &str) -> Self {
        let root = Blake2s256::new()
            .chain_update(b"also-cache secret 1")
            .chain_update((cluster.len() as u64).to_le_bytes())
            .chain_update(cluster)
            .chain_update(&*secret.0);
        let root = Zeroizing::new(<[u8; 32]>::from(root.finalize_fixed()));
        let name = derive(&root, b"datagram name");
        Self {
            noise: derive(&root, b"noise"),
            datagram: derive(&root, b"datagram"),
            datagram_name: u32::from_le_bytes([name[0], name[1], name[2], name[3]]),
        }
    }
}

/// The key of one label.
fn derive(root: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let keyed = <Blake2sMac256 as Mac>::new_from_slice(root).expect("32 bytes are a key of BLAKE2s");
    Zeroizing::new(keyed.chain_update(label).finalize_fixed().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str, cluster: &str) -> Keys {
        Keys::of(&Secret::new(secret).expect("a secret"), cluster)
    }

    #[test]
    fn a_secret_is_neither_short_nor_long() {
        assert_eq!(Secret::new([1; 15]).err(), Some(SecretError::Length { bytes: 15 }));
        assert_eq!(Secret::new([1; 1025]).err(), Some(SecretError::Length { bytes: 1025 }));
        assert!(Secret::new([1; 16]).is_ok() && Secret::new([1; 1024]).is_ok());
        assert_eq!(Secrets::new(&[], "c").err(), Some(SecretError::Count { count: 0 }));
        let secret = Secret::new([1; 16]).expect("a secret");
        assert_eq!(Secrets::new(&vec![secret; 5], "c").err(), Some(SecretError::Count { count: 5 }));
    }

    #[test]
    fn every_use_has_a_key_of_its_own() {
        let [one, other] = ["c", "d"].map(|cluster| keys("0123456789abcdef", cluster));
        let mut all = vec![*one.noise, *one.datagram, *other.noise, *other.datagram];
        all.push(*keys("0123456789abcdeg", "c").noise);
        // The border between name and secret is part of what is hashed.
        all.push(*keys("10123456789abcdef", "c").noise);
        all.push(*keys("0123456789abcdef", "c1").noise);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(*one.noise, *keys("0123456789abcdef", "c").noise);
    }

    #[test]
    fn printing_shows_no_secret() {
        let secret = Secret::new("correct horse battery").expect("a secret");
        let secrets = Secrets::new(std::slice::from_ref(&secret), "c").expect("secrets");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert!(format!("{secrets:?}").starts_with("Secrets(1 of cluster "));
    }
}
