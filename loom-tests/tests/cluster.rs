//! What a node of a cluster adds to the journeys: nothing older comes back, and every change is told of.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.

#![cfg(loom)]

mod common;

use also_cache::loom_internals::engine::{Model, Stored};
use common::{Reached, explore};
use loom::sync::Arc;
use loom::thread;

const JOINED: &str = "the other thread failed";
const KEY: u8 = 1;

#[test]
fn an_older_version_never_takes_the_place_of_a_newer_one_that_is_being_evicted() {
    static WHILE_THERE: Reached = Reached::new();
    static WHILE_GONE: Reached = Reached::new();
    explore("apply older x evict newer", 2, || {
        let model = Arc::new(Model::node(2));
        assert!(model.apply(KEY, 20));
        let evictor = model.clone();
        let evictor = thread::spawn(move || evictor.evict_key(KEY));
        assert!(!model.apply(KEY, 10), "10 is older than 20, there or gone");
        let absent = model.get(KEY).is_none();
        assert!(evictor.join().expect(JOINED), "nobody else takes it out");
        WHILE_THERE.note(!absent);
        WHILE_GONE.note(absent);
        assert_eq!(model.get(KEY), None);
    });
    WHILE_THERE.assert("the older one met the newer one");
    WHILE_GONE.assert("the older one met its floor");
}

#[test]
fn who_sees_a_change_finds_it_announced() {
    static SEEN: Reached = Reached::new();
    explore("insert x read, then the ring", 2, || {
        let model = Arc::new(Model::node(2));
        let writer = model.clone();
        let writer = thread::spawn(move || writer.store(KEY, 10));
        let seen = model.get(KEY).is_some();
        SEEN.note(seen);
        // Unfinished: whoever dies here has announced it.
        assert!(!seen || model.changes().is_none_or(|told| told == [KEY]), "a change that nobody will hear of");
        assert_eq!(writer.join().expect(JOINED), Stored::Yes);
    });
    SEEN.assert("it was seen before its writer had ended");
}

#[test]
fn every_change_that_was_made_is_told_of() {
    static STORED: Reached = Reached::new();
    static SUPERSEDED: Reached = Reached::new();
    explore("insert x remove, told", 2, || {
        let model = Arc::new(Model::node(2));
        let writer = model.clone();
        let writer = thread::spawn(move || writer.store(KEY, 10));
        model.remove_and_tell(KEY);
        let stored = writer.join().expect(JOINED);
        let told = model.changes().expect("both are finished");
        STORED.note(stored == Stored::Yes);
        SUPERSEDED.note(stored == Stored::Superseded);
        // What lost to a newer entry changed nothing; what a floor refused leaves the key absent.
        let changes = if stored == Stored::Superseded { 1 } else { 2 };
        assert_eq!(told, [KEY, KEY][..changes], "{stored:?}");
        // Whichever was newer is there: the tombstone has a stamp of the clock, which is far above 10.
        assert_eq!(model.get(KEY), None);
    });
    STORED.assert("it was stored first");
    SUPERSEDED.assert("it met the tombstone");
}
