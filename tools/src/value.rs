//! Keys and values that can be checked: whoever reads a value knows from its key alone whether it is right.
//!
//! ```text
//!   key    "also-cache:k" 12 | number u64                                              20 bytes
//!
//!   byte 0        8          16       20      24                              length
//!        +--------+----------+--------+-------+-------------------------------+
//!        | number | sequence | length | check | pattern of number, sequence   |   little endian
//!        +--------+----------+--------+-------+-------------------------------+
//! ```
//!
//! `check` covers the three fields before it, the pattern covers the rest to the last byte: a torn value, one of another
//! key, one cut short and one of an older write all show.

use crate::random::mix;
use std::fmt;

/// Bytes of a key made by [`key`].
pub(crate) const KEY_BYTES: usize = 20;

/// Shortest value that can describe itself.
pub(crate) const VALUE_BYTES_MIN: u64 = HEADER_BYTES as u64;

/// The key of a number.
#[inline]
pub(crate) fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut bytes = *b"also-cache:k00000000";
    bytes[PREFIX_BYTES..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The number of a key, `None` if it was not made by [`key`].
pub(crate) fn key_number(key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(b"also-cache:k")?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

/// The length that belongs to a key and a write of it, spread evenly over `shortest..=longest`.
pub(crate) fn length(number: u64, sequence: u64, shortest: u64, longest: u64) -> usize {
    let spread = longest - shortest + 1;
    let bits = mix(number ^ sequence.rotate_left(32) ^ 0x6c65_6e67_7468);
    (shortest + ((u128::from(bits) * u128::from(spread)) >> 64) as u64) as usize
}

/// The length that belongs to a key, its logarithm spread evenly: as many keys between 64 and 128 as between 2048 and 4096.
pub(crate) fn length_by_logarithm(number: u64, shortest: u64, longest: u64) -> usize {
    let unit = (mix(number ^ 0x6c6f_675f_6c65_6e67) >> 11) as f64 / (1_u64 << 53) as f64;
    let (low, high) = (shortest as f64, (longest + 1) as f64);
    ((low * (high / low).powf(unit)) as u64).clamp(shortest, longest) as usize
}

/// Writes the value of a key's `sequence`th write into `buffer`, in place of what it held.
///
/// # Panics
///
/// If `length` is below [`VALUE_BYTES_MIN`].
pub(crate) fn write(buffer: &mut Vec<u8>, number: u64, sequence: u64, length: usize) {
    assert!(length >= HEADER_BYTES, "a value of {length} bytes can not describe itself, {HEADER_BYTES} can");
    buffer.clear();
    buffer.extend_from_slice(&header(number, sequence, length));
    let seed = mix(number ^ mix(sequence));
    let mut at = 0_u64;
    while buffer.len() + 8 <= length {
        buffer.extend_from_slice(&word(seed, at).to_le_bytes());
        at += 1;
    }
    let rest = length - buffer.len();
    buffer.extend_from_slice(&word(seed, at).to_le_bytes()[..rest]);
}

/// Checks every byte of a value read under a key and returns the sequence of the write that it comes from.
///
/// # Errors
///
/// The first [`Flaw`] met.
pub(crate) fn check(bytes: &[u8], number: u64) -> Result<u64, Flaw> {
    let Some((head, pattern)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Flaw::Length { met: bytes.len(), said: HEADER_BYTES });
    };
    let (met_number, sequence, said) = (field(head, 0), field(head, 8), field(head, 16) & u64::from(u32::MAX));
    if head != header(met_number, sequence, said as usize) {
        return Err(Flaw::Header);
    }
    if met_number != number {
        return Err(Flaw::OtherKey { met: met_number, wanted: number });
    }
    if said != bytes.len() as u64 {
        return Err(Flaw::Length { met: bytes.len(), said: said as usize });
    }
    let seed = mix(number ^ mix(sequence));
    for (at, chunk) in pattern.chunks(8).enumerate() {
        if *chunk != word(seed, at as u64).to_le_bytes()[..chunk.len()] {
            return Err(Flaw::Pattern { at: HEADER_BYTES + at * 8 });
        }
    }
    Ok(sequence)
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Its first 24 bytes contradict themselves.
    Header,
    /// It belongs to another key.
    OtherKey { met: u64, wanted: u64 },
    /// It is longer or shorter than it says.
    Length { met: usize, said: usize },
    /// A byte in the eight from here on is not what was written.
    Pattern { at: usize },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => write!(f, "its header contradicts itself"),
            Self::OtherKey { met, wanted } => write!(f, "it belongs to key {met}, not {wanted}"),
            Self::Length { met, said } => write!(f, "it has {met} bytes and says {said}"),
            Self::Pattern { at } => write!(f, "the bytes from {at} on are not what was written"),
        }
    }
}

const PREFIX_BYTES: usize = KEY_BYTES - 8;
const HEADER_BYTES: usize = 24;

fn header(number: u64, sequence: u64, length: usize) -> [u8; HEADER_BYTES] {
    let length = length as u32;
    let check = (mix(number ^ mix(sequence ^ mix(u64::from(length)))) >> 32) as u32;
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    bytes[16..20].copy_from_slice(&length.to_le_bytes());
    bytes[20..].copy_from_slice(&check.to_le_bytes());
    bytes
}

fn field(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn word(seed: u64, at: u64) -> u64 {
    seed.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_checks_under_its_own_key_only() {
        let mut bytes = Vec::new();
        for length in [24, 25, 31, 32, 64, 1000] {
            write(&mut bytes, 5, 9, length);
            assert_eq!(bytes.len(), length);
            assert_eq!(check(&bytes, 5), Ok(9));
            assert_eq!(check(&bytes, 6), Err(Flaw::OtherKey { met: 5, wanted: 6 }));
        }
    }

    #[test]
    fn every_flipped_bit_shows() {
        let mut bytes = Vec::new();
        write(&mut bytes, 5, 9, 61);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&bytes, 5).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(check(&bytes[..60], 5).is_err(), "cut short");
    }

    #[test]
    fn keys_and_lengths_repeat() {
        assert_eq!(key_number(&key(77)), Some(77));
        assert_eq!(key_number(b"something else"), None);
        let lengths: Vec<usize> = (0..1000).map(|number| length(number, 0, 64, 4096)).collect();
        assert!(lengths.iter().all(|length| (64..=4096).contains(length)));
        assert!(lengths.iter().min() < Some(&200) && lengths.iter().max() > Some(&3900));
        let lengths: Vec<usize> = (0..6000).map(|number| length_by_logarithm(number, 64, 4096)).collect();
        assert!(lengths.iter().all(|length| (64..=4096).contains(length)));
        let octave = lengths.iter().filter(|length| (256..512).contains(*length)).count();
        assert!((900..1100).contains(&octave), "{octave} of 6000 in one of six octaves");
    }
}
