//! HELLO and REFUSE: the two frames that are the same in every version, so that any two nodes can tell what they are.
//!
//! ```text
//!  HELLO   32     33     34      36        44            52
//!          +------+------+-------+---------+-------------+
//!          | min  | max  | flags | cluster | incarnation |
//!          | u8   | u8   | u16   | u64     | u64         |
//!          +------+------+-------+---------+-------------+
//!      52: | name: u8 + text | address: u8 + text | own streams: list | vector: list | anything |
//!
//!  REFUSE  32       34
//!          | reason u16 | why: u8 + text | anything |
//! ```
//!
//! What stands behind the last field, and flags without a name, belong to a later version and are passed over.

#![forbid(unsafe_code)]

use super::body::Body;
use super::error::DecodeError;
use super::header::{self, Kind, VERSION_OF_HELLO};
use super::list::{List, PositionBytes, Positions, RangeBytes, put};
use crate::types::limits::{
    ADDRESS_BYTES_MAX, HELLO_BYTES_MAX, NODE_NAME_BYTES_MAX, REASON_BYTES_MAX, REFUSAL_BYTES_MAX, STREAMS_MAX,
};
use crate::types::stream::{Incarnation, StreamRange};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Who a node is, what it speaks, and what it has.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Hello<'a> {
    /// The versions that it speaks; none is 0.
    pub(crate) protocol: RangeInclusive<u8>,
    pub(crate) flags: NodeFlags,
    /// XXH3-64 of the cluster's name.
    pub(crate) cluster: u64,
    pub(crate) incarnation: Incarnation,
    /// 1 to [`NODE_NAME_BYTES_MAX`] bytes. Its hash is the node's origin.
    pub(crate) name: &'a str,
    /// Where it can be dialled; `None`: where it is seen to come from.
    pub(crate) advertised: Option<SocketAddr>,
    /// The lives of its arena whose changes it still has.
    pub(crate) streams: List<'a, StreamRange>,
    /// How far it has applied the streams of others.
    pub(crate) vector: Positions<'a>,
}

/// How far a node has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct NodeFlags {
    /// Its entries of a former life are not confirmed: its reads miss.
    pub(crate) held: bool,
    /// It has all that the cluster had when it came: it can give to others.
    pub(crate) complete: bool,
    /// Its reads are answered, and something that others have may be missing.
    pub(crate) behind: bool,
    /// It has leftovers of a sync that was cut off, and may have to let go of some of what it shows.
    pub(crate) leftovers: bool,
    /// It is being given a sync.
    pub(crate) syncs: bool,
}

impl NodeFlags {
    const HELD: u16 = 1;
    const COMPLETE: u16 = 2;
    const BEHIND: u16 = 4;
    const LEFTOVERS: u16 = 8;
    const SYNCS: u16 = 16;

    pub(crate) fn to_bits(self) -> u16 {
        let bit = |is_set: bool, bit: u16| if is_set { bit } else { 0 };
        bit(self.held, Self::HELD)
            | bit(self.complete, Self::COMPLETE)
            | bit(self.behind, Self::BEHIND)
            | bit(self.leftovers, Self::LEFTOVERS)
            | bit(self.syncs, Self::SYNCS)
    }

    /// Bits without a name are ignored.
    pub(crate) fn from_bits(bits: u16) -> Self {
        let is_set = |bit: u16| bits & bit != 0;
        Self {
            held: is_set(Self::HELD),
            complete: is_set(Self::COMPLETE),
            behind: is_set(Self::BEHIND),
            leftovers: is_set(Self::LEFTOVERS),
            syncs: is_set(Self::SYNCS),
        }
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct HelloBytes {
    protocol_min: u8,
    protocol_max: u8,
    flags: U16,
    cluster: U64,
    incarnation: U64,
}

const _: () = assert!(size_of::<HelloBytes>() == 20);

impl<'a> Hello<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let fixed = HelloBytes {
            protocol_min: *self.protocol.start(),
            protocol_max: *self.protocol.end(),
            flags: U16::new(self.flags.to_bits()),
            cluster: U64::new(self.cluster),
            incarnation: U64::new(self.incarnation.0),
        };
        header::encode(out, VERSION_OF_HELLO, Kind::Hello, |out| {
            out.extend_from_slice(fixed.as_bytes());
            put_text(out, self.name, NODE_NAME_BYTES_MAX);
            let address = self.advertised.map(|address| address.to_string());
            put_text(out, address.as_deref().unwrap_or(""), ADDRESS_BYTES_MAX);
            self.streams.encode(out);
            self.vector.encode(out);
        });
    }

    pub(super) fn decode(mut body: Body<'a>) -> Result<Self, DecodeError> {
        let start = body;
        let fixed: &HelloBytes = body.structure()?;
        let protocol = fixed.protocol_min..=fixed.protocol_max;
        if protocol.is_empty() || *protocol.start() == VERSION_OF_HELLO {
            return Err(start.wrong("range of versions"));
        }
        let name = body.text("name", 1..=NODE_NAME_BYTES_MAX)?;
        let before = body;
        let advertised = match body.text("address", 0..=ADDRESS_BYTES_MAX)? {
            "" => None,
            text => Some(text.parse().map_err(|_| before.wrong("address"))?),
        };
        Ok(Self {
            protocol,
            flags: NodeFlags::from_bits(fixed.flags.get()),
            cluster: fixed.cluster.get(),
            incarnation: Incarnation(fixed.incarnation.get()),
            name,
            advertised,
            streams: body.list("list of streams", STREAMS_MAX)?,
            vector: body.list("vector", STREAMS_MAX)?,
        })
    }
}

