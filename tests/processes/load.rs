//! What a child does on its own: a writer for a range of keys, and a reader that checks all of them, on and on.

use crate::support::Random;
use crate::support::ledger::{self, Ledger, Next, key_bytes, sequence_of};
use also_cache::{Cache, Cluster, Readiness};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Keys that one look at the cache reads.
const READS: u64 = 40;

/// The writer of a child, if there is one at the moment.
pub(crate) struct Loads {
    cache: Cache,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    wrote: Arc<AtomicU64>,
    slowest_us: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl Loads {
    pub(crate) fn new(cache: &Cache, ledger: &Arc<Ledger>) -> Self {
        let (cache, ledger) = (cache.clone(), ledger.clone());
        Self { cache, ledger, stop: Arc::default(), wrote: Arc::default(), slowest_us: Arc::default(), writer: None }
    }

    /// Writes keys of a range, so many a second, until told to rest.
    pub(crate) fn begin(&mut self, first: u64, count: u64, rate: u64, bytes_max: usize) -> String {
        self.rest();
        self.stop.store(false, Ordering::Relaxed);
        let (cache, ledger, stop) = (self.cache.clone(), self.ledger.clone(), self.stop.clone());
        let (wrote, slowest_us) = (self.wrote.clone(), self.slowest_us.clone());
        let mut random = Random(first + 1);
        self.writer = Some(std::thread::spawn(move || {
            let start = Instant::now();
            for number in 1_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let next = match random.below(10) {
                    0 => Next::Remove,
                    _ => Next::Insert(24 + random.below(bytes_max as u64) as usize),
                };
                let before = Instant::now();
                assert!(ledger::write(&cache, &ledger, first + random.below(count), next), "the cache is open");
                slowest_us.fetch_max(before.elapsed().as_micros() as u64, Ordering::Relaxed);
                wrote.fetch_add(1, Ordering::Relaxed);
                if let Some(due) = (number * 1_000_000).checked_div(rate) {
                    std::thread::sleep(Duration::from_micros(due).saturating_sub(start.elapsed()));
                }
            }
        }));
        "begun".to_owned()
    }

    /// Ends the writer: how much it wrote, and the microseconds of its slowest write.
    pub(crate) fn rest(&mut self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the writer does not panic");
        }
        format!("{} {}", self.wrote.swap(0, Ordering::Relaxed), self.slowest_us.swap(0, Ordering::Relaxed))
    }

    /// How much it has written since it began.
    pub(crate) fn wrote(&self) -> String {
        self.wrote.load(Ordering::Relaxed).to_string()
    }
}

/// Reads on and on; ends the process loudly if something wrong is shown.
pub(crate) struct Reader {
    reads: Arc<AtomicU64>,
    hits: Arc<AtomicU64>,
}

impl Reader {
    pub(crate) fn start(cache: &Cache, ledger: &Arc<Ledger>, keys: u64, cluster: Option<&Cluster>) -> Self {
        let reader = Self { reads: Arc::default(), hits: Arc::default() };
        let (cache, ledger, cluster) = (cache.clone(), ledger.clone(), cluster.cloned());
        let (reads, hits) = (reader.reads.clone(), reader.hits.clone());
        std::thread::spawn(move || {
            let (mut random, mut shown) = (Random(keys), vec![0; keys as usize]);
            loop {
                let is_ready = cluster.as_ref().is_some_and(|node| node.readiness() == Readiness::Complete);
                for _ in 0..READS {
                    let key = random.below(keys);
                    let found = look(&cache, &ledger, key, &mut shown[key as usize]);
                    if is_ready {
                        reads.fetch_add(1, Ordering::Relaxed);
                        hits.fetch_add(u64::from(found), Ordering::Relaxed);
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        reader
    }

    /// Reads while this node was complete, and those of them that found something, since the last look.
    pub(crate) fn hits(&self) -> String {
        format!("{} {}", self.reads.swap(0, Ordering::Relaxed), self.hits.swap(0, Ordering::Relaxed))
    }
}

/// One read: what it shows was written, and is not older than what was shown before.
fn look(cache: &Cache, ledger: &Ledger, key: u64, shown: &mut u64) -> bool {
    let Some(found) = cache.get(key_bytes(key)) else { return false };
    let sequence = sequence_of(key, &found).unwrap_or_else(|wrong| die(&wrong));
    let begun = ledger.begun(key).sequence;
    if sequence > begun {
        die(&format!("key {key}: sequence {sequence}, and only {begun} was ever begun"));
    }
    if sequence < *shown {
        die(&format!("key {key}: sequence {sequence} after {shown}"));
    }
    *shown = sequence;
    true
}

/// The parent reads it from standard error.
fn die(wrong: &str) -> ! {
    eprintln!("wrong while running: {wrong}");
    std::process::exit(3)
}
