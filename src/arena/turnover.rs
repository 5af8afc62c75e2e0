//! The life of a page: assigned to a purpose, drained, dirty until no reader can look, free.
//!
//! ```text
//!          assign              drain                own all slots           grace, zero
//!   FREE ----------> DATA ... -------> draining ------------------> DIRTY ----------------> FREE
//! ```

use crate::arena::classes::ClassId;
use crate::arena::descriptor::descriptor_bits;
use crate::arena::layout::PageId;
use crate::arena::page::{DRAINING, INHERITED, PageInfo, PageKind, Pages, SETUP, prepared_bits};
use crate::region::View;
use crate::sync::failpoint::failpoint;
use crate::sync::{Ordering, bite};

impl Pages {
    /// Claims one free page. Acquire: pairs with the Release of `free`.
    pub(crate) fn claim_free(&self, page: PageId) -> bool {
        let free = PageInfo::new(PageKind::Free, ClassId(0)).0;
        let claimed =
            self.state(page).info.compare_exchange(free, free | SETUP, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if claimed {
            self.free_pages.fetch_sub(1, Ordering::Relaxed);
        }
        claimed
    }

    /// Puts a claimed page back.
    pub(crate) fn unclaim(&self, page: PageId) {
        self.state(page).info.store(PageInfo::new(PageKind::Free, ClassId(0)).0, Ordering::Release);
        self.free_pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_up_run(&self, region: View<'_>, page: PageId, kind: PageKind, ordinal: u64) {
        self.set_up(region, page, kind, ClassId::LARGE, ordinal);
    }

    /// Takes a free page for a purpose; at least `spare` free ones stay.
    pub(crate) fn assign(&self, region: View<'_>, kind: PageKind, class: ClassId, spare: u32) -> Option<PageId> {
        if self.free_pages() <= spare {
            return None;
        }
        let free = PageInfo::new(PageKind::Free, ClassId(0));
        let setup = PageInfo(PageInfo::new(kind, class).0 | SETUP);
        for page in self.ids() {
            let info = &self.state(page).info;
            self.turn.take();
            // Relaxed look; the CAS below is Acquire and pairs with the Release of `free`.
            if info.load(Ordering::Relaxed) == free.0
                && info.compare_exchange(free.0, setup.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                self.free_pages.fetch_sub(1, Ordering::Relaxed);
                self.set_up(region, page, kind, class, 0);
                return Some(page);
            }
        }
        None
    }

    pub(super) fn set_up(&self, region: View<'_>, page: PageId, kind: PageKind, class: ClassId, ordinal: u64) {
        let descriptor = self.layout.descriptor(page);
        region.word(descriptor + 8).store(ordinal, Ordering::Relaxed);
        region.word(descriptor + 16).store(0, Ordering::Relaxed);
        // Release: a process killed after this store finds the other words written.
        region.word(descriptor).store(descriptor_bits(kind, class), Ordering::Release);
        failpoint!("page.assigned");
        self.enter(page, kind, class, 0);
    }

    /// Counts a page in and opens it for use.
    pub(super) fn enter(&self, page: PageId, kind: PageKind, class: ClassId, marks: u32) {
        let info = PageInfo(PageInfo::new(kind, class).0 | marks);
        let state = self.state(page);
        state.free.store(0, Ordering::Relaxed);
        // Relaxed: published with the info below. At open they are zero and stay untouched. Under loom only pages in use
        // have cells for their bits.
        #[cfg(not(loom))]
        if !info.is_inherited() {
            self.bitmap(page).iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        if matches!(kind, PageKind::Data | PageKind::Large | PageKind::Overflow) {
            let class_state = self.class(class);
            class_state.pages.fetch_add(1, Ordering::Relaxed);
            let slots = u64::from(self.slots_in(info));
            class_state.unprepared.fetch_add(slots, Ordering::Relaxed);
            if info.is_inherited() {
                class_state.inherited.fetch_add(slots, Ordering::Relaxed);
            }
        }
        self.turn.take();
        // Release: whoever claims slots to prepare sees the bits and gauges from above.
        state.prepared.store(prepared_bits(class, 0), Ordering::Release);
        self.turn.take();
        // Release: pairs with the Acquire of `info`.
        state.info.store(info.0, Ordering::Release);
    }

    /// Reads what the file says of a page. Nonsense is left out of use as dirty. Single-threaded, at open.
    pub(crate) fn load(&self, region: View<'_>, page: PageId) -> PageInfo {
        let bits = region.word(self.layout.descriptor(page)).load(Ordering::Acquire);
        let class = ClassId((bits >> 8) as u8);
        let kind = PageKind::from_bits(bits & 0xff).filter(|kind| match kind {
            PageKind::Data => self.classes.contains(class) || crate::sync::bite("open.trusts-descriptor"),
            PageKind::Large | PageKind::RunHead | PageKind::RunTail => class == ClassId::LARGE,
            PageKind::Overflow => class == ClassId::OVERFLOW,
            _ => true,
        });
        match kind.filter(|kind| descriptor_bits(*kind, class) == bits) {
            Some(PageKind::Free) => {
                self.free_pages.fetch_add(1, Ordering::Relaxed);
                self.state(page).info.store(PageInfo::new(PageKind::Free, ClassId(0)).0, Ordering::Release);
            }
            Some(PageKind::Dirty) | None => self.enter(page, PageKind::Dirty, ClassId(0), 0),
            Some(kind) => self.enter(page, kind, class, INHERITED),
        }
        self.info(page)
    }

    /// Marks a page as draining: nobody takes slots from it any more. `false` if it is not a page of this class.
    pub(crate) fn begin_drain(&self, page: PageId, class: ClassId) -> bool {
        let info = self.info(page);
        self.turn.take();
        // Release: pairs with the Acquire of `info` in whoever takes slots.
        info.serves(class)
            && self
                .state(page)
                .info
                .compare_exchange(info.0, info.0 | DRAINING, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Takes a page back into use.
    pub(crate) fn cancel_drain(&self, page: PageId) {
        self.state(page).info.fetch_and(!DRAINING, Ordering::AcqRel);
    }

    /// Takes all slots of a draining page; `false`, with everything as before, if one of them is not free yet.
    pub(crate) fn own_all(&self, page: PageId) -> bool {
        let info = self.info(page);
        let slots = self.slots_in(info);
        if !info.is_draining() || self.prepared(page) < slots || (self.state(page).free.load(Ordering::Relaxed) < slots)
        {
            return false;
        }
        let words = &self.bitmap(page)[..slots.div_ceil(64) as usize];
        let mut taken = 0;
        for (at, word) in words.iter().enumerate() {
            let full = full_word(slots, at);
            self.turn.take();
            // Acquire: pairs with the Release of `give_slot`.
            if word.compare_exchange(full, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                break;
            }
            taken += 1;
        }
        if taken == words.len() || bite("page.own-without-check") {
            let class = self.class(info.class());
            class.free.fetch_sub(u64::from(slots), Ordering::Relaxed);
            class.pages.fetch_sub(1, Ordering::Relaxed);
            self.state(page).free.store(0, Ordering::Relaxed);
            return true;
        }
        for (at, word) in words[..taken].iter().enumerate() {
            self.turn.take();
            word.fetch_or(full_word(slots, at), Ordering::Release);
        }
        false
    }

    /// Takes a page out of its class in the file: it is nobody's until it is zero. The caller owns all of its slots.
    pub(crate) fn make_dirty(&self, region: View<'_>, page: PageId) {
        let info = PageInfo(PageInfo::new(PageKind::Dirty, ClassId(0)).0 | SETUP);
        region
            .word(self.layout.descriptor(page))
            .store(descriptor_bits(PageKind::Dirty, ClassId(0)), Ordering::Release);
        self.state(page).info.store(info.0, Ordering::Release);
        failpoint!("page.drained");
    }

    /// Makes an owned dirty page free. The caller has zeroed it.
    pub(crate) fn free(&self, region: View<'_>, page: PageId) {
        let free = PageInfo::new(PageKind::Free, ClassId(0));
        self.turn.take();
        region.word(self.layout.descriptor(page)).store(descriptor_bits(PageKind::Free, ClassId(0)), Ordering::Release);
        // Release: pairs with the Acquire of `assign`: the zeros are seen before the page is.
        self.state(page).info.store(free.0, Ordering::Release);
        self.free_pages.fetch_add(1, Ordering::Relaxed);
        failpoint!("page.freed");
    }

    /// Counts an overflow page out of its class. Only before anybody is served, with nothing in limbo.
    pub(crate) fn withdraw(&self, page: PageId) {
        if self.info(page).kind() == PageKind::Overflow {
            let class = self.class(ClassId::OVERFLOW);
            class.pages.fetch_sub(1, Ordering::Relaxed);
            class.free.fetch_sub(u64::from(self.free_in(page)), Ordering::Relaxed);
            self.forget_stashes(ClassId::OVERFLOW);
            self.state(page).free.store(0, Ordering::Relaxed);
            for word in self.bitmap(page) {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Leaves a page that was made dirty for whoever zeroes it.
    pub(crate) fn leave_dirty(&self, page: PageId) {
        // Release: pairs with the Acquire of `claim_dirty`.
        self.state(page).info.store(PageInfo::new(PageKind::Dirty, ClassId(0)).0, Ordering::Release);
    }

    /// Claims a dirty page that a dead process left, to zero it.
    pub(crate) fn claim_dirty(&self) -> Option<PageId> {
        let dirty = PageInfo::new(PageKind::Dirty, ClassId(0));
        self.ids().find(|page| {
            let info = &self.state(*page).info;
            info.load(Ordering::Relaxed) == dirty.0
                && info.compare_exchange(dirty.0, dirty.0 | SETUP, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })
    }
}

fn full_word(slots: u32, at: usize) -> u64 {
    match slots as usize - at * 64 {
        count if count >= 64 => u64::MAX,
        count => (1 << count) - 1,
    }
}
