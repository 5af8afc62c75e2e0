//! Frames of records: entries as they lie in their slots, and clears.
//!
//! ```text
//!   CHANGES               | stream 16 B | record | record | ..      first, next: where the receiver stands, before and behind
//!   VERIFIED              | record | record | ..                    first: the batch; next: the batch behind, in its last frame
//!   SYNC_ENTRIES          | record | record | ..
//!
//!  record  0       4      5          8          16
//!          +-------+------+----------+----------+------------------------+
//!          | bytes | kind | 0        | position | entry, or clear        |    kind: 1 entry, 2 clear
//!          | u32   | u8   | 3 B      | u64      | bytes                  |    position: 0 outside of CHANGES
//!          +-------+------+----------+----------+------------------------+
//!                                               |<- an entry has a checksum of its own; all else is covered by the frame's
//! ```

#![forbid(unsafe_code)]

use super::body::Body;
use super::chunk::ENTRY_HEAD_BYTES_MAX;
use super::error::DecodeError;
use super::header::{FrameHeader, HEADER_BYTES, HeaderFields, Kind};
use super::list::{Item, StreamBytes, put};
use crate::arena::received::ReceivedFrame;
use crate::types::checksum;
use crate::types::key::KeyspaceId;
use crate::types::limits::{BATCH_BYTES, CHUNK_BYTES, FRAME_BYTES_MAX};
use crate::types::stream::{Position, StreamId};
use crate::types::version::Stamp;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in front of each record.
pub(crate) const RECORD_HEADER_BYTES: usize = size_of::<RecordHeader>();

/// The largest entry that goes whole.
pub(crate) const ENTRY_BYTES_MAX: usize = ENTRY_HEAD_BYTES_MAX + CHUNK_BYTES;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RecordHeader {
    bytes: U32,
    kind: u8,
    zero: [u8; 3],
    position: U64,
}

const ENTRY: u8 = 1;
const CLEAR: u8 = 2;

const _: () = assert!(size_of::<RecordHeader>() == 16);
// A frame that is not full takes one more record, whatever it is.
const _: () =
    assert!(size_of::<StreamBytes>() + BATCH_BYTES + RECORD_HEADER_BYTES + ENTRY_BYTES_MAX <= FRAME_BYTES_MAX);

/// A part of a stream: the receiver stands at `first`, applies the records, and stands at `next`.
#[derive(Clone, Debug)]
pub(crate) struct Changes<'a> {
    pub(crate) stream: StreamId,
    pub(crate) first: Position,
    pub(crate) next: Position,
    /// Of the frame, for the [`StreamChecksum`](super::StreamChecksum).
    pub(crate) checksum: u32,
    /// Their positions rise, from `first` on and below `next`.
    pub(crate) records: Records<'a>,
}

/// A part of the answer to a VERIFY: what the donor knows better.
#[derive(Clone, Debug)]
pub(crate) struct Verified<'a> {
    /// The number of the batch that is answered.
    pub(crate) batch: u64,
    /// The batch has been answered in full.
    pub(crate) last: bool,
    /// Entries alone.
    pub(crate) records: Records<'a>,
}

/// Entries of a donor.
#[derive(Clone, Debug)]
pub(crate) struct SyncEntries<'a> {
    /// Entries alone.
    pub(crate) records: Records<'a>,
}

/// The records of a frame, each found to lie within it. The entries in them are still to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    rest: Body<'a>,
    left: u32,
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record<'a> {
    /// Where the change begins in its stream; 0 outside of CHANGES.
    pub(crate) position: Position,
    pub(crate) body: RecordBody<'a>,
}

/// What a record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecordBody<'a> {
    /// The frame of a value, a tombstone or an invalidation. Neither its lengths nor its checksum have been looked at.
    Entry(&'a [u8]),
    /// A clear: of one key space, or of all.
    Clear { keyspace: Option<KeyspaceId>, stamp: Stamp },
}

impl<'a> Record<'a> {
    /// The entry, its lengths and its checksum found right; `None` for a clear.
    pub(crate) fn entry(&self) -> Result<Option<ReceivedFrame<'a>>, DecodeError> {
        let RecordBody::Entry(bytes) = self.body else { return Ok(None) };
        ReceivedFrame::read(bytes).map(Some).map_err(|source| DecodeError::Entry { position: self.position, source })
    }
}

impl<'a> Records<'a> {
    /// How many are still to come.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.left as usize
    }

    /// Checks kinds and positions; lengths have been checked by [`cover`].
    fn check(rest: Body<'a>, header: &FrameHeader, is_stream: bool) -> Result<Self, DecodeError> {
        let (first, next) = (Position(header.first()), Position(header.next()));
        let (mut body, mut least) = (rest, first);
        for _ in 0..header.count() {
            let before = body;
            let Record { position, body: what } = read(&mut body)?;
            if is_stream && (position < least || position >= next) {
                return Err(DecodeError::Position { kind: rest.kind(), at: before.at(), found: position, first, next });
            }
            if !is_stream && (position != Position(0) || !matches!(what, RecordBody::Entry(_))) {
                return Err(before.wrong("record"));
            }
            least = Position(position.0.saturating_add(1));
        }
        body.end()?;
        Ok(Self { rest, left: header.count() })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.left = self.left.checked_sub(1)?;
        read(&mut self.rest).ok()
    }
}

