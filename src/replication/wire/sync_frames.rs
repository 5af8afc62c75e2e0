//! The frames of a sync, but for what it holds: asked for, begun, floors, over.
//!
//! ```text
//!   SYNC_REQUEST  | since u64 | leftovers u64 | flags u16 | vector: list |          flags: 1 VERIFY follows
//!   SYNC_BEGIN    | stamp u64 | floor ranges u32 | vector: list | clears: list |
//!   FLOORS        | first u32 | total u32 | floors: list of u64 |
//!   SYNC_END      | flags u16 |                                                     flags: 2 leftovers, 4 passed on
//! ```

#![forbid(unsafe_code)]

use super::body::Body;
use super::error::DecodeError;
use super::header::{self, Kind};
use super::list::{ClearBytes, List, PositionBytes, Positions, put};
use crate::types::key::KeyspaceId;
use crate::types::limits::{BATCH_BYTES, CAPACITY_MAX, CLEAR_STAMPS_MAX, STREAMS_MAX};
use crate::types::version::Stamp;

/// The most version floors that a node has.
pub(crate) const FLOOR_RANGES_MAX: u32 = (CAPACITY_MAX >> 11) as u32;

/// Floors in one frame.
pub(crate) const FLOORS_MAX: usize = BATCH_BYTES / 8;

// With every list at its longest, a frame is no longer than its kind may be.
const _: () = {
    let vector = 2 + STREAMS_MAX * size_of::<PositionBytes>();
    let clears = 2 + (CLEAR_STAMPS_MAX + 1) * size_of::<ClearBytes>();
    assert!(12 + vector + clears <= Kind::SyncBegin.body_bytes_max());
    assert!(10 + FLOORS_MAX * 8 <= Kind::Floors.body_bytes_max());
};

/// Asks a donor for what the sender has missed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct SyncRequest<'a> {
    /// Nothing that it can have missed has a stamp at or before this; 0: all of it.
    pub(crate) since: Stamp,
    /// It holds entries, and VERIFY frames follow SYNC_BEGIN.
    pub(crate) verifies: bool,
    /// Up to this stamp it may have leftovers of a sync that was cut off: what the donor does not know of is to go; 0: none.
    pub(crate) leftovers: Stamp,
    /// How far it has applied each stream.
    pub(crate) vector: Positions<'a>,
}

/// The donor begins.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct SyncBegin<'a> {
    /// Above every stamp that the donor has seen: what is younger is not among what the receiver has missed.
    pub(crate) stamp: Stamp,
    /// How many version floors the donor has: a power of two.
    pub(crate) floor_ranges: u32,
    /// How far it has applied each stream, its own included.
    pub(crate) vector: Positions<'a>,
    /// Every clear that it knows; `None` is the clear of all.
    pub(crate) clears: List<'a, (Option<KeyspaceId>, Stamp)>,
}

/// Version floors of a donor, of the ranges from `first` on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Floors<'a> {
    pub(crate) first: u32,
    /// How many it has: a power of two.
    pub(crate) total: u32,
    /// At most [`FLOORS_MAX`].
    pub(crate) floors: List<'a, Stamp>,
}

/// The donor has sent everything.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct SyncEnd {
    /// Among it there may have been leftovers of a sync of the donor's that was cut off.
    pub(crate) leftovers: bool,
    /// Some of it may be what the donor itself is being given, by another one.
    pub(crate) is_passed_on: bool,
}

/// Flags of SYNC_REQUEST, the first one, and SYNC_END, the others.
const VERIFIES: u16 = 1;
const LEFTOVERS: u16 = 2;
const PASSED_ON: u16 = 4;

impl<'a> SyncRequest<'a> {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::SyncRequest, |out| {
            put(out, self.since);
            put(out, self.leftovers);
            put(out, u16::from(self.verifies) * VERIFIES);
            self.vector.encode(out);
        });
    }

    pub(super) fn decode(body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let (since, leftovers) = (body.item("stamp")?, body.item("stamp")?);
        let before = *body;
        let flags: u16 = body.item("flags")?;
        if flags & !VERIFIES != 0 {
            return Err(before.wrong("set of flags"));
        }
        let verifies = flags & VERIFIES != 0;
        Ok(Self { since, verifies, leftovers, vector: body.list("vector", STREAMS_MAX)? })
    }
}

impl<'a> SyncBegin<'a> {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::SyncBegin, |out| {
            put(out, self.stamp);
            put(out, self.floor_ranges);
            self.vector.encode(out);
            self.clears.encode(out);
        });
    }

    pub(super) fn decode(body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let (stamp, floor_ranges) = (body.item("stamp")?, ranges(body)?);
        let vector = body.list("vector", STREAMS_MAX)?;
        Ok(Self { stamp, floor_ranges, vector, clears: body.list("list of clears", CLEAR_STAMPS_MAX + 1)? })
    }
}

impl<'a> Floors<'a> {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::Floors, |out| {
            put(out, self.first);
            put(out, self.total);
            self.floors.encode(out);
        });
    }

    pub(super) fn decode(body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let start = *body;
        let (first, total) = (body.item::<u32>("range")?, ranges(body)?);
        let floors: List<'_, Stamp> = body.list("list of floors", FLOORS_MAX)?;
        if u64::from(first) + floors.len() as u64 > u64::from(total) {
            return Err(start.wrong("range"));
        }
        Ok(Self { first, total, floors })
    }
}

impl SyncEnd {
    pub(crate) fn encode(self, version: u8, out: &mut Vec<u8>) {
        header::encode(out, version, Kind::SyncEnd, |out| {
            put(out, (u16::from(self.leftovers) * LEFTOVERS) | (u16::from(self.is_passed_on) * PASSED_ON))
        });
    }

    pub(super) fn decode(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        let before = *body;
        let flags: u16 = body.item("flags")?;
        if flags & !(LEFTOVERS | PASSED_ON) != 0 {
            return Err(before.wrong("set of flags"));
        }
        Ok(Self { leftovers: flags & LEFTOVERS != 0, is_passed_on: flags & PASSED_ON != 0 })
    }
}

/// A number of version floors: a power of two, and not more than the largest cache has.
fn ranges(body: &mut Body<'_>) -> Result<u32, DecodeError> {
    let before = *body;
    let ranges: u32 = body.item("number of floors")?;
    let fine = ranges.is_power_of_two() && ranges <= FLOOR_RANGES_MAX;
    fine.then_some(ranges).ok_or(before.wrong("number of floors"))
}
