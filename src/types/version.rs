//! Stamps and versions: what is newer than what, and when nobody can know.
//!
//! ```text
//!  bit 63                          14 13          0
//!      +-----------------------------+------------+
//!      | microseconds since 2020: 50 | counter 14 |   Stamp, a hybrid logical clock
//!      +-----------------------------+------------+
//!
//!   Interval:   begin |------------| end     the database operation ran somewhere in here
//!                     stamp - width  stamp
//!
//!      bit 31     30            0
//!      +------+---------------+
//!      | fill | microseconds  |   Span: how wide, and whether it was read from the database and not written
//!      +------+---------------+
//! ```
//!
//! Two versions that the cache ordered itself compare by stamp, then origin. Every other pair compares as intervals:
//! disjoint ones are ordered, overlapping ones are unknown; but what was read never replaces what it overlaps, which may be
//! younger. Two row versions of the database decide alone.
//! Source: Kulkarni et al., "Logical Physical Clocks" (HLC, 2014); intervals as in Spanner's TrueTime (OSDI 2012),
//! applied to the duration of the operation.

#![forbid(unsafe_code)]

use crate::types::limits::CLOCK_LATE_US;
use std::fmt;
use std::time::Duration;

/// A moment of the hybrid logical clock. Unique within one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Stamp(pub(crate) u64);

impl Stamp {
    pub(crate) const ZERO: Self = Self(0);
    const COUNTER_BITS: u32 = 14;

    /// The first stamp of a microsecond.
    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self(micros << Self::COUNTER_BITS)
    }

    /// Microseconds since 2020-01-01 UTC.
    pub(crate) const fn micros(self) -> u64 {
        self.0 >> Self::COUNTER_BITS
    }

    /// The next stamp.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}us", self.micros(), self.0 & ((1 << Self::COUNTER_BITS) - 1))
    }
}

/// How long the operation of a version took, in microseconds, and which it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Span(u32);

impl Span {
    /// No interval: a moment.
    pub(crate) const INSTANT: Self = Self(0);
    /// The longest that can be told, 35 minutes.
    pub(crate) const MICROS_MAX: u32 = Self::FILL - 1;
    const FILL: u32 = 1 << 31;

    /// A write to the database that took so long; what is longer than can be told counts as that.
    pub(crate) const fn of_write(micros: u32) -> Self {
        Self(if micros > Self::MICROS_MAX { Self::MICROS_MAX } else { micros })
    }

    /// A read of it, for what was absent.
    pub(crate) const fn of_fill(micros: u32) -> Self {
        Self(Self::of_write(micros).0 | Self::FILL)
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn micros(self) -> u32 {
        self.0 & Self::MICROS_MAX
    }

    pub(crate) const fn is_fill(self) -> bool {
        self.0 & Self::FILL != 0
    }

    /// Whether nothing has to be told of it.
    pub(crate) const fn is_instant(self) -> bool {
        self.0 == 0
    }
}

/// Who ordered a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Order {
    /// The cache: the stamp of the insert decides.
    #[default]
    Cache,
    /// The database: its row version, or the interval of its operation, decides.
    Database,
}

/// The version of an entry: when it was written, by whom, and the database's row version if one was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    pub(crate) stamp: Stamp,
    pub(crate) span: Span,
    pub(crate) origin: u16,
    pub(crate) order: Order,
    pub(crate) row: Option<u64>,
}

/// How two versions of one key relate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    Older,
    Same,
    Newer,
    /// The intervals overlap: nobody can know, the key has to be loaded again.
    Unknown,
}

impl Version {
    /// A version that the cache orders itself: an instant.
    pub(crate) fn instant(stamp: Stamp, origin: u16) -> Self {
        Self { stamp, span: Span::INSTANT, origin, order: Order::Cache, row: None }
    }

    /// Microseconds since 2020-01-01 UTC on the writer's hybrid logical clock.
    pub fn micros(&self) -> u64 {
        self.stamp.micros()
    }

    /// The raw stamp: 50 bits of microseconds since 2020-01-01 UTC, 14 bits of counter.
    pub fn stamp(&self) -> u64 {
        self.stamp.0
    }

    /// The specified hash of the writing node's name; 0 without a cluster.
    pub fn origin(&self) -> u16 {
        self.origin
    }

    /// The database's row version, if one was given.
    pub fn row(&self) -> Option<u64> {
        self.row
    }

    /// How long the operation of the database took that it stands for, as far as that can be bounded, before [`Version::micros`]; 0
    /// for a moment.
    pub fn width(&self) -> Duration {
        Duration::from_micros(u64::from(self.span.micros()))
    }

    /// Who ordered it.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The earliest moment at which the operation can have taken effect.
    pub(crate) fn begin(&self) -> Stamp {
        Stamp(self.stamp.0.saturating_sub(u64::from(self.span.micros()) << Stamp::COUNTER_BITS))
    }

