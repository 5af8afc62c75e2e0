//! Journeys of an entry against each other, through the whole engine: what is read is right, and every slot and gauge is
//! accounted for when all is quiet.
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
const OTHER: u8 = 2;

#[test]
fn two_inserts_of_one_key_leave_one_entry() {
    static OLDER_FIRST: Reached = Reached::new();
    static SUPERSEDED: Reached = Reached::new();
    explore("insert x insert", 2, || {
        let model = Arc::new(Model::new(3, 2));
        let other = model.clone();
        let other = thread::spawn(move || other.store(KEY, 20));
        let older = model.store(KEY, 10);
        let newer = other.join().expect(JOINED);
        OLDER_FIRST.note(older == Stored::Yes);
        SUPERSEDED.note(older == Stored::Superseded);
        assert_eq!(newer, Stored::Yes);
        assert_eq!(model.get(KEY), Some(20));
        let census = model.census();
        census.check();
        assert_eq!((census.words, census.live + census.retired + census.free), (1, 4));
    });
    OLDER_FIRST.assert("the older one came first");
    SUPERSEDED.assert("the older one came too late");
}

#[test]
fn an_insert_and_a_remove_leave_the_counts_right() {
    static REMOVED: Reached = Reached::new();
    static MISSED: Reached = Reached::new();
    explore("insert x remove", 2, || {
        let model = Arc::new(Model::new(2, 1));
        let inserter = model.clone();
        let inserter = thread::spawn(move || assert_eq!(inserter.store(KEY, 10), Stored::Yes));
        let removed = model.remove(KEY);
        // It was counted in before it could be found, so at no moment are fewer counted than there are.
        let counted = model.entries();
        assert!(counted <= 1, "{} entries", counted.cast_signed());
        inserter.join().expect(JOINED);
        REMOVED.note(removed);
        MISSED.note(!removed);
        assert_eq!(model.get(KEY), if removed { None } else { Some(10) });
        model.census().check();
    });
    REMOVED.assert("the remove came after the link");
    MISSED.assert("the remove came before");
}

#[test]
fn a_replace_a_remove_and_a_get_lose_and_resurrect_nothing() {
    static REMOVED_FIRST: Reached = Reached::new();
    static SEEN_ABSENT: Reached = Reached::new();
    explore("replace x remove x get", 2, || {
        let model = Arc::new(Model::new(3, 2));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let reader = model.clone();
        let reader = thread::spawn(move || (reader.search(KEY), reader.search(KEY)));
        let writer = model.clone();
        let writer = thread::spawn(move || assert_eq!(writer.store(KEY, 20), Stored::Yes));
        assert!(model.remove(KEY), "the key was present until removed");
        writer.join().expect(JOINED);
        let (first, second) = reader.join().expect(JOINED);
        let left = model.get(KEY);
        REMOVED_FIRST.note(left.is_some());
        SEEN_ABSENT.note(first.is_none());
        assert!(matches!(left, None | Some(20)), "{left:?}");
        assert!(!matches!((first, second), (None | Some(20), Some(10))), "{first:?}, then {second:?}");
        model.census().check();
    });
    REMOVED_FIRST.assert("the remove came first");
    SEEN_ABSENT.assert("the get came between");
}

#[test]
fn whoever_takes_the_word_out_alone_retires_and_counts() {
    static EVICTED_FIRST: Reached = Reached::new();
    static BOTH: Reached = Reached::new();
    explore("replace x evict", 2, || {
        let model = Arc::new(Model::new(3, 2));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let evictor = model.clone();
        let evictor = thread::spawn(move || u64::from(evictor.evict(1)));
        assert_eq!(model.store(KEY, 20), Stored::Yes);
        let evicted = evictor.join().expect(JOINED);
        let [replaced, ..] = model.counts();
        EVICTED_FIRST.note(replaced == 0 && evicted == 1);
        BOTH.note(replaced == 1 && evicted == 1);
        let census = model.census();
        census.check();
        assert_eq!(census.retired, replaced + evicted);
        assert_eq!(census.words + census.retired, 2);
    });
    EVICTED_FIRST.assert("the evictor won");
    BOTH.assert("the evictor took the new one");
}

