//! Arenas that come from elsewhere: never in a cluster, of another one, copied from a node that lives.

use crate::group::{Group, Plan};
use crate::node::Node;
use crate::support::Watchdog;

/// Two nodes; a third arena is written elsewhere, then they change or remove all that is in it, then it joins.
fn join_with_an_arena(what: &'static str, elsewhere: impl FnOnce(&mut crate::child::Orders)) {
    let mut group = Group::new(Plan { count: 2, ..Plan::new(what, 300) });
    let mut orders = group.orders(2);
    elsewhere(&mut orders);
    let mut before = Node::start(orders, &[]);
    (0..200).for_each(|key| _ = before.ask(&format!("insert {key} 100")));
    assert_eq!(before.audit().present, 200, "{what}");
    before.kill();
    for key in 0..200 {
        let change = if key % 2 == 0 { format!("insert {key} 90") } else { format!("remove {key}") };
        group.nodes[key % 2].ask(&change);
    }
    // Not even asked by who writes there next.
    let orders = group.orders(2);
    group.start(orders);
    let joined = &mut group.nodes[2];
    assert!(joined.recovery.starts_with("warm"), "{what}: {}", joined.recovery);
    (200..300).for_each(|key| _ = joined.ask(&format!("insert {key} 80")));
    group.converge();
    let started_over = group.nodes[2].told("started-over");
    println!("{what}: {}; joined, {started_over} times told that it starts over", group.nodes[2].recovery);
    assert_eq!(group.nodes[2].audit().present, 200, "{what}");
}

#[test]
fn an_arena_that_was_never_in_a_cluster_brings_nothing_along() {
    let _watchdog = Watchdog::new("an arena of no cluster", 80);
    join_with_an_arena("an arena of no cluster", |orders| orders.alone = true);
}

#[test]
fn an_arena_of_another_cluster_brings_nothing_along() {
    let _watchdog = Watchdog::new("an arena of another cluster", 80);
    join_with_an_arena("an arena of another cluster", |orders| {
        (orders.cluster, orders.seeds) = ("others".to_owned(), Vec::new());
    });
}

#[test]
fn a_copy_of_an_arena_that_is_in_use_starts_cold_and_joins() {
    let _watchdog = Watchdog::new("a copied arena", 80);
    let mut group = Group::new(Plan::new("a copied arena", 3_000));
    group.load(800, 300);
    group.wait_for_writes(500);
    let orders = group.orders(3);
    // Beside its writers, so the pages of the copy are not even of one moment.
    std::fs::copy(group.path("b.arena"), &orders.arena).expect("the file is copied");
    group.wait_for_writes(300);
    group.start(orders);
    let recovery = group.nodes[3].recovery.clone();
    assert!(recovery.contains("copied"), "{recovery}");
    let writes = group.converge();
    let joined = group.nodes[3].figure("snapshot_syncs");
    println!("a copied arena: {recovery}; {joined} snapshots, {writes} writes");
    assert!(joined > 0);
}
