//! Isolation: what opens the fence, and what does not.

#![forbid(unsafe_code)]

use super::*;

const FENCED: Made<'_> = Made {
    capacity: 1 << 20,
    file: None,
    on_isolated: OnIsolated::Miss,
    on_origin_lost: OnOriginLost::Keep,
    has_seeds: true,
};

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
        let mut third = Host::new("c", 3, &clock);
        let id = connect(&mut one, &mut other, 1);
        pass(&mut one, &mut other, id, Duration::from_secs(1));
        for key in 0..ENTRIES {
            clock.advance(Duration::from_micros(700));
            other.insert(&key.to_be_bytes());
        }
        pass(&mut one, &mut other, id, Duration::from_secs(1));
        let there = |one: &Host| (0..ENTRIES).filter(|key| one.has(&key.to_be_bytes())).count();
        assert_eq!(there(&one), ENTRIES.into());
        let to_third = connect(&mut one, &mut third, 2);
        exchange(&mut one, &mut third, to_third);
        one.node.handle_closed(one.now(), id, ClosedBy::Error);
        let mut left = Vec::new();
        for second in 0..40 {
            pass(&mut one, &mut third, to_third, Duration::from_secs(1));
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

/// Three nodes, the first of which is connected with both others.
fn three(made: &Made<'_>) -> ([Host; 3], [(usize, usize, ConnectionId); 2]) {
    let clock = ManualClock::new();
    let mut hosts = [Host::made("a", 1, &clock, made), Host::new("b", 2, &clock), Host::new("c", 3, &clock)];
    let [one, other, third] = &mut hosts;
    let links = [(0, 1, connect(one, other, 1)), (0, 2, connect(one, third, 2))];
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    hosts[1].insert(b"k");
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    assert!(hosts[0].has(b"k") && hosts.iter().all(|host| host.node.readiness() == Readiness::Complete));
    (hosts, links)
}

fn lose(host: &mut Host, id: ConnectionId) {
    host.node.handle_closed(host.now(), id, ClosedBy::Error);
}

#[test]
fn a_node_that_is_not_confirmed_stays_held_when_it_loses_everybody() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    for policy in [OnIsolated::Miss, OnIsolated::Revalidate, OnIsolated::Serve] {
        let mut member = Host::new("b", 2, &clock);
        let made = Made { file: Some(&file), on_isolated: policy, ..Made::default() };
        let mut warm = super::confirm::come_back("a", 1, &clock, &made);
        member.tick();
        warm.node.handle_seeds(warm.now(), &[address(2), address(3)]);
        let first = connect(&mut warm, &mut member, 1);
        pass(&mut warm, &mut member, first, Duration::from_secs(3));
        lose(&mut warm, first);
        lose(&mut member, first);
        warm.node.handle_dial_failed(warm.now(), address(3));
        for _ in 0..500 {
            clock.advance(Duration::from_millis(10));
            warm.tick();
        }
        assert_eq!(warm.node.counters().isolations, 1);
        if policy == OnIsolated::Serve {
            assert!(warm.has(b"k") && warm.node.counters().served_unconfirmed == 1);
            continue;
        }
        assert!(warm.node.readiness() == Readiness::Held && !warm.has(b"k"), "{policy:?}");
        let again = connect(&mut warm, &mut member, 2);
        pass(&mut warm, &mut member, again, Duration::from_secs(1));
        assert!(warm.node.readiness() == Readiness::Complete && warm.has(b"k"), "{policy:?}");
        assert_eq!(warm.node.counters().confirmed, 1);
    }
}