#[test]
fn a_reservation_beside_a_replace_is_committed_or_given_back() {
    static COMMITTED: Reached = Reached::new();
    static SUPERSEDED: Reached = Reached::new();
    static LOST_AFTER_LIVE: Reached = Reached::new();
    explore("reserve, commit x replace", 2, || {
        let model = Arc::new(Model::new(3, 2));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let dropped = model.reserve(KEY, 15).expect("there are four slots");
        let reserved = model.reserve(KEY, 20).expect("there are four slots");
        let other = model.clone();
        let other = thread::spawn(move || assert_eq!(other.store(KEY, 30), Stored::Yes));
        let committed = model.commit(KEY, 20, &reserved);
        other.join().expect(JOINED);
        model.abandon(&dropped);
        COMMITTED.note(committed == Stored::Yes);
        SUPERSEDED.note(committed == Stored::Superseded);
        assert_eq!(model.get(KEY), Some(30));
        let census = model.census();
        census.check();
        LOST_AFTER_LIVE.note(committed == Stored::Superseded && census.retired == 2);
        assert_eq!((census.words, census.live + census.retired + census.free), (1, 4));
    });
    COMMITTED.assert("the commit came first");
    SUPERSEDED.assert("the replace came first");
    LOST_AFTER_LIVE.assert("the reservation was LIVE when it lost");
}

#[test]
fn an_evictor_never_reads_a_slot_that_lost_and_was_reused() {
    static LOST: Reached = Reached::new();
    explore("replace, reserve x replace, evict", 2, || {
        let model = Arc::new(Model::new(3, 2));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let newer = model.reserve(KEY, 30).expect("there are four slots");
        let older = model.reserve(KEY, 20).expect("there are four slots");
        let spare = model.reserve(OTHER, 40).expect("there are four slots");
        let other = model.clone();
        let other = thread::spawn(move || {
            assert_eq!(other.commit(KEY, 30, &newer), Stored::Yes);
            other.evict(1);
        });
        let stored = model.commit(KEY, 20, &older);
        LOST.note(stored == Stored::Superseded);
        // In this order: the lower slot, if it is free, goes out first.
        model.abandon(&spare);
        let next = model.reserve(OTHER, 40).expect("the spare one is free");
        other.join().expect(JOINED);
        model.abandon(&next);
        model.census().check();
    });
    LOST.assert("the older one lost");
}

#[test]
fn a_reader_never_sees_reused_bytes() {
    static OLD: Reached = Reached::new();
    static REUSED: Reached = Reached::new();
    explore("reader x replace, reclaim, insert", 2, || {
        let model = Arc::new(Model::new(2, 1));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let reader = model.clone();
        let reader = thread::spawn(move || {
            let held = reader.hold(KEY).expect("the key is always there");
            let (first, again) = (held.value(), held.value());
            assert_eq!(first, again);
            assert!(first == 10 || first == 20, "{first}");
            first
        });
        assert_eq!(model.store(KEY, 20), Stored::Yes);
        model.reclaim();
        let waiting = model.reclaim();
        assert_eq!(model.store(OTHER, 30), Stored::Yes);
        OLD.note(reader.join().expect(JOINED) == 10);
        REUSED.note(waiting == 0);
        assert_eq!((model.get(KEY), model.get(OTHER)), (Some(20), Some(30)));
    });
    OLD.assert("the reader saw the old value");
    REUSED.assert("the slot was reused at once");
}

