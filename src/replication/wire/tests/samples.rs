//! One frame of each kind and each form, with values that never change.

#![forbid(unsafe_code)]

use super::VERSION;
use crate::arena::frame::{Extent, FRAME_START, FrameHeader, FrameKind, FrameMeta};
use crate::replication::wire::{
    Ack, ChunkHead, Floors, Goodbye, Heartbeat, Hello, List, NodeFlags, NotCovered, Reason, RecordsBuilder, Refuse,
    Subscribe, SyncBegin, SyncEnd, SyncRequest, Unsubscribe, VerifyBuilder, echo,
};
use crate::types::key::{Key, KeyspaceId};
use crate::types::stream::{Incarnation, Origin, Position, StreamId, StreamRange};
use crate::types::version::{Order, Span, Stamp, Version};

/// A frame and the name of its file.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) frame: Vec<u8>,
    /// Where the bytes of entries lie, which the frame's checksum leaves out.
    pub(super) entries: Vec<std::ops::Range<usize>>,
}

pub(super) const STREAM: StreamId = StreamId { origin: Origin(0x0a0b), incarnation: Incarnation(0x0102_0304_0506) };
const OTHER: StreamId = StreamId { origin: Origin(7), incarnation: Incarnation(99) };
const VECTOR: [(StreamId, Position); 2] = [(OTHER, Position(1)), (STREAM, Position(0x1122_3344))];

pub(super) fn key(bytes: &[u8]) -> Key<'_> {
    Key::new(KeyspaceId(0x0203), bytes).expect("a valid key")
}

pub(super) fn plain() -> Version {
    Version::instant(Stamp(0x0123_4567_89ab_cdef), 0x0a0b)
}

pub(super) fn by_database() -> Version {
    Version { span: Span::of_write(1500), order: Order::Database, row: Some(42), ..plain() }
}

/// The frame of an entry as it lies in its slot.
pub(super) fn entry(kind: FrameKind, key: Key<'_>, version: Version, ttl: u32, value: &[u8]) -> Vec<u8> {
    let extent = Extent::of(&version, key.bytes.len(), value.len() as u64);
    let mut frame = vec![0; (extent.end() - FRAME_START) as usize];
    frame[(extent.value_start - FRAME_START) as usize..].copy_from_slice(value);
    let meta = FrameMeta { version, ttl, kind };
    FrameHeader::new(key, value.len() as u32, &meta).write(&version, key, extent.value_start, &mut frame);
    frame
}

/// A frame all of which is covered.
fn short(name: &'static str, encode: impl FnOnce(&mut Vec<u8>)) -> Sample {
    let mut frame = Vec::new();
    encode(&mut frame);
    Sample { name, frame, entries: Vec::new() }
}

/// A frame of records: an entry, or for `None` a clear.
fn changes(name: &'static str, records: &[(u64, Option<&[u8]>)], next: u64) -> Sample {
    let (mut frame, mut entries) = (Vec::new(), Vec::new());
    let mut builder = RecordsBuilder::changes(&mut frame, VERSION, STREAM, Position(100));
    for (position, entry) in records {
        match entry {
            Some(entry) => {
                builder.push(Position(*position), entry);
                entries.push(builder.buffer().len() - entry.len()..builder.buffer().len());
            }
            None => builder.push_clear(Position(*position), Some(KeyspaceId(0x0203)), Stamp(0x55)),
        }
    }
    builder.finish(Position(next));
    Sample { name, frame, entries }
}

fn chunk(name: &'static str, head: ChunkHead, bytes: &[u8]) -> Sample {
    let mut frame = Vec::new();
    head.encode(VERSION, &mut frame);
    let start = frame.len();
    frame.extend_from_slice(bytes);
    let entry = start..frame.len();
    Sample { name, entries: Vec::from([entry]), frame }
}

/// All of them.
pub(super) fn all() -> Vec<Sample> {
    let mut all = hellos();
    all.extend(of_streams());
    all.extend(of_chunks());
    all.extend(of_syncs());
    all
}

fn hellos() -> Vec<Sample> {
    let range = StreamRange { stream: STREAM, first: Position(16), start: Position(32), end: Position(4096) };
    let full = Hello {
        protocol: 1..=3,
        flags: NodeFlags { held: true, complete: false, behind: false, leftovers: false, syncs: false },
        cluster: 0xfeed_f00d_0bad_cafe,
        incarnation: STREAM.incarnation,
        name: "pod-3",
        advertised: Some("192.0.2.1:7400".parse().expect("an address")),
        streams: List::Values(&[range]),
        vector: List::Values(&VECTOR),
    };
    let smallest = Hello {
        protocol: 1..=1,
        flags: NodeFlags::default(),
        name: "n",
        advertised: None,
        streams: List::Values(&[]),
        vector: List::Values(&[]),
        ..full.clone()
    };
    let refuse = Refuse { reason: Reason::Protocol, why: "speaks 4 to 5, and not 1 to 1" };
    vec![
        short("hello", |out| full.encode(out)),
        short("hello_smallest", |out| smallest.encode(out)),
        short("refuse", |out| refuse.encode(out)),
    ]
}

