//! Datagrams that are right, changed, repeated, late, foreign and too long.

#![forbid(unsafe_code)]

use super::{NEW, OLD, secrets};
use crate::replication::security::{DATAGRAM_BODY_MAX, DatagramRefusal, Datagrams, Entropy, Protection};
use crate::types::limits::DATAGRAM_BYTES_MAX;
use crate::types::stream::Incarnation;

fn node(protection: Protection, name: &str, incarnation: u64) -> Datagrams {
    Datagrams::new(protection, name, Incarnation(incarnation), &Entropy::given([incarnation as u8; 32]))
}

fn sealed(given: &[&str]) -> Protection {
    Protection::Sealed(secrets(given, "c"))
}

fn made(by: &mut Datagrams, body: &[u8]) -> Vec<u8> {
    let mut out = vec![9; 99];
    by.seal(body, &mut out).expect("short enough");
    out
}

fn opened(by: &mut Datagrams, datagram: &[u8]) -> Result<Vec<u8>, DatagramRefusal> {
    by.open(0, &mut datagram.to_vec()).map(<[u8]>::to_vec)
}

#[test]
fn bodies_pass_once() {
    for protection in [sealed(&[NEW]), Protection::Plain] {
        let (mut one, mut other) = (node(protection.clone(), "one", 1), node(protection, "other", 2));
        for bytes in [0, 1, 700, DATAGRAM_BODY_MAX] {
            let body: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
            let datagram = made(&mut one, &body);
            assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
            assert_eq!(opened(&mut other, &datagram), Ok(body));
            assert_eq!(opened(&mut other, &datagram), Err(DatagramRefusal::Replayed));
            assert_eq!(opened(&mut one, &datagram), Err(DatagramRefusal::Own));
        }
    }
}

#[test]
fn any_flipped_bit_is_noticed() {
    for (protection, seal) in [(sealed(&[NEW]), 16), (Protection::Plain, 4)] {
        let (mut one, mut other) = (node(protection.clone(), "one", 1), node(protection, "other", 2));
        let datagram = made(&mut one, b"membership");
        assert_eq!(datagram.len(), 40 + 10 + seal);
        for bit in 0..datagram.len() * 8 {
            let mut forged = datagram.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let refusal = opened(&mut other, &forged).expect_err("changed");
            let in_the_open = matches!(
                refusal,
                DatagramRefusal::Malformed | DatagramRefusal::UnknownKey | DatagramRefusal::OtherProtection
            );
            assert!(refusal.counter().starts_with("datagrams_"));
            assert!(refusal == DatagramRefusal::Forged || (in_the_open && bit / 8 < 8), "bit {bit}: {refusal}");
        }
        for length in 0..datagram.len() {
            assert!(opened(&mut other, &datagram[..length]).is_err());
        }
        assert_eq!(opened(&mut other, &datagram).as_deref(), Ok(&b"membership"[..]), "none of these counted as seen");
    }
}

#[test]
fn what_is_too_long_is_neither_sent_nor_opened() {
    let (mut one, mut other) = (node(sealed(&[NEW]), "one", 1), node(sealed(&[NEW]), "other", 2));
    let too_long = Err(DatagramRefusal::TooLong { bytes: DATAGRAM_BYTES_MAX + 1 });
    assert_eq!(one.seal(&[0; DATAGRAM_BODY_MAX + 1], &mut Vec::new()), too_long);
    assert_eq!(other.open(0, &mut [0; DATAGRAM_BYTES_MAX + 1]).map(|_| ()), too_long);
}

#[test]
fn keys_rotate_and_others_are_unknown() {
    let mut both = node(sealed(&[NEW, OLD]), "one", 1);
    let datagram = made(&mut both, b"x");
    assert_eq!(opened(&mut node(sealed(&[OLD, NEW]), "other", 2), &datagram).as_deref(), Ok(&b"x"[..]));
    assert_eq!(opened(&mut node(sealed(&[NEW]), "other", 2), &datagram).as_deref(), Ok(&b"x"[..]));
    assert_eq!(opened(&mut node(sealed(&[OLD]), "other", 2), &datagram), Err(DatagramRefusal::UnknownKey));
    let elsewhere = Protection::Sealed(secrets(&[NEW], "another cluster"));
    assert_eq!(opened(&mut node(elsewhere, "other", 2), &datagram), Err(DatagramRefusal::UnknownKey));
}

#[test]
fn plain_and_sealed_do_not_mix() {
    let (mut open, mut closed) = (node(Protection::Plain, "one", 1), node(sealed(&[NEW]), "other", 2));
    let (plain, secret) = (made(&mut open, b"x"), made(&mut closed, b"x"));
    assert_eq!(opened(&mut closed, &plain), Err(DatagramRefusal::OtherProtection));
    assert_eq!(opened(&mut open, &secret), Err(DatagramRefusal::OtherProtection));
}

#[test]
fn two_copies_of_one_node_never_use_a_nonce_twice() {
    let copy = |seed| Datagrams::new(sealed(&[NEW]), "one", Incarnation(1), &Entropy::given([seed; 32]));
    let [one, other] = [1, 2].map(|seed| made(&mut copy(seed), b"the same words"));
    assert_ne!(one[16..40], other[16..40]);
    assert_ne!(one[40..54], other[40..54]);
}

#[test]
fn late_ones_are_taken_and_very_late_ones_are_not() {
    let (mut one, mut other) = (node(sealed(&[NEW]), "one", 1), node(sealed(&[NEW]), "other", 2));
    let sent: Vec<Vec<u8>> = (0..200u8).map(|at| made(&mut one, &[at])).collect();
    assert_eq!(opened(&mut other, &sent[199]), Ok(vec![199]));
    assert_eq!(opened(&mut other, &sent[72]), Ok(vec![72]));
    assert_eq!(opened(&mut other, &sent[71]), Err(DatagramRefusal::TooOld));
}
