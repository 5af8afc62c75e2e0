//! Apply: an entry that was ordered elsewhere, with the version that it brings.
//!
//! ```text
//!   value, tombstone   -> the path of a local insert, but for the stamp; without room: floor, then unlinked
//!   invalidation       -> floor, then unlinked, unless what is there is newer
//!   too far ahead      -> what is there goes, with a floor of now
//! ```
//!
//! What is left does not depend on the order in which frames come, nor on how often one comes: an older version never
//! replaces a newer one, absent keys are compared with the floor of their range, and two whose order nobody can know leave
//! the key absent.

use crate::arena::frame::{Extent, FRAME_START, FrameKind};
use crate::arena::header::live;
use crate::arena::received::ReceivedFrame;
use crate::engine::Engine;
use crate::engine::get::Sought;
use crate::engine::insert::{Draft, Entry, Refusal, Source};
use crate::eviction::expiry::TimeToLive;
use crate::sync::epoch::Guard;
use crate::types::key::{Key, KeyHash};
use crate::types::limits::{FLOOR_AHEAD_MAX_US, STAMP_SKEW_MAX_US};
use crate::types::version::{Stamp, Version};

/// Bytes that are copied under a guard; what takes longer is copied without, so that grace periods can pass.
const COPIED_UNDER_GUARD_MAX: u64 = 64 << 10;

/// What is put into a slot.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Value(&'a [u8]),
    /// A whole frame as another node has written it, its checksum found right.
    Frame(&'a [u8]),
}

impl Content<'_> {
    fn value_bytes(self, version: &Version, key: Key<'_>) -> u64 {
        match self {
            Self::Value(value) => value.len() as u64,
            Self::Frame(whole) => whole.len() as u64 + FRAME_START - Extent::of(version, key.bytes.len(), 0).end(),
        }
    }
}

/// What became of a frame that was applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Applied {
    /// It is the entry of its key now; a tombstone or an invalidation has taken effect.
    Stored,
    /// A newer version is there.
    Older,
    /// This version is there.
    Same,
    /// The key is absent, and something newer of its range may have been there: it stays absent.
    BelowFloor,
    /// Nobody can know which of the two is newer: the key is absent now.
    Unordered,
    /// No room, or too large for this node: the key is absent now.
    Refused,
    /// Its stamp is too far ahead of the clock: taken as an invalidation.
    Ahead,
    /// The cache is closed.
    Closed,
}

impl Applied {
    pub(super) fn of(stored: Result<bool, Refusal>, version: &Version) -> Self {
        match stored {
            Ok(_) => Self::Stored,
            Err(Refusal::Superseded(current)) if current == *version => Self::Same,
            Err(Refusal::Superseded(_)) => Self::Older,
            Err(Refusal::BelowFloor) => Self::BelowFloor,
            Err(Refusal::Unordered(_)) => Self::Unordered,
            Err(Refusal::Busy | Refusal::TooLarge) => Self::Refused,
        }
    }
}

impl Entry {
    /// An entry as another node sent it.
    pub(super) fn of_peer(version: Version, ttl: u32, kind: FrameKind, source: Source) -> Self {
        Self { version, ttl: TimeToLive::from_bits(ttl), kind, cost: 0, source }
    }
}

impl Engine {
    /// Applies a frame that another node sent; its key has been sought. Idempotent.
    pub(crate) fn apply(&self, sought: &Sought<'_>, frame: &ReceivedFrame<'_>, source: Source) -> Applied {
        let Some((_writing, guard)) = self.begin_write() else { return Applied::Closed };
        if !self.follow(frame.version.stamp) {
            self.void_ahead(sought, &frame.version);
            return Applied::Ahead;
        }
        if frame.kind == FrameKind::Invalidation {
            let newer = self.void(frame.key, sought.hash, &frame.version);
            return match newer {
                None => Applied::Stored,
                Some(current) if current == frame.version => Applied::Same,
                Some(_) => Applied::Older,
            };
        }
        if !self.is_after_clear(frame.key.keyspace, frame.version.stamp) {
            // The clear is newer than this: so is whatever is there, or it is older than this too.
            self.void(frame.key, sought.hash, &frame.version);
            return Applied::Older;
        }
        if self.is_read_before_clear(frame.key.keyspace, &frame.version) {
            return Applied::Older;
        }
        let entry = Entry::of_peer(frame.version, frame.ttl, frame.kind, source);
        let content = frame.whole.map_or(Content::Value(frame.value), Content::Frame);
        Applied::of(self.store_content(guard, sought, content, &entry), &frame.version)
    }

