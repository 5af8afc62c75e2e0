//! Remove: one CAS takes the word out, its winner retires the slot. In a cluster a tombstone takes its place; of an invalidation a
//! floor remains.

use crate::arena::change::Operation;
use crate::arena::frame::FrameKind;
use crate::engine::Engine;
use crate::engine::apply::Content;
use crate::engine::get::{HasKey, Sought};
use crate::engine::insert::{Entry, Source};
use crate::eviction::expiry::TimeToLive;
use crate::sync::epoch::Guard;
use crate::sync::failpoint::failpoint;
use crate::types::key::{Key, KeyHash};
use crate::types::version::Version;

impl Engine {
    /// Takes an entry out on a caller's behalf. `true` if a read could have seen it, and in a cluster the version of the
    /// removal. Never fails for memory: without a slot for the tombstone the floor stands in.
    pub(crate) fn remove_and_tell(&self, guard: Guard, sought: &Sought<'_>) -> (bool, Option<Version>) {
        let Sought { key, hash, .. } = *sought;
        if self.replicated().is_none() {
            return (self.remove(&guard, key, hash), None);
        }
        let version = Version::instant(self.stamp(), self.origin().0);
        let entry =
            Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Tombstone, cost: 0, source: Source::Local };
        let visible = match self.try_store(guard, sought, Content::Value(&[]), &entry) {
            Ok(visible) => visible,
            Err(_) => {
                let guard = self.pin();
                let visible = self.is_key_visible(&guard, sought);
                self.refuse(&guard, key, hash, &entry);
                visible
            }
        };
        (visible, Some(version))
    }

    fn is_key_visible(&self, guard: &Guard, sought: &Sought<'_>) -> bool {
        self.get(guard, &self.aim(*sought)).is_some()
    }

    /// Takes out what is there of a key, whatever it is by now, and tells the others to. Needs no memory.
    pub(crate) fn invalidate(&self, guard: &Guard, sought: &Sought<'_>) {
        if self.replicated().is_none() {
            self.remove(guard, sought.key, sought.hash);
            return;
        }
        // Not before this moment: what was read from the database until now goes, wherever it is.
        let version = Version::instant(self.stamp_of_now(), self.origin().0);
        let entry =
            Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Invalidation, cost: 0, source: Source::Local };
        let announced = self.announce(Operation::Invalidate, sought.key, &entry);
        self.void(sought.key, sought.hash, &version);
        announced.conclude(true);
    }

    /// Takes an entry out. `true` if a read could have seen it. Needs no memory, so it never fails.
    pub(crate) fn remove(&self, _guard: &Guard, key: Key<'_>, hash: KeyHash) -> bool {
        self.void_fills(hash);
        let check = HasKey { engine: self, key };
        while let Some(found) = self.index.find(self.region.view(), hash, &check) {
            let Some(slot) = self.slot(found.word.handle()) else { return false };
            // SAFETY: the guard was there before the search.
            let visible = self.is_visible(unsafe { slot.header() });
            if self.index.unlink(self.region.view(), &found) {
                failpoint!("remove.unlinked");
                self.retire(found.word.handle());
                return visible;
            }
        }
        false
    }
}
