//! Isolation: what opens the fence, and what does not.

#![forbid(unsafe_code)]

use super::*;

const FENCED: Made<'_> =
    Made { capacity: 1 << 20, file: None, on_isolated: OnIsolated::Miss, on_origin_lost: OnOriginLost::Keep };

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

#[test]
fn what_is_read_of_an_isolated_node_is_what_its_policy_says() {
    for (policy, before, since) in
        [(OnIsolated::Serve, true, true), (OnIsolated::Miss, false, false), (OnIsolated::Revalidate, false, true)]
    {
        let clock = ManualClock::new();
        let made = Made { on_isolated: policy, ..Made::default() };
        let (mut one, mut other) = (Host::made("a", 1, &clock, &made), Host::new("b", 2, &clock));
        let id = connect(&mut one, &mut other, 1);
        one.insert(b"before");
        pass(&mut one, &mut other, id, Duration::from_secs(1));
        let said = silence(&mut one, id);
        assert!(one.told().contains(&NodeEvent::Isolated { fenced: policy != OnIsolated::Serve }));
        one.insert(b"since");
        assert_eq!((one.has(b"before"), one.has(b"since")), (before, since), "{policy:?}");
        other.hears(id, &said);
        pass(&mut one, &mut other, id, Duration::from_secs(1));
        assert!(one.has(b"before") && one.has(b"since"), "{policy:?}");
        assert!(other.has(b"since"), "{policy:?}");
    }
}

#[test]
fn entries_of_before_a_loss_go_one_by_one_where_the_policy_says_so() {
    const ENTRIES: u16 = 200;
    for policy in [OnOriginLost::Keep, OnOriginLost::Revalidate] {
        let clock = ManualClock::new();
        let made = Made { on_origin_lost: policy, ..Made::default() };
        let (mut one, mut other) = (Host::made("a", 1, &clock, &made), Host::new("b", 2, &clock));
        let id = connect(&mut one, &mut other, 1);
        pass(&mut one, &mut other, id, Duration::from_secs(1));
        for key in 0..ENTRIES {
            clock.advance(Duration::from_micros(700));
            other.insert(&key.to_be_bytes());
        }
        pass(&mut one, &mut other, id, Duration::from_secs(1));
        let there = |one: &Host| (0..ENTRIES).filter(|key| one.has(&key.to_be_bytes())).count();
        assert_eq!(there(&one), ENTRIES.into());
        one.node.handle_closed(one.now(), id, ClosedBy::Error);
        let mut left = Vec::new();
        for second in 0..40 {
            clock.advance(Duration::from_secs(1));
            one.tick();
            if second == 5 {
                one.insert(b"later");
            }
            left.push(there(&one));
        }
        assert_eq!(one.node.counters().origins_lost, 1);
        assert!(one.has(b"later"));
        if policy == OnOriginLost::Keep {
            assert!(left.iter().all(|left| *left == usize::from(ENTRIES)), "{left:?}");
            continue;
        }
        assert!(left.is_sorted_by(|before, after| before >= after), "{left:?}");
        // Lost in the second second, half of them 15 seconds later.
        let half = usize::from(ENTRIES / 2);
        assert!(left[0] == usize::from(ENTRIES) && left[16].abs_diff(half) < half / 3 && left[33] == 0, "{left:?}");
        while one.store.engine().sweep_step() {}
        assert_eq!(one.store.engine().len(), 1);
    }
}

#[test]
fn who_was_stopped_oneself_has_missed_nothing() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::made("a", 1, &clock, &FENCED), Host::new("b", 2, &clock));
    let id = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    for stopped_ms in [60, 160, 210, 300, 500, 700, 1_400] {
        clock.advance(Duration::from_millis(stopped_ms));
        // Deadlines first, as of a process that goes on: what others have said meanwhile is read after.
        one.tick();
        assert_eq!(one.node.counters().isolations, 0, "stopped for {stopped_ms} ms");
        pass(&mut one, &mut other, id, Duration::from_millis(400));
    }
    silence(&mut one, id);
    assert_eq!(one.node.counters().isolations, 1, "the others were stopped");
}
