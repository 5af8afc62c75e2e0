//! Leaving: what is told, and what reads see afterwards.

#![forbid(unsafe_code)]

use super::*;

#[test]
fn who_leaves_tells_of_itself_alone() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::new("a", 1, &clock), Host::new("b", 2, &clock));
    let id = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    one.told();
    other.told();
    one.node.leave(one.now(), one.now().plus(1_000_000));
    exchange(&mut one, &mut other, id);
    assert_eq!(one.told(), [NodeEvent::Left { unacknowledged: Vec::new() }]);
    assert_eq!(other.told(), [NodeEvent::PeerLeft { name: "a".to_owned() }]);
}

#[test]
fn who_leaves_unconfirmed_serves_what_it_has() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let made = Made { file: Some(&file), ..Made::default() };
    let mut first = Host::made("a", 1, &clock, &made);
    clock.advance(Duration::from_secs(3));
    first.tick();
    first.insert(b"k");
    drop(first);
    let mut second = Host::made("a", 1, &clock, &made);
    assert!(second.node.readiness() == Readiness::Held && !second.has(b"k"));
    second.node.leave(second.now(), second.now());
    assert!(second.told().contains(&NodeEvent::ServingUnconfirmed) && second.has(b"k"));
}

#[test]
fn who_leaves_isolated_serves_what_it_has_for_good() {
    let clock = ManualClock::new();
    let fenced = Made { on_isolated: OnIsolated::Miss, ..Made::default() };
    let (mut one, mut other) = (Host::made("a", 1, &clock, &fenced), Host::new("b", 2, &clock));
    let id = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    one.insert(b"k");
    for _ in 0..20 {
        clock.advance(Duration::from_millis(10));
        one.tick();
    }
    assert!(one.node.readiness() == Readiness::Held && !one.has(b"k"));
    one.node.leave(one.now(), one.now());
    for _ in 0..100 {
        assert!(one.has(b"k"));
        clock.advance(Duration::from_millis(10));
        one.tick();
    }
}

#[test]
fn who_has_closed_its_cache_leaves_with_the_first_change_that_comes() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::new("a", 1, &clock), Host::new("b", 2, &clock));
    let id = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    one.insert(b"last");
    one.store.engine().seal().expect("nobody is inside");
    other.insert(b"k");
    other.insert(b"m");
    other.told();
    one.dials();
    pass(&mut one, &mut other, id, Duration::from_secs(3));
    assert!(other.has(b"last") && !one.has(b"k"));
    assert_eq!(other.told(), [NodeEvent::PeerLeft { name: "a".to_owned() }]);
    assert!(one.told().contains(&NodeEvent::Left { unacknowledged: Vec::new() }));
    assert!(one.dials().is_empty() && one.node.counters().connections == 1);
}

#[test]
fn who_has_closed_its_cache_leaves_in_the_middle_of_a_sync() {
    let clock = ManualClock::new();
    let (mut donor, mut joiner) = (Host::new("a", 1, &clock), Host::new("b", 2, &clock));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    donor.insert(b"k");
    joiner.store.engine().seal().expect("nobody is inside");
    let id = connect(&mut joiner, &mut donor, 1);
    pass(&mut joiner, &mut donor, id, Duration::from_secs(1));
    assert!(joiner.node.departure().is_some());
    assert!(donor.told().contains(&NodeEvent::PeerLeft { name: "b".to_owned() }));
}
