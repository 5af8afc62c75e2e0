//! What all tests of the wire share, and those of single parts.
//!
//! ```text
//!   samples      one frame of each kind, with fixed values       golden       the same, byte for byte, in tests/golden
//!   round_trip   random values there and back                    damage       cut off, flipped, changed and mended
//!   reader       pieces, chunks, bounds
//! ```

#![forbid(unsafe_code)]

mod damage;
mod golden;
mod reader;
mod round_trip;
mod samples;

use super::{DecodeError, FrameReader, Kind, Message, NodeFlags, Reason, StreamChecksum, negotiate};

/// The version that the samples are written in.
const VERSION: u8 = 1;

/// splitmix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Below a bound.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// So many bytes.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// A number of any length.
    fn number(&mut self) -> u64 {
        let shift = self.below(64);
        self.next() >> shift
    }
}

/// Gives one frame to a reader, whole, and has what comes out looked at.
fn decode<R>(frame: &[u8], look: impl FnOnce(Result<Option<Message<'_>>, DecodeError>) -> R) -> R {
    let mut reader = FrameReader::new();
    reader.agree(VERSION);
    let mut given = 0;
    loop {
        let space = reader.space();
        let count = space.len().min(frame.len() - given);
        space[..count].copy_from_slice(&frame[given..given + count]);
        reader.filled(count);
        given += count;
        // A frame that is longer than the space is asked for again; one that is not, only once.
        if given == frame.len() {
            return look(reader.next());
        }
        match reader.next() {
            Ok(None) => {}
            early => return look(early),
        }
    }
}

#[test]
fn the_highest_common_version_is_spoken() {
    for (ours, theirs, spoken) in [
        (1..=1, 1..=1, Some(1)),
        (1..=1, 1..=2, Some(1)),
        (1..=3, 2..=5, Some(3)),
        (2..=3, 1..=9, Some(3)),
        (1..=1, 2..=2, None),
        (4..=6, 1..=3, None),
        (255..=255, 1..=255, Some(255)),
    ] {
        assert_eq!(negotiate(&ours, &theirs), spoken, "{ours:?} and {theirs:?}");
        assert_eq!(negotiate(&theirs, &ours), spoken, "{theirs:?} and {ours:?}");
    }
}

#[test]
fn kinds_reasons_and_flags_survive_their_bits() {
    for bits in 0..=u8::MAX {
        assert_eq!(Kind::from_bits(bits).map(|kind| kind as u8), (1..=17).contains(&bits).then_some(bits));
    }
    for bits in 0..=u16::MAX {
        assert_eq!(Reason::from_bits(bits).to_bits(), bits);
        assert_eq!(NodeFlags::from_bits(bits).to_bits(), bits & 31);
    }
}

#[test]
fn the_checksum_of_a_stream_knows_order_and_number() {
    let sum = |frames: &[u32]| {
        let mut checksum = StreamChecksum::default();
        frames.iter().for_each(|frame| checksum.add(*frame));
        checksum.value()
    };
    assert_eq!(sum(&[]), 0);
    assert_ne!(sum(&[1, 2]), sum(&[2, 1]));
    assert_ne!(sum(&[1, 2]), sum(&[1, 2, 2]));
    assert_ne!(sum(&[1, 2]), sum(&[1]));
}