#[test]
fn what_a_life_has_changed_is_lost_with_it_though_the_node_is_soon_back() {
    for (arena, closed_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
        let file = directory.path().join("arena");
        let made = Made { file: arena.then_some(file.as_path()), ..Made::default() };
        let (mut one, mut other) = (Host::new("a", 1, &clock), Host::made("b", 2, &clock, &made));
        let first = connect(&mut one, &mut other, 1);
        pass(&mut one, &mut other, first, Duration::from_secs(1));
        other.insert(b"k");
        pass(&mut one, &mut other, first, Duration::from_secs(1));
        let stream = other.store.stream();
        drop(other);
        if closed_first {
            lose(&mut one, first);
        }
        clock.advance(Duration::from_millis(100));
        let mut other = Host::made("b", 2, &clock, &made);
        let second = connect(&mut one, &mut other, 2);
        exchange(&mut one, &mut other, second);
        assert_eq!(one.node.counters().former_closed, u64::from(!closed_first));
        pass(&mut one, &mut other, second, Duration::from_secs(4));
        let lost = one.told().contains(&NodeEvent::OriginLost { stream });
        assert_eq!(lost, !arena, "closed first: {closed_first}");
    }
}

#[test]
fn who_is_cut_off_takes_nobody_else_for_lost() {
    let made = Made { on_origin_lost: OnOriginLost::Revalidate, ..Made::default() };
    let (mut hosts, links) = three(&made);
    for (_, other, id) in links {
        lose(&mut hosts[0], id);
        lose(&mut hosts[other], id);
    }
    pass_all(&mut hosts, &[], Duration::from_secs(40));
    let [one, _, third] = &mut hosts;
    let mut links = vec![(0, 2, connect(one, third, 3))];
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    let [one, other, _] = &mut hosts;
    links.push((0, 1, connect(one, other, 4)));
    pass_all(&mut hosts, &links, Duration::from_secs(40));
    assert!(hosts[0].node.counters().origins_lost == 0 && hosts[0].has(b"k"));
    lose(&mut hosts[0], links[1].2);
    pass_all(&mut hosts, &links[..1], Duration::from_secs(40));
    assert!(hosts[0].node.counters().origins_lost == 1 && !hosts[0].has(b"k"), "one of two is");
}

#[test]
fn a_goodbye_of_the_last_one_does_not_excuse_who_was_lost_before() {
    for (after, isolations) in [(Duration::from_millis(50), 1), (Duration::from_secs(4), 0)] {
        let (mut hosts, links) = three(&FENCED);
        lose(&mut hosts[0], links[0].2);
        pass_all(&mut hosts, &links[1..], after);
        let now = hosts[2].now();
        hosts[2].node.leave(now, now);
        pass_all(&mut hosts, &links[1..], Duration::from_secs(1));
        assert_eq!(hosts[0].node.counters().goodbyes, 1);
        assert_eq!(hosts[0].node.counters().isolations, isolations, "{after:?} after the loss");
        assert_eq!(hosts[0].has(b"k"), isolations == 0);
    }
}

#[test]
fn who_holds_back_until_it_hears_of_a_new_node_what_that_one_lacks_is_joined_all_the_same() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::made("a", 1, &clock, &FENCED), Host::new("b", 2, &clock));
    let first = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, first, Duration::from_secs(1));
    other.insert(b"k");
    lose(&mut one, first);
    drop(other);
    for _ in 0..50 {
        clock.advance(Duration::from_millis(10));
        one.tick();
    }
    assert_eq!((one.node.counters().isolations, one.node.readiness()), (1, Readiness::Held));
    one.insert(b"m");
    let mut new = Host::new("c", 3, &clock);
    // It says that it has a change which nobody can give any more.
    let gone = StreamId { origin: crate::types::stream::Origin::of_name("b"), ..StreamId::default() };
    new.node.streams.applied.advance(gone, crate::types::stream::Position(7));
    let second = connect(&mut new, &mut one, 2);
    pass(&mut new, &mut one, second, Duration::from_secs(2));
    assert!(one.node.readiness() == Readiness::Held && !new.has(b"m"));
    pass(&mut new, &mut one, second, Duration::from_secs(5));
    assert!([&one, &new].iter().all(|host| host.has(b"m") && host.node.readiness() == Readiness::Complete));
    assert_eq!(new.node.counters().confirmed, 1);
}
