//! What an insert allocates, on the thread that makes it: in a cluster of four, and without one. A program of its own,
//! because its allocator counts.
//!
//! ```text
//!   new keys      slots that were never used        no grace period has to pass, and nothing is allocated
//!   overwrites    each retires a slot               one small allocation per grace period, with a cluster or without
//! ```

#![forbid(unsafe_code)]

use also_cache::{Acks, Cache, Cluster};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let is_json = std::env::args().skip(1).any(|word| word == "--json");
    let mut medians = Vec::new();
    for (contestant, peers) in [("also-cache", 3), ("no cluster", 0)] {
        for (figure, count) in measure(peers)? {
            medians.push(serde_json::json!({
                "workload": "cluster/allocations", "figure": figure, "contestant": contestant,
                "median": count, "least": count, "most": count,
            }));
            if !is_json {
                println!("  {contestant:<10}  {figure:<22}  {count:.2}");
            }
        }
    }
    if is_json {
        println!("{}", serde_json::json!({ "medians": medians }));
    }
    Ok(())
}

/// Allocations per thousand, by figure.
fn measure(peers: usize) -> Result<[(&'static str, f64); 2], Box<dyn Error>> {
    let open = || Cache::builder().capacity(64 << 20).open();
    let cache = open()?;
    let start = |cache: &Cache, name: String, seeds: Vec<String>| {
        Cluster::builder(cache).name(name).listen("127.0.0.1:0").seeds(seeds).insecure_plaintext().start()
    };
    // One that is alone counts nobody, and is no cluster: the cache without any is another one.
    let origin = if peers > 0 { Some(start(&cache, "origin".to_owned(), Vec::new())?) } else { None };
    let mut others = Vec::new();
    if let Some(origin) = &origin {
        for number in 0..peers {
            let other = open()?;
            let node = start(&other, format!("peer-{number}"), vec![origin.local_address().to_string()])?;
            others.push((other, node));
        }
        insert(&cache, 0..1);
        origin.flush(Acks::Count(peers), Duration::from_secs(60))?;
    }
    // What a thread allocates once is no insert's.
    insert(&cache, 0..1_000);
    let new = allocation_counter::measure(|| insert(&cache, 1_000..1_000 + INSERTS));
    let again = allocation_counter::measure(|| insert(&cache, 1_000..1_000 + INSERTS));
    if let Some(origin) = &origin {
        origin.flush(Acks::Count(peers), Duration::from_secs(60))?;
    }
    let per_thousand = |count: u64| count as f64 * 1e3 / INSERTS as f64;
    Ok([
        ("per 1,000 inserts", per_thousand(new.count_total)),
        ("per 1,000 overwrites", per_thousand(again.count_total)),
    ])
}

fn insert(cache: &Cache, numbers: std::ops::Range<u64>) {
    for number in numbers {
        cache.insert(number.to_le_bytes(), [7; 64]).expect("there is room");
    }
}

const INSERTS: u64 = 50_000;