/// The next record of a body.
fn read<'a>(body: &mut Body<'a>) -> Result<Record<'a>, DecodeError> {
    let before = *body;
    let header: &RecordHeader = body.structure()?;
    let mut inner = Body::new(body.kind(), body.bytes(header.bytes.get() as usize)?);
    if header.zero != [0; 3] {
        return Err(before.wrong("record"));
    }
    let position = Position(header.position.get());
    let body = match header.kind {
        ENTRY => {
            before.within("entry", inner.rest().len(), 1..=ENTRY_BYTES_MAX)?;
            RecordBody::Entry(inner.rest())
        }
        CLEAR => {
            let (keyspace, stamp) = inner.item("clear")?;
            inner.end()?;
            RecordBody::Clear { keyspace, stamp }
        }
        _ => return Err(before.wrong("kind of record")),
    };
    Ok(Record { position, body })
}

/// The checksum of the covered bytes: all but those of entries. An error if the records do not fill the body.
pub(super) fn cover(kind: Kind, header: &FrameHeader, bytes: &[u8]) -> Result<u32, DecodeError> {
    let mut body = Body::new(kind, bytes);
    let mut covered = 0;
    if kind == Kind::Changes {
        covered = checksum::extend(covered, body.bytes(size_of::<StreamBytes>())?);
    }
    for _ in 0..header.count() {
        let record: &RecordHeader = body.structure()?;
        covered = checksum::extend(covered, record.as_bytes());
        let inner = body.bytes(record.bytes.get() as usize)?;
        if record.kind != ENTRY {
            covered = checksum::extend(covered, inner);
        }
    }
    body.end()?;
    Ok(covered)
}

impl<'a> Changes<'a> {
    pub(super) fn decode(header: &FrameHeader, mut body: Body<'a>) -> Result<Self, DecodeError> {
        let (first, next) = (Position(header.first()), Position(header.next()));
        if first > next {
            return Err(DecodeError::Position { kind: body.kind(), at: 0, found: next, first, next });
        }
        let stream = body.item("stream")?;
        let records = Records::check(body, header, true)?;
        Ok(Self { stream, first, next, checksum: header.checksum(), records })
    }
}

impl<'a> Verified<'a> {
    pub(super) fn decode(header: &FrameHeader, body: Body<'a>) -> Result<Self, DecodeError> {
        let batch = header.first();
        let last = match header.next().checked_sub(batch) {
            Some(0) => false,
            Some(1) => true,
            _ => return Err(body.wrong("batch")),
        };
        Ok(Self { batch, last, records: Records::check(body, header, false)? })
    }
}

impl<'a> SyncEntries<'a> {
    pub(super) fn decode(header: &FrameHeader, body: Body<'a>) -> Result<Self, DecodeError> {
        if (header.first(), header.next()) != (0, 0) {
            return Err(body.wrong("position"));
        }
        Ok(Self { records: Records::check(body, header, false)? })
    }
}

/// A frame of records that is being put together at the end of a buffer.
///
/// Bytes of entries may lie elsewhere: the buffer then holds all of the frame but them, and who sends it sends them in
/// their places. A builder that is dropped unfinished leaves a torn frame behind: finish or abandon it.
#[derive(Debug)]
#[must_use = "a frame has to be finished or abandoned"]
pub(crate) struct RecordsBuilder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    version: u8,
    kind: Kind,
    first: u64,
    count: u32,
    covered: u32,
    elsewhere: usize,
}

/// What became of a record that was to be pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placed {
    /// Its entry has been appended to the buffer.
    Copied,
    /// Its entry has that many bytes, and is to be sent behind what is in the buffer now.
    Elsewhere(usize),
    /// There is nothing to send.
    Nothing,
}

impl<'o> RecordsBuilder<'o> {
    /// Begins a CHANGES frame for a receiver that stands at `first`.
    pub(crate) fn changes(out: &'o mut Vec<u8>, version: u8, stream: StreamId, first: Position) -> Self {
        let mut builder = Self::begin(out, version, Kind::Changes, first.0);
        put(builder.out, stream);
        builder.covered = checksum::extend(0, stream.to_bytes().as_bytes());
        builder
    }

    /// Begins a VERIFIED frame about a batch.
    pub(crate) fn verified(out: &'o mut Vec<u8>, version: u8, batch: u64) -> Self {
        Self::begin(out, version, Kind::Verified, batch)
    }

    /// Begins a SYNC_ENTRIES frame.
    pub(crate) fn sync_entries(out: &'o mut Vec<u8>, version: u8) -> Self {
        Self::begin(out, version, Kind::SyncEntries, 0)
    }

