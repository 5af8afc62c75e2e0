//! For tests and fuzzing: a message encoded again, and checksums made right for bytes that were changed on purpose.

#![forbid(unsafe_code)]

use super::header::{FrameHeader, HEADER_BYTES, Kind};
use super::messages::{self, Message};
use super::records::{RecordBody, Records, RecordsBuilder};
use super::verify::VerifyBuilder;
use zerocopy::IntoBytes;

/// Appends the frame of a message; of a chunk, as much of it as was there. `false` for what this version cannot encode.
pub(super) fn encode(message: &Message<'_>, version: u8, out: &mut Vec<u8>) -> bool {
    match message {
        Message::Hello(hello) => hello.encode(out),
        Message::Refuse(refuse) => refuse.encode(out),
        Message::Subscribe(subscribe) => subscribe.encode(version, out),
        Message::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
        Message::NotCovered(not_covered) => not_covered.encode(version, out),
        Message::Changes(changes) => {
            let mut frame = RecordsBuilder::changes(out, version, changes.stream, changes.first);
            copy(changes.records.clone(), &mut frame);
            assert_eq!(frame.finish(changes.next), changes.checksum, "the checksum of what was encoded again");
        }
        Message::Chunk(chunk) => {
            assert_eq!(chunk.head.encode(version, out), chunk.checksum, "the checksum of what was encoded again");
            out.extend_from_slice(chunk.here);
        }
        Message::Ack(ack) => ack.encode(version, out),
        Message::Heartbeat(heartbeat) => heartbeat.encode(version, out),
        Message::Goodbye(goodbye) => goodbye.encode(version, out),
        Message::SyncRequest(request) => request.encode(version, out),
        Message::SyncBegin(begin) => begin.encode(version, out),
        Message::Verify(verify) => {
            let mut frame = VerifyBuilder::new(out, version, verify.batch);
            verify.clone().for_each(|held| frame.push(held.key, &held.version));
            frame.finish();
        }
        Message::Verified(verified) => {
            let mut frame = RecordsBuilder::verified(out, version, verified.batch);
            copy(verified.records.clone(), &mut frame);
            frame.finish_verified(verified.last);
        }
        Message::SyncEntries(entries) => {
            let mut frame = RecordsBuilder::sync_entries(out, version);
            copy(entries.records.clone(), &mut frame);
            frame.finish_entries();
        }
        Message::Floors(floors) => floors.encode(version, out),
        Message::SyncEnd(end) => end.encode(version, out),
        Message::Skipped => return false,
    }
    true
}

fn copy(records: Records<'_>, into: &mut RecordsBuilder<'_>) {
    for record in records {
        match record.body {
            RecordBody::Entry(bytes) => into.push(record.position, bytes),
            RecordBody::Clear { keyspace, stamp } => into.push_clear(record.position, keyspace, stamp),
        }
    }
}

/// Makes the length and the checksum in the header of a frame right for what stands behind it. `false` if no checksum can
/// be: its records do not fill it.
pub(super) fn mend(frame: &mut [u8], body_bytes: usize) -> bool {
    frame[4..8].copy_from_slice(&(body_bytes as u32).to_le_bytes());
    let Some(header) = FrameHeader::read(frame).copied() else { return false };
    let body = &frame[HEADER_BYTES..HEADER_BYTES + body_bytes];
    let Ok(covered) = messages::covered(Kind::from_bits(header.kind_bits()), &header, body) else { return false };
    frame[..HEADER_BYTES].copy_from_slice(header.mended(covered).as_bytes());
    true
}

/// A frame of a kind that this version does not have.
#[cfg(test)]
pub(super) fn unknown(kind: u8, version: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    super::header::encode(&mut frame, version, Kind::SyncEnd, |_| ());
    frame.extend_from_slice(body);
    frame[3] = kind;
    assert!(mend(&mut frame, body.len()), "a body of any bytes");
    frame
}