    /// The latest one. A moment is read from a coarse clock. Where both are of one node that is of no account: a load lets the clock
    /// follow the moment at which it begins.
    fn end(&self, is_of_one: bool) -> Stamp {
        let late_us = if self.span.is_instant() && !is_of_one { CLOCK_LATE_US } else { 0 };
        Stamp(self.stamp.0.saturating_add(late_us << Stamp::COUNTER_BITS))
    }

    /// Whether it was read from the database, not written: nobody has to know of it once it is gone.
    pub(crate) fn is_fill(&self) -> bool {
        self.span.is_fill()
    }

    /// The same of what was read for a miss, against what was there before: only a row version can make it older.
    pub(crate) fn relation_of_fill(&self, before: &Self) -> Relation {
        match (self.row, before.row) {
            (Some(mine), Some(theirs)) => from_ordering(mine.cmp(&theirs)),
            _ => Relation::Newer,
        }
    }

    /// How `self` relates to `other`: `Newer` if it may replace it.
    pub(crate) fn relation(&self, other: &Self) -> Relation {
        if let (Some(mine), Some(theirs)) = (self.row, other.row) {
            return from_ordering(mine.cmp(&theirs));
        }
        if self.order == Order::Cache && other.order == Order::Cache {
            return from_ordering((self.stamp, self.origin).cmp(&(other.stamp, other.origin)));
        }
        if (self.stamp, self.span, self.origin) == (other.stamp, other.span, other.origin) {
            return Relation::Same;
        }
        let is_of_one = self.origin == other.origin;
        if self.begin() > other.end(is_of_one) {
            return Relation::Newer;
        }
        // What was read may be older than what it overlaps, and if it is not, then as old.
        if self.end(is_of_one) < other.begin() || self.is_fill() {
            return Relation::Older;
        }
        Relation::Unknown
    }
}

fn from_ordering(ordering: std::cmp::Ordering) -> Relation {
    match ordering {
        std::cmp::Ordering::Less => Relation::Older,
        std::cmp::Ordering::Equal => Relation::Same,
        std::cmp::Ordering::Greater => Relation::Newer,
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({:?} by {:04x}, {:?}", self.stamp, self.origin, self.order)?;
        if !self.span.is_instant() {
            write!(f, ", {} us wide", self.span.micros())?;
        }
        if self.is_fill() {
            f.write_str(", read")?;
        }
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            Some(row) => write!(f, "{:016x}-{:04x}/{row}", self.stamp.0, self.origin),
            None => write!(f, "{:016x}-{:04x}", self.stamp.0, self.origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(begin_us: u64, end_us: u64) -> Version {
        Version {
            stamp: Stamp::from_micros(end_us),
            span: Span::of_write(u32::try_from(end_us - begin_us).expect("small")),
            origin: 1,
            order: Order::Database,
            row: None,
        }
    }

    #[test]
    fn cache_versions_compare_by_stamp_then_origin() {
        let first = Version::instant(Stamp(5), 1);
        assert_eq!(Version::instant(Stamp(6), 0).relation(&first), Relation::Newer);
        assert_eq!(Version::instant(Stamp(5), 2).relation(&first), Relation::Newer);
        assert_eq!(first.relation(&first), Relation::Same);
    }

    #[test]
    fn intervals_that_overlap_are_unknown() {
        let early = database(10, 20);
        assert_eq!(database(21, 30).relation(&early), Relation::Newer);
        assert_eq!(early.relation(&database(21, 30)), Relation::Older);
        assert_eq!(database(15, 30).relation(&early), Relation::Unknown);
        let inside = Version::instant(Stamp::from_micros(15), 9);
        assert_eq!(inside.relation(&early), Relation::Unknown);
    }

    #[test]
    fn what_was_read_never_replaces_what_it_overlaps() {
        let read = |begin_us, end_us| {
            let written = database(begin_us, end_us);
            Version { span: Span::of_fill(written.span.micros()), origin: 2, ..written }
        };
        let written = database(10, 20);
        assert_eq!(read(15, 30).relation(&written), Relation::Older, "it may have been read before");
        assert_eq!(written.relation(&read(15, 30)), Relation::Unknown);
        assert_eq!(read(21, 30).relation(&written), Relation::Newer);
        assert_eq!(read(1, 9).relation(&written), Relation::Older);
        assert_eq!(read(15, 30).relation(&read(14, 29)), Relation::Older, "who came first stays");
        assert_eq!(read(15, 30).relation(&read(15, 30)), Relation::Same);
        assert!(read(15, 30).is_fill() && !written.is_fill());
    }

    #[test]
    fn a_stamp_of_the_cache_may_be_late() {
        let insert = Version::instant(Stamp::from_micros(100_000), 9);
        assert_eq!(database(100_001, 200_000).relation(&insert), Relation::Unknown, "it may have been made in between");
        assert_eq!(database(100_001 + CLOCK_LATE_US, 200_000).relation(&insert), Relation::Newer);
    }

    #[test]
    fn row_versions_decide_alone() {
        let old = Version { row: Some(7), ..database(100, 200) };
        let new = Version { row: Some(8), ..database(10, 20) };
        assert_eq!(new.relation(&old), Relation::Newer);
        assert_eq!(old.relation(&old), Relation::Same);
    }
}
