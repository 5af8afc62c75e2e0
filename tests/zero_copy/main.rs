//! Reads copy nothing, allocate nothing and, once entries are hot, write nothing that threads share.
//!
//! ```text
//!   slices          lie in the file's mapping, by /proc/self/maps
//!   allocations     counted per thread by the global allocator of this test
//!   stores          the mapping is made read-only, then 10^6 hits from 4 threads: one store would end the process
//! ```

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

use also_cache::Cache;
use rustix::mm::{MprotectFlags, mprotect};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use support::{Random, Watchdog, bytes, mix};

/// Counts what the calling thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(bytes: usize) {
    // A thread that ends has no counter any more, and nobody who asks.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: passes everything on to the system's allocator; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often a job of this thread allocates, and the largest piece.
fn allocations(job: impl FnOnce()) -> (u64, usize) {
    ALLOCATIONS.set(0);
    LARGEST.set(0);
    job();
    (ALLOCATIONS.get(), LARGEST.get())
}

/// The address ranges at which a file is mapped.
fn mapped(path: &Path) -> Vec<Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this is Linux");
    let name = path.to_string_lossy();
    let lines = maps.lines().filter(|line| line.ends_with(&*name));
    let ranges = lines.map(|line| {
        let (start, rest) = line.split_once('-').expect("a range");
        let end = rest.split(' ').next().expect("an end");
        let address = |text| usize::from_str_radix(text, 16).expect("an address");
        address(start)..address(end)
    });
    ranges.collect()
}

fn name(number: u64) -> String {
    format!("key:{number:08}")
}

fn value(number: u64) -> &'static [u8] {
    bytes(number, 20 + (mix(number) % 400) as usize)
}

fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a temporary folder")
}

fn open(path: &Path, capacity: u64) -> Cache {
    Cache::builder().capacity(capacity).file(path).background(false).hash_seed(3).open().expect("opens")
}

#[test]
fn every_slice_points_into_the_mapping() {
    let folder = folder();
    let path = folder.path().join("arena");
    let cache = open(&path, 32 << 20);
    let large = bytes(1, 700_000);
    for number in 0..2_000 {
        cache.insert(name(number), value(number)).expect("fits");
    }
    cache.insert("large", large).expect("fits");
    let ranges = mapped(&path);
    assert!(!ranges.is_empty(), "the file is mapped");
    let mut slices = 0;
    let mut inside = |slice: &[u8]| {
        let address = slice.as_ptr() as usize;
        assert!(ranges.iter().any(|range| range.start <= address && address + slice.len() <= range.end));
        slices += 1;
    };
    let names: Vec<String> = (0..2_000).map(name).collect();
    for name in &names {
        inside(&cache.get(name).expect("there"));
        cache.read(name, &mut inside).expect("there");
        inside(cache.reader().get(name).expect("there"));
    }
    cache.get_many(&names, |_, found| inside(found.expect("there")));
    inside(&cache.get("large").expect("there"));
    let pinned = cache.get_pinned("large").expect("there");
    assert!(pinned.is_pinned() && *pinned == *large);
    inside(&pinned);
    inside(&cache.reserve("room", 1_000, also_cache::InsertOptions::new()).expect("room"));
    println!("{slices} slices in {ranges:x?}");
    assert!(slices > 8_000);
}

#[test]
fn reads_allocate_nothing() {
    let cache = Cache::builder().capacity(8 << 20).background(false).open().expect("opens");
    for number in 0..5_000 {
        cache.insert(name(number), value(number)).expect("fits");
    }
    let names: Vec<String> = (0..6_000).map(name).collect();
    // The first read registers the thread.
    assert!(cache.get(&names[0]).is_some());
    let mut hits = 0_u64;
    let (count, _) = allocations(|| {
        for _ in 0..20 {
            for name in &names {
                hits += u64::from(cache.get(name).is_some());
                hits += u64::from(cache.read(name, |found| found.len()).is_some());
                hits += u64::from(cache.contains(name));
            }
            cache.get_many(&names, |_, found| hits += u64::from(found.is_some()));
            let reader = cache.reader();
            hits += names.iter().filter(|name| reader.get(name).is_some()).count() as u64;
        }
    });
    println!("{hits} hits, {count} allocations");
    assert_eq!((count, hits), (0, 20 * 5 * 5_000));
}

