//! Two nodes: what one writes, the other one reads.

use crate::support::bytes;
use crate::{PATIENCE, cache, meet, plain, sealed, until, watched};
use also_cache::{Acks, Cache, Cluster, Event, Recovery, limits};
use std::time::Duration;

/// Both in plaintext, then both with a secret.
fn with_both(check: impl Fn(&Cache, &Cluster, &Cache, &Cluster)) {
    for is_sealed in [false, true] {
        let (one, other) = (cache(), cache());
        let start = |cache: &Cache, name: &str, seed: Option<&Cluster>| match is_sealed {
            true => sealed(cache, name, &["a secret of the tests"], seed),
            false => plain(cache, name, seed),
        };
        let first = start(&one, "a", None);
        let second = start(&other, "b", Some(&first));
        meet(&first, &second);
        check(&one, &first, &other, &second);
        assert_eq!(first.stats().secured > 0, is_sealed);
        assert!(first.stats().bytes_in > 0 && first.stats().bytes_out > 0);
    }
}

#[test]
fn a_write_is_read_on_the_other_node_in_both_directions() {
    let _watchdog = watched("writes");
    with_both(|one, first, other, second| {
        let version = one.insert("k", "from a").expect("there is room");
        first.wait_replicated(version, Acks::One, PATIENCE).expect("b has it");
        let value = other.get("k").expect("it is there");
        assert_eq!((&*value, value.version()), (b"from a".as_slice(), version));
        drop(value);
        let newer = other.insert("k", "from b").expect("there is room");
        assert!(newer.stamp() > version.stamp());
        second.wait_replicated(newer, Acks::All, PATIENCE).expect("a has it");
        assert_eq!(one.get("k").as_deref(), Some(b"from b".as_slice()));
    });
}

#[test]
fn a_load_reaches_the_other_node_and_a_write_there_ends_one_here() {
    let _watchdog = watched("loads");
    with_both(|one, first, other, second| {
        let loaded = one.get_or_load("k", |_| Ok::<_, std::io::Error>("of the database"));
        let version = loaded.expect("it answers").version().expect("it is cached");
        first.wait_replicated(version, Acks::One, PATIENCE).expect("b has it");
        let value = other.get("k").expect("it is there");
        assert_eq!((&*value, value.version()), (b"of the database".as_slice(), version));
        drop(value);
        // While it is read here, for the first time, the other node writes it.
        let loaded = one.get_or_load("l", |_| {
            let written = other.insert("l", "written").expect("there is room");
            second.wait_replicated(written, Acks::One, PATIENCE).expect("a has it");
            Ok::<_, std::io::Error>("of before")
        });
        assert!(!loaded.expect("it answers").is_cached());
        assert_eq!(one.get("l").as_deref(), Some(b"written".as_slice()));
        assert_eq!(other.get("l").as_deref(), Some(b"written".as_slice()));
    });
}

#[test]
fn an_invalidation_reaches_the_other_node_and_ends_a_load_there() {
    let _watchdog = watched("invalidations");
    with_both(|one, first, other, _| {
        let version = one.insert("k", "old").expect("there is room");
        first.wait_replicated(version, Acks::One, PATIENCE).expect("b has it");
        let loaded = other.get_or_load("l", |_| {
            one.invalidate_many(["k", "l"]).expect("it is open");
            first.flush(Acks::One, PATIENCE).expect("b has heard of it");
            Ok::<_, std::io::Error>("of before")
        });
        assert!(!loaded.expect("it answers").is_cached());
        assert!(!other.contains("k") && !other.contains("l") && !one.contains("k"));
        // What is written later stays.
        let version = one.insert("k", "new").expect("there is room");
        first.wait_replicated(version, Acks::One, PATIENCE).expect("b has it");
        assert_eq!(other.get("k").as_deref(), Some(b"new".as_slice()));
    });
}

