//! Values on the heap: the same engine, but a slot holds the address and the length of its value. Only `also-cache compare`
//! asks for it, to tell what the arena is worth.
//!
//! ```text
//!   slot   header | key | padding to 8 | address u64 | length u64      checksum over header, key and the value on the heap
//!                                             +--> one allocation of exactly `length` bytes, none for 0
//!
//!   draft      address 0           fill       the value is allocated         move   the copy holds it too
//!   let go     RETIRED -> FREE, a draft given back, the end of the engine    the last slot that holds it frees it
//! ```
//!
//! The capacity counts arena bytes. What is on the heap has a bound of its own, over the slots of all entries and their
//! values: beyond it an insert evicts a few entries, as it does beyond `entries_max`.
//!
//! # Invariants
//!
//! - A slot of this run that is LIVE or RETIRED holds its allocation, and so does a filled draft; a slot lets go once, by
//!   its owner, before anybody can take it again.
//! - `shared` says of an allocation how many slots hold it beyond the first. A reader may have pinned the old slot of a
//!   moved entry, so neither of the two slots can know that it is the last.
//! - The arena is anonymous: an address would mean nothing to another process.

use crate::arena::classes::ClassId;
use crate::arena::page::PageKind;
use crate::arena::slot::{Slot, State};
use crate::engine::Engine;
use crate::engine::insert::Draft;
use crate::eviction::policy::Filling;
use crate::sync::{GaugeU64, Mutex, Ordering, bite, lock};
use crate::types::handle::Handle;
use std::collections::BTreeMap;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What stands in a slot instead of a value.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Held {
    address: U64,
    length: U64,
}

const HELD_BYTES: u64 = size_of::<Held>() as u64;
/// Evictions of one insert for the bound.
const EVICT_PER_INSERT: u32 = 8;

/// What is known of all values together.
#[derive(Debug, Default)]
pub(super) struct HeapValues {
    /// Bytes of the slots and the values of all entries.
    bytes: GaugeU64,
    /// How many slots hold an allocation beyond the first, by its address.
    shared: Mutex<BTreeMap<u64, u32>>,
    /// The sum of them, so that hardly anybody needs the lock.
    shares: GaugeU64,
}

impl Held {
    fn of(value: Box<[u8]>) -> Self {
        let length = U64::new(value.len() as u64);
        let address = if value.is_empty() { 0 } else { Box::into_raw(value).expose_provenance() as u64 };
        Self { address: U64::new(address), length }
    }

    /// # Safety
    ///
    /// - The slot that this stands in is the caller's, under its guard or pinned for as long as the bytes are used.
    unsafe fn bytes<'v>(self) -> &'v [u8] {
        let Self { address, length } = self;
        if address.get() == 0 {
            return &[];
        }
        let pointer = std::ptr::with_exposed_provenance::<u8>(address.get() as usize);
        // SAFETY: made by `of` from so many bytes; not freed before the slot is free, by the caller's promise.
        unsafe { std::slice::from_raw_parts(pointer, length.get() as usize) }
    }

    /// # Safety
    ///
    /// - The draft that this stands in is the caller's, and no other reference to the bytes lives.
    unsafe fn bytes_mut<'v>(self) -> &'v mut [u8] {
        let Self { address, length } = self;
        if address.get() == 0 {
            return &mut [];
        }
        let pointer = std::ptr::with_exposed_provenance_mut::<u8>(address.get() as usize);
        // SAFETY: as for `bytes`; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(pointer, length.get() as usize) }
    }

