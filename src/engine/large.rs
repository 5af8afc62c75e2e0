//! Large values: from a size to blocks or a run of pages, and back.

use crate::arena::classes::ClassId;
use crate::arena::frame::Extent;
use crate::arena::large::Contended;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::{Control, Slot, State};
use crate::engine::Engine;
use crate::engine::allocate::Taken;
use crate::engine::counters::Counter;
use crate::engine::insert::Refusal;
use crate::index::Found;
use crate::sync::backoff::Backoff;
use crate::sync::{Ordering, bite};
use crate::types::handle::Handle;
use crate::types::key::Key;
use crate::types::version::Version;

/// Attempts to find room; each evicts something or moves the epoch on.
#[cfg(not(loom))]
const ROUNDS_MAX: u32 = 256;
#[cfg(loom)]
const ROUNDS_MAX: u32 = 2;
/// Attempts to find a run of pages; each empties as many.
const RUN_ROUNDS_MAX: u32 = 6;
/// Entries evicted in one attempt.
const EVICT_PER_ROUND: u32 = 4;

/// What a look at a slot has shown.
#[derive(Clone, Copy)]
pub(super) enum Look<'r> {
    /// What its control word was.
    At(Slot<'r>, Control),
    /// Nothing, now: somebody is taking blocks.
    Later,
}

impl Engine {
    /// Contiguous room for a value above the largest class.
    pub(super) fn allocate_large(&self, bytes: u64) -> Result<Taken, Refusal> {
        if bytes > self.pages.layout().page_bytes {
            return self.allocate_run(bytes);
        }
        let count = self.pages.blocks_for(bytes);
        let mut backoff = Backoff::default();
        for _ in 0..ROUNDS_MAX {
            let taken = {
                let _guard = self.pin();
                self.pages.take_blocks(count)
            };
            match taken {
                Ok(Some(handle)) => return self.begin_large(handle).ok_or(Refusal::Busy),
                // Nothing has to go for that.
                Err(Contended) if says_nothing() => {
                    backoff.wait();
                    continue;
                }
                Ok(None) | Err(Contended) => {}
            }
            if self.prepare_step(ClassId::LARGE) || self.assign_page(ClassId::LARGE) {
                continue;
            }
            self.make_room_large();
            // A thread that lost its processor inside a guard holds up every grace period: let it have this one.
            backoff.wait();
        }
        Err(Refusal::Busy)
    }

    /// One step towards room: what is due becomes free, else a few entries go.
    fn make_room_large(&self) {
        let guard = self.pin();
        if self.reclaim(&guard, ClassId::LARGE) > 0 {
            return;
        }
        let state = self.pages.class(ClassId::LARGE);
        // Relaxed: gauges.
        if state.limbo.load(Ordering::Relaxed) < u64::from(EVICT_PER_ROUND) {
            self.evict(&guard, ClassId::LARGE, EVICT_PER_ROUND);
        }
        self.launch_grace(&guard);
        self.domain.help(&guard);
    }

