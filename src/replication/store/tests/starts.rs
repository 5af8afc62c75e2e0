//! How an arena becomes a node's, the first time, again, and after what can go wrong in between.

#![forbid(unsafe_code)]

use super::*;

#[test]
fn a_killed_node_comes_back_held_with_its_changes_and_positions() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("arena");
    let clock = ManualClock::new();
    let a = start("a", Some(&file), &clock);
    a.end_join();
    insert(&a, b"k", b"v");
    let other = StreamId { origin: crate::types::stream::Origin(9), incarnation: crate::types::stream::Incarnation(3) };
    a.save_applied(other, Position(77));
    let before = a.streams();
    drop(a);
    let a = start("a", Some(&file), &clock);
    assert_eq!(a.origination(), Origination::Warm);
    assert!(a.is_held() && read(&a, b"k").is_none());
    assert_eq!(a.saved_applied().get(other), Some(Position(77)));
    let after = a.streams();
    assert_eq!(after.len(), 2);
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].first, before[0].end);
    assert!(after[1].stream.incarnation > before[0].stream.incarnation);
    let mut at = after[0].start;
    assert_eq!(frames(&a, &mut at).len(), 1, "what may not have been sent is offered again");
    insert(&a, b"new", b"seen");
    assert_eq!(read(&a, b"new").as_deref(), Some(b"seen".as_slice()));
    a.serve();
    assert_eq!(read(&a, b"k").as_deref(), Some(b"v".as_slice()));
    drop(a);
    let b = start("b", Some(&file), &clock);
    assert_eq!(b.origination(), Origination::Cold);
    assert_eq!((read(&b, b"k"), b.streams().len(), b.saved_applied().len()), (None, 1, 0));
    assert_eq!(b.engine().len(), 0);
}

#[test]
fn what_is_doubted_stays_so_in_the_next_life() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("arena");
    let clock = ManualClock::new();
    let a = start("a", Some(&file), &clock);
    a.end_join();
    insert(&a, b"before", b"v");
    clock.advance(Duration::from_secs(1));
    a.doubt();
    insert(&a, b"since", b"v");
    drop(a);
    let a = start("a", Some(&file), &clock);
    a.serve();
    assert!(read(&a, b"since").is_some());
    clock.advance(Duration::from_secs(30));
    for is_over in [false, true] {
        assert_eq!((read(&a, b"before"), read(&a, b"since").is_some()), (None, true), "{is_over}");
        a.end_doubt();
    }
    assert!(a.clears()[0].1 > Stamp::ZERO);
}

#[test]
fn a_second_doubt_waits_for_the_first_and_spreads_on_its_own() {
    let clock = ManualClock::new();
    let a = start("a", None, &clock);
    insert(&a, b"first", b"v");
    a.doubt();
    let late: Vec<Vec<u8>> = (0..100_u8).map(|number| vec![b'k', number]).collect();
    clock.advance(Duration::from_secs(29));
    late.iter().for_each(|key| _ = insert(&a, key, b"v"));
    a.doubt();
    insert(&a, b"after", b"v");
    let there = || late.iter().filter(|key| read(&a, key).is_some()).count();
    let mut left = Vec::new();
    for _ in 0..32 {
        clock.advance(Duration::from_secs(1));
        a.end_doubt();
        left.push(there());
    }
    assert_eq!((left[0], left[31]), (100, 0), "{left:?}");
    assert!((30..70).contains(&left[16]), "{left:?}");
    assert!(read(&a, b"first").is_none() && read(&a, b"after").is_some());
}

#[test]
fn a_start_that_waited_in_vain_is_tried_again_and_empties_all_the_same() {
    let clock = ManualClock::new();
    let engine = Arc::new(open(&request(None, &clock)).expect("opens").0);
    let local =
        Store { engine: Arc::clone(&engine), origination: Origination::Cold, dropped: 0, stream: StreamId::default() };
    insert(&local, b"k", b"before");
    let (started, stop) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let writer = std::thread::spawn({
        let (engine, started) = (Arc::clone(&engine), started.0);
        move || {
            let _writing = engine.begin_write().expect("open");
            started.send(()).expect("the test waits");
            stop.1.recv().expect("the test tells")
        }
    });
    started.1.recv().expect("it is inside");
    let failure = Store::enlist(Arc::clone(&engine), "a", 1).expect_err("it stays inside");
    assert_eq!(failure, EnlistFailure::Inside(1));
    stop.0.send(()).expect("it waits");
    writer.join().expect("it ends");
    let store = Store::enlist(engine, "a", 1).expect("nobody is inside");
    assert_eq!((store.origination(), store.dropped(), read(&store, b"k")), (Origination::Cold, 1, None));
}

