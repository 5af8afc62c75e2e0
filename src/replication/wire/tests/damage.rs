//! Frames that are cut off, flipped or changed: refused, or exactly what they say, and never a panic.

#![forbid(unsafe_code)]

use super::samples::STREAM;
use super::{Random, VERSION, decode, samples};
use crate::replication::wire::chunk::ENTRY_HEAD_BYTES_MAX;
use crate::replication::wire::{Chunk, ChunkHead, DecodeError, HEADER_BYTES, Kind, Message, Records, echo};
use crate::types::limits::VALUE_BYTES_LIMIT;
use crate::types::stream::{Position, StreamId};

/// The records of a message.
fn records<'a>(message: &Message<'a>) -> Option<Records<'a>> {
    match message {
        Message::Changes(changes) => Some(changes.records.clone()),
        Message::Verified(verified) => Some(verified.records.clone()),
        Message::SyncEntries(entries) => Some(entries.records.clone()),
        _ => None,
    }
}

/// Whether a message says what these bytes say, and no more.
fn says(message: &Message<'_>, bytes: &[u8]) -> bool {
    let mut again = Vec::new();
    !echo::encode(message, VERSION, &mut again) || again == bytes
}

#[test]
fn a_flipped_bit_never_becomes_a_message() {
    for sample in samples::all() {
        for bit in 0..sample.frame.len() * 8 {
            let mut frame = sample.frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            let in_entry = sample.entries.iter().any(|entry| entry.contains(&(bit / 8)));
            decode(&frame, |message| match message {
                Err(_) | Ok(None) => assert!(!in_entry, "{}: bit {bit} is no matter of the frame", sample.name),
                Ok(Some(message)) => {
                    assert!(in_entry, "{}: bit {bit} was flipped, and it became {message:?}", sample.name);
                    assert!(says(&message, &frame));
                }
            });
        }
    }
}

#[test]
fn a_flipped_bit_of_an_entry_is_found_by_its_own_checksum() {
    let mut flipped = 0;
    for sample in samples::all().iter().filter(|sample| !sample.name.starts_with("chunk")) {
        for bit in sample.entries.iter().flat_map(|entry| entry.start * 8..entry.end * 8) {
            let mut frame = sample.frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            decode(&frame, |message| {
                let message = message.expect("the frame is right").expect("the frame is whole");
                let wrong = records(&message).into_iter().flatten().filter(|record| record.entry().is_err()).count();
                assert_eq!(wrong, 1, "{}: bit {bit}", sample.name);
            });
            flipped += 1;
        }
    }
    assert!(flipped > 1000);
}

#[test]
fn a_frame_that_was_cut_off_is_waited_for() {
    for sample in samples::all() {
        for cut in 0..sample.frame.len() {
            decode(&sample.frame[..cut], |message| match message {
                Ok(None) => {}
                Ok(Some(Message::Chunk(Chunk { here, .. }))) => assert!(here.len() < sample.frame.len() - 64),
                other => panic!("{} cut off at {cut}: {other:?}", sample.name),
            });
        }
    }
}

#[test]
fn a_body_that_ends_too_early_or_too_late_is_refused() {
    for sample in samples::all().iter().filter(|sample| !sample.name.starts_with("chunk") && sample.name != "skipped") {
        for bytes in 0..sample.frame.len() - HEADER_BYTES {
            let mut frame = sample.frame[..HEADER_BYTES + bytes].to_vec();
            echo::mend(&mut frame, bytes);
            decode(&frame, |message| assert!(message.is_err(), "{} with {bytes} bytes: {message:?}", sample.name));
        }
        let mut frame = [&sample.frame[..], &[0]].concat();
        echo::mend(&mut frame, sample.frame.len() + 1 - HEADER_BYTES);
        let is_of_every_version = Kind::from_bits(frame[3]).is_some_and(Kind::is_of_every_version);
        decode(&frame, |message| assert_eq!(message.is_ok(), is_of_every_version, "{}: {message:?}", sample.name));
    }
}