    /// # Safety
    ///
    /// - No slot holds it any more.
    unsafe fn free(self) {
        let Self { address, length } = self;
        if address.get() != 0 {
            let pointer = std::ptr::with_exposed_provenance_mut::<u8>(address.get() as usize);
            let value = std::ptr::slice_from_raw_parts_mut(pointer, length.get() as usize);
            // SAFETY: made by `of` from a box of so many bytes; the last holder frees it, by the caller's promise.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

impl Engine {
    /// Whether values are on the heap.
    #[inline]
    pub(super) fn has_heap_values(&self) -> bool {
        self.settings.heap_bytes_max.is_some()
    }

    /// Bytes of a slot that a value of so many takes.
    pub(super) fn value_bytes_in_slot(&self, value_bytes: u64) -> u64 {
        if self.has_heap_values() { HELD_BYTES } else { value_bytes }
    }

    fn held(&self, handle: Handle, start: u64) -> Held {
        // SAFETY: callers own the slot, pinned it, or hold a guard since before they read its handle.
        let bytes = unsafe { self.region.view().payload(handle.offset(), start, HELD_BYTES) };
        Held::read_from_bytes(bytes).expect("the slice has its length")
    }

    fn held_in(&self, slot: Slot<'_>) -> Held {
        // SAFETY: as for `held`; callers know that the header was written.
        let extent = unsafe { slot.header() }.extent();
        self.held(slot.handle(), extent.value_start)
    }

    fn hold(&self, draft: &mut Draft, held: Held) {
        // SAFETY: a draft's slot is WRITING and owned by it, and it is borrowed exclusively.
        let bytes = unsafe { self.region.view().payload_mut(draft.handle.offset(), draft.value_start(), HELD_BYTES) };
        bytes.copy_from_slice(held.as_bytes());
    }

    /// A fresh draft holds nothing but the length of its value.
    pub(super) fn begin_on_heap(&self, mut draft: Draft, length: u64) -> Draft {
        if self.has_heap_values() {
            self.hold(&mut draft, Held { address: U64::ZERO, length: U64::new(length) });
            self.weigh(draft.class, length);
        }
        draft
    }

    /// Allocates the value of a draft; `false` if values belong into the arena.
    pub(super) fn fill_on_heap(&self, draft: &mut Draft, value: &[u8]) -> bool {
        if self.has_heap_values() {
            self.hold(draft, Held::of(value.into()));
        }
        self.has_heap_values()
    }

    /// The value of an entry, or of a draft of the caller's.
    #[inline]
    pub(super) fn heap_value(&self, handle: Handle, start: u64) -> &[u8] {
        // SAFETY: callers own the draft, pinned the entry, or hold its guard; none of them keeps the bytes longer.
        unsafe { self.held(handle, start).bytes() }
    }

    /// The value of a draft, to be written; zeros at first.
    pub(super) fn heap_draft_mut<'d>(&self, draft: &'d mut Draft) -> &'d mut [u8] {
        let mut held = self.held(draft.handle, draft.value_start());
        if held.address.get() == 0 && held.length.get() > 0 {
            held = Held::of(vec![0; held.length.get() as usize].into());
            self.hold(draft, held);
        }
        // SAFETY: the draft is borrowed exclusively for as long as the bytes are.
        unsafe { held.bytes_mut() }
    }

    /// A page move has copied an entry, and nobody has seen the copy yet: two slots hold the value now.
    pub(super) fn share_heap_value(&self, copy: Slot<'_>, class: ClassId) {
        if !self.has_heap_values() {
            return;
        }
        let held = self.held_in(copy);
        self.weigh(class, held.length.get());
        if held.address.get() != 0 && !bite("heap.move-unshared") {
            *lock(&self.heap.shared).entry(held.address.get()).or_insert(0) += 1;
            // Relaxed: whoever lets go of one of the two slots came to it by its publication or its retirement.
            self.heap.shares.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A draft is given back. One that was LIVE goes the way of all retired slots.
    pub(super) fn let_go_of_draft(&self, draft: &Draft) {
        let is_live = self.slot(draft.handle).is_some_and(|slot| slot.control().state() == Some(State::Live));
        if self.has_heap_values() && !is_live && !bite("heap.draft-kept") {
            let held = self.held(draft.handle, draft.value_start());
            self.lighten(draft.class, held.length.get());
            self.drop_holder(held);
        }
    }

    /// A slot has just become FREE, and is still the caller's.
    pub(super) fn let_go(&self, slot: Slot<'_>) {
        if self.has_heap_values() && !bite("heap.release-kept") {
            self.drop_holder(self.held_in(slot));
        }
    }

    fn drop_holder(&self, held: Held) {
        // Acquire: pairs with the Release below: what readers did under the other slot is over.
        if self.heap.shares.load(Ordering::Acquire) > 0 {
            let mut shared = lock(&self.heap.shared);
            if let Some(others) = shared.get_mut(&held.address.get()) {
                *others -= 1;
                if *others == 0 {
                    shared.remove(&held.address.get());
                }
                self.heap.shares.fetch_sub(1, Ordering::Release);
                return;
            }
        }
        // SAFETY: by the invariants no other slot holds it, and no reader can see the caller's slot any more.
        unsafe { held.free() };
    }

    fn weigh(&self, class: ClassId, length: u64) {
        // Relaxed, as all about it: a gauge.
        self.heap.bytes.fetch_add(self.weight(class, length), Ordering::Relaxed);
    }

    fn lighten(&self, class: ClassId, length: u64) {
        self.heap.bytes.fetch_sub(self.weight(class, length), Ordering::Relaxed);
    }

    fn weight(&self, class: ClassId, length: u64) -> u64 {
        u64::from(self.pages.classes().slot_bytes(class)) + length
    }

    /// A slot was retired: its bytes are on their way out.
    pub(super) fn note_retired_value(&self, slot: Slot<'_>) {
        if let Some(class) = self.pages.class_of(slot.handle())
            && self.has_heap_values()
        {
            self.lighten(class, self.held_in(slot).length.get());
        }
    }

    /// Evicts a few entries if all together are too heavy.
    pub(super) fn keep_heap_within(&self, class: ClassId) {
        let Some(max) = self.settings.heap_bytes_max else { return };
        for _ in 0..EVICT_PER_INSERT {
            if self.heap.bytes.load(Ordering::Relaxed) <= max {
                break;
            }
            self.mark_filled();
            self.evict_entry(&self.pin(), class);
        }
    }

    /// How far the heap is filled, if it is that which fills up.
    pub(super) fn heap_filling(&self) -> Option<Filling> {
        let capacity = self.settings.heap_bytes_max.filter(|max| *max < u64::MAX)?;
        Some(Filling { used: self.heap.bytes.load(Ordering::Relaxed), capacity })
    }

    fn let_go_of_all(&self) {
        for page in self.pages.ids() {
            let info = self.pages.info(page);
            if !matches!(info.kind(), PageKind::Data | PageKind::Large) {
                continue;
            }
            let numbers = 0..self.pages.slots_in(info);
            for number in numbers.filter(|number| info.kind() == PageKind::Data || self.pages.is_head(page, *number)) {
                let Some(slot) = self.slot(self.pages.handle(page, number)) else { continue };
                let control = slot.control();
                if control.is(State::Live, self.run) || control.is(State::Retired, self.run) {
                    self.drop_holder(self.held_in(slot));
                }
            }
        }
    }
}

impl Drop for Engine {
    /// Nobody reads any more: what entries, and slots that still wait for readers, hold is freed.
    fn drop(&mut self) {
        if self.has_heap_values() && !bite("heap.end-kept") {
            self.let_go_of_all();
        }
    }
}
