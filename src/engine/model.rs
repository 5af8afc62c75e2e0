//! Doors for `loom-tests/tests/engine.rs`: a tiny engine, and the public journeys with one-byte keys and u64 values.
//!
//! Pages of 128 bytes hold two slots of 64 bytes, or two buckets of two words. The first page is the index, which starts
//! with one bucket.

mod census;
mod cluster;
mod loading;
mod outgoing;

pub use census::Census;
pub use loading::{Flown, Flying, Loading, Right};
pub use outgoing::Sending;

use crate::arena::classes::ClassId;
use crate::arena::frame::FrameKind;
use crate::arena::header::live;
use crate::arena::layout::{Layout, PageId};
use crate::arena::page::PageKind;
use crate::arena::slot::{Run, Slot, State};
use crate::engine::counters::Counter;
use crate::engine::drain::{Drain, Then};
use crate::engine::get::Hit;
use crate::engine::insert::{Draft, Entry, Refusal, Source};
use crate::engine::{Engine, Parts, Settings};
use crate::eviction::expiry::TimeToLive;
use crate::region::Region;
use crate::sync::epoch::Guard;
use crate::sync::{Arc, Ordering};
use crate::types::clock::{HybridClock, ManualClock, TimeSource};
use crate::types::key::{Key, KeyHash, KeyHasher, KeyspaceId};
use crate::types::version::{Stamp, Version};

const PAGE_BYTES: u64 = 128;
const SLOT_BYTES: u64 = 64;
const CLASS: ClassId = ClassId(0);
const VALUE_BYTES: u64 = 8;

/// An engine.
pub struct Model {
    engine: Arc<Engine>,
}

/// How an insert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is the entry.
    Yes,
    /// No slot or no stripe was to be had; the key is absent.
    Busy,
    /// A newer version is there.
    Superseded,
    /// A newer version may have been there.
    BelowFloor,
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSeen {
    /// Its slots may be looked at.
    pub of_its_class: bool,
    /// Any class may have it.
    pub free: bool,
}

/// An entry that is being written.
pub struct Reserved(Draft);

/// An entry held by a reader under its guard.
pub struct Held<'m> {
    model: &'m Model,
    guard: Guard,
    hit: Hit,
}

impl Held<'_> {
    /// The value.
    pub fn value(&self) -> u64 {
        let bytes = self.model.engine.value(&self.guard, &self.hit);
        u64::from_le_bytes(bytes.try_into().expect("values have eight bytes"))
    }
}

fn parts(region: Region, layout: Layout, run: u16) -> Parts {
    Parts {
        region,
        layout,
        hasher: KeyHasher::new([1, 2, 3, 4]),
        clock: HybridClock::new(TimeSource::Manual(ManualClock::new()), Stamp::ZERO),
        run: Run(run),
        settings: Settings::default(),
        ghost_bytes: 0,
    }
}

impl Model {
    /// An arena of so many pages besides the index. The slots of the first `prepared` of them are free, the other pages
    /// are.
    pub fn new(pages: u32, prepared: u32) -> Self {
        let layout = Layout::with_pages(PAGE_BYTES, 1 + pages);
        let region = Region::heap(layout.len());
        for at in (layout.data_start..layout.len()).step_by(SLOT_BYTES as usize) {
            region.view().make_slot(at);
        }
        let mut engine = Engine::assemble(parts(region, layout, 1));
        Self::allow_pins(&mut engine);
        engine.format();
        engine.sweep.set_settled();
        let model = Self { engine: Arc::new(engine) };
        model.make_words();
        for _ in 0..prepared {
            assert!(model.engine.assign_page(CLASS));
            while model.engine.prepare_step(CLASS) {}
        }
        model
    }

    /// Makes the words that threads meet.
    fn make_words(&self) {
        for at in [live::CEILING, live::CLEAR_ALL] {
            self.engine.region.view().word(at);
        }
        for page in self.engine.pages.ids() {
            self.engine.pages.min_expiry(self.engine.region.view(), page);
            self.engine.pages.ordinal(self.engine.region.view(), page);
        }
    }

