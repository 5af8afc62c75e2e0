//! The reader: bytes of a connection in, messages out, in one bounded buffer.
//!
//! ```text
//!   space -> (socket, or decryption, writes n bytes) -> filled(n) -> next, until it says None -> space ..
//!
//!            start        end                 length
//!   +---------+------------+-------------------+
//!   | handed  | frames,    | space             |     grown to what the frame at `start` needs, never beyond one frame;
//!   | out     | not looked |                   |     moved to the front when it does not fit behind `start`
//!   +---------+------------+-------------------+
//!
//!   large values:     header | prefix | head of the entry | value ..............................
//!                     |<-- in the buffer, with what came along -->|<-- chunk_rest() bytes: read -->
//!                         next() = Chunk { here, .. }                  into the arena, then chunk_received(n)
//! ```
//!
//! A chunk is handed out as soon as its header, its prefix and, in a first one, the head of its entry are there. What is
//! missing of it is `chunk_rest`: the caller either reads it to where it belongs and says `chunk_received`, or goes on with
//! `space` and `filled`, and it is passed over. Where another chunk is likely next, `space` is just large enough for its
//! header and prefix, so that its value too goes from the socket to its place.

#![forbid(unsafe_code)]

use super::chunk::{ENTRY_HEAD_BYTES_MAX, PREFIX_BYTES};
use super::error::DecodeError;
use super::header::{FrameHeader, HEADER_BYTES, Kind};
use super::messages::Message;
use crate::types::limits::BATCH_BYTES;

/// The largest buffer: one frame.
#[cfg(any(test, fuzzing))]
pub(crate) const READER_BYTES_MAX: usize = HEADER_BYTES + crate::types::limits::FRAME_BYTES_MAX;

/// The buffer before a version was agreed on.
const BYTES_BEFORE_HELLO: usize = 4 << 10;

/// The buffer afterwards: a full batch.
const BYTES_USUAL: usize = BATCH_BYTES + (4 << 10);

/// The receiving side of a connection.
#[derive(Debug)]
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes from `start` on without which there is nothing to be done.
    needed: usize,
    /// Bytes of the chunk that was handed out last that are still to come. The buffer is empty meanwhile.
    rest: usize,
    /// The last frame was a chunk, and not the last one of its entry.
    within_entry: bool,
    version: Option<u8>,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, needed: HEADER_BYTES, rest: 0, within_entry: false, version: None }
    }
}

impl FrameReader {
    /// For a new connection: HELLO and REFUSE are all that it takes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes frames of this version from now on.
    pub(crate) fn agree(&mut self, version: u8) {
        self.version = Some(version);
    }

    /// The version that was agreed on.
    pub(crate) fn version(&self) -> Option<u8> {
        self.version
    }

    /// Where the next bytes of the connection belong. Never empty once [`next`](Self::next) has said `None`; empty if it
    /// has to be called first.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start + self.needed > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let usual = if self.version.is_some() { BYTES_USUAL } else { BYTES_BEFORE_HELLO };
            if self.buffer.len() < self.needed.max(usual) {
                self.buffer.resize(self.needed.max(usual), 0);
            }
        }
        let front = self.start + HEADER_BYTES + PREFIX_BYTES;
        let narrow = self.within_entry && self.rest == 0 && self.start + self.needed <= front && self.end < front;
        let until = if narrow { front } else { self.buffer.len() };
        &mut self.buffer[self.end..until]
    }

    /// So many bytes were put to the front of the space.
    pub(crate) fn filled(&mut self, bytes: usize) {
        assert!(self.end + bytes <= self.buffer.len(), "{bytes} bytes in a space of {}", self.buffer.len() - self.end);
        self.end += bytes;
        let passed = self.rest.min(self.end - self.start);
        self.start += passed;
        self.rest -= passed;
    }

    /// Bytes of the last chunk that are still to come, before anything else.
    pub(crate) fn chunk_rest(&self) -> usize {
        self.rest
    }

    /// So many bytes of the rest of the last chunk were put elsewhere.
    pub(crate) fn chunk_received(&mut self, bytes: usize) {
        assert!(bytes <= self.rest, "{bytes} bytes of a chunk of which {} are to come", self.rest);
        self.rest -= bytes;
    }

    /// Bytes that have been put into the buffer and not been handed out.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// Bytes of heap that are held.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back what a large frame made the buffer grow by. For quiet moments.
    pub(crate) fn trim(&mut self) {
        if self.start == self.end && self.buffer.len() > BYTES_USUAL {
            self.buffer.truncate(BYTES_USUAL);
            self.buffer.shrink_to_fit();
            (self.start, self.end) = (0, 0);
        }
    }

    /// The next message; `None` if more bytes are needed first.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the connection is of no more use, and says the same again when asked again.
    pub(crate) fn next(&mut self) -> Result<Option<Message<'_>>, DecodeError> {
        let here = &self.buffer[self.start..self.end];
        let Some(header) = FrameHeader::read(here).copied().filter(|_| self.rest == 0 && here.len() >= self.needed)
        else {
            return Ok(None);
        };
        let kind = header.check(self.version)?;
        let wanted = HEADER_BYTES + wanted(kind, &header, &here[HEADER_BYTES..]);
        if here.len() < wanted {
            self.needed = wanted;
            return Ok(None);
        }
        let whole = HEADER_BYTES + header.body_bytes();
        let taken = whole.min(here.len());
        let message = Message::decode(kind, &header, &here[HEADER_BYTES..taken])?;
        self.start += taken;
        self.rest = whole - taken;
        self.needed = HEADER_BYTES;
        self.within_entry = match &message {
            Message::Chunk(chunk) => !chunk.head.is_last(),
            Message::Heartbeat(_) | Message::Ack(_) => self.within_entry,
            _ => false,
        };
        Ok(Some(message))
    }
}

/// Bytes of a body that have to be there before the frame is handed out: all of them but for a chunk.
fn wanted(kind: Option<Kind>, header: &FrameHeader, body: &[u8]) -> usize {
    let whole = header.body_bytes();
    if kind != Some(Kind::Chunk) {
        return whole;
    }
    // The offset stands at the end of the prefix; the head of the entry is in the chunk with offset 0.
    match body.get(PREFIX_BYTES - 4..PREFIX_BYTES) {
        Some([0, 0, 0, 0]) => whole.min(PREFIX_BYTES + ENTRY_HEAD_BYTES_MAX),
        _ => whole.min(PREFIX_BYTES),
    }
}
