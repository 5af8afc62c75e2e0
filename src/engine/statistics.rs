//! Statistics: what the public figures are made of.

use crate::arena::classes::ClassId;
use crate::engine::Engine;
use crate::index::IndexCounts;
use crate::sync::Ordering;

/// Gauges of one class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassFigures {
    pub(crate) class: ClassId,
    pub(crate) slot_bytes: u32,
    pub(crate) pages: u32,
    pub(crate) slots: u64,
    pub(crate) live: u64,
    pub(crate) free: u64,
    pub(crate) unprepared: u64,
    pub(crate) retired: u64,
    pub(crate) ring: u32,
    pub(crate) ring_share_percent: f32,
}

/// Gauges of the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArenaFigures {
    pub(crate) pages: u32,
    pub(crate) pages_free: u32,
    pub(crate) page_bytes: u64,
    pub(crate) retired_bytes: u64,
    pub(crate) pinned_bytes: u64,
    pub(crate) heap_bytes: u64,
    pub(crate) index_buckets: u32,
    pub(crate) index_pages: u32,
    pub(crate) overflow_pages: u32,
    pub(crate) index: IndexCounts,
    pub(crate) graces: u64,
}

impl Engine {
    /// The classes that have pages.
    pub(crate) fn class_figures(&self) -> Vec<ClassFigures> {
        let all = (0..self.pages.classes().len() as u8).map(ClassId).chain([ClassId::LARGE]);
        all.filter_map(|class| {
            let state = self.pages.class(class);
            let policy = self.policy(class);
            // Relaxed: gauges, read one by one.
            let pages = state.pages.load(Ordering::Relaxed);
            let figures = ClassFigures {
                class,
                slot_bytes: self.pages.classes().slot_bytes(class),
                pages,
                slots: u64::from(pages) * u64::from(self.pages.classes().slots_per_page(class)),
                live: self.counters.entries_of(class),
                free: self.pages.free_slots(class),
                unprepared: state.unprepared.load(Ordering::Relaxed),
                retired: state.limbo.load(Ordering::Relaxed),
                ring: policy.probation.len(),
                ring_share_percent: policy.share.percent(),
            };
            // Values in runs of pages are counted in the class of large values, which then may have no page.
            (figures.pages > 0 || figures.live > 0 || figures.retired > 0).then_some(figures)
        })
        .collect()
    }

    /// The arena's own figures.
    pub(crate) fn arena_figures(&self) -> ArenaFigures {
        let layout = self.pages.layout();
        let retired_bytes = self.class_figures().iter().map(|class| class.retired * u64::from(class.slot_bytes)).sum();
        ArenaFigures {
            pages: layout.pages,
            pages_free: self.pages.free_pages(),
            page_bytes: layout.page_bytes,
            retired_bytes,
            pinned_bytes: self.pins.held(),
            heap_bytes: self.heap_bytes(),
            index_buckets: self.index.buckets(self.region.view()),
            index_pages: self.index.pages(),
            overflow_pages: self.pages.class(ClassId::OVERFLOW).pages.load(Ordering::Relaxed),
            index: self.index.counts(),
            graces: self.limbo.completed(),
        }
    }

    /// Heap that the engine's tables take.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let rings: usize = self.policies.iter().map(|policy| policy.probation.heap_bytes()).sum();
        self.pages.heap_bytes()
            + self.writers.heap_bytes()
            + (rings + self.ghost.heap_bytes() + self.counters.heap_bytes() + size_of_val(&*self.policies)) as u64
            + 8 * u64::from(self.pages.layout().pages)
    }
}
