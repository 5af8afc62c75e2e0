//! The background thread: short steps, and sleep in between. It ends with the last handle.

#![forbid(unsafe_code)]

use crate::engine::Engine;
use crate::engine::flights::Flights;
use crate::sync::{Arc, AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long one round of steps may take.
const BUDGET: Duration = Duration::from_millis(2);
/// Sleep while pages are wanted elsewhere: until they have moved, what nobody asks for stands in the way of what is asked for.
const HURRIED_SLEEP: Duration = Duration::from_micros(100);
/// Sleep while there is other work.
const BUSY_SLEEP: Duration = Duration::from_millis(2);
/// Sleep while there is none.
const IDLE_SLEEP: Duration = Duration::from_millis(50);

/// A running housekeeper; dropping it stops the thread and waits for its current step.
#[derive(Debug)]
pub(super) struct Housekeeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    pub(super) fn start<T: Clone + Send + 'static>(
        engine: &Arc<Engine>,
        flights: &Arc<Flights<T>>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, flights, stopped) = (engine.clone(), flights.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("also-cache".to_owned()).spawn(move || {
            // Acquire, here and below: pairs with the Release in `drop`. Without rest: reads meet page faults until then.
            while !stopped.load(Ordering::Acquire) && engine.map_step() {
                flights.expire(Instant::now());
            }
            while !stopped.load(Ordering::Acquire) {
                flights.expire(Instant::now());
                std::thread::park_timeout(match engine.maintain(BUDGET) {
                    Pace::Hurried => HURRIED_SLEEP,
                    Pace::Busy => BUSY_SLEEP,
                    Pace::Idle => IDLE_SLEEP,
                });
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the thread.
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// What a round of housekeeping left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// Pages are on their way to a class that wants them.
    Hurried,
    /// More is waiting.
    Busy,
    /// Nothing is waiting.
    Idle,
}

impl Engine {
    /// Housekeeping for at most about `budget`.
    pub(crate) fn maintain(&self, budget: Duration) -> Pace {
        let start = Instant::now();
        self.clock().refresh();
        loop {
            // What was sealed is not moved any more; a close waits for one step.
            let Some((writing, guard)) = self.begin_write() else { return Pace::Idle };
            drop(guard);
            self.note_entries();
            let waiting = self.drain_limbo() > 0;
            let moved = self.rebalance_step();
            let swept = self.sweep_step();
            drop(writing);
            // Writes nothing, and the kernel may take seconds for a huge page: nobody waits for that.
            let worked = self.memory_step() | swept;
            match (moved, worked || waiting) {
                (false, false) => return Pace::Idle,
                (true, _) if start.elapsed() >= budget => return Pace::Hurried,
                (false, true) if !worked || start.elapsed() >= budget => return Pace::Busy,
                _ => {}
            }
        }
    }
}
