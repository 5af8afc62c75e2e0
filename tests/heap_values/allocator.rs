//! An allocator that knows which values there are: it counts them, tells a second free and a wrong size, and makes what is
//! read after its free show.
//!
//! ```text
//!   byte -16        -8         0                    length
//!         +----------+----------+----------------------+
//!         | mark u64 | length   | the value            |   bytes of alignment 1 and such a length; others pass through
//!         +----------+----------+----------------------+
//!
//!   alloc -> mark LIVE        dealloc -> mark FREED, every byte 0xdd, and nobody gets the memory again
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Lengths that are watched: longer than any key.
pub(crate) const WATCHED: Range<usize> = 1_100..3_000;

/// Watched allocations of now, and their bytes.
pub(crate) static LIVE: AtomicI64 = AtomicI64::new(0);
pub(crate) static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);
/// All that there ever were.
pub(crate) static MADE: AtomicU64 = AtomicU64::new(0);
/// Frees of what was not there, or had another length.
pub(crate) static WRONG_FREES: AtomicU64 = AtomicU64::new(0);

const HEAD: usize = 16;
const IS_LIVE: u64 = 0x6c69_7665_6c69_7665;
const IS_FREED: u64 = 0x6672_6565_6672_6565;

struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn is_watched(layout: Layout) -> bool {
    layout.align() == 1 && WATCHED.contains(&layout.size())
}

fn with_head(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size() + HEAD, HEAD).expect("a little more than a small size")
}

// SAFETY: the system's allocator does the work; watched pieces lie behind a head of their own and are never reused.
unsafe impl GlobalAlloc for Watching {
    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_watched(layout) {
            // SAFETY: the caller's promise is passed on.
            return unsafe { System.alloc(layout) };
        }
        // SAFETY: the size is not 0.
        let head = unsafe { System.alloc(with_head(layout)) };
        if head.is_null() {
            return head;
        }
        let words = head.cast::<[u64; 2]>();
        // SAFETY: aligned to 16, and at least so long.
        unsafe { words.write([IS_LIVE, layout.size() as u64]) };
        LIVE.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        MADE.fetch_add(1, Ordering::Relaxed);
        // SAFETY: within the piece.
        unsafe { head.add(HEAD) }
    }

    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !is_watched(layout) {
            // SAFETY: the caller's promise is passed on; it came from the system's allocator.
            return unsafe { System.dealloc(pointer, layout) };
        }
        // SAFETY: a watched piece has its head in front, and keeps it for ever.
        let words = unsafe { pointer.sub(HEAD) }.cast::<[u64; 2]>();
        // SAFETY: as above.
        if unsafe { words.read() } != [IS_LIVE, layout.size() as u64] {
            WRONG_FREES.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // SAFETY: as above.
        unsafe { words.write([IS_FREED, 0]) };
        // SAFETY: the piece has so many bytes, and is nobody's any more.
        unsafe { pointer.write_bytes(0xdd, layout.size()) };
        LIVE.fetch_sub(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
    }
}
