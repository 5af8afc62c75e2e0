//! Replace: one CAS puts a word in the place of another, if what it names is newer.
//!
//! ```text
//!   found word -> its version against ours:  newer    -> ours is refused
//!                                            older    -> LIVE -> CAS old word -> new word -> the old slot retired
//!                                            unknown  -> both are dropped, behind a floor above both
//! ```

use crate::arena::change::Operation;
use crate::arena::frame::FrameKind;
use crate::arena::slot::FREQUENCY_MAX;
use crate::engine::Engine;
use crate::engine::counters::Counter;
use crate::engine::insert::{Draft, Entry, Refusal, Source};
use crate::eviction::policy::Part;
use crate::index::Found;
use crate::sync::epoch::Guard;
use crate::sync::failpoint::failpoint;
use crate::types::handle::IndexWord;
use crate::types::key::{Key, KeyHash};
use crate::types::version::{Relation, Version};

impl Engine {
    /// Swaps the word of an entry that is there; says whether a read could have seen that. `None` if it changed meanwhile.
    pub(super) fn replace(
        &self,
        key: Key<'_>,
        draft: &Draft,
        entry: &Entry,
        word: IndexWord,
        found: &Found,
    ) -> Result<Option<bool>, Refusal> {
        let Some(old) = self.slot(found.word.handle()) else { return Ok(None) };
        if !old.control().is_readable(self.run) && !self.first_read(old, found) {
            // Whatever it names, it is no entry: it must not stand in the way of one.
            self.drop_entry(found);
            return Ok(None);
        }
        // SAFETY: the caller's guard was there before the search.
        let header = unsafe { old.header() };
        let is_there = self.is_after_clear(header.keyspace(), header.stamp()) && !self.is_expired(header);
        // In a cluster what is expired or cleared is compared too, and for a fill: it tells which versions are older.
        if is_there || self.replicated().is_some() || entry.source == Source::Fill {
            // SAFETY: as above.
            let current = unsafe { old.version() };
            if !self.may_replace(key, entry, &current, found)? {
                return Ok(None);
            }
        }
        let visible = is_there && header.kind() == FrameKind::Value;
        let queued = old.control().is_queued();
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        slot.set_frequency((old.frequency() + 1).min(FREQUENCY_MAX).max(entry.cost));
        self.go_live(draft, if queued { Part::Ring } else { Part::Main });
        self.count_in(draft.class, key, entry);
        if !self.index.swap(self.region.view(), found, word) {
            if !crate::sync::bite("insert.loser-counts-too") {
                self.count_back(draft.class, key, entry);
            }
            return Ok(None);
        }
        failpoint!("replace.swapped");
        self.counters.add(Counter::Replaced);
        self.retire(found.word.handle());
        if queued {
            self.push_to_ring(draft.handle, draft.class);
        }
        self.tend(draft);
        Ok(Some(visible))
    }

    /// Compares versions; `false` if both are dropped, and another entry is there by now, which is to be compared with.
    fn may_replace(&self, key: Key<'_>, entry: &Entry, current: &Version, found: &Found) -> Result<bool, Refusal> {
        let is_of_here = matches!(entry.source, Source::Local | Source::Fill);
        let relation = match entry.source {
            Source::Fill => entry.version.relation_of_fill(current),
            _ => entry.version.relation(current),
        };
        match relation {
            _ if crate::sync::bite("version.ignored") => {}
            Relation::Same if !is_of_here => return Err(Refusal::Superseded(*current)),
            Relation::Newer | Relation::Same => {
                // Of a fill nobody has to know once it is gone; of what it replaces somebody has.
                if entry.version.is_fill() && !current.is_fill() {
                    self.raise_floor(key, self.floor_after(current));
                }
            }
            Relation::Older => {
                if current.is_fill() && !entry.version.is_fill() {
                    self.raise_floor(key, self.floor_after(&entry.version));
                }
                return Err(Refusal::Superseded(*current));
            }
            Relation::Unknown => {
                self.raise_floor(key, entry.version.stamp.max(current.stamp));
                return if self.drop_entry(found) { Err(Refusal::Unordered(*current)) } else { Ok(false) };
            }
        }
        Ok(true)
    }

    /// Makes sure that a refused write leaves nothing older behind, here and elsewhere.
    pub(crate) fn refuse(&self, guard: &Guard, key: Key<'_>, hash: KeyHash, entry: &Entry) {
        if crate::sync::bite("insert.refusal-keeps-old") {
            return;
        }
        if self.replicated().is_none() {
            self.remove(guard, key, hash);
            return;
        }
        let announced = self.announce(Operation::Invalidate, key, entry);
        self.void(key, hash, &entry.version);
        announced.conclude(true);
    }

    /// Takes out a word that must not stand in the way, whatever it names; `false` if it changed meanwhile.
    pub(super) fn drop_entry(&self, found: &Found) -> bool {
        if let Some(slot) = self.slot(found.word.handle()) {
            self.before_unlink(slot);
        }
        let dropped = self.index.unlink(self.region.view(), found);
        if dropped {
            self.retire_unlinked(found.word);
        }
        dropped
    }
}
