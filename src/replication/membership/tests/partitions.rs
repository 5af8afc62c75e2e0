//! Halves of a cluster find each other again, and nodes find each other through one seed.

#![forbid(unsafe_code)]

use super::world::{SECOND, World, address, name, protection};
use crate::replication::membership::MemberEvent;
use crate::replication::security::DatagramRefusal;

#[test]
fn two_halves_find_each_other_within_five_seconds() {
    for (nodes, cut) in [(3, 1), (5, 2)] {
        let mut healed: Vec<u64> = (0..40)
            .map(|seed| {
                let mut world = World::of(nodes, seed);
                world.lost = 10;
                (0..cut).for_each(|number| world.nodes[number].side = 1);
                world.run(60 * SECOND);
                for number in 0..nodes {
                    let same_side = if number < cut { cut - 1 } else { nodes - cut - 1 };
                    assert_eq!(world.seen_by(number).len(), same_side, "seed {seed}");
                }
                (0..cut).for_each(|number| world.nodes[number].side = 0);
                world.run_until_all_see_all(10 * SECOND).unwrap_or_else(|| panic!("{nodes} nodes, seed {seed}"))
            })
            .collect();
        healed.sort_unstable();
        println!("{nodes} nodes, healed after 60 s: p50 {} us, last {} us", healed[20], healed[39]);
        assert!(healed[39] <= 5 * SECOND);
    }
}

#[test]
fn a_member_that_was_cut_off_comes_back_in_the_same_life() {
    let mut world = World::of(3, 5);
    world.nodes[0].side = 1;
    world.run(10 * SECOND);
    world.nodes[0].side = 0;
    world.run(10 * SECOND);
    assert!(world.all_see_all());
    assert!(world.nodes[0].membership.counters().renewed > 0);
    assert!(world.nodes.iter().all(|node| node.membership.members().all(|member| member.incarnation.0 == 1)));
    assert_eq!(world.seen_since(0, |event| matches!(event, MemberEvent::Replaced { .. })), []);
}

#[test]
fn one_seed_is_enough_and_may_come_up_last() {
    let mut world = World::new(3);
    for number in 1..5 {
        world.start(&name(number), 1, address(number), &[address(0)]);
    }
    world.run(30 * SECOND);
    assert!(world.nodes.iter().all(|node| node.membership.members().count() == 0));
    world.start(&name(0), 1, address(0), &[]);
    let after = world.run_until_all_see_all(10 * SECOND).expect("they call for ever");
    assert!(after <= 6 * SECOND, "{after}");
}

#[test]
fn who_knows_no_address_of_its_own_is_found_where_it_speaks() {
    let mut world = World::new(3);
    for number in 0..3 {
        let (at, seeds) = (address(number), [address(0)]);
        world.start_with(&name(number), 1, at, &seeds, protection("the simulated secret"), None);
    }
    world.run(5 * SECOND);
    assert!(world.all_see_all());
    let told_us = world.now_us;
    for number in 0..3 {
        world.nodes[number].membership.set_address(told_us, address(number));
        world.drain(number);
    }
    world.run(5 * SECOND);
    assert!(world.all_see_all());
    assert_eq!(world.seen_since(told_us, |_| true), [], "that is no news to anybody");
}

#[test]
fn another_secret_changes_nothing() {
    let mut world = World::of(3, 9);
    let before = world.history.len();
    let seeds = [address(0), address(1), address(2)];
    let stranger = protection("another secret altogether");
    let stranger = world.start_with(&name(7), 1, address(7), &seeds, stranger, Some(address(7)));
    // It even says that it is somebody else, and that this one is dead.
    let impostor = protection("another secret altogether");
    let seeds = [address(0), address(1), address(2), address(7)];
    let impostor = world.start_with(&name(0), 99, address(8), &seeds, impostor, Some(address(8)));
    world.run(30 * SECOND);
    assert_eq!(world.seen_by(stranger), [address(8)], "those two know each other");
    world.nodes[stranger].is_dead = true;
    world.nodes[impostor].is_dead = true;
    let others = world.history[before..].iter().filter(|(_, number, _)| *number < 3).count();
    assert!(others == 0 && world.all_see_all());
    assert!(world.refusals.iter().filter(|refusal| **refusal == DatagramRefusal::UnknownKey).count() > 20);
}

#[test]
fn recorded_datagrams_change_nothing() {
    let mut world = World::of(3, 4);
    world.tap = Some(Vec::new());
    world.run(5 * SECOND);
    world.nodes[2].membership.leave(world.now_us);
    world.drain(2);
    world.nodes[2].is_dead = true;
    world.run(5 * SECOND);
    let recorded = world.tap.take().expect("recorded");
    let (before, taken) = (world.history.len(), world.refusals.len());
    let to_the_living = recorded.iter().filter(|(_, to, _)| *to != address(2)).count();
    for (from, to, datagram) in recorded {
        world.deliver(from, to, datagram);
    }
    assert_eq!(world.refusals.len() - taken, to_the_living, "each was refused");
    world.run(5 * SECOND);
    assert_eq!(world.history.len(), before);
    assert!(world.all_see_all());
}
