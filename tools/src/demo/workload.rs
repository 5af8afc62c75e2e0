//! The mixed workload of a node, at a pace: zipf reads of all keys, writes and removals of its own.
//!
//! Once it serves, each key is written by one thread of one node only, with rising sequence numbers, so that "newer" has a
//! meaning without a clock.

use super::protocol::Record;
use crate::pace::Pace;
use crate::random::{Random, Zipf, mix};
use crate::value;
use also_cache::{Cache, Version};

/// Shape of the workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    /// Keys are the numbers below this.
    pub(super) keys: u64,
    /// Threads that run it on each node.
    pub(super) threads: u16,
    /// This node, and how many there are.
    pub(super) node: u16,
    pub(super) nodes: u16,
    /// Operations a second on each node.
    pub(super) load: u64,
}

/// What a thread, or all of them, did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) operations: u64,
    pub(super) reads: u64,
    pub(super) hits: u64,
    pub(super) writes: u64,
    pub(super) removals: u64,
    pub(super) refused: u64,
    pub(super) wrong: u64,
}

/// Who hears of each step.
pub(super) trait Journal: Send {
    /// Takes a record; it may wait in a batch.
    fn note(&mut self, record: Record);
    /// Sends what waits.
    fn flush(&mut self);
}

impl Workload {
    /// Writes every key once, whoever's it is.
    pub(super) fn fill<J: Journal>(&self, cache: &Cache, journal: impl Fn(u16) -> J + Sync) -> Tally {
        self.spread(|thread| {
            let mut worker = Worker::new(self, cache, thread, 0, journal(thread));
            let mut numbers = (u64::from(thread)..self.keys).step_by(usize::from(self.threads)).peekable();
            let mut pace = Pace::new(FILL_PER_S / u64::from(self.threads));
            while numbers.peek().is_some() {
                for number in numbers.by_ref().take(pace.wait() as usize) {
                    worker.write(number);
                }
            }
            worker.finish()
        })
    }

    /// Writes a key of this node, waits as it is told to, and again, [`LAPS`] times.
    pub(super) fn laps<J: Journal>(&self, cache: &Cache, journal: J, wait: impl Fn(Version) -> Option<u64>) {
        let mut worker = Worker::new(self, cache, 0, SEQUENCE_OF_LAPS, journal);
        for _ in 0..LAPS {
            let number = worker.random.below(self.keys);
            if let Some(ns) = worker.write(worker.own(number)).and_then(&wait) {
                worker.journal.note(Record::Lap { ns });
            }
        }
        worker.finish();
    }

    /// Runs until `stop` says so. Sequence numbers begin after `sequence`.
    pub(super) fn run<J: Journal>(
        &self,
        cache: &Cache,
        sequence: u64,
        journal: impl Fn(u16) -> J + Sync,
        stop: &(impl Fn() -> bool + Sync),
    ) -> Tally {
        self.spread(|thread| {
            let mut worker = Worker::new(self, cache, thread, sequence, journal(thread));
            let mut pace = Pace::new(self.load / u64::from(self.threads));
            while !stop() {
                (0..pace.wait()).for_each(|_| worker.step());
            }
            worker.finish()
        })
    }

    fn spread(&self, work: impl Fn(u16) -> Tally + Sync) -> Tally {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..self.threads).map(|thread| scope.spawn(move || work(thread))).collect();
            threads.into_iter().fold(Tally::default(), |sum, thread| match thread.join() {
                Ok(tally) => sum.plus(tally),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }
}

/// Keys that fit an arena: 55 % of its bytes, at 640 bytes for an average entry with all around it.
pub(super) fn key_count(capacity: u64) -> u64 {
    capacity / 100 * 55 / 640
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            reads: self.reads + other.reads,
            hits: self.hits + other.hits,
            writes: self.writes + other.writes,
            removals: self.removals + other.removals,
            refused: self.refused + other.refused,
            wrong: self.wrong + other.wrong,
        }
    }
}

struct Worker<'a, J> {
    workload: &'a Workload,
    cache: &'a Cache,
    thread: u64,
    sequence: u64,
    random: Random,
    zipf: Zipf,
    buffer: Vec<u8>,
    journal: J,
    tally: Tally,
    announced: u64,
}

