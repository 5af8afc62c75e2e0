//! The ring of changes: writers that help each other, laps, and a reader that follows. And the doorbell by its side.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.

#![cfg(loom)]

mod common;

use also_cache::loom_internals::ring::{Bell, OneRing, Seen};
use common::{Reached, explore};
use loom::sync::Arc;
use loom::thread;
use std::sync::atomic::{AtomicUsize, Ordering};

const JOINED: &str = "the other thread failed";

/// Reads from a position until nothing more is there: the changes, and where it stopped. Never to be overtaken.
fn follow(ring: &OneRing, mut at: u64) -> (Vec<u8>, u64) {
    let mut found = Vec::new();
    loop {
        match ring.read(at) {
            Seen::Change(number, next) => {
                found.push(number);
                at = next;
            }
            Seen::Nothing(next) => at = next,
            Seen::NotYet => return (found, at),
            Seen::Lost => panic!("lost at {at} of {}, after {found:?}", ring.end()),
        }
    }
}

#[test]
fn every_finished_change_is_read_once_and_in_order() {
    static EARLY: Reached = Reached::new();
    static BETWEEN: Reached = Reached::new();
    static SWAPPED: Reached = Reached::new();
    explore("write x write x read", 2, || {
        let ring = Arc::new(OneRing::new(1, 4));
        let (one, two) = (ring.clone(), ring.clone());
        let one = thread::spawn(move || one.note(1));
        let two = thread::spawn(move || {
            let void = two.claim(9);
            assert!(two.finish(void, false), "there is room for all");
            two.note(2);
        });
        let (mut found, at) = follow(&ring, 0);
        EARLY.note(found.len() == 1);
        BETWEEN.note(found.is_empty() && at > 0);
        one.join().expect(JOINED);
        two.join().expect(JOINED);
        let (rest, end) = follow(&ring, at);
        found.extend(rest);
        SWAPPED.note(found == [2, 1]);
        found.sort_unstable();
        assert_eq!((found, end), (vec![1, 2], 3), "changes and end");
    });
    EARLY.assert("the reader found one of two");
    BETWEEN.assert("the reader was past the one that was not made");
    SWAPPED.assert("the first writer came last");
}

#[test]
fn a_writer_stopped_behind_its_claim_blocks_nobody() {
    static FIRST: Reached = Reached::new();
    static HELPED: Reached = Reached::new();
    explore("stop x write x write", 2, || {
        let ring = Arc::new(OneRing::new(1, 4));
        let (stopped, other) = (ring.clone(), ring.clone());
        let stopped = thread::spawn(move || stopped.stop_after_claim());
        let other = thread::spawn(move || other.note(2));
        ring.note(1);
        let stopped = stopped.join().expect(JOINED);
        other.join().expect(JOINED);
        let end = ring.end();
        FIRST.note(stopped && ring.read(0) == Seen::NotYet);
        HELPED.note(stopped && end == 3);
        // The stopped one's record may be the last, and not passed yet.
        ring.note(3);
        let numbers = (0..ring.end()).filter_map(|at| match ring.read(at) {
            Seen::Change(number, _) => Some(number),
            Seen::NotYet => None,
            other => panic!("{other:?} at {at}"),
        });
        let mut numbers: Vec<u8> = numbers.collect();
        numbers.sort_unstable();
        assert_eq!((numbers, ring.end()), (vec![1, 2, 3], 3 + u64::from(stopped)));
    });
    FIRST.assert("the stopped writer's record is the first");
    HELPED.assert("another writer moved the head past its claim");
}

#[test]
fn a_writer_that_saw_the_head_a_lap_ago_replaces_no_later_claim() {
    static SLEPT: Reached = Reached::new();
    explore("write x three writes", 2, || {
        let ring = Arc::new(OneRing::new(1, 2));
        let other = ring.clone();
        let other = thread::spawn(move || other.note(4));
        (1..=3).for_each(|number| ring.note(number));
        let before = ring.end();
        other.join().expect(JOINED);
        let end = ring.end();
        SLEPT.note(before == 3);
        // With a fifth record the other one's first was overtaken, and what it wrote late may have broken another.
        assert!(end == 4 || (end == 5 && before > 3), "{before}, then {end}");
        if end == 4 {
            assert_eq!(follow(&ring, 2).0.len(), 2);
        }
    });
    SLEPT.assert("the other writer claimed after a lap");
}

