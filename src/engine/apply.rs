//! Apply: an entry that was ordered elsewhere, with the version that it brings.
//!
//! The same path as a local insert, but for the stamp: an older version never replaces a newer one, and two whose order
//! nobody can know leave the key absent.

use crate::arena::frame::FrameKind;
use crate::engine::Engine;
use crate::engine::get::Sought;
use crate::engine::insert::{Draft, Entry, Refusal};
use crate::eviction::expiry::TimeToLive;
use crate::sync::epoch::Guard;
use crate::types::key::{Key, KeyHash};
use crate::types::version::Version;

/// Bytes that are copied under a guard; what takes longer is copied without, so that grace periods can pass.
const COPIED_UNDER_GUARD_MAX: usize = 64 << 10;

impl Engine {
    /// Stores a value under a version given from outside.
    #[cfg_attr(not(loom), expect(dead_code, reason = "the seam for entries that other nodes send"))]
    pub(crate) fn apply(&self, key: Key<'_>, value: &[u8], version: Version, ttl: TimeToLive) -> Result<(), Refusal> {
        let entry = Entry { version, ttl, kind: FrameKind::Value, cost: 0 };
        let Some((_writing, guard)) = self.begin_write() else { return Err(Refusal::Closed) };
        self.store(guard, &self.seek(key), value, &entry)
    }

    /// Stores a value as it is; a refusal other than a newer version leaves the key absent.
    pub(crate) fn store(&self, guard: Guard, sought: &Sought<'_>, value: &[u8], entry: &Entry) -> Result<(), Refusal> {
        let stored = self.try_store(guard, sought, value, entry);
        if let Err(refusal) = &stored {
            self.refused(sought.key, sought.hash, refusal);
        }
        stored
    }

    fn try_store(&self, guard: Guard, sought: &Sought<'_>, value: &[u8], entry: &Entry) -> Result<(), Refusal> {
        if value.len() as u64 > self.settings.value_bytes_max {
            return Err(Refusal::TooLarge);
        }
        let Sought { key, hash, .. } = *sought;
        let (mut guard, mut draft) = self.draft(guard, key, value.len() as u64, &entry.version)?;
        self.prefetch_old(sought);
        if value.len() > COPIED_UNDER_GUARD_MAX {
            drop(guard);
            self.fill(&mut draft, value);
            guard = self.pin();
        } else {
            self.fill(&mut draft, value);
        }
        self.publish(&guard, key, hash, &draft, entry)
    }

    #[inline]
    fn fill(&self, draft: &mut Draft, value: &[u8]) {
        #[cfg(feature = "values-on-heap")]
        if self.fill_on_heap(draft, value) {
            return;
        }
        self.draft_bytes_mut(draft).copy_from_slice(value);
    }

    /// Counts a refusal, and leaves the key absent where it has to be.
    pub(crate) fn refused(&self, key: Key<'_>, hash: KeyHash, refusal: &Refusal) {
        use crate::engine::counters::Counter;
        self.counters.add(match refusal {
            Refusal::Busy => Counter::RefusedBusy,
            Refusal::TooLarge => Counter::RefusedTooLarge,
            Refusal::Superseded(_) => Counter::RefusedSuperseded,
            Refusal::Unordered(_) => Counter::RefusedUnordered,
            Refusal::Closed => return,
        });
        if matches!(refusal, Refusal::Busy | Refusal::TooLarge) {
            let guard = self.pin();
            self.refuse(&guard, key, hash);
        }
    }
}
