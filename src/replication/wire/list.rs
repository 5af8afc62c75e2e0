//! Fields and counted lists of them: written from values, or borrowed from received bytes; both read alike.
//!
//! ```text
//!          2           size of one each
//!   +-------+--------+--------+-- .. --+
//!   | count | item   | item   |        |
//!   | u16   |        |        |        |
//!   +-------+--------+--------+-- .. --+
//!
//!   stream, 16 B      | incarnation u64 | origin u16 | 0, 6 B |
//!   position, 24 B    | stream 16 B | position u64 |                              a vector is a list of these
//!   range, 40 B       | stream 16 B | first u64 | start u64 | end u64 |
//!   clear, 16 B       | stamp u64 | key space u16 | 1 if all, u8 | 0, 5 B |
//! ```

#![forbid(unsafe_code)]

use crate::types::key::KeyspaceId;
use crate::types::stream::{Incarnation, Origin, Position, StreamId, StreamRange, Vector};
use crate::types::version::Stamp;
use std::fmt;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A value of fixed size on the wire.
pub(crate) trait Item: Copy + PartialEq + fmt::Debug {
    type Bytes: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + 'static;

    fn to_bytes(self) -> Self::Bytes;

    /// `None` where bytes that must be 0 are not.
    fn from_bytes(bytes: &Self::Bytes) -> Option<Self>;
}

/// Appends a value.
pub(crate) fn put<T: Item>(out: &mut Vec<u8>, item: T) {
    out.extend_from_slice(item.to_bytes().as_bytes());
}

/// A list of values, wherever they are.
#[derive(Clone, Copy)]
pub(crate) enum List<'a, T: Item> {
    /// To be sent.
    Values(&'a [T]),
    /// Received, each of them found right.
    Bytes(&'a [T::Bytes]),
}

/// How far each stream has been applied, or can be sent.
pub(crate) type Positions<'a> = List<'a, (StreamId, Position)>;

impl<'a, T: Item> List<'a, T> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let (values, bytes): (&'a [T], &'a [T::Bytes]) = match *self {
            Self::Values(values) => (values, &[]),
            Self::Bytes(bytes) => (&[], bytes),
        };
        values.iter().copied().chain(bytes.iter().filter_map(T::from_bytes))
    }

    /// Appends count and values.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let count = u16::try_from(self.len()).unwrap_or_else(|_| panic!("a list of {} values", self.len()));
        put(out, count);
        match self {
            Self::Values(values) => values.iter().for_each(|value| put(out, *value)),
            Self::Bytes(bytes) => out.extend_from_slice(bytes.as_bytes()),
        }
    }
}

impl Positions<'_> {
    /// As a vector; of streams that stand in it twice, the higher position.
    pub(crate) fn to_vector(self) -> Vector {
        let mut vector = Vector::default();
        for (stream, position) in self.iter() {
            vector.advance(stream, position);
        }
        vector
    }
}

impl<'a> From<&'a Vector> for Positions<'a> {
    fn from(vector: &'a Vector) -> Self {
        Self::Values(vector.as_slice())
    }
}

impl<T: Item> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Item> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Implements [`Item`] for what is a number, or wraps one.
macro_rules! numbers {
    ($($value:ty, $bytes:ty, $from:expr, $to:expr;)*) => {$(
        impl Item for $value {
            type Bytes = $bytes;

            fn to_bytes(self) -> $bytes {
                <$bytes>::new($to(self))
            }

            fn from_bytes(bytes: &$bytes) -> Option<Self> {
                Some($from(bytes.get()))
            }
        }
    )*};
}

numbers! {
    u16, U16, |bits| bits, |value| value;
    u32, U32, |bits| bits, |value| value;
    u64, U64, |bits| bits, |value| value;
    Position, U64, Position, |position: Self| position.0;
    Stamp, U64, Stamp, |stamp: Self| stamp.0;
    Incarnation, U64, Incarnation, |incarnation: Self| incarnation.0;
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct StreamBytes {
    incarnation: U64,
    origin: U16,
    zero: [u8; 6],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct PositionBytes {
    stream: StreamBytes,
    position: U64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RangeBytes {
    stream: StreamBytes,
    first: U64,
    start: U64,
    end: U64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ClearBytes {
    stamp: U64,
    keyspace: U16,
    all: u8,
    zero: [u8; 5],
}

const _: () = assert!(size_of::<StreamBytes>() == 16);
const _: () = assert!(size_of::<PositionBytes>() == 24);
const _: () = assert!(size_of::<RangeBytes>() == 40);
const _: () = assert!(size_of::<ClearBytes>() == 16);

impl Item for StreamId {
    type Bytes = StreamBytes;

    fn to_bytes(self) -> StreamBytes {
        StreamBytes { incarnation: U64::new(self.incarnation.0), origin: U16::new(self.origin.0), zero: [0; 6] }
    }

    fn from_bytes(bytes: &StreamBytes) -> Option<Self> {
        let stream = Self { origin: Origin(bytes.origin.get()), incarnation: Incarnation(bytes.incarnation.get()) };
        (bytes.zero == [0; 6]).then_some(stream)
    }
}

impl Item for (StreamId, Position) {
    type Bytes = PositionBytes;

    fn to_bytes(self) -> PositionBytes {
        PositionBytes { stream: self.0.to_bytes(), position: self.1.to_bytes() }
    }

    fn from_bytes(bytes: &PositionBytes) -> Option<Self> {
        Some((StreamId::from_bytes(&bytes.stream)?, Position(bytes.position.get())))
    }
}

impl Item for StreamRange {
    type Bytes = RangeBytes;

    fn to_bytes(self) -> RangeBytes {
        RangeBytes {
            stream: self.stream.to_bytes(),
            first: self.first.to_bytes(),
            start: self.start.to_bytes(),
            end: self.end.to_bytes(),
        }
    }

    fn from_bytes(bytes: &RangeBytes) -> Option<Self> {
        Some(Self {
            stream: StreamId::from_bytes(&bytes.stream)?,
            first: Position(bytes.first.get()),
            start: Position(bytes.start.get()),
            end: Position(bytes.end.get()),
        })
    }
}

/// A clear: of one key space, or of all.
impl Item for (Option<KeyspaceId>, Stamp) {
    type Bytes = ClearBytes;

    fn to_bytes(self) -> ClearBytes {
        ClearBytes {
            stamp: self.1.to_bytes(),
            keyspace: U16::new(self.0.map_or(0, |keyspace| keyspace.0)),
            all: u8::from(self.0.is_none()),
            zero: [0; 5],
        }
    }

    fn from_bytes(bytes: &ClearBytes) -> Option<Self> {
        let keyspace = match (bytes.all, bytes.keyspace.get()) {
            (0, keyspace) => Some(KeyspaceId(keyspace)),
            (1, 0) => None,
            _ => return None,
        };
        (bytes.zero == [0; 5]).then_some((keyspace, Stamp(bytes.stamp.get())))
    }
}