    /// The slot of a number in a page, and its control word. `None` for a block at which no value begins: there no byte is a
    /// control word.
    ///
    /// Blocks are given back under nobody's lock, and their next owner writes over what was one. It takes them under this
    /// lock, so until it is let go a head stays what it is; whoever finds LIVE under a guard may go on without. While the
    /// lock is another's nothing is known of any block, and nobody waits: the caller comes by again.
    #[inline]
    pub(super) fn look_at(&self, page: PageId, class: ClassId, number: u32) -> Option<Look<'_>> {
        let slot = self.slot(self.pages.handle_in(page, class, number))?;
        if class != ClassId::LARGE {
            return Some(Look::At(slot, slot.control()));
        }
        let Some(_taking) = crate::sync::try_lock(self.pages.large_lock()) else { return Some(Look::Later) };
        self.pages.is_head(page, number).then(|| Look::At(slot, slot.control()))
    }

    fn begin_large(&self, handle: Handle) -> Option<Taken> {
        let slot = self.slot(handle)?;
        let generation = slot.take_unformatted(self.run);
        self.pages.mark_head(handle);
        Some(Taken { handle, class: ClassId::LARGE, generation, tends: true })
    }

    /// Pages that one value may take: half of the arena is the most that leaves a cache around it.
    fn run_pages_max(&self) -> u32 {
        self.pages.layout().pages / 2
    }

    /// Bytes of the largest value that a key can have under such a version: what is configured, or what the arena holds
    /// beside header and key.
    pub(crate) fn value_bytes_limit(&self, key: Key<'_>, version: &Version) -> u64 {
        let configured = self.settings.value_bytes_max;
        #[cfg(feature = "values-on-heap")]
        if self.has_heap_values() {
            return configured;
        }
        let page_bytes = self.pages.layout().page_bytes;
        let room = page_bytes.max(u64::from(self.run_pages_max()) * page_bytes);
        configured.min(room - Extent::of(version, key.bytes.len(), 0).end())
    }

    fn allocate_run(&self, bytes: u64) -> Result<Taken, Refusal> {
        let layout = self.pages.layout();
        let count = bytes.div_ceil(layout.page_bytes) as u32;
        if count > self.run_pages_max() {
            return Err(Refusal::TooLarge);
        }
        for _ in 0..RUN_ROUNDS_MAX {
            match self.pages.assign_run(self.region.view(), count) {
                Ok(Some(head)) => {
                    return self.begin_large(Handle::from_offset(layout.page_start(head))).ok_or(Refusal::Busy);
                }
                Err(Contended) if says_nothing() => continue,
                Ok(None) | Err(Contended) => {}
            }
            // Another thread may hold up or take what is emptied here: then other pages are tried.
            while self.clean_dirty_page() {}
            self.make_run(count);
        }
        Err(Refusal::Busy)
    }

    /// Blocks that an entry takes, by its header; 0 for slots of a class.
    pub(super) fn blocks_of(&self, slot: Slot<'_>) -> u32 {
        if self.pages.class_of(slot.handle()) != Some(ClassId::LARGE) {
            return 0;
        }
        // SAFETY: callers own the slot, or hold a guard since before they read its handle.
        let header = unsafe { slot.header() };
        self.pages.blocks_for(header.extent().end())
    }

    /// Gives the room of a large value back.
    pub(super) fn give_large(&self, handle: Handle, blocks: u32) {
        let Some(page) = self.pages.layout().page_of_handle(handle) else { return };
        if self.pages.info(page).kind() == PageKind::RunHead {
            self.free_run(page);
        } else {
            self.pages.give_blocks(handle, blocks);
        }
    }

    fn free_run(&self, head: PageId) {
        let pages = self.pages.run_pages(self.region.view(), head);
        // The head last: a process killed in between leaves tails without a head, which the next open cleans.
        for step in (1..pages).rev() {
            self.pages.make_dirty(self.region.view(), PageId(head.0 + step));
            self.pages.leave_dirty(PageId(head.0 + step));
        }
        // The head alone is looked at by the hand.
        self.retire_page(head);
    }

    /// Frees a run whose grace period is over, unless it is pinned.
    pub(super) fn release_run(&self, handle: Handle) -> Option<ClassId> {
        let slot = self.slot(handle)?;
        if !self.release_slot(slot, ClassId::LARGE) {
            return None;
        }
        self.count_released(ClassId::LARGE);
        self.give_large(handle, 0);
        Some(ClassId::LARGE)
    }

    /// Bytes that a large value may use: to the end of its page, or of its run.
    pub(super) fn large_room(&self, handle: Handle) -> Option<u64> {
        let layout = self.pages.layout();
        let page = layout.page_of_handle(handle)?;
        let pages = match self.pages.info(page).kind() {
            PageKind::RunHead => self.pages.run_pages(self.region.view(), page),
            _ => 1,
        };
        Some(layout.page_start(page) + u64::from(pages) * layout.page_bytes - handle.offset())
    }

    /// Looks at a page of blocks that nobody has looked at: a value that the index names, or that was retired in this
    /// life, is skipped by its length; all else is free. `false` if there is no such page.
    pub(super) fn prepare_large(&self, only: Option<PageId>) -> bool {
        let _guard = self.pin();
        // No blocks are taken meanwhile, so nobody writes into the page.
        let Some(_taking) = crate::sync::lock_within(self.pages.large_lock()) else { return false };
        let _preparing = self.sweep.begin_preparing();
        let claimed = match only {
            Some(page) => self.pages.claim_unprepared_in(page, ClassId::LARGE),
            None => self.pages.claim_unprepared(ClassId::LARGE),
        };
        let Some((page, first, count)) = claimed else { return false };
        let mut block = first;
        while block < first + count {
            block += self.prepare_block(page, block);
        }
        true
    }

    /// Returns how many blocks were dealt with. The caller holds the lock of those who take blocks, and a guard.
    ///
    /// Only a length whose checksum is right may skip blocks or free them later: all else is given back block by block.
    fn prepare_block(&self, page: PageId, block: u32) -> u32 {
        let handle = self.pages.handle(page, block);
        let Some(slot) = self.slot(handle) else { return 1 };
        // In this order: whoever adopts or retires a slot marks its head before, so that what is found changed is found marked.
        if self.settle_head(slot) || self.pages.is_head(page, block) {
            return self.blocks_of(slot).max(1);
        }
        while !slot.void(slot.control(), self.run) {}
        self.pages.give_blocks(handle, 1);
        1
    }

    /// Decides about what may be the head of a value of an old run; `true` if it is one, adopted or retired.
    fn settle_head(&self, slot: Slot<'_>) -> bool {
        let control = slot.control();
        if control.state() != Some(State::Live) || control.run() == self.run {
            return false;
        }
        let named = self.named_by(slot);
        if self.is_intact(slot) {
            self.pages.mark_head(slot.handle());
            match named {
                Some(found) if self.is_dead(slot) && self.unlink_dead(&found, slot) => {
                    self.counters.add(Counter::Expired);
                    self.retire(slot.handle());
                }
                Some(_) => self.adopt_alone(slot, ClassId::LARGE),
                None => self.retire_unnamed(slot),
            }
            return true;
        }
        if named.is_some() {
            self.raise_all_floors();
        }
        if let Some(found) = named
            && self.index.unlink(self.region.view(), &found)
        {
            self.counters.add(Counter::Damaged);
            self.sweep.met();
        }
        false
    }

    fn unlink_dead(&self, found: &Found, slot: Slot<'_>) -> bool {
        self.before_unlink(slot);
        self.index.unlink(self.region.view(), found)
    }

    /// Whether a slot is an old run's and lies in a page of blocks: there its length may be damaged, and a preparation may
    /// be under way that takes all for free blocks which is neither marked as a head nor LIVE.
    pub(super) fn is_unsettled_large(&self, slot: Slot<'_>, class: ClassId) -> bool {
        class == ClassId::LARGE
            && slot.control().run() != self.run
            && self
                .pages
                .layout()
                .page_of_handle(slot.handle())
                .is_some_and(|page| self.pages.info(page).kind() == PageKind::Large)
    }

    /// Retires a large value of an old run whose word the caller has unlinked under its guard. `None` if its length can
    /// not be trusted, or somebody retired it before: then its blocks are the preparation's, or theirs.
    ///
    /// The mark comes first: a preparation that meets the new state meets the mark. It is never late: nobody frees the
    /// blocks before the caller's guard is gone.
    pub(super) fn retire_unsettled_large(&self, slot: Slot<'_>) -> Option<Control> {
        if !self.is_intact(slot) {
            return None;
        }
        self.pages.mark_head(slot.handle());
        slot.retire(self.run)
    }

    /// Adopts a large value of an old run whose checksum was found right. Waits for nobody; the mark comes first, as above.
    pub(super) fn adopt_unsettled_large(&self, slot: Slot<'_>) {
        let _taking = bite("large.adopts-under-a-lock").then(|| crate::sync::lock(self.pages.large_lock()));
        let control = slot.control();
        if control.state() == Some(State::Live) && control.run() != self.run {
            if !bite("large.adopts-unmarked") {
                self.pages.mark_head(slot.handle());
            }
            self.adopt_alone(slot, ClassId::LARGE);
        }
    }

    /// Gives a run of pages back at open unless an entry names it; that one's value is looked at by the sweep.
    pub(crate) fn load_run(&self, head: PageId) {
        let _guard = self.pin();
        let handle = Handle::from_offset(self.pages.layout().page_start(head));
        let Some(slot) = self.slot(handle) else { return };
        if slot.control().state() == Some(State::Live) && self.named_by(slot).is_some() {
            return;
        }
        if self.settle_slot(slot) || slot.control().state() == Some(State::Free) {
            self.free_run(head);
        }
    }

    /// Settles one run of pages that the last life left; `false` if there is none.
    pub(super) fn settle_some_run(&self) -> bool {
        let _guard = self.pin();
        let heads = self.pages.ids().filter(|page| self.pages.info(*page).kind() == PageKind::RunHead);
        let handles = heads.map(|page| Handle::from_offset(self.pages.layout().page_start(page)));
        let inherited = handles.filter_map(|handle| self.slot(handle)).find(|slot| {
            let control = slot.control();
            control.run() != self.run && control.state() == Some(State::Live)
        });
        if let Some(slot) = inherited {
            self.settle_slot(slot);
        }
        inherited.is_some()
    }
}

