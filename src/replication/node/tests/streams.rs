//! Streams of many lives, and from whom they come.

#![forbid(unsafe_code)]

use super::*;
use crate::types::stream::{Incarnation, Origin, Position};

#[test]
fn what_does_not_follow_is_asked_for_again() {
    let clock = ManualClock::new();
    let (mut writer, mut reader) = (Host::new("writer", 1, &clock), Host::new("reader", 2, &clock));
    let id = connect(&mut writer, &mut reader, 1);
    pass(&mut writer, &mut reader, id, Duration::from_secs(1));
    writer.insert(b"before");
    exchange(&mut writer, &mut reader, id);
    writer.insert(b"first");
    assert!(!writer.said(id).is_empty(), "on its way, and lost");
    writer.insert(b"second");
    exchange(&mut writer, &mut reader, id);
    assert!(reader.has(b"first") && reader.has(b"second"));
    assert_eq!(reader.node.counters().gap_repairs, 1);
}

#[test]
fn a_frame_that_comes_to_no_end_ends_its_connection() {
    let clock = ManualClock::new();
    let (mut writer, mut reader) = (Host::new("writer", 1, &clock), Host::new("reader", 2, &clock));
    let id = connect(&mut writer, &mut reader, 1);
    pass(&mut writer, &mut reader, id, Duration::from_secs(1));
    writer.insert(b"key");
    // All that comes behind it is taken for its body.
    let mut said = writer.said(id);
    said[4..8].copy_from_slice(&300_000_u32.to_le_bytes());
    reader.hears(id, &said);
    pass(&mut writer, &mut reader, id, Duration::from_secs(32));
    assert_eq!((reader.node.counters().endless_closed, reader.node.counters().silent_closed), (1, 0));
    assert!(!reader.has(b"key") && reader.node.links.values().all(|link| link.session.is_closing()));
}

#[test]
fn more_names_than_fit_are_heard_all_the_same_and_keep_nobody_held() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let made = Made { file: Some(&file), ..Made::default() };
    let mut host = Host::new("host", 1, &clock);
    let mut warm = Host::made("warm", 2, &clock, &made);
    let id = connect(&mut host, &mut warm, 1);
    pass(&mut host, &mut warm, id, Duration::from_secs(1));
    host.node.handle_closed(host.now(), id, ClosedBy::Error);
    drop(warm);
    for number in 0..200 {
        let (mut other, key) = (Host::new(&format!("other-{number}"), 10 + number, &clock), format!("key {number}"));
        let id = connect(&mut host, &mut other, 10 + u32::from(number));
        pass(&mut host, &mut other, id, Duration::from_millis(200));
        other.insert(key.as_bytes());
        pass(&mut host, &mut other, id, Duration::from_millis(200));
        assert!(host.has(key.as_bytes()) && other.node.readiness() == Readiness::Complete, "{number}");
        assert_eq!(host.node.unacknowledged(), []);
        host.node.handle_closed(host.now(), id, ClosedBy::Error);
    }
    assert_eq!(host.node.counters().streams_dropped, 0);
    assert!(host.node.streams.rows.len() < 128 && host.node.relays.len() <= host.node.streams.rows.len());
    let mut warm = Host::made("warm", 2, &clock, &made);
    assert_eq!(warm.node.readiness(), Readiness::Held);
    let id = connect(&mut host, &mut warm, 2);
    pass(&mut host, &mut warm, id, Duration::from_secs(2));
    assert_eq!(warm.node.readiness(), Readiness::Complete);
    assert!(warm.has(b"key 0") && warm.has(b"key 199"));
}

#[test]
fn a_source_that_has_no_more_is_left_for_one_that_has_also_where_it_is_the_origin() {
    let clock = ManualClock::new();
    let mut host = Host::new("host", 1, &clock);
    let (mut origin, mut other) = (Host::new("origin", 2, &clock), Host::new("other", 3, &clock));
    let first = connect(&mut host, &mut origin, 1);
    let second = connect(&mut host, &mut other, 2);
    pass(&mut host, &mut origin, first, Duration::from_secs(1));
    pass(&mut host, &mut other, second, Duration::from_secs(1));
    let former = StreamId { origin: Origin::of_name("origin"), incarnation: Incarnation(1) };
    other.node.streams.applied.advance(former, Position(100));
    assert_eq!(host.node.streams.discover(former, Position(40)), crate::replication::node::streams::Room::There);
    let row = host.node.streams.rows.get_mut(&former).expect("just taken in");
    (row.source, row.from_origin) = (Some(first), true);
    let heartbeat = |other: &mut Host| {
        clock.advance(Duration::from_millis(60));
        other.tick();
        other.said(second)
    };
    let said = heartbeat(&mut other);
    host.hears(second, &said);
    host.node.review(host.now());
    assert_eq!(host.node.streams.rows[&former].source, Some(second));
}

#[test]
fn streams_that_a_relay_has_brought_to_their_end_leave_room_for_others() {
    let clock = ManualClock::new();
    let mut hosts = [Host::new("host", 1, &clock), Host::new("relay", 2, &clock), Host::new("origin", 3, &clock)];
    let [host, relay, origin] = &mut hosts;
    let links = [(0, 1, connect(host, relay, 1)), (1, 2, connect(relay, origin, 2))];
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    hosts[2].insert(b"k");
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    let stream = hosts[2].store.stream();
    let source = |hosts: &[Host]| hosts[0].node.streams.rows[&stream].source;
    assert!(hosts[0].has(b"k") && source(&hosts) == Some(links[0].2));
    pass_all(&mut hosts, &links, Duration::from_secs(12));
    assert!(source(&hosts).is_some(), "there is room");
    for number in 0..70 {
        let other = StreamId { origin: Origin(number + 1), incarnation: Incarnation(1) };
        assert_eq!(hosts[0].node.streams.discover(other, Position(0)), crate::replication::node::streams::Room::There);
    }
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    assert!(source(&hosts).is_none());
    assert!(hosts[1].node.links[&links[0].2].session.subscription(stream).is_none());
    hosts[2].insert(b"later");
    pass_all(&mut hosts, &links, Duration::from_secs(1));
    assert!(hosts[0].has(b"later") && source(&hosts).is_some());
}
