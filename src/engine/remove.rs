//! Remove: one CAS takes the word out, its winner retires the slot.

use crate::engine::Engine;
use crate::engine::get::HasKey;
use crate::sync::epoch::Guard;
use crate::sync::failpoint::failpoint;
use crate::types::key::{Key, KeyHash};

impl Engine {
    /// Takes an entry out. `true` if a read could have seen it. Needs no memory, so it never fails.
    pub(crate) fn remove(&self, _guard: &Guard, key: Key<'_>, hash: KeyHash) -> bool {
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
