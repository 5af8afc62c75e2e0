//! What is written while it is read: the value is the caller's, and nobody else's.

use crate::{Down, builder, cache};
use also_cache::Cache;
use std::sync::Barrier;
use std::time::Duration;

/// Loads "old" of a key, and does something to that key meanwhile.
fn while_loading(what: &str, cache: &Cache, key: &str, meanwhile: impl FnOnce(&Cache)) {
    let loaded = cache.get_or_load(key, |_| {
        meanwhile(cache);
        Ok::<_, Down>("old")
    });
    assert!(!loaded.expect("the database answers").is_cached(), "{what}");
}

#[test]
fn whatever_is_done_to_a_key_while_it_is_read_is_the_last_word() {
    let cache = cache();
    while_loading("insert", &cache, "a", |cache| drop(cache.insert("a", "new")));
    assert_eq!(cache.get("a").as_deref(), Some(b"new".as_slice()));
    while_loading("remove", &cache, "b", |cache| drop(cache.remove("b")));
    assert!(cache.get("b").is_none());
    while_loading("insert, remove", &cache, "c", |cache| {
        cache.insert("c", "new").expect("fits");
        cache.remove("c").expect("open");
    });
    assert!(cache.get("c").is_none());
    while_loading("invalidate", &cache, "i", |cache| drop(cache.invalidate("i")));
    assert!(cache.get("i").is_none());
    while_loading("clear", &cache, "d", |cache| drop(cache.clear()));
    assert!(cache.get("d").is_none());
    while_loading("reserve, commit", &cache, "e", |cache| {
        cache.reserve("e", 3, also_cache::InsertOptions::new()).expect("room").commit().map(drop).expect("fits");
    });
    assert_eq!(cache.get("e").as_deref(), Some([0; 3].as_slice()));
    while_loading("a refused insert", &cache, "f", |cache| {
        cache.insert("f", vec![0; 2 << 20]).expect_err("it is too large");
    });
    assert!(cache.get("f").is_none());
    assert_eq!(cache.stats().loads_voided, 7);
}

#[test]
fn a_write_of_another_key_voids_nothing() {
    let cache = cache();
    let loaded = cache.get_or_load("k", |_| {
        cache.insert("another one", "new").expect("fits");
        Ok::<_, Down>("value")
    });
    assert!(loaded.expect("the database answers").is_cached());
    assert_eq!(cache.stats().loads_voided, 0);
}

#[test]
fn who_asks_behind_the_write_does_not_get_what_was_read_before_it() {
    let cache = builder().load_wait(Duration::from_secs(5)).open().expect("opens");
    let (read, over) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let before = cache.get_or_load("k", |_| {
                read.wait();
                over.wait();
                Ok::<_, Down>("of before")
            });
            assert_eq!(*before.expect("the database answers"), *b"of before");
        });
        read.wait();
        cache.remove("k").expect("open");
        // It waits for nobody: the load under way began before the write.
        let behind = cache.get_or_load("k", |_| Ok::<_, Down>("of behind")).expect("the database answers");
        let (is_cached, is_new) = (behind.is_cached(), *behind == *b"of behind");
        drop(behind);
        over.wait();
        assert!(is_cached && is_new);
    });
    assert_eq!(cache.get("k").as_deref(), Some(b"of behind".as_slice()));
}

#[test]
fn a_load_that_is_filled_is_replaced_by_the_next_write_as_any_entry() {
    let cache = cache();
    let load = |text: &'static str| cache.get_or_load("k", |_| Ok::<_, Down>(text)).map(|value| value.to_vec());
    assert_eq!(load("one").expect("the database answers"), b"one");
    cache.insert("k", "two").expect("a later write");
    assert_eq!(cache.get("k").as_deref(), Some(b"two".as_slice()));
    cache.remove("k").expect("open");
    assert!(cache.get("k").is_none());
    assert_eq!(load("three").expect("the database answers"), b"three");
    assert!(cache.remove("k").expect("open") && cache.get("k").is_none());
}
