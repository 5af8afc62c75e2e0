//! Random values there and back, the largest of everything, and entries that lie elsewhere.

#![forbid(unsafe_code)]

use super::samples::{STREAM, entry, key, plain};
use super::{Random, VERSION, decode};
use crate::arena::frame::FrameKind;
use crate::replication::wire::records::ENTRY_BYTES_MAX;
use crate::replication::wire::{
    Ack, Floors, Heartbeat, Hello, List, Message, NodeFlags, Placed, Reason, RecordBody, RecordsBuilder, Refuse,
    SyncBegin, SyncRequest, VerifyBuilder,
};
use crate::types::key::{Key, KeyspaceId};
use crate::types::limits::{BATCH_BYTES, CHUNK_BYTES, CLEAR_STAMPS_MAX, KEY_BYTES_MAX, STREAMS_MAX};
use crate::types::stream::{Incarnation, Origin, Position, StreamId, StreamRange, Vector};
use crate::types::version::{Order, Span, Stamp, Version};

/// Encodes, decodes, and has the message looked at.
fn there_and_back(encode: impl FnOnce(&mut Vec<u8>), look: impl FnOnce(Message<'_>)) {
    let mut frame = Vec::new();
    encode(&mut frame);
    decode(&frame, |message| look(message.expect("a right frame").expect("a whole frame")));
}

fn stream(random: &mut Random) -> StreamId {
    StreamId { origin: Origin(random.next() as u16), incarnation: Incarnation(random.number()) }
}

fn vector(random: &mut Random, most: usize) -> Vector {
    let mut vector = Vector::default();
    for _ in 0..random.below(most + 1) {
        vector.advance(stream(random), Position(random.number()));
    }
    vector
}

fn version(random: &mut Random) -> Version {
    Version {
        stamp: Stamp(random.number()),
        span: Span::from_bits(if random.below(2) == 0 { 0 } else { random.number() as u32 }),
        origin: random.next() as u16,
        order: if random.below(2) == 0 { Order::Cache } else { Order::Database },
        row: (random.below(2) == 0).then(|| random.number()),
    }
}

fn text(random: &mut Random, min: usize, max: usize) -> String {
    let letters: String = (0..max).map(|_| ['a', 'ß', '漢', '-'][random.below(4)]).collect();
    let end = (min..=min + random.below(max - min + 1)).rev().find(|end| letters.is_char_boundary(*end));
    letters[..end.unwrap_or(letters.len().min(max))].to_owned()
}

#[test]
fn hello_comes_back() {
    let mut random = Random(1);
    for _ in 0..300 {
        let name = "n".to_owned() + &text(&mut random, 0, 63);
        let vector = vector(&mut random, STREAMS_MAX);
        let streams: Vec<StreamRange> = (0..random.below(STREAMS_MAX + 1))
            .map(|_| StreamRange {
                stream: stream(&mut random),
                first: Position(random.number()),
                start: Position(random.number()),
                end: Position(random.number()),
            })
            .collect();
        let addresses = ["127.0.0.1:1", "[2001:db8::1]:65535", "[fe80::1:2:3:4%4294967295]:7400"];
        let min = 1 + random.below(255) as u8;
        let hello = Hello {
            protocol: min..=min + random.below(usize::from(255 - min) + 1) as u8,
            flags: NodeFlags {
                held: random.below(2) == 0,
                complete: random.below(2) == 0,
                behind: random.below(2) == 0,
                leftovers: random.below(2) == 0,
                syncs: random.below(2) == 0,
            },
            cluster: random.next(),
            incarnation: Incarnation(random.number()),
            name: &name,
            advertised: (random.below(4) > 0).then(|| addresses[random.below(3)].parse().expect("an address")),
            streams: List::Values(&streams),
            vector: (&vector).into(),
        };
        there_and_back(
            |out| hello.encode(out),
            |message| {
                assert!(matches!(message, Message::Hello(back) if back == hello && back.vector.to_vector() == vector));
            },
        );
    }
}

#[test]
fn a_refusal_comes_back_cut_off_where_it_is_too_long() {
    let long = "ß".repeat(150);
    for (why, back) in [("", ""), ("no room", "no room"), (&long, &long[..200])] {
        there_and_back(
            |out| Refuse { reason: Reason::Full, why }.encode(out),
            |message| assert!(matches!(message, Message::Refuse(Refuse { reason: Reason::Full, why }) if why == back)),
        );
    }
}

#[test]
fn vectors_clears_and_floors_come_back() {
    let mut random = Random(2);
    for _ in 0..300 {
        let vector = vector(&mut random, STREAMS_MAX);
        let clears: Vec<_> = (0..random.below(CLEAR_STAMPS_MAX + 2))
            .map(|_| ((random.below(2) == 0).then(|| KeyspaceId(random.next() as u16)), Stamp(random.number())))
            .collect();
        let floors: Vec<Stamp> = (0..random.below(BATCH_BYTES / 8 + 1)).map(|_| Stamp(random.number())).collect();
        let ack = Ack { applied: (&vector).into() };
        there_and_back(
            |out| ack.encode(VERSION, out),
            |back| assert!(matches!(back, Message::Ack(back) if back == ack)),
        );
        let begin = SyncBegin {
            stamp: Stamp(random.number()),
            floor_ranges: 1 << random.below(28),
            vector: ack.applied,
            clears: List::Values(&clears),
        };
        there_and_back(
            |out| begin.encode(VERSION, out),
            |back| assert!(matches!(back, Message::SyncBegin(back) if back == begin)),
        );
        let request = SyncRequest {
            since: Stamp(random.number()),
            verifies: random.below(2) == 0,
            leftovers: Stamp(random.number()),
            vector: ack.applied,
        };
        there_and_back(
            |out| request.encode(VERSION, out),
            |back| assert!(matches!(back, Message::SyncRequest(back) if back == request)),
        );
        let floors = Floors { first: random.below(1000) as u32, total: 1 << 14, floors: List::Values(&floors) };
        there_and_back(
            |out| floors.encode(VERSION, out),
            |back| assert!(matches!(back, Message::Floors(back) if back == floors)),
        );
        let heartbeat = Heartbeat {
            sequence: random.number(),
            sent_us: random.number(),
            echo_us: random.number(),
            end: Position(random.number()),
            held_us: random.number() as u32,
            checksum: random.next() as u32,
            flags: NodeFlags {
                held: random.below(2) == 0,
                complete: random.below(2) == 0,
                behind: random.below(2) == 0,
                leftovers: random.below(2) == 0,
                syncs: random.below(2) == 0,
            },
            vector: ack.applied,
        };
        there_and_back(
            |out| heartbeat.encode(VERSION, out),
            |back| assert!(matches!(back, Message::Heartbeat(back) if back == heartbeat)),
        );
    }
}

#[test]
fn what_is_held_comes_back() {
    let mut random = Random(3);
    for _ in 0..100 {
        let mut held: Vec<(Vec<u8>, KeyspaceId, Version)> = Vec::new();
        let mut frame = Vec::new();
        let mut builder = VerifyBuilder::new(&mut frame, VERSION, 8);
        let longest = 1 + random.below(KEY_BYTES_MAX);
        while !builder.is_full() {
            let bytes = 1 + random.below(longest);
            held.push((random.bytes(bytes), KeyspaceId(random.next() as u16), version(&mut random)));
            let (bytes, keyspace, version) = &held[held.len() - 1];
            builder.push(Key::new(*keyspace, bytes).expect("a valid key"), version);
        }
        builder.finish();
        decode(&frame, |message| {
            let Ok(Some(Message::Verify(verify))) = message else { panic!("{message:?}") };
            assert_eq!((verify.batch, verify.len()), (8, held.len()));
            let back = verify.map(|held| (held.key.bytes.to_vec(), held.key.keyspace, held.version));
            assert!(back.eq(held.iter().cloned()));
        });
    }
}

#[test]
fn records_come_back_whether_copied_or_elsewhere() {
    let mut random = Random(4);
    for _ in 0..100 {
        let count = random.below(40);
        let entries: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let (key_bytes, value_bytes) = (1 + random.below(40), random.below(3000));
                let (key_bytes, value) = (random.bytes(key_bytes), random.bytes(value_bytes));
                entry(FrameKind::Value, key(&key_bytes), version(&mut random), random.next() as u32, &value)
            })
            .collect();
        // What is sent: pieces of the buffer, and between them entries that were not copied.
        let (mut frame, mut elsewhere) = (vec![0xee; 3], Vec::new());
        let mut builder = RecordsBuilder::changes(&mut frame, VERSION, STREAM, Position(10));
        let mut taken = 0;
        while taken < count && !builder.is_full() {
            let (at, bytes) = (Position(10 + taken as u64 * 3), &entries[taken]);
            builder.push_with(at, |_| Placed::Nothing);
            if random.below(2) == 0 {
                builder.push(at, bytes);
            } else {
                builder.push_elsewhere(at, bytes.len());
                elsewhere.push((builder.buffer().len(), bytes));
            }
            builder.push_clear(Position(at.0 + 1), None, Stamp(at.0));
            taken += 1;
        }
        let checksum = builder.finish(Position(1000));
        for (at, bytes) in elsewhere.into_iter().rev() {
            frame.splice(at..at, bytes.iter().copied());
        }
        decode(&frame[3..], |message| {
            let Ok(Some(Message::Changes(changes))) = message else { panic!("{message:?}") };
            assert_eq!((changes.stream, changes.first, changes.next), (STREAM, Position(10), Position(1000)));
            assert_eq!((changes.checksum, changes.records.len()), (checksum, taken * 2));
            for (number, record) in changes.records.enumerate() {
                let position = Position(10 + number as u64 / 2 * 3 + number as u64 % 2);
                let body = match number % 2 {
                    0 => RecordBody::Entry(&entries[number / 2]),
                    _ => RecordBody::Clear { keyspace: None, stamp: Stamp(position.0 - 1) },
                };
                assert_eq!((record.position, record.body), (position, body));
                assert_eq!(record.entry().expect("a right entry").is_some(), number % 2 == 0);
            }
        });
    }
}

