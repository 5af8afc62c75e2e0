//! Who died is seen down soon, who lives never is, and who says goodbye is gone at once.

#![forbid(unsafe_code)]

use super::world::{SECOND, World, address, name};
use crate::replication::membership::MemberEvent;

fn is_down(event: &MemberEvent) -> bool {
    matches!(event, MemberEvent::Down(_))
}

/// How long until each of the others had seen the death, the slowest of them; `None` if one never did.
fn death_seen_after_us(nodes: usize, seed: u64) -> Option<u64> {
    let mut world = World::of(nodes, seed);
    world.lost = 10;
    // Deaths come at any moment of a probe's period.
    world.run(seed % 97 * 13_000);
    let died_us = world.now_us;
    world.nodes[0].is_dead = true;
    world.run(10 * SECOND);
    let seen = world.seen_since(died_us, |event| matches!(event, MemberEvent::Down(member) if *member.name == name(0)));
    let by = |number| seen.iter().find(|(_, by)| *by == number).map(|(at_us, _)| at_us - died_us);
    let after = (1..nodes).map(by).collect::<Option<Vec<u64>>>()?;
    assert_eq!(world.seen_since(died_us, is_down).len(), nodes - 1, "nobody else, and each once: seed {seed}");
    after.into_iter().max()
}

#[test]
fn a_death_is_seen_by_all_within_three_seconds() {
    for nodes in [2, 3, 5] {
        let mut after: Vec<u64> =
            (0..200).map(|seed| death_seen_after_us(nodes, seed).unwrap_or_else(|| panic!("seed {seed}"))).collect();
        after.sort_unstable();
        let [median, p99, last] = [100, 197, 199].map(|at| after[at]);
        println!("{nodes} nodes, a death seen by all: p50 {median} us, p99 {p99} us, last {last} us");
        assert!(p99 <= 3 * SECOND);
    }
}

#[test]
fn nobody_who_lives_is_seen_down_at_five_percent_loss() {
    for (nodes, seeds) in [(2, 20), (3, 40), (5, 40)] {
        for seed in 0..seeds {
            let mut world = World::of(nodes, seed);
            (world.lost, world.doubled) = (50, 20);
            world.run(60 * SECOND);
            let down = world.seen_since(0, is_down);
            assert_eq!(down, [], "{nodes} nodes, seed {seed}");
            assert!(world.all_see_all());
            let counters = world.nodes[0].membership.counters();
            assert_eq!((counters.overslept, counters.renewed), (0, 0), "virtual time is never late");
        }
    }
}

#[test]
fn a_goodbye_is_seen_at_once() {
    for seed in 0..50 {
        for nodes in [2, 3, 5] {
            let mut world = World::of(nodes, seed);
            world.lost = 20;
            let left_us = world.now_us;
            world.nodes[1].membership.leave(left_us);
            world.drain(1);
            world.nodes[1].is_dead = true;
            world.run(SECOND);
            let left = world.seen_since(
                left_us,
                |event| matches!(event, MemberEvent::Left(member) if member.address == address(1)),
            );
            assert_eq!(left.len(), nodes - 1, "{nodes} nodes, seed {seed}");
            assert!(left.iter().all(|(at_us, _)| at_us - left_us <= 300_000), "{nodes} nodes, seed {seed}: {left:?}");
            assert!(world.all_see_all() && world.seen_since(left_us, is_down).is_empty());
            assert_eq!(world.nodes[1].membership.poll_timeout(), None);
        }
    }
}

#[test]
fn who_overslept_takes_nobody_for_dead() {
    for seed in 0..50 {
        let mut world = World::of(3, seed);
        let stopped_us = world.now_us;
        // Between half a second, which nobody minds, and ten, after which the others have given it up.
        world.stop_for(0, 500_000 + seed * 190_000);
        world.run(10 * SECOND);
        let by_it = world.seen_since(stopped_us, is_down).into_iter().filter(|(_, number)| *number == 0).count();
        assert_eq!(by_it, 0, "seed {seed}");
        assert!(world.nodes[0].membership.counters().overslept > 0);
        assert!(world.all_see_all(), "it is back among the others: seed {seed}");
    }
}

#[test]
fn a_suspicion_does_not_ripen_in_ones_sleep() {
    for seed in 0..50 {
        let mut world = World::of([2, 3][seed as usize % 2], seed);
        world.nodes[0].side = 1;
        // Long enough to suspect the others, too short to give them up.
        world.run(700_000);
        world.nodes[0].side = 0;
        let stopped_us = world.now_us;
        world.stop_for(0, 1_200_000 + seed * 10_000);
        world.run(10 * SECOND);
        let by_it = world.seen_since(stopped_us, is_down).into_iter().filter(|(_, number)| *number == 0).count();
        assert_eq!(by_it, 0, "seed {seed}");
        assert!(world.all_see_all(), "seed {seed}");
    }
}

#[test]
fn a_pause_of_a_second_is_no_death() {
    for seed in 0..100 {
        let mut world = World::of([2, 3, 5][seed as usize % 3], seed);
        for _ in 0..5 {
            world.stop_for(0, SECOND);
            world.run(700_000 + seed * 1_000);
        }
        assert_eq!(world.seen_since(0, is_down), [], "seed {seed}");
    }
}

#[test]
fn a_process_that_is_always_late_still_notices_a_death() {
    let mut world = World::of(3, 1);
    world.nodes[2].is_dead = true;
    for _ in 0..60 {
        world.stop_for(0, 90_000);
        world.stop_for(1, 90_000);
    }
    world.run(5 * SECOND);
    assert_eq!((world.seen_by(0), world.seen_by(1)), (vec![address(1)], vec![address(0)]));
}