#[test]
fn a_replace_during_a_split_is_neither_lost_nor_doubled() {
    static DURING: Reached = Reached::new();
    explore("split x replace", 2, || {
        let model = Arc::new(Model::new(3, 2));
        let (stays, moves) = (model.key_with(0, 0), model.key_with(1, 0));
        assert_eq!((model.store(stays, 5), model.store(moves, 10)), (Stored::Yes, Stored::Yes));
        let splitter = model.clone();
        let splitter = thread::spawn(move || splitter.grow());
        assert_eq!(model.store(moves, 20), Stored::Yes);
        assert_eq!(model.get(moves), Some(20));
        DURING.note(splitter.join().expect(JOINED));
        assert_eq!((model.get(stays), model.get(moves)), (Some(5), Some(20)));
        let census = model.census();
        census.check();
        assert_eq!((census.words, census.retired), (2, 1));
    });
    DURING.assert("the split went through");
}

/// The entry is used, so that a drain copies it, and lies in the page that is drained first; the two others have one
/// free slot each.
fn ready_to_move() -> Arc<Model> {
    let model = Model::new(4, 3);
    let reserved: Vec<_> = (1..=4).map(|stamp| model.reserve(OTHER, stamp).expect("there are six slots")).collect();
    assert_eq!(model.store(KEY, 10), Stored::Yes);
    // Twice: the hand that chooses the page takes one hit off.
    assert_eq!(model.get(KEY), Some(10));
    assert_eq!(model.get(KEY), Some(10));
    model.abandon(&reserved[0]);
    model.abandon(&reserved[2]);
    model.aim_at_the_entry();
    Arc::new(model)
}

#[test]
fn a_replace_beside_a_page_move_is_neither_lost_nor_doubled() {
    static MOVED: Reached = Reached::new();
    static REPLACED_FIRST: Reached = Reached::new();
    explore("page move x replace", 2, || {
        let model = ready_to_move();
        let mover = model.clone();
        let mover = thread::spawn(move || mover.drain());
        assert_eq!(model.store(KEY, 20), Stored::Yes);
        assert_eq!(model.get(KEY), Some(20));
        mover.join().expect(JOINED);
        let [_, relocated, _] = model.counts();
        MOVED.note(relocated > 0);
        REPLACED_FIRST.note(relocated == 0);
        assert_eq!(model.get(KEY), Some(20));
        model.census().check_but_writing(2);
    });
    MOVED.assert("the entry was moved");
    REPLACED_FIRST.assert("the replace came before the move");
}

#[test]
fn a_replace_that_a_page_move_meets_half_done_is_not_evicted() {
    static MOVED: Reached = Reached::new();
    explore("page move x commit", 2, || {
        let model = Model::new(4, 3);
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        assert_eq!((model.get(KEY), model.get(KEY)), (Some(10), Some(10)));
        let neighbour = model.reserve(OTHER, 1).expect("there are six slots");
        let newer = model.reserve(KEY, 20).expect("there are six slots");
        model.aim_at_reserved(&newer);
        let model = Arc::new(model);
        let mover = model.clone();
        let mover = thread::spawn(move || mover.drain());
        assert_eq!(model.commit(KEY, 20, &newer), Stored::Yes);
        mover.join().expect(JOINED);
        let [_, relocated, _] = model.counts();
        MOVED.note(relocated > 0);
        assert_eq!(model.get(KEY), Some(20));
        model.abandon(&neighbour);
        model.census().check();
    });
    MOVED.assert("the entry was moved");
}

#[test]
fn a_page_seen_under_a_guard_is_nobody_elses_before_the_guard_is_gone() {
    static LEFT: Reached = Reached::new();
    static FREED: Reached = Reached::new();
    static WAITED: Reached = Reached::new();
    explore("page move x walk", 2, || {
        let model = Arc::new(Model::new(2, 2));
        model.aim_at_first();
        let mover = model.clone();
        let mover = thread::spawn(move || {
            assert!(mover.drain(), "every slot is free");
            (0..3).filter(|_| mover.hasten_page()).count()
        });
        let [before, after] = model.walk_first_page();
        LEFT.note(before.of_its_class && !after.of_its_class);
        WAITED.note(before.of_its_class && mover.join().expect(JOINED) == 3);
        FREED.note(before.free);
        assert!(!(before.of_its_class && after.free), "it was zeroed and given away under a guard: {after:?}");
    });
    LEFT.assert("the page left its class under the guard");
    FREED.assert("the page was free before the guard");
    WAITED.assert("the page had to wait");
}