    /// Lets the clock follow a stamp made elsewhere; `false`, and nothing, if that is too far ahead.
    pub(crate) fn follow(&self, stamp: Stamp) -> bool {
        if self.clock.has_reached(stamp) {
            return true;
        }
        let is_ahead = |now_us: u64| stamp.micros().saturating_sub(now_us) > STAMP_SKEW_MAX_US;
        // The coarse clock is late, never early: what is not too far ahead of it is none of the fine one either.
        let is_ahead = is_ahead(self.clock.coarse_us()) && is_ahead(self.clock.fine_us());
        if is_ahead && !crate::sync::bite("clock.follows-any") {
            return false;
        }
        self.clock.observe(stamp, self.region.view().word(live::CEILING));
        true
    }

    /// Takes out what is there of a key for a version that the clock did not follow. Its floor keeps that version's stamp:
    /// who made it still has it, so what is older has to stay away here too, until the clock gets there.
    pub(super) fn void_ahead(&self, sought: &Sought<'_>, version: &Version) {
        let version = match self.floor_stamp(version.stamp) {
            stamp if stamp == version.stamp && !crate::sync::bite("clock.ahead-forgotten") => *version,
            _ => Version::instant(self.stamp(), self.origin().0),
        };
        self.void(sought.key, sought.hash, &version);
    }

    /// Takes out what is there of a key and not younger than a stamp.
    pub(crate) fn void_until(&self, key: Key<'_>, stamp: Stamp) {
        let Some((_writing, _guard)) = self.begin_write() else { return };
        self.void(key, self.seek(key).hash, &Version::instant(stamp, u16::MAX));
    }

    /// What a stamp made elsewhere counts as in a floor: itself, but one that no clock will reach soon counts as now.
    pub(crate) fn floor_stamp(&self, stamp: Stamp) -> Stamp {
        let ahead = stamp.micros().saturating_sub(self.clock.fine_us());
        if self.follow(stamp) || ahead <= FLOOR_AHEAD_MAX_US { stamp } else { self.stamp() }
    }

    /// Stores a value as it is; a refusal other than a newer version leaves the key absent. `true` if a read could have
    /// seen the entry that was there.
    pub(crate) fn store(
        &self,
        guard: Guard,
        sought: &Sought<'_>,
        value: &[u8],
        entry: &Entry,
    ) -> Result<bool, Refusal> {
        self.store_content(guard, sought, Content::Value(value), entry)
    }

    fn store_content(
        &self,
        guard: Guard,
        sought: &Sought<'_>,
        content: Content<'_>,
        entry: &Entry,
    ) -> Result<bool, Refusal> {
        let stored = self.try_store(guard, sought, content, entry);
        if let Err(refusal) = &stored {
            self.refused(sought.key, sought.hash, refusal, entry);
        }
        stored
    }

    pub(super) fn try_store(
        &self,
        guard: Guard,
        sought: &Sought<'_>,
        content: Content<'_>,
        entry: &Entry,
    ) -> Result<bool, Refusal> {
        let Sought { key, hash, .. } = *sought;
        let bytes = content.value_bytes(&entry.version, key);
        if bytes > self.settings.value_bytes_max {
            return Err(Refusal::TooLarge);
        }
        self.prefetch_announcement(entry);
        let (mut guard, mut draft) = self.draft(guard, key, bytes, &entry.version)?;
        if bytes > COPIED_UNDER_GUARD_MAX {
            drop(guard);
            self.copy_in(&mut draft, content);
            guard = self.pin();
        } else {
            self.copy_in(&mut draft, content);
        }
        match content {
            Content::Value(_) => self.publish(&guard, key, hash, &draft, entry),
            Content::Frame(_) => {
                self.begin_entry(self.slot(draft.handle).expect("a draft lies in the region"), &draft, entry);
                self.publish_written(&guard, key, hash, &draft, entry)
            }
        }
    }

    #[inline]
    pub(super) fn copy_in(&self, draft: &mut Draft, content: Content<'_>) {
        let value = match content {
            Content::Value(value) => value,
            Content::Frame(whole) => return self.draft_frame_mut(draft).copy_from_slice(whole),
        };
        #[cfg(feature = "values-on-heap")]
        if self.fill_on_heap(draft, value) {
            return;
        }
        self.draft_bytes_mut(draft).copy_from_slice(value);
    }

    /// Counts a refusal, and leaves the key absent where it has to be.
    pub(crate) fn refused(&self, key: Key<'_>, hash: KeyHash, refusal: &Refusal, entry: &Entry) {
        use crate::engine::counters::Counter;
        if matches!(refusal, Refusal::Busy | Refusal::TooLarge) {
            let guard = self.pin();
            self.refuse(&guard, key, hash, entry);
        }
        if entry.source != Source::Local {
            return;
        }
        self.counters.add(match refusal {
            Refusal::Busy => Counter::RefusedBusy,
            Refusal::TooLarge => Counter::RefusedTooLarge,
            Refusal::Superseded(_) => Counter::RefusedSuperseded,
            Refusal::BelowFloor => Counter::RefusedBelowFloor,
            Refusal::Unordered(_) => Counter::RefusedUnordered,
        });
    }
}