/// The one exception: a grace period is a node in the epoch collector's queue, with the bag in it.
#[test]
fn an_insert_allocates_nothing_but_a_node_per_grace_period() {
    let cache = Cache::builder().capacity(4 << 20).background(false).hash_seed(3).open().expect("opens");
    let mut random = Random(5);
    let mut hits = 0_u64;
    let mut insert = |count: u64| {
        for _ in 0..count {
            let number = random.below(60_000);
            let mut key = *b"key:00000000";
            for (at, byte) in key[4..].iter_mut().enumerate() {
                *byte = b'0' + (number / 10_u64.pow(7 - at as u32) % 10) as u8;
            }
            cache.insert(key, value(number)).expect("nothing is held");
            hits += u64::from(cache.get(key).is_some());
        }
    };
    // Until the arena is full and every ring and list has the size that it keeps.
    insert(600_000);
    let before = cache.stats();
    let (count, largest) = allocations(|| insert(200_000));
    let after = cache.stats();
    let graces = after.grace_periods - before.grace_periods;
    let evicted = support::evictions(&after) - support::evictions(&before);
    assert!(hits > 0, "nothing is there after its insert");
    println!("{count} allocations of at most {largest} bytes, {graces} grace periods, {evicted} evictions");
    assert!(evicted > 10_000 && graces > 0, "not at its steady state\n{after}");
    assert!(count.abs_diff(graces) <= 1, "{count} allocations in {graces} grace periods");
    assert!(largest <= 4096, "one of {largest} bytes");
}

#[test]
fn hot_reads_store_nothing_into_the_mapping() {
    const THREADS: u64 = 4;
    const HITS: u64 = 1_000_000;
    let _watchdog = Watchdog::new("reading from protected memory", 120);
    let folder = folder();
    let path = folder.path().join("arena");
    let cache = open(&path, 16 << 20);
    const KEYS: u64 = 10_000;
    for number in 0..KEYS {
        cache.insert(name(number), value(number)).expect("fits");
    }
    // Three hits saturate an entry's frequency.
    for _ in 0..3 {
        for number in 0..KEYS {
            cache.get(name(number)).expect("there");
        }
    }
    let protect = |flags: MprotectFlags| {
        for range in mapped(&path) {
            // SAFETY: exactly the pages of the cache's own mapping, which stay readable; nothing is written meanwhile.
            unsafe { mprotect(range.start as *mut _, range.end - range.start, flags) }.expect("our own mapping");
        }
    };
    protect(MprotectFlags::READ);
    let hits: u64 = std::thread::scope(|scope| {
        let reader = |thread: u64| {
            let cache = &cache;
            move || {
                let mut random = Random(thread);
                let mut hits = 0;
                while hits < HITS / THREADS {
                    let number = random.below(KEYS);
                    assert!(cache.get(name(number)).is_some_and(|found| *found == *value(number)), "key {number}");
                    hits += 1;
                    if hits % 1_000 == 0 {
                        let names: Vec<String> = (number..(number + 16).min(KEYS)).map(name).collect();
                        cache.get_many(&names, |_, found| assert!(found.is_some()));
                        assert!(cache.read(&names[0], |found| found.len()).is_some());
                        assert!(cache.get("absent").is_none() && cache.contains(&names[0]));
                    }
                }
                hits
            }
        };
        let readers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(reader(thread))).collect();
        readers.into_iter().map(|reader| reader.join().expect("a hit stores nothing")).sum()
    });
    protect(MprotectFlags::READ.union(MprotectFlags::WRITE));
    cache.insert("again", "writable").expect("fits");
    while cache.maintain(Duration::from_millis(1)) {}
    println!("{hits} hits from {THREADS} threads in read-only memory");
    assert_eq!(hits, HITS);
}
