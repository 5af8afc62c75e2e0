//! A thread stopped at a step of the ring of own changes, in a node beside another one.
//!
//! ```text
//!   a's ring:   before | the parked thread's record | after ...          others write, replace, remove: nobody waits
//!               sent     claimed, written: senders stop here; finished: they go on
//!                        a lap later it is overwritten, and the other node catches up by comparing
//!   b -> a      goes on all the time                                     let go -> both hold the same
//! ```

use super::support::{Watchdog, maintain_until_idle};
use super::{LetGo, alone};
use also_cache::failpoint::{Action, NAMES, arm, hits};
use also_cache::{Acks, Cache, Cluster, MemberState, Readiness};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// More than a ring of this capacity has cells.
const LAP: u64 = 2_000;
const OTHERS: u64 = 3;

fn cache() -> Cache {
    Cache::builder().capacity(4 << 20).background(false).open().expect("opens")
}

fn node(cache: &Cache, name: &str, seed: Option<&Cluster>) -> Cluster {
    let builder = Cluster::builder(cache).name(name).cluster("parked").listen("127.0.0.1:0").insecure_plaintext();
    builder.seeds(seed.map(|seed| seed.local_address().to_string())).start().expect("a node on loopback starts")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not so after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn meet(one: &Cluster, other: &Cluster) {
    for node in [one, other] {
        until("they meet", || {
            let is_there = node.members().iter().any(|member| member.state == MemberState::Connected);
            is_there && node.readiness() == Readiness::Complete
        });
    }
}

/// Inserts, replaces and removes of several threads, all of which end. Returns the writes.
fn others_write(cache: &Cache, round: &str, each: u64) -> u64 {
    std::thread::scope(|scope| {
        for writer in 0..OTHERS {
            scope.spawn(move || {
                for number in 0..each {
                    let key = format!("{round}:{writer}:{}", number % 50);
                    match number % 5 {
                        4 => _ = cache.remove(&key).expect("the cache is open"),
                        _ => _ = cache.insert(&key, number.to_le_bytes()).expect("there is room"),
                    }
                    if number.is_multiple_of(64) {
                        cache.maintain(Duration::ZERO);
                    }
                }
                cache.insert(format!("{round}:{writer}:last"), "v").expect("there is room");
            });
        }
    });
    OTHERS * (each + 1)
}

fn has_all(cache: &Cache, round: &str) -> bool {
    (0..OTHERS).all(|writer| cache.contains(format!("{round}:{writer}:last")))
}

/// One point; returns what others wrote meanwhile.
fn park_at(point: &'static str) -> u64 {
    let (one, other) = (cache(), cache());
    let first = node(&one, "a", None);
    let second = node(&other, "b", Some(&first));
    meet(&first, &second);
    one.insert("parked", "old").expect("there is room");
    first.flush(Acks::All, PATIENCE).expect("b has it");
    arm(point, Action::Park);
    let writes = std::thread::scope(|scope| {
        let stop = AtomicBool::new(false);
        let parked = scope.spawn(|| one.insert("parked", "new"));
        let let_go = LetGo { point, stop: &stop };
        until("it is parked", || hits(point) > 0);
        let mut writes = others_write(&one, "after", 100);
        // What the other node writes comes, whatever stands still here.
        other.insert("theirs", "v").expect("there is room");
        second.flush(Acks::All, PATIENCE).expect("a has it");
        assert!(one.contains("theirs"), "{point}");
        if point == "ring.finished" {
            until("changes behind a finished one are sent", || has_all(&other, "after"));
            assert_eq!(other.get("parked").as_deref(), Some(b"new".as_slice()));
        } else {
            // b's own change has come to a and been confirmed meanwhile: there was time enough.
            assert!(!has_all(&other, "after"), "{point}: senders stop at an open change");
            assert_eq!(other.get("parked").as_deref(), Some(b"old".as_slice()));
        }
        writes += others_write(&one, "lap", LAP);
        until("once a lap is over the others catch up", || has_all(&other, "after") && has_all(&other, "lap"));
        drop(let_go);
        parked.join().expect("no panic").expect("there is room");
        writes
    });
    until("all of it is told", || {
        let read = |cache: &Cache, key: &str| cache.get(key).map(|value| (value.version(), value.to_vec()));
        let keys = (0..OTHERS).flat_map(|writer| (0..50).map(move |number| format!("lap:{writer}:{number}")));
        keys.chain(["parked".to_owned()]).all(|key| read(&one, &key) == read(&other, &key))
    });
    assert_eq!(other.get("parked").as_deref(), Some(b"new".as_slice()), "{point}");
    assert!(maintain_until_idle(&one), "{point}");
    writes
}

#[test]
fn a_thread_stopped_in_the_ring_of_changes_stalls_no_writer_and_no_other_node() {
    let _alone = alone();
    let mut parked = 0;
    for point in NAMES.iter().filter(|point| point.starts_with("ring.")) {
        let _watchdog = Watchdog::new(point, 100);
        let writes = park_at(point);
        println!("parked at {point}: {writes} writes of others");
        parked += 1;
    }
    assert!(parked >= 3, "only {parked} steps of the ring");
}
