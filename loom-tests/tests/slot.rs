//! The life of a slot: one winner for each step, pins, two runs, and readers under a guard.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.

#![cfg(loom)]

mod common;

use also_cache::loom_internals::arena::{Graveyard, OneSlot};
use common::{Reached, explore};
use loom::sync::Arc;
use loom::thread;

const JOINED: &str = "the other thread failed";

#[test]
fn bytes_written_before_publication_are_seen_with_it() {
    static SEEN: Reached = Reached::new();
    explore("publish x read", 2, || {
        let slot = Arc::new(OneSlot::free(1));
        let writer = slot.clone();
        let writer = thread::spawn(move || {
            assert!(writer.take(1));
            writer.write(7);
            writer.publish(1);
        });
        if slot.seen().state == 'L' {
            SEEN.note(true);
            assert_eq!(slot.read(), 7);
        }
        writer.join().expect(JOINED);
    });
    SEEN.assert("the reader saw it LIVE");
}

#[test]
fn a_pinned_slot_is_never_reused() {
    static HELD: Reached = Reached::new();
    static TOO_LATE: Reached = Reached::new();
    static REUSED: Reached = Reached::new();
    explore("retire x pin x release", 2, || {
        let slot = Arc::new(OneSlot::live(1, 1));
        let reader = slot.clone();
        let reader = thread::spawn(move || {
            let pinned = reader.pin(1);
            if pinned {
                assert_eq!(reader.read(), 1);
                reader.unpin();
            }
            pinned
        });
        assert!(slot.retire(1));
        let released = slot.release(1);
        if released {
            assert!(slot.take(1));
            slot.write(2);
        }
        let pinned = reader.join().expect(JOINED);
        HELD.note(pinned && !released);
        TOO_LATE.note(!pinned && released);
        REUSED.note(pinned && released);
        assert!(released || slot.release(1), "nobody pins it any more");
    });
    HELD.assert("the pin held up the release");
    TOO_LATE.assert("the release came before the pin");
    REUSED.assert("the pin came and went before the release");
}

#[test]
fn one_retirer_wins_and_no_pin_is_lost() {
    static PINNED_BETWEEN: Reached = Reached::new();
    explore("retire x retire x pin", 2, || {
        let slot = Arc::new(OneSlot::live(1, 1));
        let (other, reader) = (slot.clone(), slot.clone());
        let other = thread::spawn(move || other.retire(1));
        let reader = thread::spawn(move || {
            let live = reader.seen().state == 'L';
            assert!(reader.pin(1), "LIVE or RETIRED");
            live
        });
        let mine = slot.retire(1);
        let theirs = other.join().expect(JOINED);
        PINNED_BETWEEN.note(reader.join().expect(JOINED));
        assert!(mine != theirs, "retired here: {mine}, there: {theirs}");
        let seen = slot.seen();
        assert_eq!((seen.state, seen.pins), ('R', 1));
        assert!(!slot.release(1), "it is pinned");
        assert!(slot.unpin() && slot.release(1));
    });
    PINNED_BETWEEN.assert("the reader looked while it was LIVE");
}

#[test]
fn a_slot_of_an_old_run_is_adopted_once_and_never_after_it_was_retired() {
    static ADOPTED_FIRST: Reached = Reached::new();
    static RETIRED_FIRST: Reached = Reached::new();
    explore("adopt x adopt x retire", 2, || {
        let slot = Arc::new(OneSlot::live(1, 1));
        // The pin of a process that is gone.
        assert!(slot.pin(1));
        let (one, two) = (slot.clone(), slot.clone());
        let one = thread::spawn(move || one.adopt(2));
        let two = thread::spawn(move || two.adopt(2));
        assert!(slot.retire(2), "nobody else retires it");
        let adopted = [one.join().expect(JOINED), two.join().expect(JOINED)];
        ADOPTED_FIRST.note(adopted.contains(&true));
        RETIRED_FIRST.note(adopted == [false, false]);
        assert_ne!(adopted, [true, true]);
        let seen = slot.seen();
        assert_eq!((seen.state, seen.run, seen.pins), ('R', 2, 0));
    });
    ADOPTED_FIRST.assert("an adopter came before the retirer");
    RETIRED_FIRST.assert("the retirer came first");
}

#[test]
fn a_slot_of_an_old_run_is_reset_once_and_a_late_reset_frees_nothing() {
    static TAKEN_MEANWHILE: Reached = Reached::new();
    explore("reset x reset x take", 2, || {
        let slot = Arc::new(OneSlot::free(1));
        assert!(slot.take(1), "and its owner died");
        let late = slot.clone();
        let late = thread::spawn(move || {
            let before = slot_run(&late);
            (before, late.reset(2))
        });
        let mine = slot.reset(2);
        if mine {
            assert!(slot.take(2));
            slot.write(1);
            slot.publish(2);
        }
        let (before, theirs) = late.join().expect(JOINED);
        TAKEN_MEANWHILE.note(before == 1 && mine);
        assert!(mine != theirs, "reset here: {mine}, there: {theirs}");
        assert_eq!(slot.seen().state, if mine { 'L' } else { 'F' });
    });
    TAKEN_MEANWHILE.assert("it was taken while the other one looked");
}

fn slot_run(slot: &OneSlot) -> u16 {
    slot.seen().run
}

#[test]
fn a_reader_under_a_guard_never_sees_reused_bytes() {
    static READ_THROUGH: Reached = Reached::new();
    static REUSED: Reached = Reached::new();
    static NOT_YET: Reached = Reached::new();
    explore("reader x unlink x canary x reuse", 2, || {
        let grave = Arc::new(Graveyard::new());
        let (reader, launcher) = (grave.clone(), grave.clone());
        let reader = thread::spawn(move || {
            let guard = reader.pin();
            let read = reader.read(&guard);
            assert!(read.is_none_or(|read| read == (1, 1)), "{read:?}");
            read.is_some()
        });
        let launcher = thread::spawn(move || launcher.launch());
        grave.unlink();
        grave.launch();
        let reused = grave.reuse();
        READ_THROUGH.note(reader.join().expect(JOINED));
        launcher.join().expect(JOINED);
        REUSED.note(reused);
        NOT_YET.note(!reused);
    });
    READ_THROUGH.assert("the reader found it");
    REUSED.assert("it was reused while the reader could run");
    NOT_YET.assert("it had to wait");
}
