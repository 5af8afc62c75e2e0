//! A doorbell: many threads leave work for one that sleeps while there is none.
//!
//! ```text
//!   who leaves work   leave it        -> full fence -> asleep?   no: nothing more
//!                                                                yes: exchange for awake, and whoever wins wakes it
//!   who takes it      note "asleep"   -> full fence -> any work? yes: note "awake", go on
//!                                                                no: sleep
//! ```
//!
//! Either the one that leaves work sees "asleep", or the one that wants to sleep sees the work. The fence is the caller's, who may
//! have one already. While the sleeper is awake, a ring costs one load of a word that nobody writes; it is woken once for each
//! time that it went to sleep.

#![forbid(unsafe_code)]

use crate::sync::{AtomicBool, Ordering, bite, fence};
use std::fmt;

/// A doorbell.
pub(crate) struct Doorbell {
    asleep: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Doorbell {
    /// A doorbell whose sleeper is awake, and what wakes it: called from any thread, also before it sleeps; it ends the
    /// sleep under way, or the next one.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { asleep: AtomicBool::new(false), wake: Box::new(wake) }
    }

    /// Wakes the sleeper if it is asleep. The caller has left work, and has passed a full fence since.
    #[inline]
    pub(crate) fn ring(&self) {
        // Relaxed: ordered by the caller's fence, which pairs with the one in `may_sleep`.
        if self.asleep.load(Ordering::Relaxed) {
            self.wake_up();
        }
    }

    #[cold]
    fn wake_up(&self) {
        // Relaxed: which of several callers wakes is all that is decided; the work was published by itself.
        if self.asleep.swap(false, Ordering::Relaxed) {
            (self.wake)();
        }
    }

    /// Whether the sleeper may go to sleep, which it does if `is_work_there` finds none; then it sleeps until it is woken,
    /// and says so by [`Doorbell::awake`].
    pub(crate) fn may_sleep(&self, is_work_there: impl FnOnce() -> bool) -> bool {
        if bite("doorbell.look-first") {
            let work = is_work_there();
            self.asleep.store(!work, Ordering::Relaxed);
            return !work;
        }
        // Relaxed: ordered by the fence.
        self.asleep.store(true, Ordering::Relaxed);
        if !bite("doorbell.sleep-unfenced") {
            // Pairs with the fence of whoever left work, before `ring`.
            fence(Ordering::SeqCst);
        }
        let work = is_work_there();
        if work {
            self.awake();
        }
        !work
    }

    /// Notes that the sleeper is awake, for whatever reason: nobody needs to wake it.
    pub(crate) fn awake(&self) {
        // Relaxed: a ring too many does no harm.
        self.asleep.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("asleep", &self.asleep).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{Arc, AtomicU32};

    #[test]
    fn a_sleeper_is_woken_once_and_nobody_who_is_awake_is() {
        let wakes = Arc::new(AtomicU32::new(0));
        let counted = wakes.clone();
        let bell = Doorbell::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let wakes = || wakes.load(Ordering::Relaxed);
        bell.ring();
        assert_eq!(wakes(), 0);
        assert!(!bell.may_sleep(|| true), "there is work");
        bell.ring();
        assert_eq!(wakes(), 0);
        assert!(bell.may_sleep(|| false));
        bell.ring();
        bell.ring();
        assert_eq!(wakes(), 1);
        assert!(bell.may_sleep(|| false));
        bell.awake();
        bell.ring();
        assert_eq!(wakes(), 1, "it woke for another reason");
    }
}
