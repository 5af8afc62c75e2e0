//! What an earlier life left, met by many at once: no read waits, nothing is settled twice or not at all.
//!
//! ```text
//!   life 1   large values, in blocks and in runs of pages, and small ones; ends
//!   life 2   one thread stopped with the lock of those who take blocks     ->  others read, remove, replace
//!            readers, removers, replacers and housekeeping all at once     ->  at rest every block is somebody's
//! ```

use super::closing::in_memory;
use super::support::{Watchdog, bytes, check_slots, maintain_until_idle};
use super::{LetGo, alone};
use also_cache::failpoint::{Action, arm, hits};
use also_cache::{Cache, InsertError, ManualClock};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KEYS: u64 = 60;

fn open(path: &Path) -> Cache {
    let builder = Cache::builder().capacity(4 << 20).file(path).background(false).hash_seed(5).crash_loop_guard(false);
    builder.open().expect("opens")
}

/// Most in blocks, every tenth in a run of pages.
fn len(number: u64) -> usize {
    if number.is_multiple_of(10) { 20_000 } else { 1_500 + number as usize * 37 }
}

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

fn first_life(path: &Path) {
    let cache = open(path);
    for number in 0..KEYS {
        cache.insert(key(number), bytes(number, len(number))).expect("fits");
        cache.insert(key(KEYS + number), bytes(KEYS + number, 100)).expect("fits");
    }
}

#[test]
fn a_read_of_an_inherited_large_value_waits_for_no_writer_of_large_values() {
    let _alone = alone();
    let _watchdog = Watchdog::new("a read beside the lock of large values", 30);
    let folder = in_memory();
    let path = folder.path().join("arena");
    first_life(&path);
    let cache = open(&path);
    // The pages of a run are assigned under the lock.
    let point = "page.assigned";
    arm(point, Action::Park);
    std::thread::scope(|scope| {
        let stop = AtomicBool::new(false);
        let let_go = LetGo { point, stop: &stop };
        let writer = scope.spawn(|| cache.insert("a run", bytes(1, 40_000)));
        while hits(point) == 0 {
            std::thread::yield_now();
        }
        for number in 0..KEYS {
            match number % 4 {
                0 => assert_eq!(cache.get(key(number)).as_deref(), Some(bytes(number, len(number)))),
                1 => assert_eq!(cache.get_pinned(key(number)).as_deref(), Some(bytes(number, len(number)))),
                2 => assert_eq!(cache.remove(key(number)), Ok(true)),
                _ => assert!(cache.insert(key(number), "small").is_ok()),
            }
        }
        maintain_until_idle(&cache);
        assert!(!cache.stats().settled, "the pages of blocks could not be looked at");
        drop(let_go);
        writer.join().expect("no panic").expect("there is room");
    });
    assert!(maintain_until_idle(&cache) && cache.stats().settled);
    for number in 0..KEYS {
        let wanted = match number % 4 {
            0 | 1 => Some(bytes(number, len(number))),
            2 => None,
            _ => Some(b"small".as_slice()),
        };
        assert_eq!(cache.get(key(number)).as_deref(), wanted, "key {number}");
    }
    check_slots(&cache).unwrap_or_else(|told| panic!("{told}"));
}

/// Ends the loops of the others, also after a failed check: the scope waits for them.
struct Stopped<'s>(&'s AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One round: readers, a remover, a replacer and housekeeping over what a life left.
fn meet(path: &Path, round: u64) {
    first_life(path);
    let cache = open(path);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stopped = Stopped(&stop);
        for reader in 0..2 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || {
                for at in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let number = (at * 7 + reader * 31 + round) % KEYS;
                    match cache.get(key(number)).as_deref() {
                        None => assert_eq!(number % 3, 1, "key {number} is gone"),
                        Some(found) => {
                            let old = found == bytes(number, len(number));
                            assert!(old || number % 3 == 2 && found == bytes(number, 2_000), "key {number}");
                        }
                    }
                }
            });
        }
        let housekeeping = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                cache.maintain(Duration::ZERO);
            }
        });
        let removing = scope.spawn(|| (1..KEYS).step_by(3).all(|number| cache.remove(key(number)) == Ok(true)));
        for number in (2..KEYS).step_by(3) {
            match cache.insert(key(number), bytes(number, 2_000)) {
                Ok(_) => {}
                Err(InsertError::Busy { .. }) => panic!("nothing is held for long"),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(removing.join().expect("no panic"), "each was there to be removed");
        stop.store(true, Ordering::Relaxed);
        housekeeping.join().expect("no panic");
    });
    assert!(maintain_until_idle(&cache) && cache.stats().settled);
    for number in 0..KEYS {
        let wanted = match number % 3 {
            0 => Some(bytes(number, len(number))),
            1 => None,
            _ => Some(bytes(number, 2_000)),
        };
        assert_eq!(cache.get(key(number)).as_deref(), wanted, "round {round}, key {number}");
    }
    check_slots(&cache).unwrap_or_else(|told| panic!("round {round}: {told}"));
    assert_eq!(cache.stats().damaged, 0);
}

#[test]
fn large_values_of_an_old_run_are_met_by_many_at_once() {
    let _alone = alone();
    let _watchdog = Watchdog::new("large values of an old run", 60);
    for round in 0..60 {
        meet(&in_memory().path().join("arena"), round);
    }
}

#[test]
fn nothing_is_called_settled_while_a_thread_is_within_a_preparation() {
    let _alone = alone();
    let _watchdog = Watchdog::new("a preparation under way", 30);
    let folder = in_memory();
    let clock = ManualClock::new();
    let open = || {
        let builder = Cache::builder().capacity(1 << 20).file(folder.path().join("arena")).background(false);
        builder.clock(clock.clone()).time_to_live(Duration::from_secs(5)).open().expect("opens")
    };
    open().insert("k", "v").expect("fits");
    clock.advance(Duration::from_secs(6));
    let cache = open();
    // What is found expired is retired in the middle of the preparation.
    let point = "retire.marked";
    arm(point, Action::Park);
    std::thread::scope(|scope| {
        let stop = AtomicBool::new(false);
        let let_go = LetGo { point, stop: &stop };
        let first = scope.spawn(|| cache.maintain(Duration::ZERO));
        while hits(point) == 0 {
            std::thread::yield_now();
        }
        maintain_until_idle(&cache);
        assert!(!cache.stats().settled, "one slot is not");
        drop(let_go);
        first.join().expect("no panic");
    });
    assert!(maintain_until_idle(&cache) && cache.stats().settled);
    check_slots(&cache).unwrap_or_else(|told| panic!("{told}"));
}
