//! The reader: bytes that come in pieces, chunks that are read elsewhere, and what it never does.

#![forbid(unsafe_code)]

use super::samples::{self, STREAM, entry, key, plain};
use super::{Random, VERSION};
use crate::arena::frame::FrameKind;
use crate::arena::received::FrameHead;
use crate::replication::wire::reader::READER_BYTES_MAX;
use crate::replication::wire::{ChunkHead, DecodeError, FrameReader, Message, RecordsBuilder, SyncEnd, echo};
use crate::types::limits::CHUNK_BYTES;
use crate::types::stream::Position;

/// Puts as many of the bytes into the reader as a piece has; returns how many.
fn feed(reader: &mut FrameReader, bytes: &[u8], piece: usize) -> usize {
    let space = reader.space();
    let count = space.len().min(bytes.len()).min(piece);
    space[..count].copy_from_slice(&bytes[..count]);
    reader.filled(count);
    count
}

/// Reads a whole connection in pieces, chunks' rests elsewhere or passed over; returns all of it, encoded again.
fn read_all(bytes: &[u8], random: &mut Random, piece_max: usize) -> Vec<u8> {
    let mut reader = FrameReader::new();
    reader.agree(VERSION);
    let (mut at, mut again) = (0, Vec::new());
    while at < bytes.len() {
        let elsewhere = reader.chunk_rest();
        if elsewhere > 0 {
            let count = elsewhere.min(1 + random.below(piece_max)).min(bytes.len() - at);
            again.extend_from_slice(&bytes[at..at + count]);
            if random.below(2) == 0 {
                reader.chunk_received(count);
            } else {
                assert_eq!(feed(&mut reader, &bytes[at..at + count], count), count);
            }
            at += count;
            continue;
        }
        let fed = feed(&mut reader, &bytes[at..], 1 + random.below(piece_max));
        assert!(fed > 0, "no space, though nothing is to be taken");
        at += fed;
        while let Some(message) = reader.next().expect("right frames") {
            if !echo::encode(&message, VERSION, &mut again) {
                again.extend(echo::unknown(200, VERSION, b"of a later version"));
            }
        }
        assert!(reader.heap_bytes() <= READER_BYTES_MAX);
    }
    assert_eq!((reader.chunk_rest(), reader.buffered()), (0, 0));
    again
}

#[test]
fn pieces_of_any_size_give_the_same_messages() {
    let mut random = Random(7);
    for round in 0..200 {
        let all = samples::all();
        let bytes: Vec<u8> = (0..40).flat_map(|_| all[random.below(all.len())].frame.clone()).collect();
        let piece_max = [1, 7, 100, 2000, 100_000][round % 5];
        assert!(read_all(&bytes, &mut random, piece_max) == bytes);
    }
}

/// The chunks of an entry, as they are sent.
fn chunks(whole: &[u8]) -> Vec<u8> {
    let (mut bytes, at) = (Vec::new(), Position(40));
    for (number, part) in whole.chunks(CHUNK_BYTES).enumerate() {
        let offset = number * CHUNK_BYTES;
        let is_last = offset + part.len() == whole.len();
        let head = ChunkHead {
            stream: STREAM,
            first: at,
            next: if is_last { Position(50) } else { at },
            position: at,
            total: whole.len() as u32,
            offset: offset as u32,
            bytes: part.len() as u32,
        };
        head.encode(VERSION, &mut bytes);
        bytes.extend_from_slice(part);
    }
    bytes
}

#[test]
fn a_large_value_is_read_to_its_place() {
    let value = Random(8).bytes(3 * CHUNK_BYTES + 500);
    let whole = entry(FrameKind::Value, key(b"large"), plain(), 0, &value);
    let bytes = [chunks(&whole), samples::all()[3].frame.clone()].concat();
    let mut reader = FrameReader::new();
    reader.agree(VERSION);
    let (mut at, mut room, mut copied, mut others) = (0, Vec::new(), 0, 0);
    while at < bytes.len() {
        let rest = reader.chunk_rest();
        if rest > 0 {
            room.extend_from_slice(&bytes[at..at + rest]);
            reader.chunk_received(rest);
            at += rest;
            continue;
        }
        at += feed(&mut reader, &bytes[at..], usize::MAX);
        while let Some(message) = reader.next().expect("right frames") {
            let Message::Chunk(chunk) = message else {
                others += 1;
                continue;
            };
            let mut here = chunk.here;
            if chunk.head.is_first() {
                let head = FrameHead::read(here).expect("the head is there");
                assert_eq!(head.frame_bytes(), u64::from(chunk.head.total));
                here = &here[head.head_bytes..];
            }
            copied += here.len();
            room.extend_from_slice(here);
        }
    }
    assert!(room == value && others == 1);
    // Only what came along with the first chunk's head, and with the last chunk's, went through the buffer.
    assert!(copied < 80 << 10, "{copied} bytes were copied");
}

