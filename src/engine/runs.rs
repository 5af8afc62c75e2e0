//! Runs: pages in a row for one value, made by evicting what is in them.

use crate::arena::classes::ClassId;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::State;
use crate::engine::Engine;
use crate::engine::rebalance::{Drain, Then, URGENT_ROUNDS};
use crate::eviction::policy::Part;
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
        let mut run = 0;
        for page in self.pages.ids() {
            run = if usable(&page) { run + 1 } else { 0 };
            if run == count {
                let head = page.0 + 1 - count;
                debug_assert!(head + count <= pages);
                return self.empty_pages(head, count);
            }
        }
        false
    }

    fn empty_pages(&self, head: u32, count: u32) -> bool {
        // One drain at a time: another one would go on with a page that has become something else.
        let Some(_drains) = self.stop_drain() else { return false };
        for number in head..head + count {
            let page = PageId(number);
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
}