    /// The same arena after a sudden end, in the next run.
    pub fn reopen(self) -> Self {
        let Ok(Engine { region, run, pages, .. }) = Arc::try_unwrap(self.engine) else {
            panic!("nobody else has the arena");
        };
        let layout = *pages.layout();
        let engine = Engine::assemble(parts(region, layout, run.0 + 1));
        let mut entries = 0;
        for page in engine.pages.ids() {
            if engine.pages.load(engine.region.view(), page).kind() == PageKind::Index {
                assert!(engine.index.add_page(layout.page_start(page)));
            }
        }
        // Relaxed: nobody else is there.
        let overflow = engine.pages.class(ClassId::OVERFLOW).inherited.load(Ordering::Relaxed);
        engine.overflow_unknown.store(overflow, Ordering::Relaxed);
        engine.index.settle(engine.region.view(), &engine).expect("the last run left a whole index");
        engine.index.for_each(engine.region.view(), |_| entries += 1);
        engine.counters.expect_entries(entries);
        Self { engine: Arc::new(engine) }
    }

    /// Begins to empty the page that holds an entry.
    pub fn aim_at_the_entry(&self) {
        let pages = &self.engine.pages;
        let holds = |page: &PageId| {
            pages.info(*page).has_slots_of(CLASS)
                && (0..pages.slots_in(pages.info(*page))).any(|number| {
                    let slot = self.engine.slot(pages.handle(*page, number));
                    slot.is_some_and(|slot| slot.control().state() == Some(State::Live))
                })
        };
        self.aim_at(pages.ids().find(holds).expect("an entry is stored"));
    }

    /// Begins to empty the page of a slot that is being written.
    pub fn aim_at_reserved(&self, reserved: &Reserved) {
        let page = self.engine.pages.layout().page_of_handle(reserved.0.handle);
        self.aim_at(page.expect("it lies in a page"));
    }

    /// Begins to empty the first page of slots.
    pub fn aim_at_first(&self) {
        self.aim_at(PageId(1));
    }

    fn aim_at(&self, page: PageId) {
        assert!(self.engine.pages.begin_drain(page, CLASS), "nobody else drains it");
        let mut drain = Drain::of(page, CLASS, Then::Free);
        (drain.rescue, drain.since_us) = (true, self.engine.clock.coarse_us());
        crate::sync::lock(&self.engine.rebalance.drains).push(drain);
    }

    /// What the first page of slots is before and after a walk over its slots, as evictors do it: under one guard.
    pub fn walk_first_page(&self) -> [PageSeen; 2] {
        let _guard = self.engine.pin();
        let before = self.first_page();
        for number in 0..(PAGE_BYTES / SLOT_BYTES) as u32 {
            self.engine.slot(self.engine.pages.handle(PageId(1), number)).map(Slot::control);
        }
        [before, self.first_page()]
    }

    fn first_page(&self) -> PageSeen {
        let info = self.engine.pages.info(PageId(1));
        PageSeen { of_its_class: info.has_slots_of(CLASS), free: info.kind() == PageKind::Free }
    }

    fn hash(&self, key: &[u8; 1]) -> KeyHash {
        self.engine.hash(Key { keyspace: KeyspaceId::RAW, bytes: key })
    }

    /// The `nth` key whose hash ends with this bit.
    pub fn key_with(&self, bit: u64, nth: usize) -> u8 {
        let mut keys = (0..=u8::MAX).filter(|key| self.hash(&[*key]).bits() & 1 == bit);
        keys.nth(nth).expect("half of all keys end so")
    }

    fn entry(stamp: u64) -> Entry {
        let version = Version::instant(Stamp(stamp), 0);
        Entry { version, ttl: TimeToLive::NEVER, kind: FrameKind::Value, cost: 0, source: Source::Local }
    }

