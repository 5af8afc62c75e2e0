//! Cache-aside with eviction: ten times as many keys as fit, zipf; 95 % and 50 % lookups; and churn of new keys.
//!
//! Names: `cache_aside/<mix>/<threads>t/<contestant>`. Latencies and hit ratios are `also-cache compare`'s part.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput};
use std::cell::OnceCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::contestants::{Contestant, Get, Moka, QuickCache};
use support::{DRAWN_LOG, is_test, on_threads, zipf};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let case = Case { entries: if is_test() { 1_000 } else { 400_000 }, numbers: OnceCell::new() };
    case.bench::<Get>(&mut criterion);
    case.bench::<QuickCache>(&mut criterion);
    case.bench::<Moka>(&mut criterion);
    criterion.final_summary();
}

/// What the operations are.
#[derive(Clone, Copy)]
enum Mix {
    /// Lookups with a fill on a miss, and so many plain writes in a hundred operations.
    Aside { writes: u32 },
    /// Inserts of keys never seen.
    Churn,
}

struct Case {
    entries: u32,
    numbers: OnceCell<Vec<u32>>,
}

impl Case {
    fn bench<C: Contestant>(&self, criterion: &mut Criterion) {
        for (name, mix) in
            [("95-5", Mix::Aside { writes: 5 }), ("50-50", Mix::Aside { writes: 50 }), ("churn", Mix::Churn)]
        {
            let population: OnceCell<C> = OnceCell::new();
            let fresh = AtomicU32::new(self.entries * KEYS_PER_ENTRY);
            for threads in [1, 2] {
                let mut group = criterion.benchmark_group("cache_aside");
                group.throughput(Throughput::Elements(1)).sample_size(20);
                group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
                group.bench_function(BenchmarkId::new(format!("{name}/{threads}t"), C::NAME), |bencher| {
                    let cache = population.get_or_init(|| self.filled::<C>());
                    let numbers = self.numbers.get_or_init(|| zipf(self.entries * KEYS_PER_ENTRY, 1));
                    bencher.iter_custom(|iterations| {
                        on_threads(threads, iterations, |thread, count| match mix {
                            Mix::Aside { writes } => aside(cache, numbers, writes, thread, count),
                            Mix::Churn => churn(cache, &fresh, count),
                        })
                    });
                });
                group.finish();
            }
        }
    }

    /// A cache that has long been full.
    fn filled<C: Contestant>(&self) -> C {
        let cache = C::open(u64::from(self.entries), VALUE.len() as u64);
        (0..self.entries * 2).for_each(|number| cache.fill(number, &VALUE));
        cache
    }
}

fn aside<C: Contestant>(cache: &C, numbers: &[u32], writes: u32, thread: u64, count: u64) {
    let (from, mask) = ((thread as usize) << (DRAWN_LOG - 1), numbers.len() - 1);
    for at in 0..count as usize {
        let number = numbers[(from + at) & mask];
        let writing = (at as u32).wrapping_mul(61) % 100 < writes;
        if writing || !cache.get(number) {
            cache.fill(number, &VALUE);
        }
    }
}

fn churn<C: Contestant>(cache: &C, fresh: &AtomicU32, count: u64) {
    let mut left = count;
    while left > 0 {
        let run = left.min(1024) as u32;
        // Relaxed: hands out ranges of numbers and publishes nothing.
        let from = fresh.fetch_add(run, Ordering::Relaxed);
        (0..run).for_each(|number| cache.fill(from.wrapping_add(number), &VALUE));
        left -= u64::from(run);
    }
}

const KEYS_PER_ENTRY: u32 = 10;
const VALUE: [u8; 256] = [0x5a; 256];
