//! Whole datagrams, byte for byte, in `tests/golden_datagrams`: with a fixed secret, and so a fixed key, life and salt, and so
//! a fixed nonce.

#![forbid(unsafe_code)]

use super::{NEW, OLD, secrets};
use crate::replication::golden::Golden;
use crate::replication::security::{DatagramRefusal, Datagrams, Entropy, Protection};
use crate::types::stream::Incarnation;
use std::collections::BTreeSet;

const CLUSTER: &str = "golden";

fn node(protection: &Protection, name: &str, incarnation: u64) -> Datagrams {
    let entropy = Entropy::given(std::array::from_fn(|at| at as u8));
    Datagrams::new(protection.clone(), name, Incarnation(incarnation), &entropy)
}

/// How each file is protected; the older secret is the one to send with while secrets rotate.
fn samples() -> [(&'static str, Protection); 3] {
    [
        ("sealed", Protection::Sealed(secrets(&[NEW], CLUSTER))),
        ("sealed_with_the_older_of_two", Protection::Sealed(secrets(&[OLD, NEW], CLUSTER))),
        ("plain", Protection::Plain),
    ]
}

fn body() -> Vec<u8> {
    Golden::datagrams().read("body_ping")
}

#[test]
fn datagrams_are_made_as_they_always_were() {
    for (name, protection) in samples() {
        let (mut sender, mut datagram) = (node(&protection, "pod-0", 0x0102_0304_0506_0708), Vec::new());
        // The second one, so that the counter is not the first.
        for _ in 0..2 {
            sender.seal(&body(), &mut datagram).expect("short enough");
        }
        Golden::datagrams().assert_is(name, &datagram);
    }
}

#[test]
fn every_datagram_is_a_sample_and_is_opened_once() {
    let whole: BTreeSet<String> =
        Golden::datagrams().names().into_iter().filter(|name| !name.starts_with("body_")).collect();
    assert_eq!(whole, samples().iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, protection) in samples() {
        let (mut receiver, golden) = (node(&protection, "pod-1", 9), Golden::datagrams().read(name));
        assert_eq!(receiver.open(0, &mut golden.clone()), Ok(&body()[..]), "{name}");
        assert_eq!(receiver.open(0, &mut golden.clone()), Err(DatagramRefusal::Replayed), "{name}");
    }
}
