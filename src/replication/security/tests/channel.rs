//! The handshake, records of all sizes, and bytes that were changed, left out or repeated on their way.

#![forbid(unsafe_code)]

use super::{NEW, OLD, secrets};
use crate::replication::security::{Channel, ChannelError, Entropy, Noise, Secrets};
use std::io::IoSlice;

fn noise(channel: Channel) -> Noise {
    match channel {
        Channel::Noise(noise) => *noise,
        Channel::Plain => unreachable!("made with secrets"),
    }
}

/// A side that connects, and one that is connected to; each with its own random bytes.
fn pair(dialling: &Secrets, attempt: u32, accepting: &Secrets) -> (Noise, Noise) {
    let dialled = noise(Channel::dial(dialling, attempt, Entropy::given([1; 32])));
    (dialled, noise(Channel::accept(accepting, Entropy::given([2; 32]))))
}

fn said(by: &mut Noise) -> Vec<u8> {
    let mut bytes = Vec::new();
    by.take_handshake(&mut bytes);
    bytes
}

/// Gives bytes to a side in pieces of at most `piece`, and reads what it makes of them in spaces of `space`.
fn give(to: &mut Noise, bytes: &[u8], piece: usize, space: usize) -> Result<Vec<u8>, ChannelError> {
    let (mut rest, mut read) = (bytes, Vec::new());
    let mut into = vec![0; space];
    loop {
        let room = to.space();
        let length = rest.len().min(room.len()).min(piece);
        assert!(length > 0 || rest.is_empty(), "no space although all was read");
        room[..length].copy_from_slice(&rest[..length]);
        rest = &rest[length..];
        to.received(length)?;
        while let length @ 1.. = to.open(&mut into)? {
            read.extend_from_slice(&into[..length]);
        }
        if rest.is_empty() {
            return Ok(read);
        }
    }
}

fn meet(dialled: &mut Noise, accepted: &mut Noise) -> Result<(), ChannelError> {
    give(accepted, &said(dialled), 7, 1)?;
    give(dialled, &said(accepted), 7, 1)?;
    give(accepted, &said(dialled), 7, 1)?;
    Ok(())
}

fn met() -> (Noise, Noise) {
    let secrets = secrets(&[NEW], "c");
    let (mut dialled, mut accepted) = pair(&secrets, 0, &secrets);
    meet(&mut dialled, &mut accepted).expect("one secret");
    assert!(dialled.is_open() && accepted.is_open());
    (dialled, accepted)
}

fn sealed(by: &mut Noise, slices: &[&[u8]]) -> Vec<u8> {
    let slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut out = Vec::new();
    by.seal(&slices, &mut out).expect("open");
    out
}

#[test]
fn frames_of_all_sizes_pass_both_ways_in_any_pieces() {
    let (mut dialled, mut accepted) = met();
    let long: Vec<u8> = (0..300_000u32).map(|at| (at / 7) as u8).collect();
    for (slices, piece, space) in [
        (&[&b"a"[..], b"", b"bc"][..], 1, 1),
        (&[&long[..65_519]], 70_000, 65_519),
        (&[&long[..65_520]], 70_000, 10),
        (&[&long[..3], &long[..], &long[..100_000]], 1_448, 4_096),
        (&[&long[..], &long[..]], 200_000, 1 << 20),
    ] {
        let all = slices.concat();
        for (from, to) in [(0, 1), (1, 0)] {
            let sides = [&mut dialled, &mut accepted];
            let bytes = sealed(sides[from], slices);
            assert!(bytes.len() <= all.len() + 18 * (all.len() / 65_519 + 1), "no more records than needed");
            assert_eq!(give(sides[to], &bytes, piece, space).as_ref(), Ok(&all));
        }
    }
    assert_eq!(sealed(&mut dialled, &[]), [], "nothing is nothing");
}

#[test]
fn while_secrets_are_exchanged_every_pair_of_nodes_meets() {
    let [new, both, reverse, old] =
        [&[NEW][..], &[NEW, OLD], &[OLD, NEW], &[OLD]].map(|given| secrets(given, "cluster"));
    let refused = Err(ChannelError::WrongSecret);
    for (dialling, attempt, accepting, expected) in [
        (&both, 0, &both, Ok(())),
        (&both, 0, &reverse, Ok(())),
        (&reverse, 0, &both, Ok(())),
        (&old, 0, &both, Ok(())),
        (&both, 0, &old, refused),
        (&both, 1, &old, Ok(())),
        (&both, 2, &new, Ok(())),
        (&new, 0, &old, refused),
        (&new, 1, &old, refused),
    ] {
        let (mut dialled, mut accepted) = pair(dialling, attempt, accepting);
        assert_eq!(meet(&mut dialled, &mut accepted), expected, "{dialling:?}, {attempt}, {accepting:?}");
        assert_eq!(accepted.is_open(), expected.is_ok());
    }
}

#[test]
fn another_cluster_is_refused_with_the_same_secret() {
    let (mut dialled, mut accepted) = pair(&secrets(&[NEW], "one"), 0, &secrets(&[NEW], "other"));
    assert_eq!(meet(&mut dialled, &mut accepted), Err(ChannelError::WrongSecret));
    assert_eq!(said(&mut accepted), [], "it is not even answered");
}

