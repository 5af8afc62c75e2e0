//! Loads: what was read before a write is never cached behind it, and nobody waits for a load that nobody makes.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.

#![cfg(loom)]

mod common;

use also_cache::loom_internals::engine::{Flown, Model, Stored};
use common::{Reached, explore};
use loom::sync::{Arc, Mutex};
use loom::thread;

const JOINED: &str = "the other thread failed";
const KEY: u8 = 1;

/// One row. A database orders its reads and writes, as a lock does.
struct Database(Mutex<u64>);

impl Database {
    fn new(row: u64) -> Self {
        Self(Mutex::new(row))
    }

    fn read(&self) -> u64 {
        *self.0.lock().expect(JOINED)
    }

    fn write(&self, row: u64) {
        *self.0.lock().expect(JOINED) = row;
    }
}

#[test]
fn what_was_read_before_a_removal_is_not_there_behind_it() {
    static FILLED: Reached = Reached::new();
    static VOIDED: Reached = Reached::new();
    explore("load x write to the database, remove", 2, || {
        let model = Arc::new(Model::new(2, 2).loading());
        let database = Arc::new(Database::new(1));
        let (writer, written) = (model.clone(), database.clone());
        let writer = thread::spawn(move || {
            written.write(2);
            writer.remove(KEY);
            // Not even for a moment.
            assert_ne!(writer.get(KEY), Some(1), "the value of before the write");
        });
        let loading = model.begin_load(KEY);
        let read = database.read();
        let is_cached = model.fill(loading, KEY, read).expect("two slots");
        FILLED.note(is_cached && read == 1);
        VOIDED.note(!is_cached);
        writer.join().expect(JOINED);
        assert!(model.get(KEY).is_none_or(|value| value == 2), "the value of before the write");
    });
    FILLED.assert("it was cached before the removal");
    VOIDED.assert("it was voided");
}

#[test]
fn what_was_read_before_a_change_of_a_peer_is_not_there_behind_it() {
    static FILLED: Reached = Reached::new();
    static VOIDED: Reached = Reached::new();
    explore("load x write to the database, apply", 2, || {
        let model = Arc::new(Model::node(2).loading());
        let database = Arc::new(Database::new(1));
        let (writer, written) = (model.clone(), database.clone());
        // A peer's stamp, whose clock is a second behind, as this node knows.
        const PEERS: u64 = 86_399_000_000 << 14;
        let writer = thread::spawn(move || {
            written.write(PEERS);
            writer.void(KEY, PEERS);
        });
        let loading = model.begin_load(KEY);
        let read = database.read();
        let is_cached = model.fill(loading, KEY, read).expect("two slots");
        FILLED.note(is_cached && read == 1);
        VOIDED.note(!is_cached);
        writer.join().expect(JOINED);
        assert!(model.get(KEY).is_none_or(|value| value == PEERS), "the value of before the change");
    });
    FILLED.assert("it was cached before the change");
    VOIDED.assert("it was voided");
}

#[test]
fn what_was_written_while_it_was_read_stays() {
    static WRITTEN_FIRST: Reached = Reached::new();
    explore("load x write to the database, insert", 2, || {
        let model = Arc::new(Model::new(4, 4).loading());
        let database = Arc::new(Database::new(1));
        let (writer, written) = (model.clone(), database.clone());
        let writer = thread::spawn(move || {
            written.write(STAMP);
            assert_eq!(writer.store(KEY, STAMP), Stored::Yes);
        });
        let loading = model.begin_load(KEY);
        let read = database.read();
        let is_cached = model.fill(loading, KEY, read);
        WRITTEN_FIRST.note(is_cached == Some(false));
        writer.join().expect(JOINED);
        // A fill that was refused leaves nothing there that may be older.
        let there = model.get(KEY);
        assert!(
            there == Some(STAMP) || is_cached.is_none() && there.is_none(),
            "{there:?}, read {read}: {is_cached:?}"
        );
    });
    WRITTEN_FIRST.assert("it was voided");
}

/// Later than the clock of the model.
const STAMP: u64 = 86_400_000_001 << 14;

#[test]
fn who_waits_for_a_load_gets_it_or_makes_it() {
    static SHARED: Reached = Reached::new();
    static ABANDONED: Reached = Reached::new();
    static BOTH: Reached = Reached::new();
    explore("join, give up x join, load", 2, || {
        let model = Arc::new(Model::new(2, 2).loading());
        let flying = model.flights();
        let (other, flights) = (model.clone(), flying.clone());
        // The first one gives up, as a task does that is dropped.
        let other = thread::spawn(move || match other.join(&flights, KEY) {
            Flown::First(_right) => 0,
            Flown::Loaded(loaded) => loaded,
            Flown::Abandoned | Flown::Alone => panic!("only this thread gives up"),
        });
        let mut abandoned = false;
        let loaded = loop {
            match model.join(&flying, KEY) {
                Flown::First(right) => {
                    let loading = model.begin_load(KEY);
                    assert_eq!(model.fill(loading, KEY, 7), Some(true));
                    right.land(7);
                    break 7;
                }
                Flown::Loaded(loaded) => break loaded,
                Flown::Abandoned => abandoned = true,
                Flown::Alone => panic!("there is room"),
            }
        };
        assert_eq!(loaded, 7);
        let theirs = other.join().expect(JOINED);
        SHARED.note(theirs == 7);
        ABANDONED.note(abandoned);
        BOTH.note(theirs == 0 && !abandoned);
        assert_eq!(model.get(KEY), Some(7));
    });
    SHARED.assert("the other one got what this one loaded");
    ABANDONED.assert("the other one gave up while this one waited");
    BOTH.assert("they did not meet");
}
