//! On threads: one call of the loader, its error to all, panics, nesting, bounds.

use crate::{Down, builder, cache};
use also_cache::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_thousand_concurrent_misses_cause_one_load() {
    let (cache, calls) = (cache(), AtomicU32::new(0));
    let (threads, start) = (1_000, Barrier::new(1_000));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                let value = cache.get_or_load("k", |_| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(300));
                    Ok::<_, Down>("value")
                });
                assert_eq!(&**value.as_ref().expect("the database answers"), b"value");
            });
        }
    });
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.loads_alone), (1, 0));
    assert!(stats.loads_shared > 0, "somebody has waited");
}

#[test]
fn a_failing_loader_is_called_once_for_all_who_wait_and_again_by_the_next() {
    let (cache, calls) = (cache(), AtomicU32::new(0));
    let (threads, start) = (1_000, Barrier::new(1_000));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                let failed = cache.get_or_load("k", |_| {
                    let call = calls.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(500));
                    Err::<&str, _>(Down(call))
                });
                assert_eq!(failed.expect_err("it is down").get(), &Down(0));
            });
        }
    });
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let value = cache.get_or_load("k", |_| Ok::<_, Down>("up again")).expect("the database answers");
    assert!(value.is_cached() && *value == *b"up again");
    assert_eq!(cache.stats().loads_failed, 1);
}

#[test]
fn an_error_has_its_source_and_its_text() {
    let error = cache().get_or_load("k", |_| Err::<&str, _>(Down(7))).expect_err("it is down");
    assert_eq!(error.to_string(), "the value could not be loaded: the database is down, 7");
    assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("the database is down, 7"));
    assert_eq!(error.into_inner().expect("nobody else has it"), Down(7));
}

#[test]
fn a_panic_leaves_the_load_to_the_next_one() {
    let (cache, inside) = (cache(), Barrier::new(2));
    std::thread::scope(|scope| {
        let panics = scope.spawn(|| {
            let load = || {
                cache.get_or_load("k", |_| -> Result<&str, Down> {
                    inside.wait();
                    std::thread::sleep(Duration::from_millis(50));
                    panic!("a loader's own")
                })
            };
            assert!(catch_unwind(AssertUnwindSafe(load)).is_err());
        });
        inside.wait();
        let value = cache.get_or_load("k", |_| Ok::<_, Down>("of the next one")).expect("the database answers");
        assert_eq!(*value, *b"of the next one");
        panics.join().expect("the panic was caught");
    });
}

#[test]
fn a_loader_loads_other_keys_and_its_own_one_alone() {
    let cache = cache();
    let outer = cache.get_or_load("outer", |_| {
        let inner = cache.get_or_load("inner", |_| Ok::<_, Down>("in"))?;
        let own = cache.get_or_load("outer", |_| Ok::<_, Down>("itself"))?;
        assert!(inner.is_cached() && !own.is_cached());
        Ok::<_, also_cache::LoadError<Down>>([&*inner, &*own].concat())
    });
    assert_eq!(*outer.expect("the database answers"), *b"initself");
    assert_eq!(cache.stats().loads_alone, 1);
}

#[test]
fn absence_is_remembered_for_a_time_of_its_own() {
    let clock = also_cache::ManualClock::new();
    let cache = builder().clock(clock.clone()).negative_time_to_live(Duration::from_secs(3)).open().expect("opens");
    let ask = |answer: Option<&'static str>| {
        let loaded = cache.get_or_load("k", |_| Ok::<_, Down>(answer)).expect("the database answers");
        loaded.map(|value| value.to_vec())
    };
    assert_eq!(ask(None), None);
    assert_eq!(ask(Some("asked again")), None, "it is known that there is nothing");
    assert!(cache.get("k").is_none() && !cache.contains("k"));
    clock.advance(Duration::from_secs(4));
    assert_eq!(ask(Some("there now")).as_deref(), Some(b"there now".as_slice()));
    // Who can not be told that there is nothing loads.
    cache.get_or_load("other", |_| Ok::<Option<&str>, Down>(None)).expect("the database answers");
    assert_eq!(*cache.get_or_load("other", |_| Ok::<_, Down>("x")).expect("the database answers"), *b"x");
}

