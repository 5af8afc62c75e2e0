//! Whom a node dials, and whom not.

#![forbid(unsafe_code)]

use super::*;

/// Lets a node be dialled again and again; how often it was, per second.
fn dialled(host: &mut Host, seconds: u64) -> Vec<usize> {
    let mut second = || {
        host.clock.advance(Duration::from_secs(1));
        host.tick();
        host.dials().len()
    };
    (0..seconds).map(|_| second()).collect()
}

#[test]
fn whoever_sends_garbage_three_times_in_a_minute_is_left_alone_for_one() {
    let clock = ManualClock::new();
    let mut host = Host::new("a", 1, &clock);
    host.node.handle_seeds(host.now(), &[address(2)]);
    for number in 0..3 {
        let id = ConnectionId(number);
        assert_eq!(host.dials(), [address(2)], "after {number} of them");
        host.node.handle_connected(host.now(), id, Side::Dialled(address(2)));
        host.hears(id, &[0xff; 64]);
        assert!(!host.said(id).is_empty() && host.said(id).is_empty());
        clock.advance(Duration::from_secs(1));
        host.tick();
    }
    assert_eq!(host.node.counters().quarantined, 1);
    assert_eq!(host.dials(), []);
    assert_eq!(dialled(&mut host, 58), [0; 58]);
    assert_eq!(dialled(&mut host, 3).iter().sum::<usize>(), 1);
}

#[test]
fn where_a_node_has_left_nobody_is_dialled() {
    let clock = ManualClock::new();
    let mut host = Host::new("a", 1, &clock);
    host.node.handle_seeds(host.now(), &[address(2)]);
    for last in [2, 3] {
        host.node.handle_member(host.now(), MemberChange::Up(address(last)));
    }
    assert_eq!(host.dials(), [address(2), address(3)]);
    for last in [2, 3] {
        host.node.handle_dial_failed(host.now(), address(last));
        host.node.handle_member(host.now(), MemberChange::Left(address(last)));
    }
    clock.advance(Duration::from_secs(5));
    host.tick();
    assert_eq!(host.dials(), [address(2)], "a seed is, all the same");
}

#[test]
fn of_two_connections_that_one_node_has_dialled_the_later_one_stays() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::new("a", 1, &clock), Host::new("b", 2, &clock));
    one.node.handle_seeds(one.now(), &[address(2), address(3)]);
    assert_eq!(one.dials(), [address(2), address(3)]);
    let first = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, first, Duration::from_millis(100));
    other.address = address(3);
    let second = connect(&mut one, &mut other, 2);
    exchange(&mut one, &mut other, second);
    for host in [&one, &other] {
        let open = host.node.links.iter().filter(|(_, link)| link.peer().is_some()).map(|(id, _)| *id);
        assert_eq!(open.collect::<Vec<_>>(), [second]);
    }
    pass(&mut one, &mut other, second, Duration::from_secs(5));
    assert_eq!(one.dials(), [], "both addresses are known to be its");
}

#[test]
fn an_address_that_leads_to_who_is_connected_already_is_tried_ever_more_rarely() {
    let clock = ManualClock::new();
    // Of two connections the one that the lesser name has dialled stays.
    let (mut one, mut other) = (Host::new("b", 1, &clock), Host::new("a", 2, &clock));
    let first = connect(&mut other, &mut one, 1);
    pass(&mut one, &mut other, first, Duration::from_secs(1));
    one.node.handle_seeds(one.now(), &[address(9)]);
    let mut tries = 0;
    for _ in 0..120 {
        for at in one.dials() {
            assert_eq!(at, address(9));
            tries += 1;
            let id = ConnectionId(100 + tries);
            other.node.handle_connected(other.now(), id, Side::Accepted(address(50)));
            one.node.handle_connected(one.now(), id, Side::Dialled(at));
            exchange(&mut one, &mut other, id);
            assert!(one.node.links[&first].peer().is_some());
        }
        pass(&mut one, &mut other, first, Duration::from_secs(1));
    }
    assert!((7..=14).contains(&tries), "{tries} in two minutes");
}
