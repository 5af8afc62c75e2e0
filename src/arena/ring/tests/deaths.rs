//! Each state that a killed process can leave, made by hand, and files that nobody of us has written.

use super::*;
use crate::arena::ring::settle::Settled;

/// As a death after the control word was exchanged and before the head was: a claim at the head.
fn claim_at_head(bed: &Bed, cells: u64, state: State) -> Position {
    let head = bed.ring.end(bed.view());
    bed.control(head).store(Control::new(head, cells, state).0, Ordering::Relaxed);
    head
}

fn settle(bed: &Bed) -> Settled {
    let settled = bed.ring.settle(bed.view()).expect("nothing is damaged");
    let again = bed.ring.settle(bed.view()).expect("nothing is damaged");
    assert_eq!(
        again,
        Settled { changes: settled.changes, ..Settled::default() },
        "a second time there is nothing to do"
    );
    settled
}

#[test]
fn an_empty_ring_and_a_full_one_stay_as_they_are() {
    let bed = Bed::new(2);
    assert_eq!(settle(&bed), Settled::default());
    (0..1000).for_each(|stamp| assert!(bed.note(stamp).0 >= stamp));
    let start = bed.ring.start(bed.view());
    let before = bed.stamps(start);
    assert_eq!(settle(&bed), Settled { changes: before.0.len() as u64, ..Settled::default() });
    assert_eq!(bed.stamps(start), before);
    assert_eq!(bed.ring.start(bed.view()), start);
}

#[test]
fn a_claim_that_the_head_was_not_moved_past_is_void() {
    let bed = Bed::new(2);
    bed.note(1);
    claim_at_head(&bed, 3, State::Claimed);
    let settled = settle(&bed);
    assert_eq!(settled, Settled { changes: 1, voided: 1, passed: 1, ..Settled::default() });
    assert_eq!(bed.note(2), Position(4));
    assert_eq!(bed.stamps(Position(0)), (vec![1, 2], Read::NotYet));
}

#[test]
fn padding_that_the_head_was_not_moved_past_stays_padding() {
    let bed = Bed::new(2);
    (1..PAGE_CELLS).for_each(|stamp| assert_eq!(bed.note(stamp).0, stamp - 1));
    claim_at_head(&bed, 1, State::Pad);
    assert_eq!(settle(&bed), Settled { changes: PAGE_CELLS - 1, passed: 1, ..Settled::default() });
    assert_eq!(bed.note(99), Position(PAGE_CELLS));
    assert_eq!(bed.stamps(Position(0)).0.last(), Some(&99));
}

#[test]
fn a_record_of_which_words_are_missing_is_void() {
    // On the second lap, so that there are words of an old record.
    for words in 0..4 {
        let bed = Bed::new(2);
        let capacity = bed.ring.capacity();
        (0..capacity).for_each(|stamp| assert_eq!(bed.note(stamp).0, stamp));
        let line = bed.ring.place(Position(capacity)).at;
        let old: Vec<u64> = (1..4).map(|word| bed.view().word(line + word * 8).load(Ordering::Relaxed)).collect();
        let claim = bed.ring.claim(bed.view(), &set(5_000, b"new"));
        assert_eq!(claim.position(), Position(capacity));
        // The seal is written last, stamp and key before.
        for (word, old) in [1, 3, 2].into_iter().zip([old[0], old[2], old[1]]).take(words) {
            bed.view().word(line + word * 8).store(old, Ordering::Relaxed);
        }
        let settled = settle(&bed);
        let made = words == 0;
        assert_eq!((settled.taken_as_made, settled.voided), (u64::from(made), u64::from(!made)), "{words} words");
        let (stamps, end) = bed.stamps(bed.ring.start(bed.view()));
        assert_eq!(stamps.last() == Some(&5_000), made);
        assert_eq!(end, Read::NotYet);
    }
}

#[test]
fn a_change_whose_writer_died_before_it_said_so_counts_as_made() {
    let bed = Bed::new(2);
    let _died = bed.ring.claim(bed.view(), &set(1, b"a"));
    let void = bed.ring.claim(bed.view(), &set(2, b"b"));
    assert!(bed.ring.finish(bed.view(), void, false));
    bed.note(3);
    assert_eq!(bed.stamps(Position(0)), (vec![], Read::NotYet));
    assert_eq!(settle(&bed), Settled { changes: 2, taken_as_made: 1, ..Settled::default() });
    assert_eq!(bed.stamps(Position(0)), (vec![1, 3], Read::NotYet));
}