#[test]
fn damage_in_the_header_of_a_node_makes_its_arena_one_of_no_cluster() {
    use std::os::unix::fs::FileExt;
    // The head of the ring, and the incarnation.
    for at in [256, 32] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("arena");
        let clock = ManualClock::new();
        let a = start("a", Some(&path), &clock);
        a.end_join();
        insert(&a, b"k", b"v");
        drop(a);
        let bytes = std::fs::read(&path).expect("it is there");
        let header = bytes.windows(8).position(|word| word == b"CLUSTER\x01").expect("it has one") as u64;
        let file = std::fs::File::options().write(true).open(&path).expect("it is ours");
        file.write_all_at(&[0xff; 8], header + at).expect("it has room");
        let a = start("a", Some(&path), &clock);
        assert_eq!((a.origination(), read(&a, b"k")), (Origination::Cold, None), "{at}");
    }
}

#[test]
fn a_join_that_was_cut_off_leaves_no_way_back_behind_own_writes() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("arena");
    let clock = ManualClock::new();
    let b = start("b", None, &clock);
    insert(&b, b"k", b"old");
    let mut at = Position(0);
    let old = frames(&b, &mut at).remove(0);
    clock.advance(std::time::Duration::from_millis(1));
    let a = start("a", Some(&file), &clock);
    insert(&a, b"k", b"new");
    drop(a);
    let a = start("a", Some(&file), &clock);
    assert_eq!((a.origination(), a.engine().len()), (Origination::Cold, 0));
    let donated = ReceivedFrame::read(&old).expect("a whole frame");
    let donated = a.apply_from_donor(&a.approach(donated.key), &donated);
    assert_eq!((donated, read(&a, b"k")), (Applied::BelowFloor, None));
}

#[test]
fn what_was_stored_before_the_cluster_goes() {
    let clock = ManualClock::new();
    let (engine, _) = open(&request(None, &clock)).expect("opens");
    let engine = Arc::new(engine);
    let local =
        Store { engine: Arc::clone(&engine), origination: Origination::Cold, dropped: 0, stream: StreamId::default() };
    for n in 0..2000_u32 {
        insert(&local, &n.to_le_bytes(), b"before");
    }
    let store = Store::enlist(engine, "a", 1).expect("nobody is inside");
    assert_eq!(store.engine().len(), 0);
    assert!((0..2000_u32).all(|n| read(&store, &n.to_le_bytes()).is_none()));
    insert(&store, b"k", b"after");
    assert_eq!(read(&store, b"k").as_deref(), Some(b"after".as_slice()));
}

#[test]
fn a_node_in_a_full_arena_takes_its_pages() {
    let clock = ManualClock::new();
    let (engine, _) = open(&request(None, &clock)).expect("opens");
    let engine = Arc::new(engine);
    let local =
        Store { engine: Arc::clone(&engine), origination: Origination::Cold, dropped: 0, stream: StreamId::default() };
    for n in 0..20_000_u32 {
        insert(&local, &n.to_le_bytes(), &[0; 100]);
    }
    let store = Store::enlist(engine, "a", 1).expect("pages are taken from classes");
    assert_eq!(store.floor_ranges(), 512);
    for n in 0..20_000_u32 {
        insert(&store, &n.to_le_bytes(), &[0; 100]);
    }
}

#[test]
fn a_start_after_a_leave_is_a_new_life_whose_entries_are_held_back() {
    let clock = ManualClock::new();
    let first = start("a", None, &clock);
    first.end_join();
    insert(&first, b"k", b"1");
    let between = first.end();
    insert(&first, b"m", b"2");
    let second = Store::enlist(Arc::clone(first.engine()), "a", 1).expect("nobody is inside");
    assert!(
        second.stream().origin == first.stream().origin && second.stream().incarnation > first.stream().incarnation
    );
    assert_eq!((second.origination(), second.is_held(), read(&second, b"k")), (Origination::Warm, true, None));
    let lives = second.streams();
    assert_eq!(lives.iter().map(|range| range.stream).collect::<Vec<_>>(), [first.stream(), second.stream()]);
    assert!(lives[0].end > between && lives[0].end == lives[1].first);
    second.serve();
    assert!(read(&second, b"k").is_some());
    let other = Store::enlist(Arc::clone(first.engine()), "b", 1).expect("nobody is inside");
    assert!(other.origination() == Origination::Cold && other.stream().incarnation > second.stream().incarnation);
}
