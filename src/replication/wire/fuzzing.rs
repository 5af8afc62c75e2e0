//! What `tools/fuzz` sees: any bytes as those of a connection, whole or in pieces, as they are or with right checksums.

#![forbid(unsafe_code)]

use super::echo;
use super::header::{FrameHeader, HEADER_BYTES, Kind};
use super::messages::Message;
use super::reader::{FrameReader, READER_BYTES_MAX};
use crate::arena::received::FrameHead;

const VERSION: u8 = 1;

/// Reads bytes as two connections would: one that waits for HELLO, and one that has agreed on a version. The latter also
/// reads them with the checksum of each frame made right, so that what stands behind it is reached.
///
/// # Panics
///
/// If a reader takes more than one frame of memory, or a message does not say what its bytes say.
pub fn frames(bytes: &[u8]) {
    let mut mended = bytes.to_vec();
    mend(&mut mended);
    for (bytes, version) in [(bytes, None), (bytes, Some(VERSION)), (&mended, Some(VERSION))] {
        let whole = read(bytes, version, usize::MAX);
        let pieces = read(bytes, version, 1 + bytes.len() % 97);
        assert!(whole == pieces, "read in pieces it is something else");
    }
}

/// Makes the checksums of as many frames right as can be told from each other.
pub fn mend(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = FrameHeader::read(&bytes[at..]) {
        let body = header.body_bytes();
        if bytes.len() - at - HEADER_BYTES < body {
            return;
        }
        echo::mend(&mut bytes[at..], body);
        at += HEADER_BYTES + body;
    }
}

/// All that a reader says about some bytes.
fn read(mut bytes: &[u8], version: Option<u8>, piece: usize) -> Vec<u8> {
    let mut reader = FrameReader::new();
    if let Some(version) = version {
        reader.agree(version);
    }
    let mut said = Vec::new();
    while !bytes.is_empty() {
        let elsewhere = reader.chunk_rest().min(bytes.len()).min(piece);
        if elsewhere > 0 && bytes.len() % 2 == 0 {
            reader.chunk_received(elsewhere);
            bytes = &bytes[elsewhere..];
            continue;
        }
        let space = reader.space();
        let count = space.len().min(bytes.len()).min(piece);
        space[..count].copy_from_slice(&bytes[..count]);
        reader.filled(count);
        bytes = &bytes[count..];
        loop {
            match reader.next() {
                Ok(Some(message)) => look_at(&message, &mut said),
                Ok(None) => break,
                Err(error) => {
                    said.extend(error.to_string().bytes());
                    return said;
                }
            }
        }
        assert!(reader.heap_bytes() <= READER_BYTES_MAX, "{} bytes for one frame", reader.heap_bytes());
    }
    said
}

/// Goes through all of a message.
fn look_at(message: &Message<'_>, said: &mut Vec<u8>) {
    match message {
        Message::Changes(changes) => changes.records.clone().for_each(|record| _ = record.entry()),
        Message::Verified(verified) => verified.records.clone().for_each(|record| _ = record.entry()),
        Message::SyncEntries(entries) => entries.records.clone().for_each(|record| _ = record.entry()),
        Message::Chunk(chunk) => {
            // How much of it came along with its head depends on the pieces.
            _ = FrameHead::read(chunk.here);
            chunk.head.encode(VERSION, said);
            return;
        }
        _ => {}
    }
    let start = said.len();
    echo::encode(message, VERSION, said);
    let again = &said[start..];
    let says = |same: &Message<'_>| format!("{same:?}") == format!("{message:?}");
    if let Some(header) = FrameHeader::read(again) {
        let same = Message::decode(Kind::from_bits(header.kind_bits()), header, &again[HEADER_BYTES..]);
        assert!(same.is_ok_and(|same| says(&same)), "{message:?} is something else when sent on");
    }
}
