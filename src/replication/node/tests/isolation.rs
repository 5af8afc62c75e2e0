//! Isolation: what opens the fence, and what does not.

#![forbid(unsafe_code)]

use super::*;

const FENCED: Made<'_> = Made { capacity: 1 << 20, file: None, on_isolated: OnIsolated::Miss };

/// Lets a node hear nothing; all that it says meanwhile.
fn silence(host: &mut Host, id: ConnectionId) -> Vec<u8> {
    let mut said = Vec::new();
    for _ in 0..20 {
        host.clock.advance(Duration::from_millis(10));
        host.tick();
        said.extend(host.said(id));
    }
    said
}

#[test]
fn the_fence_is_not_opened_by_what_was_said_before() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::made("a", 1, &clock, &FENCED), Host::new("b", 2, &clock));
    let id = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    other.insert(b"before");
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    assert!(one.node.readiness() == Readiness::Complete && one.has(b"before"));
    clock.advance(Duration::from_millis(60));
    other.tick();
    let late = other.said(id);
    assert!(!late.is_empty());
    let said = silence(&mut one, id);
    assert!(one.told().contains(&NodeEvent::Isolated { fenced: true }) && !one.has(b"before"));
    other.insert(b"meanwhile");
    one.hears(id, &late);
    assert!(one.node.readiness() == Readiness::Held && !one.has(b"before"));
    other.hears(id, &said);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    assert!(one.node.readiness() == Readiness::Complete && one.has(b"before") && one.has(b"meanwhile"));
    assert_eq!(one.node.counters().fences_opened, 1);
}

#[test]
fn a_fenced_node_that_has_joined_nobody_does_not_say_that_it_has() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::new("a", 1, &clock), Host::made("b", 2, &clock, &FENCED));
    let id = connect(&mut one, &mut other, 1);
    exchange(&mut one, &mut other, id);
    silence(&mut other, id);
    assert!(!other.node.standing.is_joined() && other.node.readiness() == Readiness::Held);
    assert_eq!((other.node.flags().held, other.node.flags().complete), (false, false));
}
