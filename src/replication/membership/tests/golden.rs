//! A body of each kind, byte for byte, in `tests/golden_datagrams`.

#![forbid(unsafe_code)]

use super::bytes::{bytes_of, messages, said};
use super::world::address;
use crate::replication::golden::Golden;
use crate::replication::membership::codec::Said;
use crate::replication::membership::identity::Identity;
use foca::Message;
use std::collections::BTreeSet;

/// Names of files, and what they say.
fn samples() -> Vec<(String, Said)> {
    let name = |message: &Message<Identity>| match message {
        Message::Announce => "body_announcement",
        Message::TurnUndead => "body_verdict",
        Message::Feed => "body_feed",
        Message::Gossip => "body_gossip",
        Message::Ping(_) => "body_ping",
        Message::Ack(_) => "body_acknowledgement",
        Message::PingReq { .. } => "body_please_ping",
        Message::IndirectPing { .. } => "body_ping_on_behalf",
        Message::IndirectAck { .. } => "body_acknowledgement_on_behalf",
        Message::ForwardedAck { .. } => "body_third_has_answered",
        Message::Broadcast => unreachable!("nobody sends it"),
    };
    let mut samples: Vec<(String, Said)> =
        messages().into_iter().map(|message| (name(&message).to_owned(), said(message))).collect();
    let mut to_anybody = said(Message::Announce);
    to_anybody.header.dst = Identity::anybody_at(address(1));
    samples.push(("body_announcement_to_anybody".to_owned(), to_anybody));
    samples
}

#[test]
fn bodies_are_encoded_as_they_always_were() {
    for (name, said) in samples() {
        Golden::datagrams().assert_is(&name, &bytes_of(&said));
    }
}

#[test]
fn every_body_is_a_sample_and_is_decoded() {
    let samples = samples();
    let bodies: BTreeSet<String> =
        Golden::datagrams().names().into_iter().filter(|name| name.starts_with("body_")).collect();
    assert_eq!(bodies, samples.iter().map(|(name, _)| name.clone()).collect());
    for (name, said) in samples {
        let golden = Golden::datagrams().read(&name);
        let read = Said::read(&golden).expect("a right body");
        // Not by equality, which leaves addresses and goodbyes out.
        assert_eq!(format!("{read:?}"), format!("{said:?}"), "{name}");
        assert!(bytes_of(&read) == golden, "{name} is decoded to {read:?}");
    }
}

#[test]
fn the_bodies_have_every_kind() {
    let kinds: BTreeSet<u8> = samples().iter().map(|(name, _)| Golden::datagrams().read(name)[0]).collect();
    assert!(kinds.into_iter().eq(1..=10));
}
