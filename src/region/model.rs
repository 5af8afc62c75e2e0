//! The region under loom: every atomic and every slot payload is a modelled cell of its own, made when first touched.
//!
//! Loom's atomics are larger than the real ones, so they can not lie over bytes. A payload is one tracked cell per
//! slot: a read that no publication orders after the write is reported as "concurrent read and write accesses", even
//! when the bytes happen to agree.
//!
//! Index words and control words decide races, so each access to one takes a [`Turn`] first. Bytes are frequencies, which
//! are hints, and generations, which only the owner of a slot writes.

use super::error::RegionError;
use super::kind::RegionKind;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, Turn, UnsafeCell};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Bytes that a model slot can hold.
const SLOT_BYTES: usize = 256;

/// The bytes of an arena, as cells.
pub(crate) struct Region {
    len: u64,
    turn: Turn,
    words: Cells<AtomicU64>,
    controls: Cells<AtomicU32>,
    bytes: Cells<AtomicU8>,
    payloads: Cells<UnsafeCell<[u8; SLOT_BYTES]>>,
}

struct Cells<T>(Mutex<BTreeMap<u64, Box<T>>>);

impl<T> Cells<T> {
    fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn at(&self, offset: u64, make: impl FnOnce() -> T) -> &T {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cell: *const T = &**cells.entry(offset).or_insert_with(|| Box::new(make()));
        // SAFETY: boxes are never removed nor replaced before the region is dropped, so the address stays valid.
        unsafe { &*cell }
    }
}

// SAFETY: the payload cells are shared under the rules of `payload` and `payload_mut`, which loom checks.
unsafe impl Send for Region {}
// SAFETY: as for Send.
unsafe impl Sync for Region {}

impl Region {
    /// A region of `len` zero bytes.
    pub(crate) fn heap(len: u64) -> Self {
        Self {
            len,
            turn: Turn::new(),
            words: Cells::new(),
            controls: Cells::new(),
            bytes: Cells::new(),
            payloads: Cells::new(),
        }
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// A look at it.
    pub(crate) fn view(&self) -> View<'_> {
        View(self)
    }

    /// Cells have no common range of addresses.
    pub(crate) fn address_range(&self) -> std::ops::Range<usize> {
        0..0
    }

    /// Closest to an allocation.
    pub(crate) fn kind(&self) -> RegionKind {
        RegionKind::Heap
    }

    /// No disk under a model.
    pub(crate) fn on_disk(&self) -> bool {
        false
    }

    /// No pages, so none are huge.
    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        None
    }

    /// All cells can be written at any time.
    pub(crate) fn populate(&self, _range: std::ops::Range<u64>) -> Result<(), RegionError> {
        Ok(())
    }

    /// Keeps the cells: in a model nothing may depend on what released bytes read as.
    ///
    /// # Safety
    ///
    /// - As outside of loom.
    pub(crate) unsafe fn release(&self, _range: std::ops::Range<u64>) -> Result<(), RegionError> {
        Ok(())
    }

    /// No disk to write to.
    pub(crate) fn sync_all(&self) -> Result<(), RegionError> {
        Ok(())
    }
}

/// As outside of loom: what reads and writes go through.
#[derive(Clone, Copy)]
pub(crate) struct View<'r>(&'r Region);

impl<'r> View<'r> {
    /// Length in bytes.
    pub(crate) fn len(self) -> u64 {
        self.0.len
    }

