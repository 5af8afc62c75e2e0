//! Limbo: slots that left the index and wait until no reader can see them.
//!
//! ```text
//!   retire: unlink by CAS, fence, tag = launched + 1, into a stripe
//!   canary: launched += 1, fence, deferred to the epoch;  when it runs: completed = its number
//!   take:   an entry whose tag <= completed was unlinked before its canary was launched: nobody sees it
//! ```
//!
//! Why the fences: if a retirer reads the old `launched`, its fence comes before the launcher's. A reader that still
//! finds the word pinned before the retirer's fence, so the canary waits for it.
//!
//! One canary is in flight at a time. Entries are kept in stripes with a lock each, taken by `try_lock` from the
//! caller's own stripe on: a thread stopped inside one leaves the others to everybody. Where all are taken an entry goes
//! into one of a few cells, by one compare-and-swap; nobody waits for a lock here without a bound.

use crate::sync::epoch::{Domain, Guard};
use crate::sync::{Arc, AtomicBool, AtomicU64, GaugeU64, Mutex, Ordering, fence, thread_number};
use crate::types::handle::Handle;
use std::collections::VecDeque;

/// Slots taken out of limbo in one step.
#[cfg(not(loom))]
pub(crate) const TAKE_MAX: usize = 64;
#[cfg(loom)]
pub(crate) const TAKE_MAX: usize = 2;

#[cfg(not(loom))]
const STRIPES: usize = 8;
#[cfg(loom)]
const STRIPES: usize = 1;

/// Cells for what comes while every stripe is taken.
#[cfg(not(loom))]
const ASIDE: usize = 64;
#[cfg(loom)]
const ASIDE: usize = 1;

/// Retired slots and the count of grace periods.
#[derive(Debug)]
pub(crate) struct Limbo {
    stripes: Box<[Mutex<VecDeque<Entry>>]>,
    /// Entries set aside, 0 where there is none, and how many: mostly none.
    aside: Box<[AtomicU64]>,
    set_aside: GaugeU64,
    /// The completed count up to which every stripe was found without due entries.
    emptied: AtomicU64,
    grace: Arc<Grace>,
}

#[derive(Debug)]
struct Grace {
    launched: AtomicU64,
    completed: AtomicU64,
    in_flight: AtomicBool,
    launched_at_us: AtomicU64,
}

/// Handle 36 bits, low 28 bits of the tag.
#[derive(Clone, Copy, Debug)]
struct Entry(u64);

const TAG_BITS: u32 = 28;

impl Entry {
    fn new(handle: Handle, tag: u64) -> Self {
        Self((handle.offset() / Handle::UNIT) << TAG_BITS | (tag & ((1 << TAG_BITS) - 1)))
    }

    fn handle(self) -> Handle {
        Handle::from_offset((self.0 >> TAG_BITS) * Handle::UNIT)
    }

    /// Tags are compared within a window of half their range; a canary takes at least microseconds.
    fn is_due(self, completed: u64) -> bool {
        let behind = completed.wrapping_sub(self.0) & ((1 << TAG_BITS) - 1);
        behind < 1 << (TAG_BITS - 1)
    }
}

