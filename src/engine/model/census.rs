//! A census of a model: every slot, every overflow bucket and every gauge.

use super::{CLASS, Model};
use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::slot::State;
use crate::sync::Ordering;

/// All slots and gauges, when nobody else is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Words in the index.
    pub words: u64,
    /// Entries, as the engine counts them.
    pub entries: u64,
    /// LIVE slots.
    pub live: u64,
    /// LIVE slots, as the class counts them.
    pub live_gauge: u64,
    /// RETIRED slots.
    pub retired: u64,
    /// Slots that wait for readers, as the class counts them.
    pub limbo_gauge: u64,
    /// Slots in limbo.
    pub limbo: u64,
    /// FREE slots that were looked at.
    pub free: u64,
    /// Free slots, as the class counts them.
    pub free_gauge: u64,
    /// WRITING slots.
    pub writing: u64,
}

impl Census {
    /// Whether every gauge says what is there, every LIVE slot is named, and no slot is lost.
    pub fn check(&self) {
        self.check_but_writing(0);
    }

    /// As above, with so many slots held by somebody who writes.
    pub fn check_but_writing(&self, writing: u64) {
        assert_eq!(self.words, self.live, "{self:?}");
        assert_eq!(self.words, self.live_gauge, "{self:?}");
        assert_eq!(self.words, self.entries, "{self:?}");
        assert_eq!(self.retired, self.limbo_gauge, "{self:?}");
        assert_eq!(self.retired, self.limbo, "{self:?}");
        assert_eq!(self.free, self.free_gauge, "{self:?}");
        assert_eq!(self.writing, writing, "{self:?}");
    }
}

impl Model {
    /// Entries, as the engine counts them at any moment.
    pub fn entries(&self) -> u64 {
        self.engine.counters.entries_counted()
    }

    /// Everything, when nobody else is there.
    pub fn census(&self) -> Census {
        let engine = &self.engine;
        let class = engine.pages.class(CLASS);
        // Relaxed: nobody else is there.
        let gauge = |gauge: &crate::sync::GaugeU64| gauge.load(Ordering::Relaxed);
        let mut census = Census {
            words: 0,
            entries: engine.counters.entries_counted(),
            live: 0,
            live_gauge: engine.counters.entries_of(CLASS),
            retired: 0,
            limbo_gauge: gauge(&class.limbo),
            limbo: engine.limbo.len() as u64,
            free: 0,
            free_gauge: engine.pages.free_slots(CLASS),
            writing: 0,
        };
        engine.index.for_each(engine.region.view(), |_| census.words += 1);
        for page in engine.pages.ids() {
            let info = engine.pages.info(page);
            if info.has_slots_of(CLASS) {
                for slot in 0..engine.pages.prepared(page).min(engine.pages.slots_in(info)) {
                    self.count_slot(page, slot, &mut census);
                }
            }
        }
        census
    }

    fn count_slot(&self, page: PageId, slot: u32, census: &mut Census) {
        let slot = self.engine.slot(self.engine.pages.handle(page, slot)).expect("it lies in the region");
        match slot.control().state() {
            Some(State::Free) => census.free += 1,
            Some(State::Writing) => census.writing += 1,
            Some(State::Live) => census.live += 1,
            Some(State::Retired) => census.retired += 1,
            None => panic!("{slot:?}"),
        }
    }

    /// Overflow buckets: all, in a chain, free as their class counts them, not looked at.
    pub fn overflow(&self) -> [u64; 4] {
        let engine = &self.engine;
        let of_kind = |page: &PageId| engine.pages.info(*page).has_slots_of(ClassId::OVERFLOW);
        let buckets: Vec<u64> = (engine.pages.ids().filter(of_kind))
            .flat_map(|page| (0..2).map(move |slot| engine.pages.handle(page, slot).offset()))
            .collect();
        let linked = buckets.iter().filter(|at| engine.index.is_overflow_linked(engine.region.view(), **at)).count();
        let class = engine.pages.class(ClassId::OVERFLOW);
        // Relaxed: a gauge.
        let unknown = class.unprepared.load(Ordering::Relaxed);
        [buckets.len() as u64, linked as u64, engine.pages.free_slots(ClassId::OVERFLOW), unknown]
    }
}