    /// An aligned u64 as an atomic.
    pub(crate) fn word(self, offset: u64) -> &'r AtomicU64 {
        assert!(offset + 8 <= self.0.len);
        self.0.turn.take();
        self.0.words.at(offset, || AtomicU64::new(0))
    }

    /// The eight words of a line.
    pub(crate) fn line(self, offset: u64) -> Line<'r> {
        Line(self, offset)
    }

    /// An aligned u32 as an atomic.
    pub(crate) fn control(self, offset: u64) -> &'r AtomicU32 {
        assert!(offset + 4 <= self.0.len);
        self.0.turn.take();
        self.0.controls.at(offset, || AtomicU32::new(0))
    }

    /// One byte as an atomic.
    pub(crate) fn byte(self, offset: u64) -> &'r AtomicU8 {
        assert!(offset < self.0.len);
        self.0.bytes.at(offset, || AtomicU8::new(0))
    }

    /// As `control`.
    ///
    /// # Safety
    ///
    /// - None in a model.
    pub(crate) unsafe fn control_unchecked(self, offset: u64) -> &'r AtomicU32 {
        self.control(offset)
    }

    /// As `byte`.
    ///
    /// # Safety
    ///
    /// - None in a model.
    pub(crate) unsafe fn byte_unchecked(self, offset: u64) -> &'r AtomicU8 {
        self.byte(offset)
    }

    /// As `payload`.
    ///
    /// # Safety
    ///
    /// - As for `payload`.
    pub(crate) unsafe fn payload_unchecked(self, slot: u64, start: u64, len: u64) -> &'r [u8] {
        // SAFETY: passed on to the caller.
        unsafe { self.payload(slot, start, len) }
    }

    /// Makes the cells of a slot. A cell made by one thread is not ordered before what another does to it, so those that
    /// threads share are made before there are threads.
    pub(crate) fn make_slot(self, slot: u64) {
        self.0.controls.at(slot, || AtomicU32::new(0));
        self.0.bytes.at(slot + 4, || AtomicU8::new(0));
        self.0.bytes.at(slot + 5, || AtomicU8::new(0));
        self.slot(slot);
    }

    fn slot(self, slot: u64) -> &'r UnsafeCell<[u8; SLOT_BYTES]> {
        self.0.payloads.at(slot, || UnsafeCell::new([0; SLOT_BYTES]))
    }

    /// Published bytes of a slot.
    ///
    /// # Safety
    ///
    /// - As outside of loom; here a breach is found by the tracked cell.
    pub(crate) unsafe fn payload(self, slot: u64, start: u64, len: u64) -> &'r [u8] {
        self.slot(slot).with(|bytes| {
            // SAFETY: tracked by loom; the array lives as long as the region.
            let bytes: &[u8; SLOT_BYTES] = unsafe { &*bytes };
            &bytes[start as usize..(start + len) as usize]
        })
    }

    /// Bytes of a slot that the caller owns.
    ///
    /// # Safety
    ///
    /// - As outside of loom; here a breach is found by the tracked cell.
    pub(crate) unsafe fn payload_mut(self, slot: u64, start: u64, len: u64) -> &'r mut [u8] {
        self.slot(slot).with_mut(|bytes| {
            // SAFETY: tracked by loom; the array lives as long as the region.
            let bytes: &mut [u8; SLOT_BYTES] = unsafe { &mut *bytes };
            &mut bytes[start as usize..(start + len) as usize]
        })
    }

    /// Zeroes every control word of a range; payloads are overwritten by their next owner.
    ///
    /// # Safety
    ///
    /// - The caller owns these bytes.
    pub(crate) unsafe fn zero(self, offset: u64, len: u64) {
        // The map's lock is not held across a modelled operation.
        let known: Vec<u64> = {
            let cells = self.0.controls.0.lock().unwrap_or_else(PoisonError::into_inner);
            cells.range(offset..offset + len).map(|(at, _)| *at).collect()
        };
        for at in known {
            self.control(at).store(0, Ordering::Relaxed);
        }
    }

    /// Nothing to fetch in a model.
    pub(crate) fn prefetch(self, _offset: u64) {}

    /// Nothing.
    pub(crate) fn prefetch_to_write(self, _offset: u64) {}
}

/// Eight words, read one by one.
#[derive(Clone, Copy)]
pub(crate) struct Line<'r>(View<'r>, u64);

impl<'r> Line<'r> {
    /// One of them.
    pub(crate) fn word(self, at: usize) -> &'r AtomicU64 {
        self.0.word(self.1 + 8 * at as u64)
    }
}
