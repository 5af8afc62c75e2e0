//! Names that come again: restarts, other addresses, copies that live, clocks that went back.

#![forbid(unsafe_code)]

use super::world::{SECOND, World, address, name};
use crate::replication::membership::MemberEvent;
use crate::replication::security::DatagramRefusal;
use crate::types::stream::Incarnation;

fn seeds() -> Vec<std::net::SocketAddr> {
    (0..3).map(address).collect()
}

#[test]
fn a_fast_restart_takes_the_place_of_the_life_before() {
    for seed in 0..50 {
        let (moves, said_goodbye) = (seed % 2 == 0, seed % 4 < 2);
        let mut world = World::of(3, seed);
        world.lost = 20;
        if said_goodbye {
            world.nodes[2].membership.leave(world.now_us);
            world.drain(2);
        }
        world.nodes[2].is_dead = true;
        world.run(seed * 10_000);
        let started_us = world.now_us;
        let at = if moves { address(9) } else { address(2) };
        let new = world.start(&name(2), 2, at, &seeds());
        assert!(world.run_until_all_see_all(3 * SECOND).is_some(), "seed {seed}: {:?}", world.history);
        world.run(5 * SECOND);
        for number in 0..2 {
            let told = |event: &MemberEvent| match event {
                MemberEvent::Replaced { former, member } => {
                    assert_eq!(
                        (former.incarnation, member.incarnation, member.address),
                        (Incarnation(1), Incarnation(2), at)
                    );
                    true
                }
                _ => false,
            };
            let replaced = world.seen_since(started_us, told).into_iter().filter(|(_, by)| *by == number).count();
            assert_eq!(replaced, 1, "seed {seed}");
        }
        assert_eq!(world.nodes[new].membership.counters().renewed, 0, "nobody took it for the dead one");
        assert!(world.all_see_all());
    }
}

#[test]
fn a_new_identity_is_called_out_until_it_is_heard() {
    for seed in 0..20 {
        let mut world = World::of(2, seed);
        let moved_us = world.now_us;
        world.lost = 1_000;
        world.nodes[1].address = address(9);
        world.nodes[1].membership.set_address(moved_us, address(9));
        world.drain(1);
        world.run(50_000);
        world.lost = 0;
        world.run(250_000);
        assert_eq!(world.seen_by(0), [address(9)], "seed {seed}");
        world.run(5 * SECOND);
        assert!(
            world.all_see_all() && world.seen_since(moved_us, |event| matches!(event, MemberEvent::Down(_))).is_empty()
        );
    }
}

#[test]
fn the_older_of_two_copies_falls_silent() {
    for seed in 0..30 {
        let mut world = World::of(3, seed);
        let started_us = world.now_us;
        // A copy of node 2's arena, on another machine, while node 2 goes on.
        let copy = world.start(&name(2), 2, address(9), &seeds());
        world.run(5 * SECOND);
        let superseded = world.seen_since(started_us, |event| {
            *event == MemberEvent::Superseded { incarnation: Incarnation(2), address: address(9) }
        });
        assert_eq!(superseded.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [2], "seed {seed}");
        assert!(superseded[0].0 - started_us <= 3 * SECOND);
        let namesake = world.seen_since(started_us, |event| {
            *event == MemberEvent::Namesake { incarnation: Incarnation(1), address: address(2) }
        });
        assert_eq!(namesake.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [copy], "seed {seed}");
        world.nodes[2].is_dead = true;
        let settled_us = world.now_us;
        world.run(10 * SECOND);
        assert!(world.all_see_all(), "seed {seed}");
        assert_eq!(world.seen_since(settled_us, |_| true), [], "no war over the name: seed {seed}");
    }
}

#[test]
fn a_copy_that_comes_with_an_earlier_incarnation_is_heard_by_nobody() {
    for seed in 0..30 {
        let mut world = World::of(2, seed);
        let original = world.start(&name(2), 5, address(2), &seeds());
        world.run(3 * SECOND);
        let started_us = world.now_us;
        let copy = world.start(&name(2), 4, address(9), &[address(0), address(1)]);
        world.run(90 * SECOND);
        assert_eq!(world.seen_since(started_us, |_| true), [], "seed {seed}");
        assert_eq!(world.seen_by(copy), [], "seed {seed}");
        let refused = world.refusals.iter().filter(|refusal| **refusal == DatagramRefusal::FormerLife).count();
        assert!(refused > 20, "it calls in vain: seed {seed}: {refused}");
        assert_eq!(world.nodes[original].membership.counters().renewed, 0);
        world.nodes[copy].is_dead = true;
        assert!(world.all_see_all(), "seed {seed}");
    }
}

#[test]
fn a_copy_with_an_earlier_incarnation_that_meets_the_other_falls_silent() {
    for seed in 0..30 {
        let mut world = World::of(2, seed);
        let original = world.start(&name(2), 5, address(2), &seeds());
        world.run(3 * SECOND);
        let started_us = world.now_us;
        let copy = world.start(&name(2), 4, address(9), &seeds());
        world.run(10 * SECOND);
        let of = |number: usize, event: MemberEvent| {
            world.seen_since(started_us, |seen| *seen == event).iter().map(|(_, by)| *by).eq([number])
        };
        let superseded = MemberEvent::Superseded { incarnation: Incarnation(5), address: address(2) };
        let namesake = MemberEvent::Namesake { incarnation: Incarnation(4), address: address(9) };
        assert!(of(copy, superseded) && of(original, namesake), "seed {seed}: {:?}", world.history);
        assert_eq!(world.seen_since(started_us, |_| true).len(), 2, "seed {seed}: {:?}", world.history);
        world.nodes[copy].is_dead = true;
        assert!(world.all_see_all(), "seed {seed}");
    }
}

#[test]
fn a_node_whose_clock_went_back_is_heard_after_a_minute() {
    for seed in 0..20 {
        let mut world = World::of(2, seed);
        world.start(&name(2), 1_000_000, address(2), &seeds());
        world.run(3 * SECOND);
        world.nodes[2].is_dead = true;
        world.run(5 * SECOND);
        let new = world.start(&name(2), 5, address(2), &seeds());
        world.run(50 * SECOND);
        assert_eq!(world.seen_by(new), [], "it might be a recording: seed {seed}");
        assert!(world.run_until_all_see_all(30 * SECOND).is_some(), "seed {seed}");
        world.run(10 * SECOND);
        assert!(world.all_see_all(), "seed {seed}");
        let other = world.nodes[0].membership.members().find(|member| *member.name == name(2));
        assert_eq!(other.map(|member| member.incarnation), Some(Incarnation(5)), "the life is the one that it says");
    }
}
