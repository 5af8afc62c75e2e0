//! Who is refused at the handshake, with which reason; and a peer that disagrees about what was sent.

#![forbid(unsafe_code)]

use super::*;
use crate::replication::node::api::CloseReason;
use crate::replication::wire::{FrameReader, Hello, List, Message, NodeFlags, Positions, Reason};
use crate::types::limits::PEERS_MAX;
use crate::types::stream::{Incarnation, Origin, Position, StreamRange, Vector};
use std::ops::RangeInclusive;

/// What is asked with, and what for.
#[derive(Clone, Debug)]
struct Ask {
    name: String,
    cluster: u64,
    protocol: RangeInclusive<u8>,
    incarnation: u64,
}

impl Ask {
    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), cluster: 1, protocol: 1..=1, incarnation: 5 }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let stream = StreamId { origin: Origin::of_name(&self.name), incarnation: Incarnation(self.incarnation) };
        let (first, vector) = (Position(0), Vector::default());
        Hello {
            protocol: self.protocol.clone(),
            flags: NodeFlags::default(),
            cluster: self.cluster,
            incarnation: Incarnation(self.incarnation),
            name: &self.name,
            advertised: None,
            streams: List::Values(&[StreamRange { stream, first, start: first, end: first }]),
            vector: Positions::from(&vector),
        }
        .encode(&mut bytes);
        bytes
    }
}

/// What a node answers to a HELLO over a new connection: why it refuses, if it does.
fn answer(host: &mut Host, number: u32, ask: &Ask) -> Option<Reason> {
    let id = ConnectionId(number);
    host.node.handle_connected(host.now(), id, Side::Accepted(address(number as u16)));
    host.hears(id, &ask.bytes());
    let (mut reader, mut said) = (FrameReader::new(), host.said(id));
    while !said.is_empty() {
        let space = reader.space();
        let count = space.len().min(said.len());
        space[..count].copy_from_slice(&said[..count]);
        said.drain(..count);
        reader.filled(count);
        while let Some(message) = reader.next().expect("whole frames") {
            match message {
                Message::Refuse(refuse) => return Some(refuse.reason),
                _ => reader.agree(1),
            }
        }
    }
    None
}

#[test]
fn each_reason_to_refuse_is_said_counted_and_told() {
    let clock = ManualClock::new();
    let mut host = Host::new("a", 1, &clock);
    let life = host.node.stream.incarnation.0;
    assert_eq!(answer(&mut host, 1, &Ask::of("b")), None, "it is welcome");
    let asks = [
        (Ask { cluster: 2, ..Ask::of("c") }, Reason::Cluster),
        (Ask { protocol: 2..=3, ..Ask::of("c") }, Reason::Protocol),
        (Ask { incarnation: life + 1, ..Ask::of("a") }, Reason::Name),
        (Ask { incarnation: life, ..Ask::of("a") }, Reason::Itself),
        (Ask { incarnation: 4, ..Ask::of("b") }, Reason::Former),
    ];
    for (number, (ask, reason)) in (2..).zip(&asks) {
        host.told();
        assert_eq!(answer(&mut host, number, ask), Some(*reason), "{ask:?}");
        let is_told = |event: &NodeEvent| matches!(event, NodeEvent::Refused { by_peer: false, reason: told, .. } if told.starts_with(&reason.to_string()));
        // To find oneself is no news.
        assert!(*reason == Reason::Itself || host.told().iter().any(is_told), "{ask:?}");
    }
    for number in 1..PEERS_MAX as u32 {
        assert_eq!(answer(&mut host, 100 + number, &Ask::of(&format!("peer {number}"))), None, "{number}");
    }
    assert_eq!(answer(&mut host, 1_000, &Ask::of("one too many")), Some(Reason::Full));
    let counters = host.node.counters();
    let counted = [
        counters.refused_cluster,
        counters.refused_protocol,
        counters.refused_name,
        counters.refused_itself,
        counters.refused_former,
        counters.refused_full,
    ];
    assert_eq!((counted, counters.refused_leaving), ([1; 6], 0));
    assert_eq!(host.node.members(host.now()).len(), PEERS_MAX);
    let mut leaver = Host::new("d", 2, &clock);
    assert_eq!(answer(&mut leaver, 1, &Ask::of("e")), None);
    leaver.node.leave(leaver.now(), leaver.now().plus(1_000_000));
    assert_eq!(answer(&mut leaver, 2, &Ask::of("f")), Some(Reason::Leaving));
    assert_eq!(leaver.node.counters().refused_leaving, 1);
}