#[test]
fn changed_frames_with_a_right_checksum_are_refused_or_say_what_they_say() {
    let mut random = Random(0x5eed);
    let (mut refused, mut taken) = (0, 0);
    for sample in samples::all() {
        for _ in 0..2000 {
            let mut frame = sample.frame.clone();
            for _ in 0..=random.below(3) {
                let at =
                    if random.below(2) == 0 { random.below(frame.len()) } else { random.below(frame.len().min(80)) };
                frame[at] = random.next() as u8 >> random.below(8);
            }
            let bytes = frame.len() - HEADER_BYTES;
            if !echo::mend(&mut frame, bytes) {
                refused += 1;
            }
            decode(&frame, |message| match message {
                Err(_) | Ok(None) => refused += 1,
                Ok(Some(message)) => {
                    taken += 1;
                    records(&message).into_iter().flatten().for_each(|record| _ = record.entry());
                    let is_of_every_version = Kind::from_bits(frame[3]).is_some_and(Kind::is_of_every_version);
                    assert!(says(&message, &frame) || is_of_every_version, "{}: {message:?}", sample.name);
                }
            });
        }
    }
    assert!(refused > 1000 && taken > 1000, "{refused} refused, {taken} taken");
}

#[test]
fn chunks_that_can_not_be_of_one_entry_are_refused() {
    let good = ChunkHead {
        stream: STREAM,
        first: Position(7),
        next: Position(7),
        position: Position(8),
        total: 5000,
        offset: 2000,
        bytes: 1000,
    };
    let last = ChunkHead { offset: 4000, next: Position(9), ..good };
    let nowhere = ChunkHead { first: Position(0), next: Position(0), position: Position(0), ..last };
    let is_taken = |head: ChunkHead| {
        let mut frame = Vec::new();
        head.encode(VERSION, &mut frame);
        frame.resize(frame.len() + head.bytes as usize, 0);
        decode(&frame, |message| message.is_ok())
    };
    for head in [good, last, ChunkHead { stream: StreamId::default(), ..nowhere }] {
        assert!(is_taken(head), "{head:?}");
    }
    assert!(is_taken(ChunkHead { offset: 0, bytes: ENTRY_HEAD_BYTES_MAX as u32, ..good }));
    let largest = ENTRY_HEAD_BYTES_MAX as u32 + VALUE_BYTES_LIMIT as u32;
    for head in [
        ChunkHead { bytes: 0, ..good },
        ChunkHead { offset: 4001, ..good },
        ChunkHead { offset: u32::MAX, ..good },
        ChunkHead { total: largest + 1, ..good },
        ChunkHead { offset: 0, bytes: ENTRY_HEAD_BYTES_MAX as u32 - 1, ..good },
        ChunkHead { next: Position(9), ..good },
        ChunkHead { next: Position(8), ..last },
        ChunkHead { first: Position(9), next: Position(9), ..good },
        ChunkHead { stream: StreamId::default(), ..last },
        nowhere,
    ] {
        assert!(!is_taken(head), "{head:?}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let frame = |name: &str| samples::all().into_iter().find(|sample| sample.name == name).expect("a sample").frame;
    let refusal = |mut frame: Vec<u8>, at: usize, byte: u8| {
        frame[at] = byte;
        let bytes = frame.len() - HEADER_BYTES;
        echo::mend(&mut frame, bytes);
        decode(&frame, |message| message.map(drop).expect_err("refused"))
    };
    assert_eq!(refusal(frame("ack"), 0, 0), DecodeError::Magic { found: 0x5c00, expected: 0x5ca1 });
    assert_eq!(refusal(frame("ack"), 2, 9), DecodeError::Version { kind: 8, found: 9, expected: 1 });
    assert_eq!(refusal(frame("hello"), 2, 1), DecodeError::Version { kind: 1, found: 1, expected: 0 });
    assert_eq!(refusal(frame("ack"), 3, 99), DecodeError::Kind { kind: 99 });
    let kind = Kind::Ack;
    let (at, field) = (32, "vector");
    let short = DecodeError::Short { kind, at: 34, found: 48, needed: 72 };
    assert_eq!(refusal(frame("ack"), 32, 3), short);
    assert_eq!(refusal(frame("ack"), 32, 129), DecodeError::Length { kind, at, field, found: 129, min: 0, max: 128 });
    assert_eq!(refusal(frame("ack"), 34 + 15, 1), DecodeError::Field { kind, at, field });
    assert_eq!(refusal(frame("ack"), 32, 1), DecodeError::Trailing { kind, at: 58, found: 24 });
    assert_eq!(
        refusal(frame("changes_value"), 56, 99).to_string(),
        "a Changes frame from Position(100) to Position(104) has position Position(99) at byte 48"
    );
}
