//! Unlink: entries that were chosen to go leave the index together, so that their cache misses overlap.
//!
//! ```text
//!   look up    LIVE? dead?  key -> hash: bucket and ghosts on their way        each of them
//!   take out   one CAS on its word -> RETIRED -> a ghost                       each of them
//!   settle     gauges and limbo                                                once for all
//! ```

use crate::arena::classes::ClassId;
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::engine::counters::Counter;
use crate::engine::retire::{Retired, TOGETHER_MAX};
use crate::eviction::policy::{Part, ghost_window};
use crate::sync::failpoint::failpoint;
use crate::types::handle::Handle;
use crate::types::key::KeyHash;

/// Slots of one class that are to go, all for one reason.
pub(super) struct Victims {
    class: ClassId,
    /// Which ghost they leave; `None` leaves none, as when a page goes.
    part: Option<Part>,
    handles: [Handle; TOGETHER_MAX],
    len: usize,
}

impl Victims {
    pub(super) fn of(class: ClassId, part: Option<Part>) -> Self {
        Self { class, part, handles: [Handle::from_offset(0); TOGETHER_MAX], len: 0 }
    }

    /// One more; at most [`TOGETHER_MAX`].
    pub(super) fn push(&mut self, handle: Handle) {
        self.handles[self.len] = handle;
        self.len += 1;
    }

    pub(super) fn len(&self) -> u32 {
        self.len as u32
    }
}

/// A victim with what its slot says.
#[derive(Clone, Copy)]
struct Leaving<'r> {
    slot: Slot<'r>,
    hash: KeyHash,
    is_dead: bool,
}

impl Engine {
    /// Takes the entry of a LIVE slot out of the index and retires it; `part` says which ghost it leaves.
    pub(super) fn unlink(&self, handle: Handle, class: ClassId, part: Option<Part>) -> bool {
        let mut victims = Victims::of(class, part);
        victims.push(handle);
        self.unlink_all(&victims) > 0
    }

    /// The same for several; returns how many this call took out. The caller holds a guard since before it saw them LIVE.
    pub(super) fn unlink_all(&self, victims: &Victims) -> u32 {
        let mut leaving = [None; TOGETHER_MAX];
        for (handle, leaving) in victims.handles[..victims.len].iter().zip(&mut leaving) {
            *leaving = self.look_up(*handle);
        }
        // The same for all of them: a figure that changes slowly.
        let occupied = if victims.part.is_some() {
            self.ghost.fit(self.entries());
            self.occupied(victims.class)
        } else {
            0
        };
        let mut retired = Retired::of(victims.class);
        let (mut count, mut expired) = (0, 0);
        for leaving in leaving.into_iter().flatten() {
            if !self.take_out(&leaving) {
                continue;
            }
            failpoint!("evict.unlinked");
            if crate::sync::bite("evict.counts-twice") {
                retired.count_twice();
            }
            if !self.mark_retired(&mut retired, leaving.slot) {
                continue;
            }
            count += 1;
            if leaving.is_dead {
                expired += 1;
            } else if let Some(part) = victims.part {
                let table = part.ghosts();
                self.ghost.insert(self.ghost_class(victims.class), table, leaving.hash, ghost_window(table, occupied));
            }
        }
        self.settle_retired(&retired);
        self.counters.add_some(Counter::Expired, expired);
        let reason = match victims.part {
            Some(Part::Ring) => Counter::EvictedProbation,
            Some(Part::Main) => Counter::EvictedMain,
            None => Counter::EvictedPage,
        };
        self.counters.add_some(reason, u64::from(count) - expired);
        count
    }

    /// What a victim's slot says, if it still is an entry; what taking it out will touch is on its way.
    #[inline]
    fn look_up(&self, handle: Handle) -> Option<Leaving<'_>> {
        let slot = self.slot(handle)?;
        if slot.control().state() != Some(State::Live) {
            return None;
        }
        let is_dead = self.is_dead(slot);
        // SAFETY: the caller's guard; the slot was LIVE just now, so its bytes stay.
        let key = unsafe { slot.key() }?;
        let (hash, region) = (self.hash(key), self.region.view());
        self.index.prefetch_to_update(region, self.index.home(region, hash));
        self.prefetch_floor(key);
        self.ghost.prefetch(hash);
        Some(Leaving { slot, hash, is_dead })
    }

    /// Takes its word out; `false` if another thread did.
    fn take_out(&self, leaving: &Leaving<'_>) -> bool {
        self.before_unlink(leaving.slot);
        // Again where a split has moved the word in between: what left the ring would never be looked at again.
        loop {
            let found = self.index.find_handle(self.region.view(), leaving.hash, leaving.slot.handle());
            let Some(found) = found.filter(|found| found.word.generation() == leaving.slot.generation()) else {
                return false;
            };
            if self.index.unlink(self.region.view(), &found) || crate::sync::bite("evict.retires-loser") {
                self.after_unlink(leaving.slot);
                return true;
            }
        }
    }
}
