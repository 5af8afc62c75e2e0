//! Partitions, lost datagrams, a slow line.

use crate::fabric::{CLEAR, Rule, SLOW};
use crate::group::{Group, Plan, first_number};
use crate::support::Watchdog;
use crate::until;

const CUT: Rule = Rule { is_cut: true, ..CLEAR };

impl Group {
    pub(crate) fn fabric(&self) -> &crate::fabric::Fabric {
        self.fabric.as_ref().expect("a group with a fabric")
    }
}

/// Cuts some ways under load until both sides have noticed, heals them, and waits until all is well.
fn part(what: &'static str, cut: &[(usize, usize)], parted: (usize, &str)) {
    let mut group = Group::new(Plan { count: 4, has_fabric: true, ..Plan::new(what, 4_000) });
    group.load(600, 300);
    group.wait_for_writes(200);
    cut.iter().for_each(|(from, to)| group.fabric().set(*from, *to, CUT));
    until(what, || group.nodes[parted.0].members().get(parted.1).is_none_or(|state| state != "connected"));
    group.wait_for_writes(800);
    group.fabric().set_all(CLEAR);
    group.wait_for_writes(100);
    let writes = group.converge();
    let (_, lost, passed) = group.fabric().counts();
    println!("{what}: {writes} writes, {lost} datagrams and no byte lost, {passed} bytes passed");
    assert!(writes > 0 && lost > 0);
}

#[test]
fn two_halves_meet_again_and_hold_the_same() {
    let _watchdog = Watchdog::new("a partition", 80);
    let halves = [(0, 2), (0, 3), (1, 2), (1, 3)];
    let both: Vec<(usize, usize)> = halves.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]).collect();
    part("two halves", &both, (0, "c"));
}

#[test]
fn who_is_heard_by_nobody_and_hears_all_comes_back() {
    let _watchdog = Watchdog::new("a partition of one way", 80);
    part("one way out", &[(0, 1), (0, 2), (0, 3)], (1, "a"));
}

#[test]
fn who_hears_one_node_no_more_while_that_one_hears_it_comes_back() {
    let _watchdog = Watchdog::new("a partition of one way in", 80);
    part("one way of one pair", &[(1, 3)], (3, "b"));
}

#[test]
fn lost_datagrams_keep_nobody_away() {
    let _watchdog = Watchdog::new("lost datagrams", 80);
    let mut group = Group::new(Plan { count: 5, has_fabric: true, ..Plan::new("lost datagrams", 2_000) });
    let alarms = |group: &mut Group| group.nodes.iter_mut().map(|node| node.told("lost")).sum::<u64>();
    let alarms_before = alarms(&mut group);
    group.fabric().set_all(Rule { datagrams_lost_percent: 5, ..CLEAR });
    let (_, before, _) = group.fabric().counts();
    group.load(300, 300);
    until("many are lost", || group.fabric().counts().1 >= before + 25);
    let false_alarms = alarms(&mut group) - alarms_before;
    let dead: u64 = group.nodes.iter_mut().map(|node| node.figure("taken_for_dead")).sum();
    let writes = group.converge();
    // How many is for the eye: on a machine that is busy enough a node is silent for longer than others listen to silence.
    println!(
        "{writes} writes, {} datagrams lost, {false_alarms} members lost, {dead} times taken for dead",
        group.fabric().counts().1
    );
}

#[test]
fn a_slow_peer_slows_nobody_and_catches_up() {
    let _watchdog = Watchdog::new("a slow peer", 80);
    let mut group = Group::new(Plan { is_sealed: false, has_fabric: true, ..Plan::new("a slow peer", 1_000) });
    for other in [0, 1] {
        group.fabric().set(other, 2, Rule { bytes_per_second: SLOW, ..CLEAR });
    }
    // 200 keys of 300 bytes on one node, written again and again: far more than the line carries.
    group.nodes[0].ask("load 0 200 4000 600");
    until("much is written while the peer is behind", || {
        let wrote = first_number(&group.nodes[0].ask("wrote"));
        wrote >= 12_000 && group.nodes[0].figure("lag_bytes") > 0
    });
    let rest = group.nodes[0].ask("rest");
    let behind = group.nodes[0].figure("lag_bytes");
    assert!(behind > 0, "the peer was never behind");
    let offered = 12_000 * 300 / SLOW;
    group.converge();
    println!(
        "writes and microseconds of the slowest: {rest}; {offered} s of that line; caught up from {behind} bytes of records"
    );
}
