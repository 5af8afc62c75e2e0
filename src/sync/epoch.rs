//! Epochs: a guard keeps what it could have seen from being reused.
//!
//! Each cache has a [`Domain`] of its own, so that another crate's long guard can not stall it. A thread keeps one
//! registration per domain that it uses, the last used first.
//!
//! Pairs: what a thread unlinked before [`Domain::after_grace`] was called is seen by no guard that exists once the
//! closure runs.

#[cfg(loom)]
pub(crate) use model::{Domain, Guard};
#[cfg(not(loom))]
pub(crate) use real::{Domain, Guard};

#[cfg(not(loom))]
mod real {
    use crossbeam_epoch::{Collector, Guard as EpochGuard, LocalHandle};
    use std::cell::{Cell, RefCell};
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicU64, Ordering, fence};

    /// A collector of its own with the number under which threads remember their registration.
    #[derive(Debug)]
    pub(crate) struct Domain {
        collector: Collector,
        id: u64,
    }

    /// What was published when the guard was made stays readable until it is dropped. Not `Send`.
    #[derive(Debug)]
    pub(crate) struct Guard(EpochGuard);

    /// Numbers domains within the process; a number is never used twice.
    static NEXT: AtomicU64 = AtomicU64::new(1);

    /// Registrations kept per thread. A thread that uses more caches registers anew on every switch beyond these.
    const KEPT: usize = 16;

    thread_local! {
        /// The registration used last: its domain's number, 0 for none, and where it is. Without a destructor, so that
        /// looking costs two loads. Says nothing but what `LOCALS` holds.
        static LAST: Cell<(u64, NonNull<LocalHandle>)> = const { Cell::new((0, NonNull::dangling())) };
        static LOCALS: RefCell<Locals> = const { RefCell::new(Locals(Vec::new())) };
    }

    /// A thread's registrations, the last used first.
    struct Locals(#[expect(clippy::vec_box, reason = "`LAST` points at them")] Vec<Box<(u64, LocalHandle)>>);

    impl Locals {
        /// Brings the registration of a domain to the front, makes it if need be.
        fn find(&mut self, domain: &Domain) -> &LocalHandle {
            let at = match self.0.iter().position(|local| local.0 == domain.id) {
                Some(at) => at,
                None => {
                    LAST.set((0, NonNull::dangling()));
                    self.0.truncate(KEPT - 1);
                    self.0.push(Box::new((domain.id, domain.collector.register())));
                    self.0.len() - 1
                }
            };
            self.0[..=at].rotate_right(1);
            let local = &self.0[0].1;
            LAST.set((domain.id, NonNull::from(local)));
            local
        }
    }

    impl Drop for Locals {
        fn drop(&mut self) {
            LAST.set((0, NonNull::dangling()));
        }
    }

    impl Guard {
        /// Lets go of what was protected and protects what is there now, unless the thread holds another guard.
        pub(crate) fn repin(&mut self) {
            self.0.repin();
        }
    }

    impl Domain {
        pub(crate) fn new() -> Self {
            // Relaxed: only uniqueness matters.
            Self { collector: Collector::new(), id: NEXT.fetch_add(1, Ordering::Relaxed) }
        }

        /// Pins the calling thread. Costs one fence; the first call of a thread registers it (allocates).
        #[inline(always)]
        pub(crate) fn pin(&self) -> Guard {
            let (id, local) = LAST.get();
            if id == self.id {
                // SAFETY: `LAST` is set to a registration of this thread that `LOCALS` holds in a box, and is reset
                // before any is dropped.
                return Guard(unsafe { local.as_ref() }.pin());
            }
            self.pin_other()
        }

        /// The same, and a full fence between what the thread did before and what it does under the guard: as the first
        /// guard of a thread brings it, also where the thread holds one already.
        #[inline(always)]
        pub(crate) fn pin_fenced(&self) -> Guard {
            let (id, local) = LAST.get();
            // SAFETY: as in `pin`.
            if id == self.id && !unsafe { local.as_ref() }.is_pinned() {
                return self.pin();
            }
            fence(Ordering::SeqCst);
            self.pin()
        }

        #[cold]
        #[inline(never)]
        fn pin_other(&self) -> Guard {
            let pinned = LOCALS.try_with(|locals| Some(locals.try_borrow_mut().ok()?.find(self).pin()));
            match pinned {
                Ok(Some(guard)) => Guard(guard),
                // The thread is ending and its registrations are gone: a temporary one serves.
                _ => Guard(self.collector.register().pin()),
            }
        }

        /// Runs `job` once every guard that exists now is gone. May run at once, on any thread, or when the domain is
        /// dropped. Allocates one queue node in the collector.
        pub(crate) fn after_grace(&self, guard: &Guard, job: impl FnOnce() + Send + 'static) {
            // SAFETY: the closure is Send and 'static, so it owns what it touches and may run on any thread.
            unsafe { guard.0.defer_unchecked(job) };
            guard.0.flush();
        }

        /// Tries to move the epoch on and runs what is due.
        pub(crate) fn help(&self, guard: &Guard) {
            guard.0.flush();
        }
    }
}

#[cfg(loom)]
mod model {
    //! Exact grace periods: a job waits for precisely the guards that were live when it was handed in.

    use loom::sync::atomic::{AtomicUsize, Ordering, fence};
    use std::sync::{Arc, Mutex, PoisonError};

    type Job = Box<dyn FnOnce() + Send>;

    #[derive(Default)]
    struct State {
        next: usize,
        live: Vec<usize>,
        jobs: Vec<(Vec<usize>, Job)>,
    }

    struct Inner {
        clock: AtomicUsize,
        // A std mutex, never held across a loom operation.
        state: Mutex<State>,
    }

    /// The model of a collector.
    #[derive(Clone)]
    pub(crate) struct Domain(Arc<Inner>);

    /// The model of a guard.
    pub(crate) struct Guard(Domain, usize);

    impl Domain {
        pub(crate) fn new() -> Self {
            Self(Arc::new(Inner { clock: AtomicUsize::new(0), state: Mutex::default() }))
        }

        /// The ordering that a real pin and unpin give.
        fn tick(&self) {
            self.0.clock.fetch_add(1, Ordering::AcqRel);
        }

        fn state(&self) -> std::sync::MutexGuard<'_, State> {
            self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn pin(&self) -> Guard {
            self.tick();
            let mut state = self.state();
            state.next += 1;
            let id = state.next;
            state.live.push(id);
            Guard(self.clone(), id)
        }

        pub(crate) fn pin_fenced(&self) -> Guard {
            if !crate::sync::bite("close.writer-no-fence") {
                fence(Ordering::SeqCst);
            }
            self.pin()
        }

        pub(crate) fn after_grace(&self, _guard: &Guard, job: impl FnOnce() + Send + 'static) {
            self.tick();
            let mut state = self.state();
            let live = state.live.clone();
            state.jobs.push((live, Box::new(job)));
        }

        pub(crate) fn help(&self, _guard: &Guard) {}
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.tick();
            let ready: Vec<Job> = {
                let mut state = self.0.state();
                state.live.retain(|guard| *guard != self.1);
                for job in &mut state.jobs {
                    job.0.retain(|guard| *guard != self.1);
                }
                let (run, keep): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut state.jobs).into_iter().partition(|job| job.0.is_empty());
                state.jobs = keep;
                run.into_iter().map(|job| job.1).collect()
            };
            for job in ready {
                job();
            }
        }
    }
}
