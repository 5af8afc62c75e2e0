//! What an insert costs the thread that makes it, at 20,000 a second, while three peers listen and one of them is stopped.
//!
//! ```text
//!   every 50 us an insert is due, whatever happened to the last one; whoever wakes late does all that are due
//!
//!   sleep | clock  clock  insert insert ...  clock | sleep | ...        processor time of this thread
//!         a      b                        c                 inserts: (c - b) - (b - a), the clock's own time off
//! ```

use super::node::{self, Birth};
use super::peer::Peer;
use super::workload::{Contestant, Figures, figure};
use crate::failure::{Failure, Result};
use crate::{machine, value};
use also_cache::{Acks, Cache};
use std::time::{Duration, Instant};

/// Measures with a cluster, or without one.
pub(super) fn measure(contestant: Contestant, quick: bool) -> Result<Figures> {
    let cache = node::open(CAPACITY, None)?;
    if contestant == Contestant::Alone {
        return pace(&cache, quick);
    }
    let cluster = node::start(&cache, &Birth { name: "origin".to_owned(), ..Birth::default() })?;
    let seeds = vec![cluster.local_address()];
    let birth = |number| Birth {
        name: format!("peer-{number}"),
        capacity: CAPACITY,
        seeds: seeds.clone(),
        wait: true,
        ..Birth::default()
    };
    let peers: Vec<Peer> = (1..=3).map(|number| Peer::start(birth(number))).collect::<Result<_>>()?;
    cluster.flush(Acks::All, node::PATIENCE).map_err(|error| Failure::Wrong(error.to_string()))?;
    peers[2].stop()?;
    let figures = pace(&cache, quick)?;
    // Two of them have it all: what was measured was replicated.
    cluster.flush(Acks::Count(2), node::PATIENCE).map_err(|error| Failure::Wrong(error.to_string()))?;
    Ok(figures)
}

fn pace(cache: &Cache, quick: bool) -> Result<Figures> {
    let seconds = if quick { 1 } else { 4 };
    let mut buffer = Vec::new();
    value::write(&mut buffer, 1, 1, VALUE_BYTES);
    // Pages that are touched for the first time are nobody's business: each key once, and once around the ring of changes.
    for number in 0..KEYS {
        write(cache, number, &buffer)?;
    }
    run(cache, &buffer, PER_SECOND / 2)?;
    let (started, all) = (Instant::now(), machine::thread_cpu_ns());
    let inserts = run(cache, &buffer, PER_SECOND * seconds)?;
    let (took, all) = (started.elapsed(), machine::thread_cpu_ns() - all);
    let count = PER_SECOND * seconds;
    if took > Duration::from_secs(seconds) * 11 / 10 {
        return Err(Failure::Wrong(format!("{count} inserts took {took:?}: they were not {PER_SECOND} a second")));
    }
    Ok(vec![
        figure("CPU of an insert, ns", inserts as f64 / count as f64),
        figure("CPU of the thread per insert, its sleeps included, ns", all as f64 / count as f64),
    ])
}

/// Processor time of so many inserts.
fn run(cache: &Cache, value: &[u8], count: u64) -> Result<u64> {
    let (started, mut done, mut spent) = (Instant::now(), 0, 0_u64);
    while done < count {
        std::thread::sleep((started + GAP * done as u32).saturating_duration_since(Instant::now()));
        let due = (started.elapsed().as_nanos() / GAP.as_nanos()) as u64 + 1;
        let due = due.min(count);
        machine::thread_cpu_ns();
        let (before, clocked) = (machine::thread_cpu_ns(), machine::thread_cpu_ns());
        for number in done..due {
            write(cache, number % KEYS, value)?;
        }
        spent += (machine::thread_cpu_ns() - clocked).saturating_sub(clocked - before);
        done = due;
    }
    Ok(spent)
}

fn write(cache: &Cache, number: u64, value: &[u8]) -> Result<()> {
    cache.insert(value::key(number), value).map(drop).map_err(|error| Failure::Wrong(error.to_string()))
}

const CAPACITY: u64 = 256 << 20;
const VALUE_BYTES: usize = 256;
const PER_SECOND: u64 = 20_000;
const GAP: Duration = Duration::from_micros(50);
/// Each is written again and again, seconds apart.
const KEYS: u64 = 100_000;
