//! Runs: pages in a row for one value, made by evicting what is in them.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::State;
use crate::engine::Engine;
use crate::engine::drain::{Drain, Then};
use crate::engine::rebalance::URGENT_ROUNDS;
use crate::eviction::policy::Part;
use crate::sync::Ordering;
use crate::sync::backoff::Backoff;
use crate::types::handle::Handle;

impl Engine {
    /// Frees `count` pages in a row, for one value; evicts what is in them. Bounded.
    pub(super) fn make_run(&self, count: u32) -> bool {
        let pages = self.pages.layout().pages;
        let usable = |page: &PageId| {
            matches!(
                self.pages.info(*page).kind(),
                PageKind::Free | PageKind::Data | PageKind::Large | PageKind::RunHead | PageKind::RunTail
            )
        };
        // Round and round, so that what was stored last is not what goes next. Relaxed: a hint.
        let next_run = &self.rebalance.next_run;
        let first = next_run.load(Ordering::Relaxed) % pages;
        for part in [first..pages, 0..pages] {
            let mut run = 0;
            for page in part.map(PageId) {
                let begins_within = run == 0 && self.pages.info(page).kind() == PageKind::RunTail;
                run = if usable(&page) && !begins_within { run + 1 } else { 0 };
                if run == count {
                    next_run.store(page.0 + 1, Ordering::Relaxed);
                    return self.empty_pages(page.0 + 1 - count, count);
                }
            }
        }
        false
    }

    fn empty_pages(&self, head: u32, count: u32) -> bool {
        // One drain at a time: another one would go on with a page that has become something else.
        let Some(_drains) = self.stop_drains() else { return false };
        for number in head..head + count {
            let page = PageId(number);
            let mut backoff = Backoff::default();
            for round in 0..URGENT_ROUNDS {
                let info = self.pages.info(page);
                match info.kind() {
                    PageKind::Free => break,
                    PageKind::Dirty => {
                        self.hasten_page();
                    }
                    PageKind::RunHead => self.evict_run(page),
                    PageKind::RunTail => {}
                    _ if round == 0 && !self.pages.begin_drain(page, info.class()) && !info.is_draining() => {
                        return false;
                    }
                    _ => {
                        let mut drain = Drain::of(page, info.class(), Then::Free);
                        while !self.drain_step(&mut drain) && drain.next_slot != 0 {}
                    }
                }
                backoff.wait();
                if round + 1 == URGENT_ROUNDS {
                    self.pages.cancel_drain(page);
                    return false;
                }
            }
        }
        true
    }

    /// Takes the value that fills a run out of the index.
    pub(super) fn evict_run(&self, head: PageId) {
        let guard = self.pin();
        let handle = Handle::from_offset(self.pages.layout().page_start(head));
        if self.slot(handle).is_some_and(|slot| slot.control().state() == Some(State::Live)) {
            self.unlink(handle, ClassId::LARGE, Some(Part::Main));
        }
        self.reclaim(&guard, ClassId::LARGE);
        self.launch_grace(&guard);
        self.domain.help(&guard);
    }

    /// Evicts one large value where no class has a page to give, so that its run becomes free. `false` if there is none.
    pub(super) fn evict_some_run(&self) -> bool {
        let guard = self.pin();
        let state = self.pages.class(ClassId::LARGE);
        // Relaxed: gauges. One that waits for readers is as good as one evicted now.
        if state.limbo.load(Ordering::Relaxed) == 0 && self.evict(&guard, ClassId::LARGE, 1) == 0 {
            return false;
        }
        self.reclaim(&guard, ClassId::LARGE);
        self.launch_grace(&guard);
        self.domain.help(&guard);
        true
    }
}
