//! Lookups of keys that are all resident: ours in its three forms, the peers, and the floor beneath them.
//!
//! Names: `get_hit/<entries>x<bytes>/<distribution>/<threads>t/<contestant>`. A population is built when the first bench
//! that needs it runs, so `cargo bench --bench get_hit -- 4Mx64/zipf` builds nothing else.

mod floor;
mod forms;
#[path = "../support/mod.rs"]
mod support;

use criterion::{BenchmarkId, Criterion, Throughput};
use floor::{Floor, FloorMany};
use forms::{Many, Reader};
use std::cell::OnceCell;
use std::time::Duration;
use support::contestants::{Contestant, Get, Moka, QuickCache};
use support::{DRAWN_LOG, is_test, on_threads, units, zipf};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let populations: &[(u32, &str)] =
        if is_test() { &[(1_000, "1k")] } else { &[(10_000, "10k"), (1_000_000, "1M"), (4_000_000, "4M")] };
    let values: &[usize] = if is_test() { &[64] } else { &[64, 256, 1024] };
    for (entries, label) in populations {
        for value_bytes in values {
            let case = Case { entries: *entries, value_bytes: *value_bytes, name: format!("{label}x{value_bytes}") };
            case.bench::<Floor>(&mut criterion);
            case.bench::<FloorMany>(&mut criterion);
            case.bench::<Get>(&mut criterion);
            case.bench::<Reader>(&mut criterion);
            case.bench::<Many>(&mut criterion);
            case.bench::<QuickCache>(&mut criterion);
            case.bench::<Moka>(&mut criterion);
        }
    }
    criterion.final_summary();
}

/// A contestant with its own way through many keys, if it has one.
trait Lookup: Contestant {
    /// Looks up `count` keys, from `from` on and round again. Returns the hits.
    fn walk(&self, numbers: &[u32], from: usize, count: u64) -> u64 {
        let mask = numbers.len() - 1;
        (0..count as usize).map(|at| u64::from(self.get(numbers[(from + at) & mask]))).sum()
    }
}

impl Lookup for Get {}
impl Lookup for QuickCache {}
impl Lookup for Moka {}

/// How often which key is asked for.
struct Distribution {
    name: &'static str,
    draw: fn(u32, u64) -> Vec<u32>,
}

struct Case {
    entries: u32,
    value_bytes: usize,
    name: String,
}

impl Case {
    fn bench<C: Lookup>(&self, criterion: &mut Criterion) {
        let population: OnceCell<C> = OnceCell::new();
        for distribution in [Distribution { name: "zipf", draw: zipf }, Distribution { name: "uniform", draw: uniform }]
        {
            let numbers: OnceCell<Vec<u32>> = OnceCell::new();
            for threads in [1, 2] {
                let mut group = criterion.benchmark_group(format!("get_hit/{}", self.name));
                group.throughput(Throughput::Elements(1)).sample_size(20);
                group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
                let id = BenchmarkId::new(format!("{}/{threads}t", distribution.name), C::NAME);
                group.bench_function(id, |bencher| {
                    let cache = population.get_or_init(|| self.filled::<C>());
                    let numbers = numbers.get_or_init(|| (distribution.draw)(self.entries, 1));
                    bencher.iter_custom(|iterations| {
                        on_threads(threads, iterations, |thread, count| walk(cache, numbers, thread, count))
                    });
                });
                group.finish();
            }
        }
    }

    fn filled<C: Contestant>(&self) -> C {
        // A quarter more room, so that no contestant's sharding evicts.
        let cache = C::open(u64::from(self.entries) * 5 / 4, self.value_bytes as u64);
        let value = vec![0x5a; self.value_bytes];
        (0..self.entries).for_each(|number| cache.fill(number, &value));
        let hits = (0..self.entries).filter(|number| cache.get(*number)).count();
        let least = self.entries as usize / 100 * 99;
        assert!(hits >= least, "{}: {hits} of {} entries are resident, {least} have to be", C::NAME, self.entries);
        cache
    }
}

fn walk<C: Lookup>(cache: &C, numbers: &[u32], thread: u64, count: u64) {
    // Threads start half a round apart, so that they do not warm each other's lines.
    let from = (thread as usize) << (DRAWN_LOG - 1);
    std::hint::black_box(cache.walk(numbers, from, count));
}

fn uniform(keys: u32, seed: u64) -> Vec<u32> {
    units(seed).map(|unit| (unit * f64::from(keys)) as u32).collect()
}
