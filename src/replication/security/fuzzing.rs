//! What `tools/fuzz` sees: any bytes as those of a connection or a datagram, before and behind the handshake.

#![forbid(unsafe_code)]

use super::noise::Noise;
use super::{Channel, Datagrams, Entropy, Protection, Secret, Secrets};
use crate::types::limits::DATAGRAM_BYTES_MAX;
use crate::types::stream::Incarnation;
use std::io::IoSlice;

fn secrets() -> Secrets {
    let secret = |text: &str| Secret::new(text).expect("long enough");
    Secrets::new(&[secret("the first of two secrets"), secret("the second of two secrets")], "fuzzed").expect("two")
}

/// Bytes to a side that listens, one that dialled, and one that is open.
///
/// # Panics
///
/// If any of them opens something.
pub fn channel(bytes: &[u8]) {
    let secrets = secrets();
    let side = |channel| if let Channel::Noise(noise) = channel { *noise } else { unreachable!("made with secrets") };
    let dial = || side(Channel::dial(&secrets, 0, Entropy::given([1; 32])));
    let accept = || side(Channel::accept(&secrets, Entropy::given([2; 32])));
    assert!(!gives(&mut dial(), bytes) && !gives(&mut accept(), bytes));
    let (mut one, mut other) = (dial(), accept());
    for _ in 0..2 {
        for (from, to) in [(0, 1), (1, 0)] {
            let sides = [&mut one, &mut other];
            let mut said = Vec::new();
            sides[from].take_handshake(&mut said);
            assert!(!gives(sides[to], &said));
        }
    }
    assert!(one.is_open() && other.is_open());
    let mut right = Vec::new();
    one.seal(&[IoSlice::new(b"a frame")], &mut right).expect("open");
    let honest = bytes.len() <= right.len() && right.starts_with(bytes);
    assert!(honest || !gives(&mut other, bytes), "an invented record was opened");
}

/// Gives bytes in pieces; says whether anything came out.
fn gives(to: &mut Noise, bytes: &[u8]) -> bool {
    let (mut rest, mut came, mut into) = (bytes, false, [0; 3]);
    while !rest.is_empty() {
        let space = to.space();
        let piece = rest.len().min(space.len()).min(1 + bytes.len() % 61);
        assert!(piece > 0, "no space although all was read");
        space[..piece].copy_from_slice(&rest[..piece]);
        rest = &rest[piece..];
        if to.received(piece).is_err() {
            return came;
        }
        while let Ok(1..) = to.open(&mut into) {
            came = true;
        }
    }
    came
}

/// Bytes as a datagram, for a node that seals and for one that does not.
///
/// # Panics
///
/// If one is opened that no key has sealed.
pub fn datagram(bytes: &[u8]) {
    let entropy = Entropy::given([3; 32]);
    let protections = [Protection::Sealed(secrets()), Protection::Plain];
    for (protection, may_open) in protections.into_iter().zip([false, true]) {
        let mut datagrams = Datagrams::new(protection, "fuzzed", Incarnation(1), &entropy);
        let opened = datagrams.open(0, &mut bytes.to_vec()).is_ok();
        assert!(!opened || may_open && bytes.len() <= DATAGRAM_BYTES_MAX);
        assert!(datagrams.open(0, &mut bytes.to_vec()).is_err(), "the second one is a replayed one");
    }
}