#[test]
fn a_remove_and_a_clear_reach_the_other_node() {
    let _watchdog = watched("removes and clears");
    with_both(|one, first, other, second| {
        for key in ["gone", "stays"] {
            one.insert(key, "v").expect("there is room");
        }
        first.flush(Acks::One, PATIENCE).expect("b has them");
        other.remove("gone").expect("it is removed");
        second.flush(Acks::One, PATIENCE).expect("a has removed it too");
        assert!(!one.contains("gone") && one.contains("stays"));
        one.clear().expect("it is cleared");
        first.flush(Acks::One, PATIENCE).expect("b is cleared too");
        assert!(!other.contains("stays"));
        let version = other.insert("stays", "again").expect("there is room");
        second.wait_replicated(version, Acks::One, PATIENCE).expect("a has it");
        assert_eq!(one.get("stays").as_deref(), Some(b"again".as_slice()));
    });
}

#[test]
fn values_of_every_size_arrive_whole() {
    let _watchdog = watched("large values");
    with_both(|one, first, other, _| {
        for bytes_long in [0, 1, 511, 512, 513, 64 << 10, 256 << 10, (256 << 10) + 1, 600 << 10, 1 << 20] {
            let key = format!("of {bytes_long}");
            let value = bytes(bytes_long as u64, bytes_long);
            let version = one.insert(&key, value).expect("there is room");
            first.wait_replicated(version, Acks::One, PATIENCE).expect("b has it");
            assert!(other.get(&key).is_some_and(|arrived| *arrived == *value), "{key}");
        }
    });
}

#[test]
fn many_writes_on_both_sides_end_alike() {
    let _watchdog = watched("many writes");
    with_both(|one, first, other, second| {
        std::thread::scope(|scope| {
            for cache in [one, other] {
                scope.spawn(move || {
                    for number in 0..5_000_u64 {
                        let key = format!("key:{}", number % 700);
                        cache.insert(key, number.to_le_bytes()).expect("there is room");
                    }
                });
            }
        });
        first.flush(Acks::All, PATIENCE).expect("b has all of a's");
        second.flush(Acks::All, PATIENCE).expect("a has all of b's");
        for number in 0..700 {
            let key = format!("key:{number}");
            let read = |cache: &Cache| cache.get(&key).map(|value| (value.to_vec(), value.version()));
            assert_eq!(read(one), read(other), "{key}");
            assert!(one.contains(&key), "{key}");
        }
    });
}

#[test]
fn a_node_that_comes_late_gets_what_was_there_before() {
    let _watchdog = watched("a late node");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    for number in 0..2_000 {
        one.insert(format!("key:{number}"), format!("value {number}")).expect("there is room");
    }
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    for number in 0..2_000 {
        let expected = format!("value {number}");
        assert_eq!(other.get(format!("key:{number}")).as_deref(), Some(expected.as_bytes()), "{number}");
    }
}

#[test]
fn a_node_that_comes_late_misses_nothing_for_what_others_read() {
    const KEYS: u64 = 60_000;
    let _watchdog = watched("a late node and hot entries");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    for number in 0..KEYS {
        one.insert(number.to_le_bytes(), "v").expect("there is room");
    }
    // Some are hot before, others become so while they are sent.
    let read = |step: usize| (0..KEYS).step_by(step).filter(|number| one.contains(number.to_le_bytes())).count() as u64;
    assert_eq!((one.stats().entries, read(2)), (KEYS, KEYS / 2));
    let second = plain(&other, "b", Some(&first));
    let start = std::time::Instant::now();
    while other.stats().entries < KEYS / 2 && start.elapsed() < PATIENCE {
        read(3);
    }
    meet(&first, &second);
    let missing = (0..KEYS).filter(|number| !other.contains(number.to_le_bytes())).count();
    assert_eq!((missing, other.stats().entries), (0, KEYS), "{}", second.stats());
}

#[test]
fn a_node_that_comes_back_warm_reads_nothing_old() {
    let _watchdog = watched("a warm restart");
    let directory = tempfile::tempdir().expect("a directory");
    let open = || {
        let builder = Cache::builder().capacity(16 << 20).file(directory.path().join("b.arena"));
        builder.crash_loop_guard(false).open().expect("the file opens")
    };
    let (one, other) = (cache(), open());
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    for key in ["kept", "changed", "removed"] {
        one.insert(key, "old").expect("there is room");
    }
    first.flush(Acks::One, PATIENCE).expect("b has them");
    second.leave(PATIENCE).expect("b has nothing that a has not");
    drop((second, other));
    until(&first, "b has left", || first.members().is_empty());
    one.insert("changed", "new").expect("there is room");
    one.remove("removed").expect("it is removed");

    let other = open();
    assert!(matches!(other.recovery(), Recovery::Warm { .. }), "{:?}", other.recovery());
    assert_eq!(other.get("changed").as_deref(), None, "held until it is confirmed");
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    assert_eq!(other.get("kept").as_deref(), Some(b"old".as_slice()));
    assert_eq!(other.get("changed").as_deref(), Some(b"new".as_slice()));
    assert!(!other.contains("removed"));
}