#[test]
fn a_key_is_found_throughout_a_page_move() {
    static MOVED: Reached = Reached::new();
    explore("page move x get", 2, || {
        let model = ready_to_move();
        let mover = model.clone();
        let mover = thread::spawn(move || mover.drain());
        assert_eq!(model.get(KEY), Some(10));
        mover.join().expect(JOINED);
        let [_, relocated, _] = model.counts();
        MOVED.note(relocated > 0);
        assert_eq!(model.get(KEY), Some(10));
        model.census().check_but_writing(2);
    });
    MOVED.assert("the entry was moved");
}

#[test]
fn a_key_of_an_old_run_is_found_throughout_a_replace() {
    static OLD: Reached = Reached::new();
    static NEW: Reached = Reached::new();
    explore("first read x replace", 2, || {
        let model = Model::new(3, 2);
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let model = Arc::new(model.reopen());
        while model.prepare_free() {}
        let writer = model.clone();
        let writer = thread::spawn(move || assert_eq!(writer.store(KEY, 20), Stored::Yes));
        let got = model.get(KEY);
        assert!(got.is_some(), "the key is always there");
        OLD.note(got == Some(10));
        NEW.note(got == Some(20));
        writer.join().expect(JOINED);
        assert_eq!(model.get(KEY), Some(20));
    });
    OLD.assert("the old value was read");
    NEW.assert("the new value was read");
}

#[test]
fn a_slot_of_an_old_run_is_settled_by_one_thread() {
    static SETTLED_FIRST: Reached = Reached::new();
    explore("prepare x remove x first read", 2, || {
        let model = Model::new(2, 1);
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let model = Arc::new(model.reopen());
        let preparer = model.clone();
        let preparer = thread::spawn(move || while preparer.prepare() {});
        let got = model.get(KEY);
        assert!(model.remove(KEY), "nobody else removes it");
        preparer.join().expect(JOINED);
        SETTLED_FIRST.note(got == Some(10));
        assert_eq!(got, Some(10));
        assert_eq!(model.get(KEY), None);
        let census = model.census();
        assert_eq!((census.words, census.live, census.retired, census.limbo), (0, 0, 1, 1), "{census:?}");
        assert_eq!((census.live_gauge, census.limbo_gauge, census.free), (0, 1, 1), "{census:?}");
    });
    SETTLED_FIRST.assert("it was read");
}

#[test]
fn an_overflow_bucket_of_an_old_run_is_given_back_once() {
    static DURING: Reached = Reached::new();
    explore("prepare of overflow x insert", 2, || {
        let model = Model::new(6, 5);
        let keys: [u8; 5] = std::array::from_fn(|nth| model.key_with(0, nth));
        // Two words in the home bucket, the third in one behind it, which is empty when the process ends.
        for key in &keys[..3] {
            assert_eq!(model.store(*key, 10), Stored::Yes);
        }
        assert!(model.remove(keys[2]));
        let model = Arc::new(model.reopen());
        while model.prepare() {}
        assert!(model.remove(keys[0]));
        // Here the empty bucket would leave its chain, and be free two grace periods later.
        assert_eq!(model.store(keys[3], 20), Stored::Yes);
        model.reclaim();
        model.reclaim();
        let [buckets, .., unknown_before] = model.overflow();
        let preparer = model.clone();
        let preparer = thread::spawn(move || while preparer.prepare_overflow() {});
        assert_eq!(model.store(keys[4], 30), Stored::Yes);
        let [.., unknown_after] = model.overflow();
        DURING.note(unknown_before == buckets && unknown_after == 0);
        preparer.join().expect(JOINED);
        assert_eq!([1, 3, 4].map(|nth| model.get(keys[nth])), [Some(10), Some(20), Some(30)]);
        assert_eq!(model.overflow(), [buckets, 1, buckets - 1, 0], "buckets, linked, free, unknown");
    });
    DURING.assert("all buckets were looked at during the insert");
}