#[test]
fn a_recorded_dial_is_never_let_in() {
    let secrets = secrets(&[NEW], "c");
    let (mut dialled, mut accepted) = pair(&secrets, 0, &secrets);
    let greeting = said(&mut dialled);
    give(&mut accepted, &greeting, 99, 1).expect("a secret that is known");
    give(&mut dialled, &said(&mut accepted), 99, 1).expect("an answer");
    let rest = [said(&mut dialled), sealed(&mut dialled, &[b"change everything"])].concat();

    let mut again = noise(Channel::accept(&secrets, Entropy::given([3; 32])));
    give(&mut again, &greeting, 99, 99).expect("recorded, but right so far");
    assert!(!again.is_open(), "a greeting alone may be a recording");
    assert_eq!(again.seal(&[IoSlice::new(b"secret")], &mut Vec::new()), Err(ChannelError::NotOpen));
    assert_eq!(give(&mut again, &rest, 99, 99), Err(ChannelError::Forged));
    assert_eq!(give(&mut accepted, &rest, 99, 99).as_deref(), Ok(&b"change everything"[..]));
}

#[test]
fn any_flipped_bit_of_the_handshake_ends_it() {
    let secrets = secrets(&[NEW], "c");
    for bit in 0..50 * 8 {
        let (mut dialled, mut accepted) = pair(&secrets, 0, &secrets);
        let mut greeting = said(&mut dialled);
        let mut answer = {
            let (_, mut other) = pair(&secrets, 0, &secrets);
            give(&mut other, &greeting, 99, 1).expect("as it was sent");
            said(&mut other)
        };
        greeting[bit / 8] ^= 1 << (bit % 8);
        answer[bit / 8] ^= 1 << (bit % 8);
        // The top bit of a Curve25519 key has no meaning, but it is bound into the tag.
        assert!(give(&mut accepted, &greeting, 99, 1).is_err() && said(&mut accepted).is_empty(), "bit {bit}");
        assert!(give(&mut dialled, &answer, 99, 1).is_err() && !dialled.is_open(), "bit {bit}");
        assert!(dialled.open(&mut [0; 9]).is_err(), "closed for good");
    }
}

#[test]
fn changed_missing_repeated_and_moved_records_end_the_channel() {
    let change = |how: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let (mut dialled, mut accepted) = met();
        let mut records: Vec<Vec<u8>> =
            [&b"one"[..], b"two", b"three"].map(|text| sealed(&mut dialled, &[text])).into();
        how(&mut records);
        let outcome = give(&mut accepted, &records.concat(), 1_000, 100);
        assert_eq!(outcome.is_err(), accepted.seal(&[], &mut Vec::new()).is_err(), "closed both ways, or not at all");
        outcome
    };
    assert_eq!(change(&|_| {}).as_deref(), Ok(&b"onetwothree"[..]));
    assert_eq!(change(&|records| records[1][7] ^= 1), Err(ChannelError::Forged));
    assert_eq!(change(&|records| drop(records.remove(1))), Err(ChannelError::Forged));
    assert_eq!(change(&|records| records.insert(1, records[0].clone())), Err(ChannelError::Forged));
    assert_eq!(change(&|records| records.swap(1, 2)), Err(ChannelError::Forged));
    assert_eq!(change(&|records| records[0][0] = 15), Err(ChannelError::Malformed));
}

#[test]
fn garbage_is_refused_at_its_first_two_bytes() {
    let secrets = secrets(&[NEW], "c");
    for (bytes, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], ChannelError::TooLong { bytes: usize::from(u16::from_le_bytes(*b"GE")) }),
        (&[0, 0], ChannelError::Malformed),
        (&[47, 0], ChannelError::Malformed),
    ] {
        let (mut dialled, mut accepted) = pair(&secrets, 0, &secrets);
        assert_eq!(give(&mut accepted, bytes, 99, 1), Err(error));
        assert_eq!(give(&mut dialled, bytes, 99, 1), Err(error));
        assert!(error.is_suspicious() && error.counter().starts_with("channel_"));
    }
}

#[test]
fn what_comes_right_behind_the_handshake_is_kept() {
    let secrets = secrets(&[NEW], "c");
    let (mut dialled, mut accepted) = pair(&secrets, 0, &secrets);
    give(&mut accepted, &said(&mut dialled), 99, 1).expect("greeting");
    give(&mut dialled, &said(&mut accepted), 99, 1).expect("answer");
    let all = [said(&mut dialled), sealed(&mut dialled, &[&[7; 5_000]])].concat();
    assert_eq!(give(&mut accepted, &all, 9_999, 9_999).as_deref(), Ok(&[7; 5_000][..]));
}

#[test]
fn plain_is_open_at_once() {
    assert!(Channel::Plain.is_open());
    let secrets = secrets(&[NEW], "c");
    assert!(!Channel::dial(&secrets, 0, Entropy::given([0; 32])).is_open());
}
