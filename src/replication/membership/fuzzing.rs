//! What `tools/fuzz` sees: bodies of datagrams, as they are, and addressed to the node that gets them.

#![forbid(unsafe_code)]

use super::codec::Said;
use super::identity::Identity;
use super::{Membership, MembershipSettings, OwnIdentity};
use crate::replication::security::DATAGRAM_BODY_MAX;
use crate::types::limits::MEMBERS_KNOWN_MAX;
use crate::types::stream::Incarnation;
use foca::{Header, Member as Update, Message, State};
use std::net::SocketAddr;

/// Bytes as steps of a node's life: {what, how long, length, body}, again and again.
///
/// # Panics
///
/// If a body that was read is another one when written, or if anything grows beyond its bound.
pub fn bodies(mut bytes: &[u8]) {
    let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
    let own = OwnIdentity { name: "fuzzed", incarnation: Incarnation(9), address: Some(at(1)) };
    let mut membership = Membership::new(&MembershipSettings::default(), &own, 1);
    membership.announce(0, &[at(1), at(2)]);
    let mut now_us = 0;
    while let [what, wait, length, rest @ ..] = bytes {
        let (body, behind) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = behind;
        now_us += u64::from(*wait) * 10_000;
        round_trip(body);
        match what % 6 {
            0 => membership.handle_datagram(now_us, at(2), body),
            1 => membership.handle_datagram(now_us, at(2), &addressed(&membership, body)),
            2 | 3 => membership.handle_datagram(now_us, at(3), &invented(&membership, body)),
            4 => membership.handle_timeout(now_us),
            _ if *what == u8::MAX => membership.leave(now_us),
            _ => membership.set_address(now_us, at(u16::from(*what))),
        }
        while let Some((_, body)) = membership.poll_datagram() {
            assert!(body.len() <= DATAGRAM_BODY_MAX);
            round_trip(&body);
        }
        while membership.poll_event().is_some() {}
        assert!(membership.foca.iter_membership_state().len() <= MEMBERS_KNOWN_MAX);
    }
}

/// The same words, but to this node.
fn addressed(membership: &Membership, body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    if let Ok(mut said) = Said::read(body) {
        said.header.dst = membership.foca.identity().clone();
        said.write(&mut bytes).expect("it was read");
    }
    bytes
}

/// Words of a small world, a byte or two each: kind, sender, third, then members.
fn invented(membership: &Membership, body: &[u8]) -> Vec<u8> {
    let [kind, src, third, updates @ ..] = body else { return Vec::new() };
    let (own, number) = (membership.foca.identity(), *src);
    let identity = |byte: u8| Identity {
        name: ["fuzzed", "a", "b", "c"][usize::from(byte % 4)].into(),
        rank: u64::from(byte / 4 % 16),
        incarnation: Incarnation(u64::from(byte / 4 % 16)),
        address: if byte & 64 == 0 { Some(SocketAddr::from(([10, 0, 0, 1], 1 + u16::from(byte % 4)))) } else { None },
        leaving: byte & 128 != 0,
    };
    let third = if *third < 8 { own.clone() } else { identity(*third) };
    let message = match kind % 10 {
        0 => Message::Announce,
        1 => Message::TurnUndead,
        2 => Message::Feed,
        3 => Message::Gossip,
        4 => Message::Ping(number),
        5 => Message::Ack(kind / 10),
        6 => Message::PingReq { target: third, probe_number: number },
        7 => Message::IndirectPing { origin: third, probe_number: number },
        8 => Message::IndirectAck { target: third, probe_number: number },
        _ => Message::ForwardedAck { origin: third, probe_number: kind / 10 },
    };
    let states = [State::Alive, State::Suspect, State::Down];
    let update = |bytes: &[u8]| {
        let who = if bytes[0] < 8 { own.clone() } else { identity(bytes[0]) };
        Update::new(who, u16::from(bytes[1] / 3), states[usize::from(bytes[1] % 3)])
    };
    let has_updates = !matches!(message, Message::Announce | Message::TurnUndead);
    let updates = updates.chunks_exact(2).filter(|_| has_updates).map(update).collect();
    let header = Header { src: identity(*src), src_incarnation: u16::from(*src % 5), dst: own.clone(), message };
    let mut bytes = Vec::new();
    Said { header, updates }.write(&mut bytes).expect("names are short");
    bytes
}

fn round_trip(body: &[u8]) {
    if let Ok(said) = Said::read(body) {
        let mut again = Vec::new();
        said.write(&mut again).expect("it was read");
        let read = Said::read(&again).expect("it was written");
        assert!(format!("{said:?}") == format!("{read:?}"), "written, it is something else");
    }
}
