//! Nodes that are killed and stopped.

use crate::child::is_settled;
use crate::group::{Group, Plan, first_number};
use crate::support::Watchdog;
use crate::until;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// How long a stopped node stands still.
const STOPPED: Duration = Duration::from_secs(10);

impl Group {
    /// What a killed node was in the middle of counts as written by nobody: its next life takes it away.
    fn clear_what_was_under_way(&mut self, at: usize, keys: u64) -> u64 {
        let mut cleared = 0;
        for key in 0..keys {
            if is_settled(&self.ledger, key).is_none() {
                self.nodes[at].ask(&format!("remove {key}"));
                cleared += 1;
            }
        }
        cleared
    }
}

#[test]
fn a_node_killed_under_load_comes_back_warm_and_misses_nothing() {
    let _watchdog = Watchdog::new("kills under load", 80);
    const KEYS: u64 = 3_000;
    let mut group = Group::new(Plan::new("kills under load", KEYS));
    let (mut replayed, mut left) = (0, 0);
    for at in [1, 2, 0] {
        group.load(1_500, 300);
        group.wait_for_writes(500);
        let orders = group.kill(at);
        // The others go on, and notice.
        let lost = group.nodes[0].told("lost");
        group.wait_for_writes(300);
        until("its death is noticed", || group.nodes[0].told("lost") >= lost);
        let writes: u64 = group.nodes.iter_mut().map(|node| first_number(&node.ask("rest"))).sum();
        group.start(orders);
        assert!(group.nodes[at].recovery.starts_with("warm"), "{}", group.nodes[at].recovery);
        group.clear_what_was_under_way(at, KEYS);
        group.converge();
        replayed += group.nodes[at].figure("former_life_replays");
        left += group.nodes[at].figure("former_changes");
        println!("killed {}: {writes} writes on the others", group.nodes[at].name());
    }
    println!("three kills: {left} changes left in their rings, {replayed} rings replayed");
    assert!(left > 0);
}

#[test]
fn what_was_inserted_and_never_sent_reaches_all_after_the_restart() {
    let _watchdog = Watchdog::new("nothing sent before a kill", 80);
    const KEYS: u64 = 400;
    let mut group = Group::new(Plan::new("nothing sent before a kill", KEYS));
    for key in 0..20 {
        group.nodes[0].ask(&format!("insert {key} 100"));
    }
    group.converge();
    // From here on no byte leaves this node: its network thread is stopped.
    assert_eq!(group.nodes[0].ask("hold"), "held");
    for key in 10..KEYS {
        group.nodes[0].ask(&format!("insert {key} {}", 50 + key));
    }
    group.nodes[0].ask("remove 5");
    let orders = group.kill(0);
    for node in &mut group.nodes {
        let got = |node: &mut crate::node::Node, key: u64| node.ask(&format!("get {key}"));
        assert_eq!(
            (got(node, 15), got(node, 200), got(node, 5)),
            ("1".to_owned(), "absent".to_owned(), "1".to_owned())
        );
    }
    group.start(orders);
    assert!(group.nodes[0].recovery.starts_with("warm"), "{}", group.nodes[0].recovery);
    group.converge();
    for node in &mut group.nodes {
        let got = |node: &mut crate::node::Node, key: u64| node.ask(&format!("get {key}"));
        assert_eq!(
            (got(node, 15), got(node, 399), got(node, 5)),
            ("2".to_owned(), "1".to_owned(), "absent".to_owned())
        );
    }
    let left = group.nodes[0].figure("former_changes");
    println!("{left} changes were in the ring, {} replays", group.nodes[0].figure("former_life_replays"));
    assert!(left >= KEYS - 10);
}

#[test]
fn a_stopped_node_is_given_up_and_catches_up() {
    let _watchdog = Watchdog::new("a stopped node", 80);
    let mut group = Group::new(Plan::new("a stopped node", 3_000));
    group.load(1_000, 300);
    group.wait_for_writes(300);
    let stopped = Instant::now();
    group.nodes[2].signal(Signal::STOP);
    let frozen = group.nodes.pop().expect("three nodes");
    // Given up by membership too, not only by the connection: then it is in no list any more.
    until("the others know it as dead", || group.nodes.iter_mut().all(|node| !node.members().contains_key("c")));
    let noticed = stopped.elapsed();
    group.wait_for_writes(1_000);
    std::thread::sleep(STOPPED.saturating_sub(stopped.elapsed()));
    frozen.signal(Signal::CONT);
    println!("stopped for {:.1?}, known as dead after {noticed:.1?}", stopped.elapsed());
    group.nodes.push(frozen);
    group.wait_for_writes(300);
    group.converge();
    let dead = group.nodes[2].figure("taken_for_dead");
    println!("taken for dead {dead} times");
    assert!(dead > 0, "it learns that it was given up");
}