    fn ended(result: Result<bool, Refusal>) -> Stored {
        match result {
            Ok(_) => Stored::Yes,
            Err(Refusal::Superseded(_)) => Stored::Superseded,
            Err(Refusal::BelowFloor) => Stored::BelowFloor,
            Err(Refusal::Busy) => Stored::Busy,
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    /// Stores the stamp as value, under this stamp.
    pub fn store(&self, key: u8, stamp: u64) -> Stored {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        Self::ended(self.engine.store(
            self.engine.pin(),
            &self.engine.seek(key),
            &stamp.to_le_bytes(),
            &Self::entry(stamp),
        ))
    }

    /// The same as a caller's write: `None` once writes are refused.
    pub fn write(&self, key: u8, stamp: u64) -> Option<Stored> {
        let (_writing, _guard) = self.engine.begin_write()?;
        Some(self.store(key, stamp))
    }

    /// Refuses writes from now on; whether nobody is inside one.
    pub fn close(&self) -> bool {
        self.engine.writers.close();
        self.engine.writers.inside() == 0
    }

    /// Takes a slot and fills it.
    pub fn reserve(&self, key: u8, stamp: u64) -> Option<Reserved> {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let mut draft = self.engine.draft(self.engine.pin(), key, VALUE_BYTES, &Self::entry(stamp).version).ok()?.1;
        self.engine.draft_bytes_mut(&mut draft).copy_from_slice(&stamp.to_le_bytes());
        Some(Reserved(draft))
    }

    /// Makes it the entry.
    pub fn commit(&self, key: u8, stamp: u64, reserved: &Reserved) -> Stored {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let guard = self.engine.pin();
        Self::ended(self.engine.publish(&guard, key, self.hash(&bytes), &reserved.0, &Self::entry(stamp)))
    }

    /// Gives it back.
    pub fn abandon(&self, reserved: &Reserved) {
        self.engine.abandon(&reserved.0);
    }

    /// Removes a key.
    pub fn remove(&self, key: u8) -> bool {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let guard = self.engine.pin();
        self.engine.remove(&guard, key, self.hash(&bytes))
    }

    /// The value of a key, held.
    pub fn hold(&self, key: u8) -> Option<Held<'_>> {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let aimed = self.engine.aim(self.engine.seek(key));
        let guard = self.engine.pin();
        let hit = self.engine.get(&guard, &aimed)?;
        Some(Held { model: self, guard, hit })
    }

    /// The value of a key.
    pub fn get(&self, key: u8) -> Option<u64> {
        self.hold(key).map(|held| held.value())
    }

    /// The value of a key, found without a hint: fewer states for models of three threads.
    pub fn search(&self, key: u8) -> Option<u64> {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let guard = self.engine.pin();
        let hit = self.engine.get_beyond(&self.engine.seek(key))?;
        Some(Held { model: self, guard, hit }.value())
    }

    /// Evicts so many entries.
    pub fn evict(&self, want: u32) -> u32 {
        let guard = self.engine.pin();
        self.engine.evict(&guard, CLASS, want)
    }

    /// Frees what is due and starts a grace period if something waits; how many wait.
    pub fn reclaim(&self) -> usize {
        self.engine.drain_limbo()
    }

    /// One step of emptying a page.
    pub fn drain(&self) -> bool {
        self.engine.drain_some(None, true)
    }

    /// One step towards a free page, once one was emptied.
    pub fn hasten_page(&self) -> bool {
        self.engine.hasten_page()
    }

    /// Looks at the next slot of an old run.
    pub fn prepare(&self) -> bool {
        self.engine.prepare_step(CLASS)
    }

    /// Looks at the next overflow bucket of an old run.
    pub fn prepare_overflow(&self) -> bool {
        self.engine.prepare_step(ClassId::OVERFLOW)
    }

    /// As `prepare`, but only on a page without entries; `false` if there is none left.
    pub fn prepare_free(&self) -> bool {
        let page = self.engine.pages.ids().find(|page| {
            let slots = (0..PAGE_BYTES / SLOT_BYTES).map(|slot| self.engine.pages.handle(*page, slot as u32));
            let mut states = slots.filter_map(|handle| self.engine.slot(handle)?.control().state());
            self.engine.pages.info(*page).has_slots_of(CLASS) && !states.any(|state| state == State::Live)
        });
        page.is_some_and(|page| self.engine.prepare_step_in(page, CLASS))
    }

    /// Splits one bucket.
    pub fn grow(&self) -> bool {
        let entries = self.engine.index.entries_before_growth(self.engine.region.view()) + 1;
        self.engine.index.grow(self.engine.region.view(), &*self.engine, entries) > 0
    }

    /// Entries replaced, entries moved to another page, pages moved.
    pub fn counts(&self) -> [u64; 3] {
        [Counter::Replaced, Counter::Relocated, Counter::PagesMoved].map(|counter| self.engine.counters.sum(counter))
    }
}