#[test]
fn a_claim_in_the_page_that_is_being_overwritten_holds_up_nobody() {
    let bed = Bed::new(2);
    (0..4).for_each(|stamp| assert_eq!(bed.note(stamp).0, stamp));
    let died = bed.ring.claim(bed.view(), &set(4, b"died"));
    (0..bed.ring.capacity() - 3).for_each(|stamp| assert_eq!(bed.note(stamp).0, stamp + 5));
    assert_eq!(bed.read(died.position()).0, Read::NotYet, "it is still there, behind what is overwritten");
    settle(&bed);
    assert_eq!(bed.read(died.position()).0, Read::Lost);
    assert_eq!(bed.stamps(bed.ring.start(bed.view())).1, Read::NotYet);
}

/// Makes a ring of 40 changes, damages it, and expects it to be found.
fn found_damaged(what: &str, damage: impl Fn(&Bed)) {
    let bed = Bed::new(2);
    (0..40).for_each(|stamp| assert_eq!(bed.note(stamp).0, stamp));
    damage(&bed);
    let damaged = bed.ring.settle(bed.view()).expect_err(what);
    println!("{what}: {damaged}");
    assert_eq!(bed.ring.reset(bed.view(), Position(40)), Position(2 * PAGE_CELLS));
    assert_eq!(settle(&bed), Settled::default());
    assert_eq!(bed.read(Position(0)).0, Read::Lost);
    assert_eq!(bed.note(7), Position(2 * PAGE_CELLS));
    assert_eq!(bed.stamps(bed.ring.start(bed.view())), (vec![7], Read::NotYet));
}

#[test]
fn whatever_does_not_fit_is_found_and_a_reset_makes_the_ring_usable() {
    let control = |at, cells, state| Control::new(Position(at), cells, state).0;
    let put = |bed: &Bed, at: u64, bits: u64| bed.control(Position(at)).store(bits, Ordering::Relaxed);
    let header = |bed: &Bed, word: u64, value: u64| bed.view().word(HEADER_AT + word).store(value, Ordering::Relaxed);
    found_damaged("a head before the base", |bed| header(bed, BASE, 2 * PAGE_CELLS));
    found_damaged("a base within a page", |bed| header(bed, BASE, 1));
    found_damaged("a head that no ring reaches", |bed| header(bed, HEAD, u64::MAX));
    found_damaged("a head before the last record", |bed| header(bed, HEAD, 39 - 8));
    found_damaged("a head behind the last record", |bed| header(bed, HEAD, 45));
    found_damaged("a record that is missing", |bed| put(bed, 3, 0));
    found_damaged("a record of a later lap", |bed| put(bed, 3, control(3 + 2 * PAGE_CELLS, 1, State::Done)));
    found_damaged("a record of another cell", |bed| put(bed, 3, control(4, 1, State::Done)));
    found_damaged("a claim of the next lap behind the head", |bed| put(bed, 50, control(50, 1, State::Claimed)));
    found_damaged("a record without cells", |bed| put(bed, 3, 3 << 8 | State::Done as u64));
    found_damaged("a record over the end of its page", |bed| put(bed, 31, control(31, 2, State::Void)));
    found_damaged("a record that ends in another one", |bed| {
        bed.ring.note(bed.view(), &set(1, &[7; 200]));
        put(bed, 39, control(39, 3, State::Void));
    });
    found_damaged("a record that ends behind the head", |bed| put(bed, 39, control(39, 2, State::Void)));
    found_damaged("a state that there is not", |bed| put(bed, 3, control(3, 1, State::Done) | 7));
    found_damaged("another stamp", |bed| {
        bed.view().word(bed.ring.place(Position(3)).at + 16).store(77, Ordering::Relaxed)
    });
}

#[test]
fn no_content_of_a_file_makes_a_ring_panic_or_hang() {
    let bed = Bed::new(2);
    let (mut random, mut damaged) = (1_u64, 0);
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    for round in 0..2_000 {
        bed.ring.reset(bed.view(), Position(round * 64));
        (0..40).for_each(|stamp| _ = bed.note(stamp));
        for _ in 0..=next() % 3 {
            let cell = bed.ring.place(Position(next() % bed.ring.capacity())).at;
            let at = if next().is_multiple_of(8) { HEADER_AT + next() % 2 * 8 } else { cell + next() % 4 * 8 };
            bed.view().word(at).fetch_xor(1 << (next() % 64), Ordering::Relaxed);
        }
        match bed.ring.settle(bed.view()) {
            Err(_) => damaged += 1,
            Ok(_) => {
                let at = bed.ring.start(bed.view());
                assert_eq!(bed.stamps(at).1, Read::NotYet);
                (0..100).for_each(|stamp| _ = bed.note(stamp));
                assert_eq!(bed.stamps(bed.ring.start(bed.view())).1, Read::NotYet);
            }
        }
    }
    println!("{damaged} of 2000 found damaged");
    assert!(damaged > 1_000);
}
