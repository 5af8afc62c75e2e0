//! Clear in O(1): entries at or before a stamp are invisible, whoever still holds them in memory.
//!
//! ```text
//!   live words:  all: stamp | {key space + 1, stamp} x 64       a read compares its entry's stamp
//! ```
//!
//! The words lie in the file, so a clear survives a restart. Invisible entries go first in eviction and by the sweep.

use crate::arena::header::live;
use crate::engine::Engine;
use crate::sync::Ordering;
use crate::types::key::KeyspaceId;
use crate::types::limits::CLEAR_STAMPS_MAX;
use crate::types::version::{Stamp, Version};

impl Engine {
    /// Whether an entry is younger than the last clear of its key space and of all.
    #[inline(always)]
    pub(super) fn is_after_clear(&self, keyspace: KeyspaceId, stamp: Stamp) -> bool {
        // Acquire: pairs with the Release of `clear_all`.
        stamp.0 > self.region.view().word(live::CLEAR_ALL).load(Ordering::Acquire)
            && (keyspace == KeyspaceId::RAW || stamp > self.cleared_at(keyspace))
    }

    /// Whether what another node has read may be of before the last clear.
    pub(super) fn is_read_before_clear(&self, keyspace: KeyspaceId, version: &Version) -> bool {
        version.is_fill()
            && !self.is_after_clear(keyspace, version.begin())
            && !crate::sync::bite("clear.by-end-of-fill")
    }

    #[inline(never)]
    pub(super) fn cleared_at(&self, keyspace: KeyspaceId) -> Stamp {
        for row in 0..CLEAR_STAMPS_MAX as u64 {
            let at = live::CLEAR_SPACES + 16 * row;
            // Acquire: pairs with the Release in `clear_keyspace`.
            match self.region.view().word(at).load(Ordering::Acquire) {
                0 => return Stamp::ZERO,
                id if id == u64::from(keyspace.0) + 1 => {
                    return Stamp(self.region.view().word(at + 8).load(Ordering::Acquire));
                }
                _ => {}
            }
        }
        Stamp::ZERO
    }

    /// Takes over what the last life cleared, from both copies, and what it doubted. `false` if it lies beyond all stamps
    /// that were given out: then no new entry could be seen. Single-threaded, at open.
    pub(crate) fn load_clears(&self, ceiling: Stamp) -> bool {
        let [word, again] = [live::CLEAR_ALL, live::CLEAR_ALL_AGAIN].map(|at| self.region.view().word(at));
        let stamp = word.load(Ordering::Acquire).max(again.load(Ordering::Acquire));
        // Relaxed: nobody else is here yet.
        word.store(stamp, Ordering::Relaxed);
        again.store(stamp, Ordering::Relaxed);
        let doubted = self.load_doubt(stamp);
        let spaces = (0..CLEAR_STAMPS_MAX as u64).map(|row| live::CLEAR_SPACES + 16 * row + 8);
        let latest = spaces.map(|at| self.region.view().word(at).load(Ordering::Acquire)).fold(doubted, u64::max);
        latest <= ceiling.0
    }

    /// Makes every entry of now invisible, here and elsewhere; returns the moment. Waits for nobody.
    pub(crate) fn clear_all(&self) -> Stamp {
        self.fills.void_all();
        let stamp = self.stamp();
        let announced = self.announce_clear(None, stamp);
        self.clear_all_until(stamp);
        announced.conclude(true);
        stamp
    }

    /// Makes every entry at or before a stamp invisible.
    pub(crate) fn clear_all_until(&self, stamp: Stamp) {
        self.fills.void_all();
        // First the copy: a life that ends in between has not said that it cleared, and may have.
        self.region.view().word(live::CLEAR_ALL_AGAIN).fetch_max(stamp.0, Ordering::Relaxed);
        // Release: pairs with the Acquire of readers.
        if !crate::sync::bite("clear.ignored") {
            let before = self.region.view().word(live::CLEAR_ALL).fetch_max(stamp.0, Ordering::Release);
            self.shown_after.fetch_max(stamp.0, Ordering::Release);
            if before >= stamp.0 {
                // Told of before: nothing more has gone.
                return;
            }
        }
        // Relaxed: gauges.
        self.cleared.store(self.entries(), Ordering::Relaxed);
        self.markers.store(0, Ordering::Relaxed);
        self.sweep.restart();
    }

    /// Makes every entry of one key space invisible, here and elsewhere; `false` if the table is full and all were cleared
    /// instead.
    #[cfg_attr(not(loom), expect(dead_code, reason = "the seam for named key spaces"))]
    pub(crate) fn clear_keyspace(&self, keyspace: KeyspaceId) -> bool {
        self.fills.void_all();
        let stamp = self.stamp();
        let announced = self.announce_clear(Some(keyspace), stamp);
        let alone = self.clear_keyspace_until(keyspace, stamp);
        announced.conclude(true);
        alone
    }

    /// Makes every entry of one key space at or before a stamp invisible; `false` if it was those of all.
    pub(crate) fn clear_keyspace_until(&self, keyspace: KeyspaceId, stamp: Stamp) -> bool {
        self.fills.void_all();
        let id = u64::from(keyspace.0) + 1;
        for row in 0..CLEAR_STAMPS_MAX as u64 {
            let at = live::CLEAR_SPACES + 16 * row;
            let word = self.region.view().word(at);
            // AcqRel: the id is published once and never changes.
            let owner = match word.compare_exchange(0, id, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => id,
                Err(owner) => owner,
            };
            if owner == id {
                // Release: pairs with the Acquire of readers.
                self.region.view().word(at + 8).fetch_max(stamp.0, Ordering::Release);
                self.sweep.restart();
                return true;
            }
        }
        self.clear_all_until(stamp);
        false
    }

    /// Every clear that is known; `None` is the one of all.
    pub(crate) fn clears(&self) -> Vec<(Option<KeyspaceId>, Stamp)> {
        let word = |at: u64| self.region.view().word(at).load(Ordering::Acquire);
        let mut clears = vec![(None, Stamp(word(live::CLEAR_ALL)))];
        for at in (0..CLEAR_STAMPS_MAX as u64).map(|row| live::CLEAR_SPACES + 16 * row) {
            if word(at) != 0 {
                clears.push((Some(KeyspaceId((word(at) - 1) as u16)), Stamp(word(at + 8))));
            }
        }
        clears
    }
}
