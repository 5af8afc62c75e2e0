//! Free slots and pages: every slot has one owner, through drains and changes of class.
//!
//! The defects that must turn these red stand in `tools/xtask/bites.txt`.

#![cfg(loom)]

mod common;

use also_cache::loom_internals::arena::PageTable;
use common::{Reached, explore};
use loom::sync::Arc;
use loom::thread;

const JOINED: &str = "the other thread failed";

/// One page of class 0 whose first slots are free; all four if that is how many.
fn table(free: u32) -> Arc<PageTable> {
    let table = PageTable::new(1);
    assert_eq!(table.assign(0), Some(0));
    for slot in 0..free {
        assert_eq!(table.claim(0, 0), Some((slot, 1)));
        table.give(0, slot);
    }
    Arc::new(table)
}

#[test]
fn each_free_slot_goes_out_once() {
    static ALL_TAKEN: Reached = Reached::new();
    static RETURNED: Reached = Reached::new();
    explore("take x take x take and give", 2, || {
        let table = table(2);
        let (one, two) = (table.clone(), table.clone());
        let one = thread::spawn(move || one.take(0));
        let two = thread::spawn(move || {
            if let Some(taken) = two.take(0) {
                two.give_back(taken);
            }
        });
        let mine = table.take(0);
        let one = one.join().expect(JOINED);
        two.join().expect(JOINED);
        RETURNED.note(mine.is_some() && one.is_some());
        ALL_TAKEN.note(mine.is_none() || one.is_none());
        assert!(mine.is_none() || mine != one, "{mine:?} twice");
        let mut out: Vec<_> = [mine, one].into_iter().flatten().collect();
        assert_eq!(table.free(0), 2 - out.len() as u64);
        out.extend(std::iter::from_fn(|| table.take(0)));
        out.sort_unstable();
        assert_eq!(out.iter().map(|taken| taken.slot).collect::<Vec<_>>(), [0, 1]);
    });
    RETURNED.assert("both keepers got one");
    ALL_TAKEN.assert("a keeper found none");
}

#[test]
fn each_unprepared_slot_is_handed_to_one_thread() {
    static BOTH: Reached = Reached::new();
    explore("claim x claim x take", 2, || {
        let table = table(2);
        let (one, two) = (table.clone(), table.clone());
        let claimer = |table: Arc<PageTable>| {
            thread::spawn(move || {
                let claimed = table.claim(0, 0);
                if let Some((slot, 1)) = claimed {
                    table.give(0, slot);
                }
                claimed
            })
        };
        let (one, two) = (claimer(one), claimer(two));
        let mine = table.take(0);
        let mut claimed: Vec<_> =
            [one.join().expect(JOINED), two.join().expect(JOINED)].into_iter().flatten().collect();
        claimed.sort_unstable();
        BOTH.note(claimed.len() == 2 && mine.is_some());
        assert_eq!(claimed, [(2, 1), (3, 1)]);
        assert_eq!((table.claim(0, 0), table.free(0)), (None, 3));
    });
    BOTH.assert("both claimed while a slot was taken");
}

#[test]
fn a_page_is_owned_only_with_all_of_its_slots() {
    static OWNED: Reached = Reached::new();
    static HELD_UP: Reached = Reached::new();
    static GAVE: Reached = Reached::new();
    explore("drain x take, give, take", 2, || {
        let table = table(4);
        let taker = table.clone();
        let taker = thread::spawn(move || {
            let returned = taker.take(0);
            if let Some(taken) = returned {
                taker.give_back(taken);
            }
            (returned, taker.take(0))
        });
        assert!(table.begin_drain(0, 0));
        let owned = table.own_all(0);
        let (returned, kept) = taker.join().expect(JOINED);
        OWNED.note(owned);
        HELD_UP.note(!owned);
        GAVE.note(owned && returned.is_some());
        assert!(!(owned && kept.is_some()), "the page and {kept:?} are owned");
        assert!(owned || kept.is_some() || table.own_all(0), "all slots are free again");
    });
    OWNED.assert("the drain got the page");
    HELD_UP.assert("a slot was out");
    GAVE.assert("a slot was given back in time");
}

#[test]
fn a_slot_is_taken_from_no_page_of_another_class() {
    static MOVED: Reached = Reached::new();
    static LATE: Reached = Reached::new();
    explore("take x drain, move, prepare", 2, || {
        let table = table(4);
        let taker = table.clone();
        let taker = thread::spawn(move || {
            let class = taker.class(0);
            (class, taker.take(0))
        });
        let moved = table.begin_drain(0, 0) && table.own_all(0);
        if moved {
            table.move_to(0, 1);
            table.prepare(0, 1);
        }
        let (class, taken) = taker.join().expect(JOINED);
        MOVED.note(moved);
        LATE.note(moved && class == 0);
        assert!(taken.is_none_or(|taken| taken.class == 0), "{taken:?}");
        assert!(!(moved && taken.is_some()), "{taken:?} of a page that moved");
        assert_eq!(table.free(1), if moved { 3 } else { 0 });
    });
    MOVED.assert("the page moved");
    LATE.assert("the taker looked before the page moved");
}

#[test]
fn a_claim_begun_before_a_page_moved_claims_nothing() {
    static LATE: Reached = Reached::new();
    explore("claim x drain, move", 2, || {
        let table = table(4);
        let claimer = table.clone();
        let claimer = thread::spawn(move || {
            let class = claimer.class(0);
            (class, claimer.claim(0, 0))
        });
        assert!(table.begin_drain(0, 0) && table.own_all(0));
        table.move_to(0, 1);
        let (class, claimed) = claimer.join().expect(JOINED);
        LATE.note(class == 0);
        assert_eq!(claimed, None, "the page has been prepared, and is of another class now");
        table.prepare(0, 1);
        assert_eq!(table.free(1), 3);
    });
    LATE.assert("the claimer looked before the page moved");
}

#[test]
fn a_stash_hands_each_slot_out_once_and_keeps_none_from_a_drain() {
    static OWNED: Reached = Reached::new();
    static TAKEN: Reached = Reached::new();
    explore("take x take x drain that empties the stash", 2, || {
        let table = table(4);
        let kept = table.take(0).expect("all are free");
        let (one, two) = (table.clone(), table.clone());
        let (one, two) = (thread::spawn(move || one.take(0)), thread::spawn(move || two.take(0)));
        assert!(table.begin_drain(0, 0));
        table.empty_stashes(0, 0);
        assert!(!table.own_all(0), "one is out");
        let taken = [one.join().expect(JOINED), two.join().expect(JOINED)];
        TAKEN.note(taken.iter().all(Option::is_some));
        OWNED.note(taken.iter().all(Option::is_none));
        assert!(taken[0].is_none() || taken[0] != taken[1], "{taken:?} twice");
        for taken in taken.into_iter().flatten().chain([kept]) {
            table.give_back(taken);
        }
        // A stash may have been filled after it was emptied.
        table.empty_stashes(0, 0);
        assert!(table.own_all(0), "all slots are free again");
        assert_eq!(table.free(0), 0);
    });
    TAKEN.assert("both got one");
    OWNED.assert("the drain came first");
}