impl<'a, J: Journal> Worker<'a, J> {
    fn new(workload: &'a Workload, cache: &'a Cache, thread: u16, sequence: u64, journal: J) -> Self {
        Self {
            workload,
            cache,
            thread: u64::from(workload.node) * u64::from(workload.threads) + u64::from(thread),
            sequence,
            random: Random::new(mix(u64::from(thread) ^ sequence) ^ u64::from(std::process::id())),
            zipf: Zipf::new(workload.keys, 0.99),
            buffer: Vec::new(),
            journal,
            tally: Tally::default(),
            announced: 0,
        }
    }

    fn step(&mut self) {
        // The rank is spread over the key numbers, so that hot keys are everybody's.
        let number = mix(self.zipf.next(&mut self.random)) % self.workload.keys;
        match self.random.below(100) {
            0..READS_PERCENT => self.read(number),
            READS_PERCENT..WRITES_BELOW_PERCENT => drop(self.write(self.own(number))),
            _ => self.remove(self.own(number)),
        }
    }

    fn read(&mut self, number: u64) {
        self.count();
        self.tally.reads += 1;
        let checked = self.cache.read(value::key(number), |bytes| value::check(bytes, number));
        match checked {
            Some(Ok(_)) => self.tally.hits += 1,
            Some(Err(_)) => {
                self.tally.wrong += 1;
                self.journal.note(Record::Wrong { number });
            }
            // Cache-aside: a miss is filled by the one thread that may write the key.
            None if number == self.own(number) => drop(self.write(number)),
            None => {}
        }
    }

    fn write(&mut self, number: u64) -> Option<Version> {
        self.count();
        self.sequence += 1;
        let length = value::length(number, self.sequence, VALUE_BYTES.0, VALUE_BYTES.1);
        value::write(&mut self.buffer, number, self.sequence, length);
        let written = self.cache.insert(value::key(number), &self.buffer).ok();
        if written.is_some() {
            self.tally.writes += 1;
            self.journal.note(Record::Wrote { number, sequence: self.sequence });
        } else {
            self.tally.refused += 1;
            self.journal.note(Record::Refused { number });
        }
        written
    }

    fn remove(&mut self, number: u64) {
        self.count();
        self.sequence += 1;
        self.journal.note(Record::Removing { number, sequence: self.sequence });
        self.journal.flush();
        if self.cache.remove(value::key(number)).is_ok() {
            self.tally.removals += 1;
            self.journal.note(Record::Removed { number, sequence: self.sequence });
        }
    }

    fn finish(mut self) -> Tally {
        self.announce();
        self.journal.flush();
        self.tally
    }

    fn count(&mut self) {
        self.tally.operations += 1;
        if self.tally.operations - self.announced >= OPERATIONS_PER_RECORD {
            self.announce();
        }
    }

    fn announce(&mut self) {
        self.journal.note(Record::Operations { count: self.tally.operations - self.announced });
        self.announced = self.tally.operations;
    }

    /// The key of this thread that is nearest to a number.
    fn own(&self, number: u64) -> u64 {
        let threads = u64::from(self.workload.threads) * u64::from(self.workload.nodes);
        let own = number - number % threads + self.thread;
        if own < self.workload.keys { own } else { self.thread }
    }
}

/// Shortest and longest value.
pub(super) const VALUE_BYTES: (u64, u64) = (64, 1024);

/// Reads in percent of all operations.
pub(super) const READS_PERCENT: u64 = 70;

/// Writes in percent of all operations; the rest removes.
pub(super) const WRITES_PERCENT: u64 = 28;

/// Single writes, each waited for.
pub(super) const LAPS: u32 = 200;

/// Before the first write of a run in a process's first life: above those of the fill and of the laps.
pub(super) const SEQUENCE_OF_SERVING: u64 = 1 << 40;

/// The same in its second life: above every one that the first can have reached.
pub(super) const SEQUENCE_AFTER_RESTART: u64 = 1 << 48;

const WRITES_BELOW_PERCENT: u64 = READS_PERCENT + WRITES_PERCENT;
/// Writes a second when every key is written once: what two other nodes on the same processors keep up with.
const FILL_PER_S: u64 = 30_000;
const SEQUENCE_OF_LAPS: u64 = 1 << 36;
const OPERATIONS_PER_RECORD: u64 = 1024;
