//! Memory: what the kernel is asked for in the background, so that fewer reads wait for it.
//!
//! ```text
//!   map    a file that was there before: the pages of the index, then the others; else the first read of each 64 KiB
//!          is a page fault
//!   huge   a file on tmpfs: ranges of free pages become huge pages before anybody uses them, 8 ms per 2 MiB; a range in
//!          use stays as it is, because a read of it would wait; not while all processors are busy, when the kernel takes
//!          seconds and whoever maps memory waits for it
//! ```
//!
//! One pass each in a life. Nothing is lost where the kernel says no: the rest of the pass is left out.

use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::engine::{Engine, PAGES_SPARE};
use crate::region::HUGE_PAGE;
use crate::sync::Mutex;
use std::ops::Range;

/// How far the passes are; one thread at a time goes on with them.
#[derive(Debug, Default)]
pub(crate) struct MemoryWork {
    passes: Mutex<Passes>,
}

#[derive(Debug, Default)]
struct Passes {
    /// The next page to map: each page twice, once if it is the index's. `None`: nothing to map, or all is.
    map: Option<u32>,
    /// The next range to make huge.
    huge: Option<u32>,
    /// No range is made huge before this time, so that the pass takes a small part of a processor.
    rest_until_us: u64,
}

/// Time between two huge pages, in times that one takes.
const REST_FACTOR: u64 = 4;
/// Time until the next look at a machine whose processors are busy.
const BUSY_REST_US: u64 = 1_000_000;
/// A huge page that takes longer is the last one: who maps memory waits meanwhile.
const COLLAPSE_MAX_US: u64 = 200_000;
/// Free ranges that stay for inserts while one is made huge.
const RANGES_LEFT: u32 = 4;

impl Engine {
    /// Says what is to be done: an inherited file is to be mapped, a file on tmpfs to get huge pages. Single-threaded.
    pub(crate) fn plan_memory(&mut self, inherited: bool) {
        let passes = self.memory.passes.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        passes.map = (inherited && self.region.is_file_in_memory()).then_some(0);
        passes.huge = self.region.may_collapse().then_some(0);
    }

    /// One step; `false` if nothing is left to do now.
    pub(crate) fn memory_step(&self) -> bool {
        self.map_step() || self.huge_step()
    }

    /// Maps one page of an inherited file; `false` if all are mapped, or another thread is at it.
    pub(crate) fn map_step(&self) -> bool {
        let Some(mut passes) = crate::sync::try_lock(&self.memory.passes) else { return false };
        let pages = self.pages.layout().pages;
        while let Some(at) = passes.map {
            passes.map = (at + 1 < 2 * pages).then_some(at + 1);
            let page = PageId(at % pages);
            let of_index = matches!(self.pages.info(page).kind(), PageKind::Index | PageKind::Overflow);
            if of_index != (at < pages) {
                continue;
            }
            let start = self.pages.layout().page_start(page);
            if let Err(error) = self.region.map_pages(start..start + self.pages.layout().page_bytes) {
                tracing::debug!(%error, "the arena is mapped as it is read");
                passes.map = None;
            }
            return true;
        }
        false
    }

    fn huge_step(&self) -> bool {
        let Some(mut passes) = crate::sync::try_lock(&self.memory.passes) else { return false };
        let now = self.clock.fine_us();
        if passes.huge.is_none() || now < passes.rest_until_us {
            return false;
        }
        if !self.region.is_time_to_collapse() {
            passes.rest_until_us = now + BUSY_REST_US;
            return false;
        }
        while let Some(number) = passes.huge {
            let Some((range, pages)) = self.huge_range(number) else {
                passes.huge = None;
                break;
            };
            passes.huge = Some(number + 1);
            let spare = PAGES_SPARE + RANGES_LEFT * (pages.end - pages.start);
            if self.pages.free_pages() > spare && self.claim_all(pages.clone()) {
                let made = self.region.collapse(range);
                pages.for_each(|page| self.pages.unclaim(PageId(page)));
                if let Err(error) = made {
                    tracing::debug!(%error, "the rest of the arena stays on small pages");
                    passes.huge = None;
                }
                let took = self.clock.fine_us().saturating_sub(now);
                if took > COLLAPSE_MAX_US {
                    tracing::debug!(took, "the kernel takes long; the rest of the arena stays on small pages");
                    passes.huge = None;
                }
                passes.rest_until_us = now + took.saturating_mul(1 + REST_FACTOR);
                return true;
            }
        }
        false
    }

    /// The bytes of a huge page that lies within the pages of the arena, and which pages those are.
    fn huge_range(&self, number: u32) -> Option<(Range<u64>, Range<u32>)> {
        let layout = self.pages.layout();
        let start = layout.data_start.next_multiple_of(HUGE_PAGE) + u64::from(number) * HUGE_PAGE;
        let (first, last) = (layout.page_of(start)?, layout.page_of(start + HUGE_PAGE - 1)?);
        Some((start..start + HUGE_PAGE, first.0..last.0 + 1))
    }

    /// Claims free pages that follow each other, or none.
    fn claim_all(&self, pages: Range<u32>) -> bool {
        let claimed = pages.clone().take_while(|page| self.pages.claim_free(PageId(*page))).count() as u32;
        if claimed == pages.end - pages.start {
            return true;
        }
        (pages.start..pages.start + claimed).for_each(|page| self.pages.unclaim(PageId(page)));
        false
    }
}
