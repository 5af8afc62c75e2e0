//! The load that a node may put on itself: so many operations a second, as a service beside a database would do them.
//!
//! ```text
//!   read    zipf over the keys; a miss is filled, as a service would from its database; every byte is checked
//!   write   the same key, a newer value                        one in ten of them is a remove
//! ```
//!
//! It is paced: what was not done in time is made up for, but never more than a tenth of a second of it.

use crate::pace::Pace;
use crate::random::{Random, Zipf, mix};
use crate::value;
use also_cache::{Cache, Cluster, Readiness};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// The shape of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) operations_per_s: u64,
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) writes_percent: u64,
}

/// What was done so far. Relaxed throughout: figures for the eyes, and a flag that is seen a round later.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) removes: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) wrong: AtomicU64,
    on: AtomicBool,
    end: AtomicBool,
}

/// A load that runs on a thread of its own until this is dropped.
pub(super) struct Load {
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Begins; with a rate of 0 nothing is ever done.
    pub(super) fn start(shape: Shape, cluster: &Cluster) -> std::io::Result<Self> {
        let tally = Arc::new(Tally { on: AtomicBool::new(true), ..Tally::default() });
        let (shared, cluster) = (tally.clone(), cluster.clone());
        let run = move || Worker::new(shape, cluster.cache(), &shared).run(&cluster);
        let thread = match shape.operations_per_s {
            0 => None,
            _ => Some(std::thread::Builder::new().name("load".to_owned()).spawn(run)?),
        };
        Ok(Self { tally, thread })
    }

    /// What was done so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Pauses it, or lets it go on.
    pub(super) fn turn(&self, on: bool) {
        self.tally.on.store(on, Ordering::Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tally.end.store(true, Ordering::Relaxed);
        // A panic in there has told of itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Worker<'a> {
    shape: Shape,
    cache: &'a Cache,
    tally: &'a Tally,
    zipf: Zipf,
    random: Random,
    /// Of the last write: rises over all lives, as the clock does.
    sequence: u64,
    buffer: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(shape: Shape, cache: &'a Cache, tally: &'a Tally) -> Self {
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let seed = mix(now_us ^ u64::from(std::process::id()).rotate_left(40));
        let zipf = Zipf::new(shape.keys, 0.99);
        Self { shape, cache, tally, zipf, random: Random::new(seed), sequence: now_us, buffer: Vec::new() }
    }

    fn run(mut self, cluster: &Cluster) {
        let mut pace = Pace::new(self.shape.operations_per_s);
        while !self.tally.end.load(Ordering::Relaxed) {
            let due = pace.wait();
            if self.tally.on.load(Ordering::Relaxed) && cluster.readiness() >= Readiness::Serving {
                (0..due).for_each(|_| self.step());
            }
        }
    }

    fn step(&mut self) {
        // The rank is spread over the numbers, so that no part of them is hot.
        let number = mix(self.zipf.next(&mut self.random)) % self.shape.keys;
        if self.random.below(100) >= self.shape.writes_percent {
            self.read(number);
        } else if self.random.below(10) > 0 {
            self.write(number);
        } else {
            match self.cache.remove(value::key(number)) {
                Ok(_) => add(&self.tally.removes),
                Err(_) => add(&self.tally.refused),
            }
        }
    }

    fn read(&mut self, number: u64) {
        add(&self.tally.reads);
        match self.cache.read(value::key(number), |bytes| value::check(bytes, number)) {
            Some(checked) => {
                add(&self.tally.hits);
                if checked.is_err() {
                    add(&self.tally.wrong);
                }
            }
            None => self.write(number),
        }
    }

    fn write(&mut self, number: u64) {
        self.sequence += 1;
        value::write(&mut self.buffer, number, self.sequence, self.shape.value_bytes);
        match self.cache.insert(value::key(number), &self.buffer) {
            Ok(_) => add(&self.tally.writes),
            Err(_) => add(&self.tally.refused),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
