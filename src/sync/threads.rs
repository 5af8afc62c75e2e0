//! Numbers of threads, small and reused, for spreading them over stripes.
//!
//! ```text
//!   first call of a thread: the lowest free bit of the word -> its number       end of the thread: the bit is free again
//!   no bit free, or the thread is ending: the number behind the last, which any number of threads share
//! ```
//!
//! Invariant: of two threads with the same number below [`EXCLUSIVE_THREADS`] one has ended before the other began to use it,
//! and the later one sees all that the earlier one wrote.

use crate::sync::EXCLUSIVE_THREADS;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bit per number in use.
static TAKEN: AtomicU64 = AtomicU64::new(0);

const _: () = assert!(EXCLUSIVE_THREADS == u64::BITS as usize);
const NONE: usize = usize::MAX;

thread_local! {
    /// Without a destructor, so that looking costs a load.
    static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    static LEASE: Lease = const { Lease(Cell::new(EXCLUSIVE_THREADS)) };
}

/// Gives a number back when its thread ends.
struct Lease(Cell<usize>);

impl Drop for Lease {
    fn drop(&mut self) {
        // From here on the thread shares.
        NUMBER.set(EXCLUSIVE_THREADS);
        if self.0.get() < EXCLUSIVE_THREADS {
            // Release: pairs with the Acquire in `lease`.
            TAKEN.fetch_and(!(1 << self.0.get()), Ordering::Release);
        }
    }
}

/// The calling thread's number: its own if it is below [`EXCLUSIVE_THREADS`].
#[inline(always)]
pub(crate) fn thread_number() -> usize {
    match NUMBER.get() {
        NONE => lease(),
        number => number,
    }
}

#[cold]
#[inline(never)]
fn lease() -> usize {
    // A thread that is ending has let go of its lease: it shares.
    let number = LEASE.try_with(|lease| {
        lease.0.set(take());
        lease.0.get()
    });
    let number = number.unwrap_or(EXCLUSIVE_THREADS);
    NUMBER.set(number);
    number
}

fn take() -> usize {
    let mut taken = TAKEN.load(Ordering::Relaxed);
    loop {
        let number = taken.trailing_ones() as usize;
        if number >= EXCLUSIVE_THREADS {
            return EXCLUSIVE_THREADS;
        }
        // Acquire: pairs with the Release of the thread that had the number before.
        match TAKEN.compare_exchange_weak(taken, taken | 1 << number, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return number,
            Err(now) => taken = now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn threads_that_run_together_have_different_numbers_or_share_the_last() {
        const THREADS: usize = EXCLUSIVE_THREADS + 20;
        let together = Barrier::new(THREADS);
        let numbered = || {
            let number = thread_number();
            together.wait();
            assert_eq!(number, thread_number());
            number
        };
        let mut numbers: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(numbered)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic inside")).collect()
        });
        assert!(numbers.contains(&EXCLUSIVE_THREADS), "{numbers:?}");
        numbers.retain(|number| *number != EXCLUSIVE_THREADS);
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() == count && numbers.iter().all(|number| *number < EXCLUSIVE_THREADS), "{numbers:?}");
        // All of them ended: there is a number for each that comes after them, one by one.
        for _ in 0..2 * EXCLUSIVE_THREADS {
            let number = std::thread::spawn(thread_number).join().expect("no panic inside");
            assert!(number < EXCLUSIVE_THREADS, "no number was given back");
        }
    }
}