#[test]
fn a_reader_that_is_overtaken_is_lost_and_never_reads_torn_words() {
    static KEPT: Reached = Reached::new();
    static LOST: Reached = Reached::new();
    explore("read x lap", 2, || {
        let ring = Arc::new(OneRing::new(1, 2));
        ring.note(1);
        ring.note(2);
        let writer = ring.clone();
        let writer = thread::spawn(move || {
            writer.note(3);
            writer.note(4);
        });
        let first = ring.read(0);
        let second = ring.read(1);
        writer.join().expect(JOINED);
        assert!([Seen::Change(1, 1), Seen::Lost].contains(&first), "{first:?}");
        assert!([Seen::Change(2, 2), Seen::Lost].contains(&second), "{second:?}");
        KEPT.note(first == Seen::Change(1, 1) && second == Seen::Lost);
        LOST.note(first == Seen::Lost);
        assert_eq!((ring.read(2), ring.read(3)), (Seen::Change(3, 3), Seen::Change(4, 4)));
        assert_eq!((ring.read(0), ring.read(1)), (Seen::Lost, Seen::Lost));
    });
    KEPT.assert("it was overtaken between two reads");
    LOST.assert("it was overtaken before it had read");
}

#[test]
fn the_second_look_at_the_head_tells_torn_words_without_their_checksum() {
    static KEPT: Reached = Reached::new();
    static TORN: Reached = Reached::new();
    explore("unsummed read x lap", 3, || {
        let ring = Arc::new(OneRing::new(1, 1));
        ring.note(1);
        let writer = ring.clone();
        let writer = thread::spawn(move || writer.note(2));
        let seen = ring.read_unsummed(0);
        writer.join().expect(JOINED);
        assert!([Some(1), None].contains(&seen), "{seen:?}");
        KEPT.note(seen.is_some());
        TORN.note(seen.is_none());
        assert_eq!(ring.read(1), Seen::Change(2, 2));
    });
    KEPT.assert("it was read");
    TORN.assert("it was overwritten meanwhile");
}

#[test]
fn a_writer_whose_record_is_overwritten_learns_it_and_tells_its_change_anew() {
    static IN_TIME: Reached = Reached::new();
    static ANEW: Reached = Reached::new();
    explore("finish x lap", 3, || {
        let ring = Arc::new(OneRing::new(1, 2));
        let (late, claimed) = (ring.clone(), ring.claim(1));
        let late = thread::spawn(move || late.finish_made(claimed));
        ring.note(2);
        ring.note(3);
        late.join().expect(JOINED);
        let end = ring.end();
        IN_TIME.note(end == 3);
        ANEW.note(end == 4);
        let expected = if end == 3 { vec![2, 3] } else { vec![3, 1] };
        assert_eq!(follow(&ring, end - 2), (expected, end));
    });
    IN_TIME.assert("it was finished in time");
    ANEW.assert("it was written anew");
}

#[test]
fn what_a_writer_writes_a_lap_late_is_never_read() {
    static WHOLE: Reached = Reached::new();
    static BROKEN: Reached = Reached::new();
    static BETWEEN: Reached = Reached::new();
    explore("late words x lap x read", 3, || {
        let ring = Arc::new(OneRing::new(1, 1));
        let claimed = ring.stop_before_words(1);
        let late = ring.clone();
        let late = thread::spawn(move || {
            late.write_words(claimed);
            late.finish(claimed, true)
        });
        ring.note(2);
        let early = ring.read(1);
        let in_time = late.join().expect(JOINED);
        let seen = ring.read(1);
        for seen in [early, seen] {
            assert!(seen == Seen::Change(2, 2) || (seen == Seen::Lost && !in_time), "{seen:?}, in time: {in_time}");
        }
        WHOLE.note(!in_time && seen == Seen::Change(2, 2));
        BROKEN.note(!in_time && seen == Seen::Lost);
        BETWEEN.note(seen == Seen::Lost && early == Seen::Change(2, 2));
    });
    WHOLE.assert("the late words came first");
    BROKEN.assert("the late words came last");
    BETWEEN.assert("the reader came between");
}

#[test]
fn no_wake_up_is_lost() {
    static ASLEEP: Reached = Reached::new();
    static FOUND: Reached = Reached::new();
    static ONE_FOR_TWO: Reached = Reached::new();
    explore("ring x ring x sleep", 2, || {
        let wakes = Arc::new(AtomicUsize::new(0));
        let woken = wakes.clone();
        let ring = Arc::new(OneRing::new(1, 2));
        let bell = Arc::new(Bell::new(move || _ = woken.fetch_add(1, Ordering::Relaxed)));
        let writers = [1, 2].map(|number| {
            let (ring, bell) = (ring.clone(), bell.clone());
            thread::spawn(move || {
                ring.note(number);
                bell.ring();
            })
        });
        let sleeps = bell.may_sleep(|| !matches!(ring.read(0), Seen::NotYet));
        for writer in writers {
            writer.join().expect(JOINED);
        }
        let wakes = wakes.load(Ordering::Relaxed);
        assert!(wakes <= 1, "{wakes} wake-ups for one sleep");
        assert!(!sleeps || wakes == 1, "it sleeps for ever");
        ASLEEP.note(sleeps);
        FOUND.note(!sleeps && wakes == 0);
        ONE_FOR_TWO.note(!sleeps && wakes == 1);
    });
    ASLEEP.assert("it went to sleep");
    FOUND.assert("it found work at the second look, unseen");
    ONE_FOR_TWO.assert("it was woken while it looked");
}
