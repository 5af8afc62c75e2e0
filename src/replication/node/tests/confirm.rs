//! Confirmation: who lets a node that comes back show what it has, and who begins a cluster.

#![forbid(unsafe_code)]

use super::*;

/// A node that comes back on its arena, with `k` in it, and holds it back.
pub(super) fn come_back(name: &str, last: u16, clock: &ManualClock, made: &Made<'_>) -> Host {
    let mut before = Host::made(name, last, clock, made);
    clock.advance(Duration::from_secs(3));
    before.tick();
    assert_eq!(before.node.readiness(), Readiness::Complete);
    before.insert(b"k");
    drop(before);
    let host = Host::made(name, last, clock, made);
    assert!(host.node.readiness() == Readiness::Held && !host.has(b"k"));
    host
}

/// A node that has begun a cluster on its own.
fn founder(name: &str, last: u16, clock: &ManualClock) -> Host {
    let mut host = Host::new(name, last, clock);
    clock.advance(Duration::from_secs(3));
    host.tick();
    assert!(host.node.standing.is_joined());
    host
}

#[test]
fn a_node_that_has_joined_nobody_confirms_nobody() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let member = founder("b", 2, &clock);
    let warm = come_back("a", 1, &clock, &Made { file: Some(&file), ..Made::default() });
    let mut hosts = [warm, Host::new("p", 3, &clock), member];
    let seeds = [address(2), address(3)];
    hosts[0].node.handle_seeds(hosts[0].now(), &seeds);
    assert_eq!(hosts[0].dials(), seeds);
    let [warm, new, _] = &mut hosts;
    let to_new = connect(warm, new, 1);
    pass_all(&mut hosts, &[(0, 1, to_new)], Duration::from_secs(5));
    assert!(hosts[0].node.readiness() == Readiness::Held && !hosts[0].has(b"k"), "a seed is being dialled");
    let [warm, _, member] = &mut hosts;
    let to_member = connect(warm, member, 2);
    pass_all(&mut hosts, &[(0, 1, to_new), (0, 2, to_member)], Duration::from_secs(1));
    assert!(hosts.iter().all(|host| host.node.readiness() == Readiness::Complete));
    assert!(hosts[0].has(b"k"));
    assert_eq!((hosts[0].node.counters().confirmed, hosts[0].node.counters().served_unconfirmed), (1, 0));
}

#[test]
fn nobody_is_confirmed_while_a_seed_is_being_tried() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let mut member = founder("b", 2, &clock);
    let mut warm = come_back("a", 1, &clock, &Made { file: Some(&file), ..Made::default() });
    warm.node.handle_seeds(warm.now(), &[address(2), address(3)]);
    let id = connect(&mut warm, &mut member, 1);
    pass(&mut warm, &mut member, id, Duration::from_secs(5));
    assert_eq!(warm.node.readiness(), Readiness::Held);
    warm.node.handle_dial_failed(warm.now(), address(3));
    pass(&mut warm, &mut member, id, Duration::from_secs(1));
    assert_eq!((warm.node.readiness(), warm.node.counters().confirmed), (Readiness::Complete, 1));
}

#[test]
fn a_node_that_comes_back_among_new_ones_alone_serves_them_what_it_has() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let mut warm = come_back("a", 1, &clock, &Made { file: Some(&file), ..Made::default() });
    let mut new = Host::new("p", 3, &clock);
    let id = connect(&mut warm, &mut new, 1);
    pass(&mut warm, &mut new, id, Duration::from_secs(1));
    assert!(warm.node.readiness() == Readiness::Held && !warm.has(b"k") && !new.has(b"k"));
    pass(&mut warm, &mut new, id, Duration::from_secs(2));
    assert_eq!((warm.node.counters().served_unconfirmed, warm.node.counters().confirmed), (1, 0));
    assert!(warm.has(b"k") && new.has(b"k") && new.node.readiness() == Readiness::Complete);
}

#[test]
fn a_member_that_comes_back_without_its_arena_keeps_nobody_held() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let mut member = founder("b", 2, &clock);
    let mut warm = come_back("a", 1, &clock, &Made { file: Some(&file), ..Made::default() });
    warm.node.handle_seeds(warm.now(), &[address(2), address(3)]);
    let first = connect(&mut warm, &mut member, 1);
    pass(&mut warm, &mut member, first, Duration::from_secs(5));
    warm.node.handle_dial_failed(warm.now(), address(3));
    let mut again = Host::new("b", 2, &clock);
    let second = connect(&mut again, &mut warm, 2);
    exchange(&mut again, &mut warm, second);
    assert_eq!(warm.node.counters().former_closed, 1);
    pass(&mut again, &mut warm, second, Duration::from_secs(3));
    assert!(warm.has(b"k") && again.has(b"k"), "{:?}", warm.node.readiness());
}

#[test]
fn two_new_nodes_wait_for_a_seed_that_is_being_tried() {
    let clock = ManualClock::new();
    let mut member = founder("m", 3, &clock);
    clock.advance(Duration::from_millis(10));
    member.insert(b"k");
    clock.advance(Duration::from_millis(10));
    let mut hosts = [Host::new("a", 1, &clock), Host::new("b", 2, &clock), member];
    for host in &mut hosts[..2] {
        host.node.handle_seeds(host.now(), &[address(3)]);
        assert_eq!(host.dials(), [address(3)]);
    }
    let [one, other, _] = &mut hosts;
    let between = connect(one, other, 1);
    pass_all(&mut hosts, &[(0, 1, between)], Duration::from_secs(2));
    let [one, other, member] = &mut hosts;
    assert!(!one.node.standing.is_joined() && !other.node.standing.is_joined());
    let (first, second) = (connect(one, member, 2), connect(other, member, 3));
    pass_all(&mut hosts, &[(0, 1, between), (0, 2, first), (1, 2, second)], Duration::from_secs(1));
    assert!(hosts.iter().all(|host| host.has(b"k") && host.node.readiness() == Readiness::Complete));
    assert_eq!(hosts[0].node.counters().founded, 0);
}

#[test]
fn a_node_that_has_nobody_to_ask_serves_at_once() {
    let clock = ManualClock::new();
    let mut alone = Host::made("a", 1, &clock, &Made { has_seeds: false, ..Made::default() });
    let seeking = Host::new("b", 2, &clock);
    assert_eq!((alone.node.readiness(), seeking.node.readiness()), (Readiness::Serving, Readiness::Joining));
    clock.advance(Duration::from_secs(3));
    alone.tick();
    assert_eq!(alone.node.readiness(), Readiness::Complete);
}

#[test]
fn while_a_sync_brings_what_was_missed_nobody_says_that_it_is_complete() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (founder("a", 1, &clock), founder("b", 2, &clock));
    let id = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    one.told();
    one.node.begin_sync(one.now(), id);
    assert_eq!(one.node.readiness(), Readiness::Serving);
    let said = one.said(id);
    other.hears(id, &said);
    clock.advance(Duration::from_millis(60));
    one.tick();
    let said = one.said(id);
    other.hears(id, &said);
    assert_eq!(other.node.members(other.now())[0].readiness, Readiness::Serving);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    assert_eq!(one.node.counters().delta_syncs, 1);
    assert_eq!(one.told().last(), Some(&NodeEvent::Readiness(Readiness::Complete)));
    assert_eq!(other.node.members(other.now())[0].readiness, Readiness::Complete);
}