/// Why a node does not talk to another one. It closes the connection behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refuse<'a> {
    pub(crate) reason: Reason,
    /// For people; at most [`REASON_BYTES_MAX`] bytes, what is longer is cut off.
    pub(crate) why: &'a str,
}

/// Why, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The names of the clusters differ.
    Cluster,
    /// No version of the protocol in common.
    Protocol,
    /// Its name, or the hash of its name, is that of another node.
    Name,
    /// A later life of the same node has been seen.
    Former,
    /// It talked to itself.
    Itself,
    /// The two nodes have another connection, which stays.
    Duplicate,
    /// As many peers as there may be.
    Full,
    /// The node is on its way out.
    Leaving,
    /// Bytes that are no frame.
    Frame,
    /// A frame that is not in its place.
    Order,
    /// A reason of a later version.
    Other(u16),
}

impl Reason {
    const NAMED: [Self; 10] = [
        Self::Cluster,
        Self::Protocol,
        Self::Name,
        Self::Former,
        Self::Itself,
        Self::Duplicate,
        Self::Full,
        Self::Leaving,
        Self::Frame,
        Self::Order,
    ];

    /// From 1 on, in the order of the named ones.
    pub(crate) fn to_bits(self) -> u16 {
        match (self, Self::NAMED.iter().position(|named| *named == self)) {
            (Self::Other(bits), _) => bits,
            (_, at) => at.map_or(0, |at| at as u16 + 1),
        }
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        let named = usize::from(bits).checked_sub(1).and_then(|at| Self::NAMED.get(at));
        named.copied().unwrap_or(Self::Other(bits))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "another cluster",
            Self::Protocol => "no protocol version in common",
            Self::Name => "the name of another node",
            Self::Former => "a later life of the same node is known",
            Self::Itself => "it is this node itself",
            Self::Duplicate => "connected already",
            Self::Full => "as many nodes as may be are connected",
            Self::Leaving => "on its way out",
            Self::Frame => "bytes that are no frame here, as where one side encrypts and the other does not",
            Self::Order => "a frame out of its place",
            Self::Other(bits) => return write!(f, "reason {bits} of a later version"),
        })
    }
}

impl<'a> Refuse<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        header::encode(out, VERSION_OF_HELLO, Kind::Refuse, |out| {
            put(out, self.reason.to_bits());
            put_text(out, self.why, REASON_BYTES_MAX);
        });
    }

    pub(super) fn decode(mut body: Body<'a>) -> Result<Self, DecodeError> {
        let reason = Reason::from_bits(body.item("reason")?);
        Ok(Self { reason, why: body.text("text", 0..=REASON_BYTES_MAX)? })
    }
}

/// Appends a text behind its length, cut off where it is too long.
fn put_text(out: &mut Vec<u8>, text: &str, most: usize) {
    let end = (0..=most.min(text.len())).rfind(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let text = &text[..end];
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

const _: () = assert!(NODE_NAME_BYTES_MAX <= 255 && ADDRESS_BYTES_MAX <= 255 && REASON_BYTES_MAX <= 255);
// With every list at its longest, almost as much again is left for later versions.
const _: () = {
    let texts = 1 + NODE_NAME_BYTES_MAX + 1 + ADDRESS_BYTES_MAX;
    let lists = 2 + STREAMS_MAX * size_of::<RangeBytes>() + 2 + STREAMS_MAX * size_of::<PositionBytes>();
    assert!((size_of::<HelloBytes>() + texts + lists) * 19 / 10 <= HELLO_BYTES_MAX);
    assert!(3 + REASON_BYTES_MAX <= REFUSAL_BYTES_MAX);
};
