//! Flights: who loads a key now, and who waits for what comes of it.
//!
//! ```text
//!   join     nobody loads it  -> Lease: a guard for the fill, and a turn        lands, or is dropped: abandoned
//!            somebody does    -> an answer: the outcome, or nothing: abandoned, or late
//!            too many load    -> an answer: a turn is free
//!            too many wait, or this very thread loads it -> nothing of all that
//!
//!   land     out of the table, then the outcome to all who wait
//!   voided   the key was written meanwhile: who comes now starts another flight, for those before may get what is old
//! ```
//!
//! Every wait has a deadline: a thread keeps its own, those of tasks are kept by `expire`, which drops their promise.

#![forbid(unsafe_code)]

use crate::engine::Engine;
use crate::engine::fill::Ticket;
use crate::sync::promise::{Answer, Promise, promise};
use crate::sync::{Arc, GaugeU64, Mutex, Ordering, lock};
use crate::types::key::{Key, KeyHash, KeyspaceId};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

const SHARDS: usize = if cfg!(loom) { 1 } else { 64 };

/// How many may load, and how many wait for one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) loads: usize,
    pub(crate) waiters: usize,
    /// A load that takes longer is nobody's to wait for any more.
    pub(crate) wait: Duration,
}

/// Who joins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) deadline: Instant,
    /// A thread that waits for what it loads itself would wait in vain.
    pub(crate) thread: Option<ThreadId>,
    /// Whether it is in the middle of loading another key.
    pub(crate) is_loading: bool,
}

impl Caller {
    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// The flights of one cache; `T` is what comes of one.
pub(crate) struct Flights<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    /// Those whose place in the table another one has taken, since their key was written, and which have not landed.
    replaced: Mutex<Vec<Arc<Flight<T>>>>,
    turns: Mutex<Turns<T>>,
    /// Promises that are not kept yet: whether `expire` has to look.
    waiting: GaugeU64,
    bounds: Bounds,
}

type Shard<T> = HashMap<(KeyspaceId, Box<[u8]>), Arc<Flight<T>>>;

/// One load under way.
struct Flight<T> {
    ticket: Ticket,
    /// The thread that loads, if it does nothing else meanwhile; a task may be one of many on its thread.
    thread: Option<ThreadId>,
    since: Instant,
    /// `None` once it has landed.
    waiters: Mutex<Option<Vec<Waiter<T>>>>,
}

struct Waiter<T> {
    promise: Promise<T>,
    deadline: Instant,
}

struct Turns<T> {
    taken: usize,
    queue: VecDeque<Waiter<Turn<T>>>,
}

/// The right to be one of those that load. Dropped, it goes to the next one in the queue.
pub(crate) struct Turn<T>(Arc<Flights<T>>);

/// What is to be done about a key that is missing.
pub(crate) enum Joined<T> {
    /// Load it.
    First(Lease<T>),
    /// Wait for who does.
    Waits(Answer<T>),
    /// Wait for a turn, and join again with it.
    Queued(Answer<Turn<T>>),
    /// Load it for this caller alone: too many wait already, or this thread is in the middle of loading it.
    Alone,
}

/// The right to load a key, and to cache what comes. Dropped, it leaves that to the next one.
pub(crate) struct Lease<T> {
    engine: Arc<Engine>,
    flights: Arc<Flights<T>>,
    flight: Arc<Flight<T>>,
    key: (KeyspaceId, Box<[u8]>),
    shard: usize,
    /// Last: it is given on once the guard is gone.
    _turn: Turn<T>,
}