#[test]
fn what_can_not_be_stored_is_loaded_all_the_same() {
    let cache = builder().value_bytes_max(100).open().expect("opens");
    let large = vec![7; 101];
    let loaded = cache.get_or_load("k", |_| Ok::<_, Down>(large.clone())).expect("the database answers");
    assert!(!loaded.is_cached() && *loaded == large[..] && loaded.version().is_none());
    assert_eq!(loaded.pin().version(), None);
    let keys = [Vec::new(), vec![1; 1025]];
    for key in &keys {
        assert_eq!(*cache.get_or_load(key, |_| Ok::<_, Down>("v")).expect("the database answers"), *b"v");
    }
    let closed = cache.clone();
    cache.close().expect("closes");
    assert_eq!(*closed.get_or_load("other", |_| Ok::<_, Down>("v")).expect("the database answers"), *b"v");
    assert_eq!((closed.stats().loads_refused, closed.stats().loads_alone), (1, 2));
}

#[test]
fn what_the_loader_says_of_its_value_counts() {
    let clock = also_cache::ManualClock::new();
    let cache = builder().clock(clock.clone()).open().expect("opens");
    let load = |row: u64, text: &'static str| {
        let loaded = cache.get_or_load("k", |load| {
            load.database_version(row).ttl(Duration::from_secs(5)).cost(2);
            Ok::<_, Down>(text)
        });
        loaded.expect("the database answers").to_vec()
    };
    assert_eq!(load(7, "seven"), b"seven");
    assert_eq!(cache.get("k").and_then(|value| value.version().row()), Some(7));
    clock.advance(Duration::from_secs(6));
    // A replica that is behind answers with an older row: the caller's, not the cache's.
    assert_eq!(load(6, "six"), b"six");
    assert!(cache.get("k").is_none());
    assert_eq!(load(8, "eight"), b"eight");
    clock.advance(Duration::from_secs(6));
    // The same row, read again, lives on.
    assert_eq!(load(8, "eight"), b"eight");
    assert!(cache.get("k").is_some());
    let uncached = cache.get_or_load("u", |load| {
        load.do_not_cache();
        Ok::<_, Down>(Bytes(String::from("u")))
    });
    assert!(!uncached.expect("the database answers").is_cached() && cache.get("u").is_none());
}

#[test]
fn who_has_waited_long_enough_loads_alone() {
    let cache = builder().load_wait(Duration::from_millis(100)).open().expect("opens");
    let (inside, over) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let slow = cache.get_or_load("k", |_| {
                inside.wait();
                over.wait();
                Ok::<_, Down>("slow")
            });
            assert!(slow.expect("the database answers").is_cached());
        });
        inside.wait();
        let began = Instant::now();
        let alone = cache.get_or_load("k", |_| Ok::<_, Down>("alone")).expect("the database answers");
        assert!(!alone.is_cached() && *alone == *b"alone" && began.elapsed() >= Duration::from_millis(100));
        over.wait();
    });
    assert_eq!(cache.stats().loads_alone, 1);
}

#[test]
fn so_many_load_at_one_time_and_so_many_wait() {
    let cache = builder().loads_max(2).open().expect("opens");
    let (under_way, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for number in 0..20 {
            let (cache, under_way, most) = (&cache, &under_way, &most);
            scope.spawn(move || {
                let loaded = cache.get_or_load(format!("{number}"), |_| {
                    most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                    under_way.fetch_sub(1, Ordering::Relaxed);
                    Ok::<_, Down>("v")
                });
                loaded.expect("the database answers");
            });
        }
    });
    assert_eq!((most.load(Ordering::Relaxed), cache.stats().loads), (2, 20));
    let cache = builder().load_waiters_max(1).open().expect("opens");
    let (inside, over, alone) = (Barrier::new(2), Barrier::new(2), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let first = cache.get_or_load("k", |_| {
                inside.wait();
                over.wait();
                Ok::<_, Down>("first")
            });
            first.expect("the database answers");
        });
        inside.wait();
        for _ in 0..3 {
            scope.spawn(|| {
                let load = |_| {
                    alone.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, Down>("alone")
                };
                cache.get_or_load("k", load).expect("the database answers");
            });
        }
        // One of the three waits, and the first one is not over before the others are.
        while alone.load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }
        over.wait();
    });
    let stats = cache.stats();
    assert_eq!((stats.loads_alone, stats.loads_shared), (2, 1));
}