fn of_streams() -> Vec<Sample> {
    let value = entry(FrameKind::Value, key(b"user:42"), plain(), 0, b"a value");
    let row = entry(FrameKind::Value, key(b"row"), by_database(), 0x8000_003c, b"of the database");
    let tombstone = entry(FrameKind::Tombstone, key(b"gone"), plain(), 0, b"");
    let invalidation = entry(FrameKind::Invalidation, key(b"changed"), by_database(), 0, b"");
    let heartbeat = Heartbeat {
        sequence: 5,
        sent_us: 1_000_000,
        echo_us: 999_000,
        end: Position(4096),
        held_us: 250,
        checksum: 0xc0ff_ee00,
        flags: NodeFlags { held: false, complete: true, behind: false, leftovers: true, syncs: true },
        vector: List::Values(&VECTOR),
    };
    let behind = Heartbeat { flags: NodeFlags { behind: true, ..heartbeat.flags }, ..heartbeat };
    vec![
        short("subscribe", |out| Subscribe { stream: STREAM, from: Position(100) }.encode(VERSION, out)),
        short("unsubscribe", |out| Unsubscribe { stream: STREAM }.encode(VERSION, out)),
        short("not_covered", |out| NotCovered { stream: STREAM, start: Position(2048) }.encode(VERSION, out)),
        changes("changes_value", &[(100, Some(&value))], 104),
        changes("changes_interval_and_row", &[(100, Some(&row))], 104),
        changes("changes_tombstone", &[(100, Some(&tombstone))], 103),
        changes("changes_invalidation", &[(101, Some(&invalidation))], 110),
        changes("changes_clear", &[(100, None)], 103),
        changes("changes_several", &[(100, Some(&value)), (104, None), (109, Some(&tombstone))], 112),
        changes("changes_of_nothing", &[], 140),
        short("ack", |out| Ack { applied: List::Values(&VECTOR) }.encode(VERSION, out)),
        short("heartbeat", |out| heartbeat.encode(VERSION, out)),
        short("heartbeat_behind", |out| behind.encode(VERSION, out)),
        short("goodbye", |out| Goodbye { end: Position(4096) }.encode(VERSION, out)),
        Sample { name: "skipped", frame: echo::unknown(200, VERSION, b"of a later version"), entries: Vec::new() },
    ]
}

fn of_chunks() -> Vec<Sample> {
    let value: Vec<u8> = (0..1200_u32).map(|at| (at * 7) as u8).collect();
    let whole = entry(FrameKind::Value, key(b"large"), plain(), 0, &value);
    let at = Position(200);
    let first = ChunkHead {
        stream: STREAM,
        first: at,
        next: at,
        position: at,
        total: whole.len() as u32,
        offset: 0,
        bytes: 1100,
    };
    let last = ChunkHead { next: Position(204), offset: 1100, bytes: first.total - 1100, ..first };
    let nowhere = Position(0);
    let of_sync = ChunkHead { stream: StreamId::default(), first: nowhere, next: nowhere, position: nowhere, ..first };
    vec![
        chunk("chunk_first", first, &whole[..1100]),
        chunk("chunk_last", last, &whole[1100..]),
        chunk("chunk_of_sync", of_sync, &whole[..1100]),
    ]
}

fn of_syncs() -> Vec<Sample> {
    let (version, other) = (plain(), by_database());
    let clears = [(None, Stamp(0x77)), (Some(KeyspaceId(0x0203)), Stamp(0x88))];
    let floors = [Stamp(0x10), Stamp(0x20), Stamp(0)];
    let value = entry(FrameKind::Value, key(b"user:42"), version, 0, b"a value");
    let vector = List::Values(&VECTOR[..]);
    let mut verified = Vec::new();
    let mut builder = RecordsBuilder::verified(&mut verified, VERSION, 3);
    builder.push(Position(0), &value);
    let verified_at = builder.buffer().len() - value.len()..builder.buffer().len();
    builder.finish_verified(true);
    let mut entries = Vec::new();
    let mut builder = RecordsBuilder::sync_entries(&mut entries, VERSION);
    builder.push(Position(0), &value);
    let entry_at = builder.buffer().len() - value.len()..builder.buffer().len();
    builder.finish_entries();
    vec![
        short("sync_request", |out| {
            SyncRequest { since: Stamp(0x66), verifies: true, leftovers: Stamp(0x77), vector }.encode(VERSION, out)
        }),
        short("sync_begin", |out| {
            SyncBegin { stamp: Stamp(0x99), floor_ranges: 1 << 10, vector, clears: List::Values(&clears) }
                .encode(VERSION, out);
        }),
        short("verify", |out| {
            let mut frame = VerifyBuilder::new(out, VERSION, 3);
            frame.push(key(b"user:42"), &version);
            frame.push(key(b"row"), &other);
            frame.finish();
        }),
        short("verify_end", |out| VerifyBuilder::new(out, VERSION, 4).finish()),
        Sample { name: "verified", frame: verified, entries: vec![verified_at] },
        Sample { name: "sync_entries", frame: entries, entries: vec![entry_at] },
        short("floors", |out| {
            Floors { first: 1021, total: 1 << 10, floors: List::Values(&floors) }.encode(VERSION, out);
        }),
        short("sync_end", |out| SyncEnd { leftovers: true, is_passed_on: true }.encode(VERSION, out)),
    ]
}