#[test]
fn a_reader_holds_one_frame_and_gives_back_what_it_grew_by() {
    let value = vec![1; CHUNK_BYTES];
    let whole = entry(FrameKind::Value, key(b"large"), plain(), 0, &value);
    let mut frame = Vec::new();
    let mut builder = RecordsBuilder::sync_entries(&mut frame, VERSION);
    builder.push(Position(0), &whole);
    builder.finish_entries();
    let mut random = Random(9);
    let bytes = [&frame[..], &frame, &frame].concat();
    assert!(read_all(&bytes, &mut random, 100_000) == bytes);
    let mut reader = FrameReader::new();
    reader.agree(VERSION);
    let mut at = 0;
    while at < frame.len() {
        at += feed(&mut reader, &frame[at..], usize::MAX);
        assert_eq!(reader.next().expect("right").is_some(), at == frame.len());
    }
    assert!(reader.heap_bytes() > CHUNK_BYTES);
    reader.trim();
    assert!(reader.heap_bytes() < 80 << 10);
    assert!(!reader.space().is_empty());
}

#[test]
fn a_frame_above_its_limit_is_refused_before_it_is_waited_for() {
    for sample in samples::all() {
        let mut frame = sample.frame;
        frame[4..8].copy_from_slice(&(1_u32 << 24).to_le_bytes());
        let mut reader = FrameReader::new();
        reader.agree(VERSION);
        feed(&mut reader, &frame[..32], 32);
        let error = reader.next().map(drop).expect_err("refused");
        assert!(matches!(error, DecodeError::TooLong { bytes, limit, .. } if bytes == 1 << 24 && limit < 1 << 20));
        assert!(reader.heap_bytes() < 80 << 10);
        assert_eq!(reader.next().map(drop), Err(error), "and again when asked again");
    }
}

#[test]
fn only_hello_and_refuse_are_taken_before_a_version_is_agreed_on() {
    for sample in samples::all() {
        let mut reader = FrameReader::new();
        feed(&mut reader, &sample.frame, usize::MAX);
        let is_early = !sample.name.starts_with("hello") && sample.name != "refuse";
        let answer = reader.next();
        if is_early {
            assert_eq!(answer.map(drop), Err(DecodeError::Early { kind: sample.frame[3] }));
        } else {
            assert!(matches!(answer, Ok(Some(Message::Hello(_) | Message::Refuse(_)))));
        }
        assert!(reader.heap_bytes() <= 4 << 10, "{}", sample.name);
    }
}

#[test]
fn a_node_of_a_later_version_is_understood_in_the_common_one() {
    let mut reader = FrameReader::new();
    let theirs = super::negotiate(&(1..=2), &crate::replication::wire::PROTOCOL).expect("a common version");
    reader.agree(theirs);
    let mut bytes = Vec::new();
    SyncEnd::default().encode(1, &mut bytes);
    SyncEnd::default().encode(2, &mut bytes);
    feed(&mut reader, &bytes, usize::MAX);
    assert!(matches!(reader.next(), Ok(Some(Message::SyncEnd(_)))));
    assert_eq!(reader.next().map(drop), Err(DecodeError::Version { kind: 17, found: 2, expected: 1 }));
}

#[test]
fn frames_that_were_not_taken_leave_no_space_in_the_end() {
    let mut frame = Vec::new();
    SyncEnd::default().encode(VERSION, &mut frame);
    let mut reader = FrameReader::new();
    reader.agree(VERSION);
    let mut given = 0;
    loop {
        let fed = feed(&mut reader, &frame, usize::MAX);
        given += fed;
        if fed < frame.len() {
            break;
        }
    }
    assert!(reader.space().is_empty() || given % frame.len() == 0);
    let mut taken = 0;
    while reader.next().expect("right frames").is_some() {
        taken += 1;
    }
    assert_eq!(taken, given / frame.len());
    assert!(!reader.space().is_empty());
}
