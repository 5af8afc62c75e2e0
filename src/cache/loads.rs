//! Loads: what a miss reads from the database, once for all who ask meanwhile, and cached unless it was written meanwhile.
//!
//! ```text
//!   get_or_load(key)
//!     hit  ---------------------------------------------------->  the value in place
//!     miss -> join                                                   (engine/flights)
//!              first     -> looks again -> the loader -> fill -> lands: the value to all who wait     (engine/fill)
//!                                             | error: to all who wait, cached for nobody
//!                                             | panic, cancelled: who waits joins again
//!              in flight -> waits    outcome | abandoned: joins again | its time is over: loads alone
//!              alone     -> the loader, for this caller; nothing is cached
//!
//!   answer   bytes, or that there is nothing    load     what a loader may say       loaded   what comes back
//!   call     for threads                        task     the same for tasks          many     several keys, one loader call
//! ```

#![forbid(unsafe_code)]

mod answer;
mod call;
mod error;
mod load;
mod loaded;
mod many;
mod task;

pub use answer::{Answer, Bytes};
pub use error::LoadError;
pub use load::Load;
pub use loaded::Loaded;
pub use many::LoadMany;

use crate::cache::calls::{Cache, Handle};
use crate::cache::value::Value;
use crate::engine::counters::Counter;
use crate::engine::fill::{Unfilled, Wish};
use crate::engine::flights::{Bounds, Caller, Flights, Joined, Lease, Turn};
use crate::eviction::expiry::TimeToLive;
use crate::sync::promise::Answer as Promised;
use crate::types::key::{Key, KeyspaceId};
use answer::of_answer;
use load::Said;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What came of a load, for those who waited.
#[derive(Clone)]
pub(super) enum Outcome {
    Found(Arc<[u8]>),
    Absent,
    /// The loader's error, of whatever type its call has.
    Failed(Arc<dyn Any + Send + Sync>),
}

/// The loads of a cache, and how they are bounded.
pub(super) struct Loads {
    flights: Arc<Flights<Outcome>>,
    wait: Duration,
    negative_ttl: TimeToLive,
}

impl Loads {
    pub(super) fn new(bounds: Bounds, negative_ttl: TimeToLive) -> Self {
        Self { flights: Arc::new(Flights::new(bounds)), wait: bounds.wait, negative_ttl }
    }

    /// Where the housekeeping looks for tasks that wait in vain.
    pub(super) fn flights(&self) -> &Arc<Flights<Outcome>> {
        &self.flights
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.wait).unwrap_or(now + Duration::from_secs(1 << 30))
    }
}

/// What is to be done about a key that a read has missed.
enum Step<F> {
    Found(F),
    /// It is known that there is nothing.
    Absent,
    Load(Lease<Outcome>),
    Wait(Promised<Outcome>),
    Queue(Promised<Turn<Outcome>>),
    Alone,
}

/// A key that can be stored; any other one is loaded for its caller alone.
fn key_of(bytes: &[u8]) -> Option<Key<'_>> {
    Key::new(KeyspaceId::RAW, bytes)
}

impl Cache {
    /// Looks once more, and takes part in the load. `found` says what a hit becomes; `knows_absence`, whether it helps the caller to
    /// know that there is nothing.
    fn step<'c, F>(
        &'c self,
        key: Key<'_>,
        by: Caller,
        turn: Option<Turn<Outcome>>,
        knows_absence: bool,
        found: impl Fn(Value<'c>) -> F,
    ) -> Step<F> {
        let engine = &self.handle.engine;
        let sought = engine.seek(key);
        let is_absent = || knows_absence && engine.is_known_absent(&engine.pin(), &sought);
        if is_absent() {
            return Step::Absent;
        }
        let lease = match Flights::join(self.handle.loads.flights(), engine, key, sought.hash, by, turn) {
            Joined::First(lease) => lease,
            Joined::Waits(answer) => return Step::Wait(answer),
            Joined::Queued(answer) => return Step::Queue(answer),
            Joined::Alone => return Step::Alone,
        };
        // Behind the guard: whoever loaded it in between has landed, or has not begun.
        if let Some(value) = self.look(key) {
            return Step::Found(found(value));
        }
        if is_absent() {
            return Step::Absent;
        }
        Step::Load(lease)
    }

    /// A read that counts as none.
    fn look(&self, key: Key<'_>) -> Option<Value<'_>> {
        let engine = self.engine();
        let guard = engine.pin();
        let hit = engine.get(&guard, &engine.aim(engine.seek(key)))?;
        Some(Value { handle: &self.handle, guard, hit })
    }

    /// Caches what a loader has answered, if nothing speaks against it, and hands it to those who wait.
    fn land<'c, A: Answer, T>(
        &'c self,
        key: Key<'_>,
        lease: Lease<Outcome>,
        said: Said,
        answer: &A,
        into: impl FnOnce(Loaded<'c>) -> T,
    ) -> A::Of<T> {
        let is_cached = self.handle.fill(key, &lease, said, answer.bytes());
        lease.land(|| match answer.bytes() {
            Some(bytes) => Outcome::Found(bytes.into()),
            None => Outcome::Absent,
        });
        let cached = || self.look(key).filter(|_| is_cached).map(Loaded::cached);
        let loaded = |bytes: &[u8]| cached().unwrap_or_else(|| Loaded::owned(bytes.into()));
        of_answer::<A, _>(answer.bytes().map(loaded).map(into))
    }

    /// What another call's load came to, for this one; `None` if it does not fit, and this one loads alone.
    fn shared<A: Answer, T, E: Send + Sync + 'static>(
        &self,
        outcome: Outcome,
        found: impl FnOnce(Arc<[u8]>) -> T,
    ) -> Option<Result<A::Of<T>, LoadError<E>>> {
        let shared = match outcome {
            Outcome::Found(bytes) => A::of(Some(found(bytes))).map(Ok),
            Outcome::Absent => A::of(None).map(Ok),
            Outcome::Failed(error) => error.downcast::<E>().ok().map(|error| Err(LoadError::new(error))),
        };
        if shared.is_some() {
            self.engine().counters().add(Counter::LoadsShared);
        }
        shared
    }
}

impl Handle {
    /// Caches what was read; whether it is.
    fn fill(&self, key: Key<'_>, lease: &Lease<Outcome>, said: Said, bytes: Option<&[u8]>) -> bool {
        if said.is_not_cached {
            return false;
        }
        let engine = &self.engine;
        let sought = engine.seek(key);
        let default = if bytes.is_some() { engine.settings().ttl } else { self.loads.negative_ttl };
        let ttl = said.ttl.map_or(default, TimeToLive::from_duration);
        let jitter_percent = engine.settings().ttl_jitter_percent;
        let ttl = if jitter_percent == 0 { ttl } else { ttl.with_jitter(jitter_percent, sought.hash.bits()) };
        let wish = Wish { ttl, cost: said.cost, row: said.row };
        match engine.fill(lease.ticket(), &sought, bytes, &wish) {
            Ok(_) => return true,
            Err(Unfilled::Voided) => engine.counters().add(Counter::LoadsVoided),
            Err(Unfilled::Refused(_)) => engine.counters().add(Counter::LoadsRefused),
            Err(Unfilled::Closed) => {}
        }
        false
    }

    fn count_load<T, E>(&self, loaded: &Result<T, E>) {
        self.engine.counters().add(Counter::Loads);
        if loaded.is_err() {
            self.engine.counters().add(Counter::LoadsFailed);
        }
    }
}