#[test]
fn three_nodes_find_each_other_through_one() {
    let _watchdog = watched("three nodes");
    let caches = [cache(), cache(), cache()];
    let first = plain(&caches[0], "a", None);
    let second = plain(&caches[1], "b", Some(&first));
    let third = plain(&caches[2], "c", Some(&first));
    meet(&second, &third);
    meet(&first, &second);
    meet(&first, &third);
    let version = caches[1].insert("k", "v").expect("there is room");
    second.wait_replicated(version, Acks::Count(2), PATIENCE).expect("a and c have it");
    assert!(caches.iter().all(|cache| cache.contains("k")));
}

#[test]
fn what_was_there_before_the_first_start_goes_and_is_told() {
    let _watchdog = watched("before");
    let cache = cache();
    for key in 0..100_u8 {
        cache.insert([key], "before").expect("there is room");
    }
    let cluster = plain(&cache, "a", None);
    assert_eq!((cache.len(), cache.contains([1])), (0, false));
    let told = cluster.events().next_timeout(PATIENCE);
    assert!(matches!(told, Some(Event::StartedOver { entries: 100 })), "{told:?}");
    cache.insert("k", "after").expect("there is room");
    assert!(cache.contains("k"));
}

#[test]
fn who_comes_and_goes_is_told() {
    let _watchdog = watched("events");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    // Who leaves before it knows that it is connected has nobody to say goodbye to.
    meet(&first, &second);
    let mut events = first.events();
    let mut next = |wanted: &dyn Fn(&Event) -> bool| {
        while let Some(event) = events.next_timeout(PATIENCE) {
            if wanted(&event) {
                return event;
            }
        }
        panic!("nobody told of it; {first:?} {:?}", first.members())
    };
    next(&|event| matches!(event, Event::MemberJoined { name, .. } if name == "b"));
    second.leave(Duration::from_secs(10)).expect("it has written nothing");
    next(&|event| matches!(event, Event::MemberLeft { name } if name == "b"));
    first.leave(Duration::ZERO).expect("nobody is left");
    next(&|event| matches!(event, Event::Left { unconfirmed } if unconfirmed.is_empty()));
    assert_eq!(events.next_timeout(PATIENCE), None, "the end");
    assert_eq!(events.missed(), 0);
}

#[test]
fn a_peer_takes_no_more_memory_than_is_said() {
    let _watchdog = watched("memory of a peer");
    let (one, other) = (cache(), cache());
    let first = sealed(&one, "a", &["a secret of the tests"], None);
    let second = sealed(&other, "b", &["a secret of the tests"], Some(&first));
    meet(&first, &second);
    let heap = || [&first, &second].map(|node| node.stats().heap_bytes);
    let quiet = heap();
    println!("{quiet:?} bytes of heap when they have met");
    let (mut most, mut large, mut small) = (0, 0, 0);
    for round in 0..40_u64 {
        for (cache, size) in [(&one, 900_000), (&other, 300_000)] {
            // Pins of what is on its way may leave no room for one of them.
            large += u32::from(cache.insert(format!("large {round}"), bytes(round, size)).is_ok());
            for number in 0..500 {
                small += u32::from(cache.insert(format!("{round} {number}"), bytes(number, 100)).is_ok());
            }
        }
        most = most.max(heap().into_iter().max().unwrap_or(0));
    }
    first.flush(Acks::One, PATIENCE).expect("b has it");
    println!("{most} bytes at most, {large} large and {small} small values");
    assert!(large > 40 && small > 30_000, "{large} and {small}");
    assert!(most > quiet[0], "something was under way");
    assert!(most <= limits::RELAY_BYTES + limits::PEER_BYTES_MAX, "{most} bytes");
}
