//! Interleavings of the index: one property each, over the shipping code.
//!
//! Under loom a bucket has two words and an index one or two stripes. Every model counts, outside of the model's own
//! state, how often the state that it is about was reached, and fails if that was never.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.
#![cfg(loom)]

mod common;

use also_cache::loom_internals::index::Model;
use common::{Reached, explore};
use loom::sync::Arc;
use loom::thread;

/// Key 0 stays in bucket 0 at the first split, the others move to bucket 1.
const STAYS: u64 = 0x0001_0000_0000_0000;
const MOVES: u64 = 0x0002_0000_0000_0001;
const MOVES_TOO: u64 = 0x0003_0000_0000_0001;

fn named(model: &Model, slots: &[usize]) -> Vec<usize> {
    model.walk().into_iter().filter(|slot| slots.contains(slot)).collect()
}

#[test]
fn two_inserts_of_one_key_leave_one_word() {
    static RACED: Reached = Reached::new();
    explore("insert x insert", 2, || {
        let model = Arc::new(Model::new(1, &[MOVES, MOVES]));
        let other = model.clone();
        let thread = thread::spawn(move || other.insert(1));
        let mine = model.insert(0);
        let theirs = thread.join().expect("the other thread failed");
        let (Some(mine), Some(theirs)) = (mine, theirs) else { return };
        RACED.note(mine.raced || theirs.raced);
        let left = model.walk();
        assert_eq!(left.len(), 1, "{left:?}");
        let mut owned: Vec<usize> = [mine.won, theirs.won].into_iter().flatten().chain(left).collect();
        owned.sort_unstable();
        assert_eq!(owned, [0, 1], "{mine:?} {theirs:?}");
    });
    RACED.assert("one insert found the other's word under the stripe");
}

#[test]
fn an_insert_a_remove_and_a_get_lose_and_resurrect_nothing() {
    static REMOVED_FIRST: Reached = Reached::new();
    static SEEN_ABSENT: Reached = Reached::new();
    explore("insert x remove x get", 2, || {
        let model = Arc::new(Model::new(1, &[MOVES, MOVES]));
        model.insert(0).expect("nobody holds the stripe");
        let (inserter, remover) = (model.clone(), model.clone());
        let inserter = thread::spawn(move || inserter.insert(1).expect("nobody else takes the stripe"));
        let remover = thread::spawn(move || remover.remove(MOVES));
        let first = model.get(MOVES).map(|got| got.slot);
        let second = model.get(MOVES).map(|got| got.slot);
        let inserted = inserter.join().expect("the other thread failed");
        let removed = remover.join().expect("the other thread failed");
        REMOVED_FIRST.note(removed.won == Some(0));
        SEEN_ABSENT.note(first.is_none());
        assert!(removed.won.is_some(), "the key was present until removed");
        match removed.won {
            Some(0) => assert_eq!((inserted.won, model.walk()), (None, vec![1])),
            _ => assert_eq!((inserted.won, model.walk()), (Some(0), vec![])),
        }
        let backwards = matches!((first, second), (Some(1) | None, Some(0)));
        assert!(!backwards, "{first:?} then {second:?}");
    });
    REMOVED_FIRST.assert("the remove came first");
    SEEN_ABSENT.assert("the get came between");
}

#[test]
fn whoever_wins_the_exchange_alone_retires_the_slot() {
    static LOST: Reached = Reached::new();
    explore("replace x remove x replace", 2, || {
        let model = Arc::new(Model::new(1, &[MOVES, MOVES, MOVES]));
        model.insert(0).expect("nobody holds the stripe");
        let (one, two) = (model.clone(), model.clone());
        let one = thread::spawn(move || one.replace(1));
        let two = thread::spawn(move || two.remove(MOVES));
        let three = model.replace(2);
        let (one, two) = (one.join().expect("the other thread failed"), two.join().expect("the other thread failed"));
        LOST.note(one.lost + two.lost + three.lost > 0);
        // A replace that came after the remove published nothing.
        let mut published = vec![0];
        published.extend(one.won.map(|_| 1));
        published.extend(three.won.map(|_| 2));
        published.sort_unstable();
        let mut owned: Vec<usize> = [one.won, two.won, three.won].into_iter().flatten().chain(model.walk()).collect();
        owned.sort_unstable();
        assert_eq!(owned, published, "{one:?} {two:?} {three:?}");
    });
    LOST.assert("somebody lost an exchange");
}

#[test]
fn a_key_present_throughout_a_split_is_always_found() {
    static THROUGH_COPY: Reached = Reached::new();
    static OVERTAKEN: Reached = Reached::new();
    explore("split x get", 2, || {
        let model = Arc::new(Model::new(1, &[STAYS, MOVES]));
        model.insert(0).expect("nobody holds the stripe");
        model.insert(1).expect("nobody holds the stripe");
        let splitter = model.clone();
        let splitter = thread::spawn(move || assert!(splitter.split()));
        let before = model.buckets();
        let got = model.get(MOVES);
        OVERTAKEN.note(before == 1 && model.buckets() == 2);
        assert_eq!(got.map(|got| got.slot), Some(1));
        THROUGH_COPY.note(got.is_some_and(|got| got.through_copy));
        splitter.join().expect("the other thread failed");
        assert_eq!(model.get(STAYS).map(|got| got.slot), Some(0));
        assert_eq!(model.get(MOVES).map(|got| got.slot), Some(1));
        assert_eq!(model.walk(), [0, 1]);
    });
    THROUGH_COPY.assert("the word was found as a copy");
    OVERTAKEN.assert("the split began during the lookup");
}