    fn begin(out: &'o mut Vec<u8>, version: u8, kind: Kind, first: u64) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        Self { out, start, version, kind, first, count: 0, covered: 0, elsewhere: 0 }
    }

    /// Pushes an entry whose bytes are copied. `position` is 0 outside of CHANGES.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn push(&mut self, position: Position, entry: &[u8]) {
        self.push_with(position, |out| {
            out.extend_from_slice(entry);
            Placed::Copied
        });
    }

    /// Pushes an entry of so many bytes, to be sent behind what is in the buffer when this returns.
    #[cfg(test)]
    pub(crate) fn push_elsewhere(&mut self, position: Position, bytes: usize) {
        self.push_with(position, |_| Placed::Elsewhere(bytes));
    }

    /// Pushes the entry that `place` appends to the buffer, or of which it says that it lies elsewhere. Of
    /// [`Placed::Nothing`] nothing is left.
    pub(crate) fn push_with(&mut self, position: Position, place: impl FnOnce(&mut Vec<u8>) -> Placed) -> Placed {
        assert!(!self.is_full(), "a {:?} frame of {} bytes takes no more", self.kind, self.body_bytes());
        let at = self.out.len();
        self.out.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        let placed = place(self.out);
        let bytes = match placed {
            Placed::Copied => self.out.len() - at - RECORD_HEADER_BYTES,
            Placed::Elsewhere(bytes) => bytes,
            Placed::Nothing => {
                self.out.truncate(at);
                return placed;
            }
        };
        assert!(bytes <= ENTRY_BYTES_MAX, "an entry of {bytes} bytes goes in chunks");
        if let Placed::Elsewhere(bytes) = placed {
            self.out.truncate(at + RECORD_HEADER_BYTES);
            self.elsewhere += bytes;
        }
        self.head(at, position, ENTRY, bytes);
        placed
    }

    /// Pushes a clear of one key space, or of all. Only in CHANGES.
    pub(crate) fn push_clear(&mut self, position: Position, keyspace: Option<KeyspaceId>, stamp: Stamp) {
        let at = self.out.len();
        let clear = (keyspace, stamp).to_bytes();
        self.out.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        self.out.extend_from_slice(clear.as_bytes());
        self.head(at, position, CLEAR, size_of_val(&clear));
        self.covered = checksum::extend(self.covered, clear.as_bytes());
    }

    fn head(&mut self, at: usize, position: Position, kind: u8, bytes: usize) {
        let position = U64::new(position.0);
        let header = RecordHeader { bytes: U32::new(bytes as u32), kind, zero: [0; 3], position };
        self.out[at..at + RECORD_HEADER_BYTES].copy_from_slice(header.as_bytes());
        self.covered = checksum::extend(self.covered, header.as_bytes());
        self.count += 1;
    }

    /// The buffer, which ends with the frame as far as it has come.
    pub(crate) fn buffer(&self) -> &[u8] {
        self.out
    }

    /// Bytes of the body as it is now, those that lie elsewhere included.
    pub(crate) fn body_bytes(&self) -> usize {
        self.out.len() - self.start - HEADER_BYTES + self.elsewhere
    }

    /// Records so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Whether the frame is to be finished before the next record. One that is not full takes any.
    pub(crate) fn is_full(&self) -> bool {
        self.body_bytes() >= BATCH_BYTES
    }

    /// Finishes CHANGES: the receiver stands at `next` behind it. Returns the frame's checksum, for the
    /// [`StreamChecksum`](super::StreamChecksum).
    pub(crate) fn finish(self, next: Position) -> u32 {
        assert!(self.kind == Kind::Changes && next.0 >= self.first, "{:?} from {} to {next:?}", self.kind, self.first);
        self.close(next.0)
    }

    /// Finishes VERIFIED: `last` if its batch has been answered in full.
    pub(crate) fn finish_verified(self, last: bool) {
        assert!(self.kind == Kind::Verified, "finished as VERIFIED: {:?}", self.kind);
        let next = self.first + u64::from(last);
        self.close(next);
    }

    /// Finishes SYNC_ENTRIES.
    pub(crate) fn finish_entries(self) {
        assert!(self.kind == Kind::SyncEntries, "finished as SYNC_ENTRIES: {:?}", self.kind);
        self.close(0);
    }

    /// Takes the frame back out of the buffer.
    pub(crate) fn abandon(self) {
        self.out.truncate(self.start);
    }

    fn close(self, next: u64) -> u32 {
        let (version, kind, count, first) = (self.version, self.kind, self.count, self.first);
        let fields = HeaderFields { version, kind, bytes: self.body_bytes(), count, first, next };
        let header = FrameHeader::new(&fields, self.covered);
        self.out[self.start..self.start + HEADER_BYTES].copy_from_slice(header.as_bytes());
        header.checksum()
    }
}