impl Limbo {
    /// Room for `expected` slots is made at once; more of them allocate.
    pub(crate) fn new(expected: usize) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::new(VecDeque::with_capacity(expected.div_ceil(STRIPES)))).collect();
        let grace = Grace {
            launched: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            in_flight: AtomicBool::new(false),
            launched_at_us: AtomicU64::new(0),
        };
        let aside = (0..ASIDE).map(|_| AtomicU64::new(0)).collect();
        let (emptied, set_aside) = (AtomicU64::new(0), GaugeU64::new(0));
        Self { stripes, aside, set_aside, emptied, grace: Arc::new(grace) }
    }

    /// Adds slots that the caller has unlinked and marked as retired. How many found no room: they stay retired for this life.
    #[must_use]
    pub(crate) fn add(&self, handles: &[Handle]) -> u64 {
        // Pairs with the fence in `launch`.
        fence(Ordering::SeqCst);
        let behind = u64::from(!crate::sync::bite("reclaim.tag-early"));
        let tag = self.grace.launched.load(Ordering::Relaxed) + behind;
        let tagged = handles.iter().map(|handle| Entry::new(*handle, tag));
        let own = thread_number();
        for step in 0..STRIPES {
            if let Some(mut entries) = crate::sync::try_lock(&self.stripes[(own + step) % STRIPES]) {
                entries.extend(tagged);
                return 0;
            }
        }
        tagged.map(|entry| u64::from(!self.put_aside(entry))).sum()
    }

    /// Keeps an entry while every stripe is taken. Where the cells are full too, after a bounded wait for a stripe, its slot
    /// stays retired, and `false` says so: the next life frees it.
    #[cold]
    fn put_aside(&self, entry: Entry) -> bool {
        // First: whoever sees the entry counts it out again. Relaxed: a figure.
        self.set_aside.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the Acquire in `take_aside`.
        let put = |cell: &AtomicU64| cell.compare_exchange(0, entry.0, Ordering::Release, Ordering::Relaxed).is_ok();
        if self.aside.iter().any(put) {
            return true;
        }
        self.set_aside.fetch_sub(1, Ordering::Relaxed);
        let stripe = crate::sync::lock_within(&self.stripes[thread_number() % STRIPES]);
        stripe.map(|mut entries| entries.push_back(entry)).is_some()
    }

    /// Takes one due entry out of the cells.
    fn take_aside(&self, completed: u64) -> Option<Handle> {
        if self.set_aside.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.aside.iter().find_map(|cell| {
            let entry = Entry(cell.load(Ordering::Relaxed));
            // Acquire: pairs with the Release in `put_aside`. Whoever empties the cell has the entry.
            let taken = entry.0 != 0
                && entry.is_due(completed)
                && cell.compare_exchange(entry.0, 0, Ordering::Acquire, Ordering::Relaxed).is_ok();
            taken.then(|| {
                self.set_aside.fetch_sub(1, Ordering::Relaxed);
                entry.handle()
            })
        })
    }

    /// Starts a grace period unless one is under way. `true` if it did. Allocates one node in the collector.
    pub(crate) fn launch(&self, domain: &Domain, guard: &Guard, now_us: u64) -> bool {
        // Acquire: pairs with the Release of the canary.
        if self.grace.in_flight.swap(true, Ordering::Acquire) {
            return false;
        }
        // Relaxed: a figure.
        self.grace.launched_at_us.store(now_us, Ordering::Relaxed);
        let number = self.grace.launched.fetch_add(1, Ordering::Relaxed) + 1;
        // Pairs with the fence in `add`.
        fence(Ordering::SeqCst);
        let grace = self.grace.clone();
        let job = move || {
            // Release: pairs with the Acquire in `completed`: all guards of before are gone.
            grace.completed.store(number, Ordering::Release);
            grace.in_flight.store(false, Ordering::Release);
        };
        if crate::sync::bite("reclaim.no-grace") {
            job();
        } else {
            domain.after_grace(guard, job);
        }
        true
    }

    /// When the grace period under way began; `None` if there is none. Relaxed: a figure.
    pub(crate) fn waiting_since_us(&self) -> Option<u64> {
        let waiting = self.grace.in_flight.load(Ordering::Relaxed);
        waiting.then(|| self.grace.launched_at_us.load(Ordering::Relaxed))
    }

    /// Grace periods that are over.
    pub(crate) fn completed(&self) -> u64 {
        // Acquire: pairs with the Release of the canary.
        self.grace.completed.load(Ordering::Acquire)
    }

    /// Whether a grace period has ended since every due slot was taken. A load or two, for the way of every insert.
    #[inline]
    pub(crate) fn has_due(&self) -> bool {
        self.completed() != self.emptied.load(Ordering::Relaxed)
    }

    /// Takes up to [`TAKE_MAX`] slots whose grace period is over into `out`; returns how many.
    pub(crate) fn take(&self, out: &mut [Option<Handle>; TAKE_MAX]) -> usize {
        let completed = self.completed();
        let own = thread_number();
        let (mut count, mut all_seen) = (0, true);
        for step in 0..STRIPES {
            let Some(mut entries) = crate::sync::try_lock(&self.stripes[(own + step) % STRIPES]) else {
                all_seen = false;
                continue;
            };
            while count < TAKE_MAX && entries.front().is_some_and(|entry| entry.is_due(completed)) {
                out[count] = entries.pop_front().map(Entry::handle);
                count += 1;
            }
        }
        while count < TAKE_MAX
            && let Some(handle) = self.take_aside(completed)
        {
            out[count] = Some(handle);
            count += 1;
        }
        if count < TAKE_MAX && all_seen {
            // Relaxed: a hint; at worst somebody looks once more.
            self.emptied.store(completed, Ordering::Relaxed);
        }
        count
    }

    /// Slots that wait; a stripe that somebody is in counts as one.
    pub(crate) fn len(&self) -> usize {
        let waiting =
            self.stripes.iter().map(|entries| crate::sync::try_lock(entries).map_or(1, |entries| entries.len()));
        // Relaxed: a figure.
        waiting.sum::<usize>() + self.set_aside.load(Ordering::Relaxed) as usize
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn nobody_waits_for_stripes_that_are_all_taken() {
        let (limbo, domain) = (Arc::new(Limbo::new(8)), Domain::new());
        let handles: Vec<Handle> = (1..=ASIDE as u64 + 2).map(|at| Handle::from_offset(at * Handle::UNIT)).collect();
        // As eight threads do that were stopped inside.
        let held: Vec<_> = limbo.stripes.iter().map(|entries| entries.lock().expect("nobody panicked")).collect();
        let (done, told) = channel();
        let (adding, adds) = (limbo.clone(), handles.clone());
        std::thread::spawn(move || {
            assert_eq!(adding.add(&adds), 2, "there is no room for two");
            assert_eq!(adding.take(&mut [None; TAKE_MAX]), 0, "no grace period has passed");
            done.send(adding.len()).expect("the test waits");
        });
        let len = told.recv_timeout(Duration::from_secs(60)).expect("it does not hang");
        assert_eq!(len, ASIDE + STRIPES, "as many as there are cells, and what is in the stripes");
        drop(held);
        assert_eq!(limbo.len(), ASIDE);
        assert!(limbo.launch(&domain, &domain.pin(), 0));
        let mut seen = Vec::new();
        while seen.len() < ASIDE {
            domain.help(&domain.pin());
            let mut due = [None; TAKE_MAX];
            limbo.take(&mut due);
            seen.extend(due.into_iter().flatten());
        }
        assert_eq!(seen, handles[..ASIDE]);
        assert_eq!((limbo.len(), limbo.take(&mut [None; TAKE_MAX])), (0, 0));
    }
}