#[test]
fn keys_in_overflow_are_found_throughout_a_split() {
    static DURING: Reached = Reached::new();
    explore("split of a chain x get", 2, || {
        let keys = [STAYS, MOVES, MOVES_TOO, 0x0004_0000_0000_0001];
        let model = Arc::new(Model::new(1, &keys));
        for slot in 0..keys.len() {
            model.insert(slot).expect("nobody holds the stripe");
        }
        let splitter = model.clone();
        let splitter = thread::spawn(move || assert!(splitter.split()));
        let before = model.buckets();
        assert_eq!(model.get(keys[3]).map(|got| got.slot), Some(3));
        DURING.note(before == 2 || model.buckets() == 2);
        splitter.join().expect("the other thread failed");
        let mut left = model.walk();
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2, 3]);
        assert_eq!(model.dropped(), []);
    });
    DURING.assert("the lookup met the split");
}

#[test]
fn a_replace_during_a_split_is_neither_lost_nor_doubled() {
    static LOST: Reached = Reached::new();
    static THROUGH_COPY: Reached = Reached::new();
    explore("split x replace", 2, || {
        let model = Arc::new(Model::new(1, &[MOVES, MOVES]));
        model.insert(0).expect("nobody holds the stripe");
        let splitter = model.clone();
        let splitter = thread::spawn(move || assert!(splitter.split()));
        let changed = model.replace(1);
        assert_eq!(changed.won, Some(0), "the key was present throughout");
        assert_eq!(model.get(MOVES).map(|got| got.slot), Some(1), "the new value is there at once");
        splitter.join().expect("the other thread failed");
        LOST.note(changed.lost > 0);
        THROUGH_COPY.note(changed.through_copy);
        assert_eq!(model.get(MOVES).map(|got| got.slot), Some(1));
        assert_eq!(model.walk(), [1]);
    });
    LOST.assert("the split moved the word between search and exchange");
    THROUGH_COPY.assert("the copy was replaced");
}

#[test]
fn a_key_removed_during_a_split_stays_removed() {
    static LOST: Reached = Reached::new();
    static THROUGH_COPY: Reached = Reached::new();
    explore("split x remove", 2, || {
        let model = Arc::new(Model::new(1, &[MOVES]));
        model.insert(0).expect("nobody holds the stripe");
        let splitter = model.clone();
        let splitter = thread::spawn(move || assert!(splitter.split()));
        let changed = model.remove(MOVES);
        assert_eq!(changed.won, Some(0), "the key was present throughout");
        assert_eq!(model.get(MOVES), None);
        assert!(!model.is_named(0));
        splitter.join().expect("the other thread failed");
        LOST.note(changed.lost > 0);
        THROUGH_COPY.note(changed.through_copy);
        assert_eq!(model.walk(), []);
    });
    LOST.assert("the split moved the word between search and exchange");
    THROUGH_COPY.assert("the copy was removed");
}

#[test]
fn a_walk_during_a_split_meets_every_entry() {
    static DURING: Reached = Reached::new();
    explore("split x walk", 2, || {
        let model = Arc::new(Model::new(1, &[STAYS, MOVES]));
        model.insert(0).expect("nobody holds the stripe");
        model.insert(1).expect("nobody holds the stripe");
        let splitter = model.clone();
        let splitter = thread::spawn(move || assert!(splitter.split()));
        let before = model.buckets();
        let met = named(&model, &[0, 1]);
        DURING.note(before == 1 && model.buckets() == 2);
        assert!(met.contains(&0) && met.contains(&1), "{met:?}");
        splitter.join().expect("the other thread failed");
    });
    DURING.assert("the split began during the walk");
}

#[test]
fn an_insert_beside_a_split_waits_or_comes_after() {
    static MET: Reached = Reached::new();
    explore("split x insert", 2, || {
        let model = Arc::new(Model::new(1, &[MOVES, MOVES_TOO]));
        model.insert(0).expect("nobody holds the stripe");
        let splitter = model.clone();
        let splitter = thread::spawn(move || splitter.split());
        let before = model.buckets();
        let inserted = model.insert(1);
        MET.note(before == 1 && model.buckets() == 2 && inserted.is_some());
        splitter.join().expect("the other thread failed");
        let mut left = model.walk();
        left.sort_unstable();
        assert_eq!(left, if inserted.is_some() { vec![0, 1] } else { vec![0] });
        assert_eq!(model.get(MOVES_TOO).is_some(), inserted.is_some());
    });
    MET.assert("the insert came after a split that began during it");
}

#[test]
fn an_entry_behind_an_unlinked_overflow_bucket_is_found() {
    static DURING: Reached = Reached::new();
    explore("insert, trim x get", 2, || {
        let keys: Vec<u64> = (1..8).map(|tag| tag << 48).collect();
        let model = Arc::new(Model::new(1, &keys));
        for slot in 0..6 {
            model.insert(slot).expect("nobody holds the stripe");
        }
        // A free word in the home bucket, and an empty bucket in the middle of the chain.
        for slot in [0, 2, 3] {
            assert_eq!(model.remove(keys[slot]).won, Some(slot));
        }
        let inserter = model.clone();
        let inserter = thread::spawn(move || inserter.insert(6).expect("nobody else takes the stripe"));
        assert_eq!(model.get(keys[5]).map(|got| got.slot), Some(5));
        DURING.note(model.get(keys[6]).is_some());
        inserter.join().expect("the other thread failed");
        let mut left = model.walk();
        left.sort_unstable();
        assert_eq!(left, [1, 4, 5, 6]);
    });
    DURING.assert("the insert came before the second lookup");
}