/// That a lock was not to be had says nothing about what is free: nothing has to go for it.
fn says_nothing() -> bool {
    !bite("large.contended-is-full")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::arena::frame::FrameKind;
    use crate::engine::Settings;
    use crate::engine::insert::{Entry, Source};
    use crate::engine::open::{Request, open};
    use crate::eviction::expiry::TimeToLive;
    use crate::types::key::KeyspaceId;

    #[test]
    fn a_large_value_that_can_not_have_the_lock_evicts_nothing() {
        let capacity = 64 << 20;
        let request = Request {
            capacity,
            file: None,
            settings: Settings::default(),
            clock: None,
            seed: None,
            crash_loop_guard: false,
        };
        let (engine, _) = open(&request).expect("opens");
        let store = |name: &str, bytes: usize| {
            let version = engine.next_version(&crate::engine::changes::Ordering::default());
            let entry =
                Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local };
            let (_writing, guard) = engine.begin_write().expect("open");
            let key = Key::new(KeyspaceId::RAW, name.as_bytes()).expect("a valid key");
            engine.store(guard, &engine.seek(key), &vec![7; bytes], &entry)
        };
        for number in 0..1_000 {
            store(&format!("{number}"), 100).expect("there is room");
            store(&format!("large {number}"), if number % 100 == 0 { 20_000 } else { 100 }).expect("there is room");
        }
        let evicted = || engine.counters().sum(Counter::EvictedMain) + engine.counters().sum(Counter::EvictedProbation);
        let held = crate::sync::lock(engine.pages.large_lock());
        // Of several pages, of one.
        for bytes in [300_000, 40_000] {
            assert_eq!(store("refused", bytes), Err(Refusal::Busy));
        }
        assert_eq!(evicted(), 0, "nothing is full");
        drop(held);
        for bytes in [300_000, 40_000] {
            store("stored", bytes).expect("there is room");
        }
        assert_eq!(evicted(), 0);
    }
}