#[test]
fn a_later_life_takes_the_place_of_the_one_before() {
    let clock = ManualClock::new();
    let mut host = Host::new("a", 1, &clock);
    assert_eq!(answer(&mut host, 1, &Ask::of("b")), None);
    assert_eq!(answer(&mut host, 2, &Ask { incarnation: 6, ..Ask::of("b") }), None);
    assert_eq!((host.node.counters().former_closed, host.node.members(host.now()).len()), (1, 1));
}

/// Two that dial each other at once, and what their users are told: the connection that "b" has made is met first, then the
/// one that "a" has made, which stays.
#[test]
fn of_two_who_dial_each_other_at_once_no_event_tells() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::new("a", 1, &clock), Host::new("b", 2, &clock));
    let (ours, theirs) = (connect(&mut one, &mut other, 1), connect(&mut other, &mut one, 2));
    exchange(&mut one, &mut other, theirs);
    let joined = |event: &NodeEvent| matches!(event, NodeEvent::PeerJoined { .. });
    let count = |host: &mut Host| host.told().iter().map(joined).collect::<Vec<_>>();
    assert_eq!((count(&mut one), count(&mut other)), (vec![true], vec![true]));
    // "b" has greeted whom it accepted; "a" learns who that is, answers, and closes the connection that it has no use for.
    let greeting = other.said(ours);
    one.hears(ours, &greeting);
    let answer = one.said(ours);
    let closed = |action: Action| action == Action::Close(theirs, CloseReason::Duplicate);
    assert!(std::iter::from_fn(|| one.node.poll_action()).any(closed));
    // The end of that one is there before the answer.
    other.node.handle_closed(other.now(), theirs, ClosedBy::Peer);
    assert!(other.node.members(other.now()).is_empty());
    other.hears(ours, &answer);
    exchange(&mut one, &mut other, ours);
    assert_eq!((one.node.members(one.now()).len(), other.node.members(other.now()).len()), (1, 1));
    assert_eq!((one.told(), other.told()), (vec![], vec![]), "nobody came or went");
    // And a loss is told as ever.
    other.node.handle_closed(other.now(), ours, ClosedBy::Error);
    assert_eq!(other.told(), [NodeEvent::PeerLost { name: "a".to_owned() }]);
}

#[test]
fn a_loss_is_told_once_nobody_who_greeted_then_is_the_lost_one() {
    let clock = ManualClock::new();
    let mut host = Host::new("a", 1, &clock);
    let lost = |name: &str| NodeEvent::PeerLost { name: name.to_owned() };
    for ask in ["b", "c", "d"] {
        assert_eq!(answer(&mut host, u32::from(ask.as_bytes()[0]), &Ask::of(ask)), None);
    }
    host.told();
    let [first, second] = [200, 201].map(ConnectionId);
    for id in [first, second] {
        host.node.handle_connected(host.now(), id, Side::Accepted(address(9)));
    }
    for name in *b"bcd" {
        host.node.handle_closed(host.now(), ConnectionId(u32::from(name)), ClosedBy::Error);
    }
    assert_eq!(host.told(), [], "each may be one of those two");
    // A later life of one of them: the former one is lost.
    host.hears(first, &Ask { incarnation: 6, ..Ask::of("b") }.bytes());
    let told = host.told();
    assert!(
        matches!(&told[..], [one, NodeEvent::PeerJoined { incarnation: Incarnation(6), .. }] if *one == lost("b")),
        "{told:?}"
    );
    // The other one never says who it is.
    clock.advance(Duration::from_secs(60));
    host.tick();
    let told = host.told();
    assert!(told.contains(&lost("c")) && told.contains(&lost("d")), "{told:?}");
}

#[test]
fn peers_that_disagree_about_what_was_sent_begin_anew() {
    let clock = ManualClock::new();
    let (mut one, mut other) = (Host::new("a", 1, &clock), Host::new("b", 2, &clock));
    let id = connect(&mut one, &mut other, 1);
    pass(&mut one, &mut other, id, Duration::from_secs(1));
    assert_eq!(one.node.counters().checksum_mismatches, 0);
    other.insert(b"k");
    // It is said, and never heard.
    let _lost = other.said(id);
    let link = other.node.links.get_mut(&id).expect("connected");
    let stream = other.store.stream();
    let sent = link.session.subscription(stream).map(|subscription| subscription.cursor);
    assert_eq!(sent, Some(other.store.end()));
    clock.advance(Duration::from_millis(60));
    other.tick();
    let heartbeat = other.said(id);
    one.hears(id, &heartbeat);
    assert_eq!(one.node.counters().checksum_mismatches, 1);
    let closed = std::iter::from_fn(|| one.node.poll_action())
        .any(|action| action == Action::Close(id, CloseReason::ChecksumMismatch));
    assert!(closed && !one.has(b"k"));
}