#[test]
fn several_keys_are_loaded_by_one_call() {
    let cache = cache();
    cache.insert("b", "there").expect("fits");
    let mut calls = 0;
    let keys = ["a", "b", "c", "", "a"];
    let values = cache.get_or_load_many(&keys, |missing, load| {
        calls += 1;
        assert_eq!(missing, [0, 2, 3, 4]);
        load.at(1).database_version(9);
        load.ttl(Duration::from_secs(60));
        Ok::<_, Down>(vec![Some("A"), Some("C"), None, Some("A")])
    });
    let values = values.expect("the database answers");
    let bytes: Vec<_> = values.iter().map(|value| value.as_deref().map(<[u8]>::to_vec)).collect();
    assert_eq!(bytes, [Some(b"A".to_vec()), Some(b"there".to_vec()), Some(b"C".to_vec()), None, Some(b"A".to_vec())]);
    assert_eq!(values[2].as_ref().and_then(|value| value.version()).and_then(|version| version.row()), Some(9));
    drop(values);
    assert!(cache.get("a").is_some_and(|value| value.expires_in().is_some()));
    assert_eq!(calls, 1);
    let failed = cache.get_or_load_many(&["x", "y"], |_, _| Err::<Vec<&str>, _>(Down(1)));
    assert_eq!(failed.expect_err("it is down").get(), &Down(1));
    assert!(
        cache.get_or_load_many(&[] as &[&str], |_, _| Err::<Vec<&str>, _>(Down(1))).is_ok_and(|none| none.is_empty())
    );
}

#[test]
fn keys_that_another_call_loads_are_waited_for() {
    let cache = cache();
    let (inside, over) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = cache.get_or_load("a", |_| {
                inside.wait();
                over.wait();
                Ok::<_, Down>("of the other call")
            });
            other.expect("the database answers");
        });
        inside.wait();
        let values = cache.get_or_load_many(&["a", "b"], |missing, _| {
            assert_eq!(missing, [1]);
            over.wait();
            Ok::<_, Down>(vec!["of this one"])
        });
        let values = values.expect("the database answers");
        assert_eq!((&*values[0], &*values[1]), (b"of the other call".as_slice(), b"of this one".as_slice()));
    });
}

#[test]
fn a_loader_that_loads_another_key_does_not_wait_for_its_own_turn() {
    let cache = builder().loads_max(1).open().expect("opens");
    let began = Instant::now();
    let outer = cache.get_or_load("outer", |_| {
        let inner = cache.get_or_load("inner", |_| Ok::<_, Down>("in"))?;
        Ok::<_, also_cache::LoadError<Down>>(inner.to_vec())
    });
    assert!(outer.expect("the database answers").is_cached() && began.elapsed() < Duration::from_secs(30));
    // The turn is there again.
    assert!(cache.get_or_load("next", |_| Ok::<_, Down>("v")).expect("the database answers").is_cached());
}

#[test]
fn a_load_that_hangs_is_waited_for_once() {
    let cache = builder().load_wait(Duration::from_millis(100)).open().expect("opens");
    let (inside, over) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let slow = cache.get_or_load("k", |_| {
                inside.wait();
                over.wait();
                Ok::<_, Down>("slow")
            });
            slow.expect("the database answers");
        });
        inside.wait();
        std::thread::sleep(Duration::from_millis(150));
        let next = cache.get_or_load("k", |_| Ok::<_, Down>("next")).expect("the database answers");
        assert!(next.is_cached() && *next == *b"next", "it takes over");
        drop(next);
        over.wait();
    });
}
