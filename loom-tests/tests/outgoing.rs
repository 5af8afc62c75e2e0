//! A frame on its way to a socket lies where it is stored, under a pin and no guard, while its key is replaced, removed,
//! evicted or moved: its bytes stay, its slot is nobody else's before the last pin is gone, and somebody's afterwards.
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

/// What a sender met.
struct Sent {
    stamp: u64,
    slot: u64,
}

/// Takes a frame, and reads it twice as a system call does that is slow. `None`: it had no frame, or no pin on it.
fn send(model: &Model, key: u8) -> Option<Sent> {
    let sending = model.send(key)?;
    let (stamp, slot) = (sending.stamp(), sending.slot());
    assert_eq!(sending.value(), stamp, "another value than the one that was given out");
    thread::yield_now();
    assert!(model.is_kept(slot), "the slot went while a frame was sent from it");
    assert_eq!(sending.value(), stamp, "another value than the one that was given out");
    Some(Sent { stamp, slot })
}

/// Nothing is pinned any more, and the slot is somebody else's or there for others. Whether it had to wait for that.
fn assert_given_back(model: &Model, slot: u64) -> bool {
    assert_eq!(model.pinned_bytes(), 0);
    let waited = model.slot_of(OTHER) != Some(slot);
    assert!(!waited || model.reuses(slot), "the slot is lost");
    waited
}

#[test]
fn a_frame_beside_a_replace_keeps_its_bytes_and_then_gives_its_slot_back() {
    static NEW: Reached = Reached::new();
    static KEPT: Reached = Reached::new();
    static REUSED: Reached = Reached::new();
    explore("send x replace, reclaim, insert", 2, || {
        let model = Arc::new(Model::new(2, 1));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let sender = model.clone();
        let sender = thread::spawn(move || send(&sender, KEY));
        assert_eq!(model.store(KEY, 20), Stored::Yes);
        model.reclaim();
        model.reclaim();
        assert_eq!(model.store(OTHER, 30), Stored::Yes);
        let sent = sender.join().expect(JOINED).expect("the key is always there");
        assert_eq!((model.get(KEY), model.get(OTHER)), (Some(20), Some(30)));
        NEW.note(sent.stamp == 20);
        if sent.stamp == 10 {
            let waited = assert_given_back(&model, sent.slot);
            KEPT.note(waited);
            REUSED.note(!waited);
        }
    });
    NEW.assert("the new value was sent");
    KEPT.assert("the slot had to wait");
    REUSED.assert("the slot was reused at once");
}

#[test]
fn a_frame_whose_key_is_removed_is_sent_to_its_end() {
    static REMOVED: Reached = Reached::new();
    static ABSENT: Reached = Reached::new();
    explore("send x remove, reclaim, insert", 2, || {
        let model = Arc::new(Model::new(2, 1));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let sender = model.clone();
        let sender = thread::spawn(move || send(&sender, KEY));
        assert!(model.remove(KEY), "nobody else removes it");
        model.reclaim();
        model.reclaim();
        assert_eq!(model.store(OTHER, 30), Stored::Yes);
        let sent = sender.join().expect(JOINED);
        ABSENT.note(sent.is_none());
        if let Some(sent) = sent {
            assert_eq!(sent.stamp, 10);
            REMOVED.note(assert_given_back(&model, sent.slot));
        }
    });
    REMOVED.assert("its slot waited for the sender");
    ABSENT.assert("there was nothing to send");
}

#[test]
fn a_frame_whose_key_is_evicted_is_sent_to_its_end() {
    static EVICTED: Reached = Reached::new();
    static ABSENT: Reached = Reached::new();
    explore("send x evict, reclaim, insert", 2, || {
        let model = Arc::new(Model::new(2, 1));
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        let sender = model.clone();
        let sender = thread::spawn(move || send(&sender, KEY));
        assert!(model.evict_key(KEY), "nobody else takes it out");
        model.reclaim();
        model.reclaim();
        assert_eq!(model.store(OTHER, 30), Stored::Yes);
        let sent = sender.join().expect(JOINED);
        ABSENT.note(sent.is_none());
        if let Some(sent) = sent {
            assert_eq!(sent.stamp, 10);
            EVICTED.note(assert_given_back(&model, sent.slot));
        }
    });
    EVICTED.assert("its slot waited for the sender");
    ABSENT.assert("there was nothing to send");
}

#[test]
fn a_page_that_a_frame_is_sent_from_leaves_its_class_afterwards() {
    static WAITED: Reached = Reached::new();
    static LEFT: Reached = Reached::new();
    explore("send x page move", 2, || {
        let model = Model::new(2, 2);
        assert_eq!(model.store(KEY, 10), Stored::Yes);
        // Twice: it is used, so a drain copies it.
        assert_eq!((model.get(KEY), model.get(KEY)), (Some(10), Some(10)));
        model.aim_at_the_entry();
        let model = Arc::new(model);
        let sender = model.clone();
        let sender = thread::spawn(move || send(&sender, KEY));
        for _ in 0..3 {
            model.drain();
        }
        let [.., moved] = model.counts();
        if moved > 0 {
            for _ in 0..3 {
                model.hasten_page();
            }
        }
        let sent = sender.join().expect(JOINED).expect("the key is always there");
        assert_eq!(sent.stamp, 10);
        assert_eq!((model.get(KEY), model.pinned_bytes()), (Some(10), 0));
        LEFT.note(moved > 0);
        WAITED.note(moved == 0);
        for _ in 0..3 {
            model.drain();
        }
        let [_, relocated, moved] = model.counts();
        assert_eq!((relocated, moved), (1, 1), "nothing keeps the page any more");
    });
    WAITED.assert("the page had to wait");
    LEFT.assert("the page left its class beside the sender");
}