impl<T: Clone> Flights<T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
            replaced: Mutex::new(Vec::new()),
            turns: Mutex::new(Turns { taken: 0, queue: VecDeque::new() }),
            waiting: GaugeU64::new(0),
            bounds,
        }
    }

    /// Takes part in the load of a key that was missing. No method, since loom's `Arc` can be no `self`.
    /// `turn`: one that was waited for.
    pub(crate) fn join(
        this: &Arc<Self>,
        engine: &Arc<Engine>,
        key: Key<'_>,
        hash: KeyHash,
        by: Caller,
        turn: Option<Turn<T>>,
    ) -> Joined<T> {
        let number = (hash.bits() >> 32) as usize % this.shards.len();
        let name = (key.keyspace, Box::<[u8]>::from(key.bytes));
        let mut shard = lock(&this.shards[number]);
        let is_intact =
            |flight: &Flight<T>| engine.can_fill(&flight.ticket) || crate::sync::bite("flights.voided-joined");
        let is_current = |flight: &&Arc<Flight<T>>| is_intact(flight) && flight.since.elapsed() <= this.bounds.wait;
        if let Some(joined) = shard.get(&name).filter(is_current).and_then(|flight| this.wait_for(flight, by)) {
            return joined;
        }
        let turn = match turn.map_or_else(|| Self::take_turn(this, by), Ok) {
            Ok(turn) => turn,
            Err(joined) => return joined,
        };
        let flight = Arc::new(Flight {
            ticket: engine.begin_fill(hash),
            thread: by.thread,
            since: Instant::now(),
            waiters: Mutex::new(Some(Vec::new())),
        });
        let replaced = shard.insert(name.clone(), flight.clone());
        drop(shard);
        if let Some(replaced) = replaced {
            let mut all = lock(&this.replaced);
            all.retain(|flight| lock(&flight.waiters).is_some());
            all.push(replaced);
        }
        Joined::First(Lease {
            engine: engine.clone(),
            flights: this.clone(),
            flight,
            key: name,
            shard: number,
            _turn: turn,
        })
    }

    /// `None` if it lands at this moment.
    fn wait_for(&self, flight: &Flight<T>, by: Caller) -> Option<Joined<T>> {
        let mut waiters = lock(&flight.waiters);
        let waiters = waiters.as_mut()?;
        let is_nested = by.thread.is_some() && flight.thread == by.thread;
        if is_nested || waiters.len() >= self.bounds.waiters {
            return Some(Joined::Alone);
        }
        let (promise, answer) = promise();
        waiters.push(Waiter { promise, deadline: by.deadline });
        // Relaxed, as all of it: a figure.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Joined::Waits(answer))
    }

    fn take_turn(this: &Arc<Self>, by: Caller) -> Result<Turn<T>, Joined<T>> {
        let mut turns = lock(&this.turns);
        // Who loads already, and another key for that, would wait for what it has itself.
        if turns.taken < this.bounds.loads || by.is_loading {
            turns.taken += 1;
            return Ok(Turn(this.clone()));
        }
        if turns.queue.len() >= this.bounds.waiters {
            return Err(Joined::Alone);
        }
        let (promise, answer) = promise();
        turns.queue.push_back(Waiter { promise, deadline: by.deadline });
        this.waiting.fetch_add(1, Ordering::Relaxed);
        Err(Joined::Queued(answer))
    }

    /// Tells those that it is too late for. A look at one number where nobody waits.
    pub(crate) fn expire(&self, now: Instant) {
        // Relaxed: who begins to wait now is met the next time.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut flights: Vec<_> =
            self.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect();
        flights.extend(lock(&self.replaced).iter().cloned());
        // Dropped outside of the locks: a waker may run whatever it likes.
        let mut late = Vec::new();
        for flight in flights {
            if let Some(waiters) = &mut *lock(&flight.waiters) {
                late.extend(waiters.extract_if(.., |waiter| !waiter.is_in_time(now)));
            }
        }
        let mut turns = lock(&self.turns);
        let (left, too_late) = std::mem::take(&mut turns.queue).into_iter().partition(|waiter| waiter.is_in_time(now));
        turns.queue = left;
        drop(turns);
        self.count_out(late.len() + too_late.len());
        drop::<VecDeque<_>>(too_late);
    }
}

impl<T> Waiter<T> {
    fn is_in_time(&self, now: Instant) -> bool {
        now < self.deadline && self.promise.is_wanted()
    }
}

impl<T> Flights<T> {
    fn count_out(&self, waiters: usize) {
        self.waiting.fetch_sub(waiters as u64, Ordering::Relaxed);
    }
}

impl<T> Drop for Turn<T> {
    fn drop(&mut self) {
        let (mut unwanted, mut turns) = (Vec::new(), lock(&self.0.turns));
        let next = loop {
            match turns.queue.pop_front() {
                Some(next) if next.promise.is_wanted() => break Some(next),
                Some(next) => unwanted.push(next),
                None => break None,
            }
        };
        turns.taken -= usize::from(next.is_none());
        drop(turns);
        self.0.count_out(unwanted.len() + usize::from(next.is_some()));
        // Should nobody take it any more, it is dropped with the promise, and goes on from there.
        if let Some(next) = next {
            next.promise.keep(Turn(self.0.clone()));
        }
    }
}

impl<T> Lease<T> {
    /// What the fill needs.
    pub(crate) fn ticket(&self) -> &Ticket {
        &self.flight.ticket
    }

    /// Ends the flight; `outcome` is called if somebody waits for it.
    pub(crate) fn land(self, outcome: impl FnOnce() -> T)
    where
        T: Clone,
    {
        let waiters = self.end();
        if let Some((last, others)) = waiters.split_last() {
            let outcome = outcome();
            others.iter().for_each(|waiter| waiter.promise.keep(outcome.clone()));
            last.promise.keep(outcome);
        }
    }

    /// Out of the table, unless another one is there by now; nobody joins any more.
    fn end(&self) -> Vec<Waiter<T>> {
        let mut shard = lock(&self.flights.shards[self.shard]);
        if shard.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            shard.remove(&self.key);
        }
        drop(shard);
        let waiters = lock(&self.flight.waiters).take().unwrap_or_default();
        self.flights.count_out(waiters.len());
        waiters
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        // Whoever waited joins again, once the guard and the turn are there for it.
        let abandoned = self.end();
        self.engine.end_fill(&self.flight.ticket);
        drop(abandoned);
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flights({} under way)", lock(&self.turns).taken)
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({:?}, {:?})", self.key.1.escape_ascii().to_string(), self.flight.ticket)
    }
}
