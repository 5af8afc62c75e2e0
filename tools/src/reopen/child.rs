//! One life of the cache that is killed: opens, hits, reads, looks at everything, tells, overwrites until it is killed.

use crate::failure::Result;
use crate::machine;
use crate::random::{Random, Zipf, mix};
use crate::value;
use also_cache::{Cache, Recovery};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of the hidden `reopen-child`.
#[derive(Args)]
pub(crate) struct ChildOptions {
    /// The arena.
    #[arg(long)]
    file: PathBuf,
    /// Its size in bytes.
    #[arg(long)]
    capacity: u64,
    /// Entries to fill it with.
    #[arg(long)]
    entries: u64,
    /// The monotonic clock when this process was about to be started.
    #[arg(long)]
    started_ns: u64,
}

/// What a life tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    /// How it came up, in words.
    pub(crate) recovery: String,
    /// The call that opens.
    pub(crate) open_ms: f64,
    /// From before the process was started to after the first hit; `None` if there was nothing to hit.
    pub(crate) first_hit_ms: Option<f64>,
    /// p99 of reads in the second after that.
    pub(crate) p99_first_us: f64,
    /// p99 of reads when every entry has been looked at.
    pub(crate) p99_steady_us: f64,
    /// Entries that are there.
    pub(crate) found: u64,
    /// Entries with a wrong value.
    pub(crate) wrong: u64,
}

/// Lives until killed.
pub(crate) fn live(options: &ChildOptions) -> Result<()> {
    let opening = Instant::now();
    // It is killed on purpose, and young.
    let builder = Cache::builder().capacity(options.capacity).file(&options.file).crash_loop_guard(false);
    let cache = builder.open()?;
    let open_ms = opening.elapsed().as_secs_f64() * 1e3;
    let hit = (0..options.entries).find_map(|number| cache.read(value::key(number), |bytes| bytes.len()));
    let elapsed = machine::monotonic_ns().saturating_sub(options.started_ns);
    let first_hit_ms = hit.map(|_| elapsed as f64 / 1e6);
    if !matches!(cache.recovery(), Recovery::Warm { .. }) {
        fill(&cache, options.entries);
    }
    let p99_first_us = p99_us(&cache, options.entries, 1);
    let (found, wrong) = survey(&cache, options.entries);
    let p99_steady_us = p99_us(&cache, options.entries, 2);
    let recovery = cache.recovery().to_string();
    let life = Life { recovery, open_ms, first_hit_ms, p99_first_us, p99_steady_us, found, wrong };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &life)?;
    writeln!(out)?;
    out.flush()?;
    overwrite(&cache, options.entries)
}

fn fill(cache: &Cache, entries: u64) {
    let mut buffer = Vec::new();
    for number in 0..entries {
        value::write(&mut buffer, number, 0, VALUE_BYTES);
        // What was refused is not found by the survey, which is what survivors are counted against.
        let _ = cache.insert(value::key(number), &buffer);
    }
}

/// p99 over a second of reads, by zipf 0.99.
fn p99_us(cache: &Cache, entries: u64, seed: u64) -> f64 {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that it allows");
    let (zipf, mut random) = (Zipf::new(entries, 0.99), Random::new(seed));
    let started = Instant::now();
    while started.elapsed() < SPAN {
        for _ in 0..READS_PER_LOOK {
            let key = value::key(mix(zipf.next(&mut random)) % entries);
            let before = Instant::now();
            std::hint::black_box(cache.read(key, |bytes| bytes.last().copied()));
            histogram.saturating_record(before.elapsed().as_nanos() as u64);
        }
    }
    histogram.value_at_quantile(0.99) as f64 / 1000.0
}

/// Entries that are there, and those of them with wrong bytes.
fn survey(cache: &Cache, entries: u64) -> (u64, u64) {
    let (mut found, mut wrong) = (0, 0);
    for number in 0..entries {
        if let Some(checked) = cache.read(value::key(number), |bytes| value::check(bytes, number)) {
            found += 1;
            wrong += u64::from(checked.is_err());
        }
    }
    (found, wrong)
}

fn overwrite(cache: &Cache, entries: u64) -> ! {
    std::thread::scope(|scope| {
        let worker = |thread: u64| {
            let (mut random, mut buffer) = (Random::new(thread), Vec::new());
            for sequence in 1.. {
                let number = random.below(entries);
                value::write(&mut buffer, number, sequence, VALUE_BYTES);
                // The old value stays where this is refused.
                let _ = cache.insert(value::key(number), &buffer);
            }
        };
        scope.spawn(move || worker(1));
        worker(2);
    });
    unreachable!("the sequences do not end")
}

const VALUE_BYTES: usize = 320;
const SPAN: Duration = Duration::from_secs(1);
const READS_PER_LOOK: u32 = 64;
