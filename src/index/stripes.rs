//! Stripes: locks for fresh inserts and splits, on the heap, chosen by the low bits of the hash.
//!
//! ```text
//!   hash 0b…10110  ->  & (stripes - 1)  ->  stripe 2 of 4  ->  buckets 2, 6, 10, 14, …
//! ```
//!
//! There are never more stripes than buckets at the start, so a bucket and every bucket that it is ever split into share
//! one stripe. Nobody waits without a bound, and a stripe left locked by a dead process is gone with its heap.

use crate::sync::backoff::Backoff;
use crate::sync::{AtomicBool, Ordering, bite};
use crate::types::key::KeyHash;

/// A lock that is tried, in a cache line of its own.
#[repr(align(64))]
pub(super) struct TryLock(AtomicBool);

impl TryLock {
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Takes the lock if it is free.
    pub(super) fn try_lock(&self) -> Option<Held<'_>> {
        // Acquire: sees what the last holder did (Release in `drop`). Relaxed on failure: nothing is concluded.
        let taken = self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        // Made only on success: dropping one unlocks.
        taken.is_ok().then(|| Held { lock: &self.0 })
    }
}

/// A lock held until this is dropped.
pub(super) struct Held<'a> {
    lock: &'a AtomicBool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Release: the next holder sees what this one did (Acquire in `try_lock`).
        self.lock.store(false, Ordering::Release);
    }
}

/// The stripe of a hash, held until this is dropped.
pub(crate) struct StripeGuard<'a> {
    number: usize,
    _held: Option<Held<'a>>,
}

/// Whether the defect is compiled in by which nobody takes a stripe.
pub(super) fn is_bitten() -> bool {
    bite("index.link-without-stripe")
}

/// All stripes of an index.
pub(super) struct Stripes(Box<[TryLock]>);

impl Stripes {
    /// A power of two of stripes.
    pub(super) fn new(count: usize) -> Self {
        assert!(count.is_power_of_two(), "{count} stripes are not a power of two");
        Self((0..count).map(|_| TryLock::new()).collect())
    }

    fn number(&self, low_bits: u64) -> usize {
        low_bits as usize & (self.0.len() - 1)
    }

    /// Starts to load the stripe of a hash.
    #[inline]
    pub(super) fn prefetch(&self, hash: KeyHash) {
        crate::sync::prefetch_to_write(&self.0[self.number(hash.bits())]);
    }

    /// Takes the stripe of a hash; `None` once the bounded wait is over.
    pub(super) fn lock(&self, hash: KeyHash) -> Option<StripeGuard<'_>> {
        let number = self.number(hash.bits());
        if is_bitten() {
            return Some(StripeGuard { number, _held: None });
        }
        let mut backoff = Backoff::default();
        loop {
            if let Some(held) = self.0[number].try_lock() {
                return Some(StripeGuard { number, _held: Some(held) });
            }
            if !backoff.wait() {
                return None;
            }
        }
    }

    /// Takes the stripe of a bucket if it is free.
    pub(super) fn try_lock_bucket(&self, bucket: u32) -> Option<StripeGuard<'_>> {
        let number = self.number(u64::from(bucket));
        self.0[number].try_lock().map(|held| StripeGuard { number, _held: Some(held) })
    }

    /// Whether the guard is the one for this hash.
    pub(super) fn covers(&self, guard: &StripeGuard<'_>, hash: KeyHash) -> bool {
        guard.number == self.number(hash.bits())
    }
}
