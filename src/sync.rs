//! The only door to atomics, locks, threads and epochs: std and crossbeam, or their models under loom.
//!
//! ```text
//!                      cfg(not(loom))                 cfg(loom)
//!   Atomic*, fence     std::sync::atomic              loom::sync::atomic
//!   Mutex, Arc         std::sync                      loom::sync
//!   epoch::Domain      crossbeam_epoch::Collector     an exact grace period model
//!   promise            std::sync::Condvar, wakers     loom::sync::Condvar, wakers
//!   failpoint!         debug builds: park or kill     nothing
//!   bite("name")       a listed defect, turned on only by `cargo xtask bite`
//! ```
//!
//! Invariant: nobody outside of `sync` names `std::sync::atomic`, `loom` or `crossbeam_epoch`.

pub(crate) mod backoff;
pub(crate) mod doorbell;
pub(crate) mod epoch;
pub(crate) mod failpoint;
pub(crate) mod promise;
#[cfg(not(loom))]
mod threads;
pub(crate) mod writers;

pub(crate) use backoff::yield_now;
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
};

/// Figures and hints that every reader may see late. Under loom they are the real atomics: always up to date, and no
/// point where threads take turns; each stale value would multiply the executions of every model and decide nothing.
pub(crate) use std::sync::atomic::{AtomicU32 as GaugeU32, AtomicU64 as GaugeU64, AtomicUsize as GaugeUsize};

/// Set once; the same under loom, which has none: it is no point where threads take turns.
pub(crate) use std::sync::OnceLock;

/// Takes a lock; a poisoned one is taken all the same.
///
/// Everything kept behind our locks is valid after every statement, so a panic elsewhere must not take the cache down.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// Takes a lock if nobody has it; a poisoned one is taken all the same.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        #[cfg(not(loom))]
        Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(_) => None,
    }
}

/// Takes a lock within a bounded wait; `None` if its holder does not let go, because it was stopped inside for example.
pub(crate) fn lock_within<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let mut backoff = backoff::Backoff::default();
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            #[cfg(not(loom))]
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(_) if backoff.wait() => {}
            Err(_) => return None,
        }
    }
}

/// Whether the named defect is turned on.
///
/// Under loom and under `--cfg also_cache_bite` the variable `ALSO_CACHE_BITE` names the one, so that one build serves for
/// all of them. It is read once; only the first call allocates.
#[cfg(any(loom, also_cache_bite))]
pub(crate) fn bite(name: &str) -> bool {
    use std::sync::atomic::AtomicPtr;
    // Not a OnceLock: no sanitizer sees into std.
    static WANTED: AtomicPtr<String> = AtomicPtr::new(std::ptr::null_mut());
    // Acquire: pairs with the exchange below.
    let mut wanted = WANTED.load(Ordering::Acquire);
    if wanted.is_null() {
        let read = Box::into_raw(Box::new(std::env::var("ALSO_CACHE_BITE").unwrap_or_default()));
        // Release: who finds the pointer finds the text. Where two threads come first together, one text is lost.
        let stored = WANTED.compare_exchange(wanted, read, Ordering::AcqRel, Ordering::Acquire);
        wanted = stored.map_or_else(|theirs| theirs, |_| read);
    }
    // SAFETY: what was stored once is neither changed nor freed.
    unsafe { *wanted == *name }
}

/// As above: in every other build a constant, which leaves no code behind.
#[cfg(not(any(loom, also_cache_bite)))]
#[inline(always)]
pub(crate) const fn bite(_name: &str) -> bool {
    false
}

/// A point where threads of a model may take turns; nothing outside of loom.
///
/// Loom looks for another order of two accesses only at the last access to that atomic before a write. A thread's own
/// load right before its exchange hides that another thread has loaded too, and the order "exchange first" is never
/// run. An update of one more atomic before each access that a race decides makes any two of them worth swapping. It
/// is relaxed, so it orders no memory.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Turn(AtomicU32);

#[cfg(loom)]
impl Turn {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(crate) fn take(&self) {
        // Relaxed: must not order anything.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// As above: nothing.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Turn;

#[cfg(not(loom))]
impl Turn {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) const fn take(&self) {}
}

#[cfg(not(loom))]
pub(crate) use threads::thread_number;
/// Numbers below this belong to one thread at a time.
#[cfg(not(loom))]
pub(crate) const EXCLUSIVE_THREADS: usize = 64;

/// Under loom every thread shares one stripe: more contention, fewer states.
#[cfg(loom)]
pub(crate) fn thread_number() -> usize {
    0
}
#[cfg(loom)]
pub(crate) const EXCLUSIVE_THREADS: usize = 0;

/// A value alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Words that are 0, which the kernel gives when they are first touched: a table of many megabytes costs nothing when a
/// cache opens.
#[cfg(not(loom))]
pub(crate) fn zeroed<T: zerocopy::FromZeros>(count: usize) -> Box<[T]> {
    // Only up to the alignment of the heap is such memory got without being written.
    const { assert!(align_of::<T>() <= 8) };
    use zerocopy::FromZeros as _;
    <[T]>::new_box_zeroed_with_elems(count).unwrap_or_else(|_| panic!("{count} words do not fit the heap"))
}

/// As above, written.
#[cfg(loom)]
pub(crate) fn zeroed<T: Default>(count: usize) -> Box<[T]> {
    (0..count).map(|_| T::default()).collect()
}

/// Asks the processor to fetch the line of a value that will be written: no other processor keeps a copy then.
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(value: &T) {
    prefetch_line_to_write(std::ptr::from_ref(value).cast());
}

/// The same for an address, which may be any.
#[inline(always)]
pub(crate) fn prefetch_line_to_write(pointer: *const u8) {
    // Not the intrinsic: the plainest processors that are compiled for do not have it, and it would become a plain prefetch.
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    // SAFETY: a prefetch of any address has no effect but on caches; a processor without this one does nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = pointer;
}