#[test]
fn a_frame_that_is_not_full_takes_the_largest_entry() {
    let longest = [b'k'; KEY_BYTES_MAX];
    let version = Version { span: Span::of_write(1), row: Some(1), ..plain() };
    let largest = entry(FrameKind::Value, key(&longest), version, 0, &vec![5; CHUNK_BYTES]);
    assert_eq!(largest.len(), ENTRY_BYTES_MAX);
    let mut frame = Vec::new();
    let mut builder = RecordsBuilder::changes(&mut frame, VERSION, STREAM, Position(0));
    // 16 bytes of stream, 16 of record header, and one byte less than a batch.
    let filler = vec![0; BATCH_BYTES - 16 - 16 - 1];
    builder.push(Position(0), &filler);
    assert!(!builder.is_full());
    builder.push(Position(1), &largest);
    assert!(builder.is_full());
    builder.finish(Position(2));
    decode(&frame, |message| {
        let Ok(Some(Message::Changes(mut changes))) = message else { panic!("{message:?}") };
        let entry = changes.records.nth(1).expect("two records").entry().expect("a right entry").expect("an entry");
        assert_eq!((entry.key.bytes, entry.value.len()), (&longest[..], CHUNK_BYTES));
    });
}

#[test]
fn an_abandoned_frame_leaves_nothing() {
    let mut frame = vec![1, 2, 3];
    let mut builder = RecordsBuilder::sync_entries(&mut frame, VERSION);
    builder.push(Position(0), b"an entry");
    builder.abandon();
    assert_eq!(frame, [1, 2, 3]);
}
