//! The bytes of membership: all kinds of them come back as they went, and no others do anything.

#![forbid(unsafe_code)]

use super::world::{SECOND, World, address, name};
use crate::replication::membership::codec::{CodecError, Said};
use crate::replication::membership::identity::Identity;
use crate::replication::membership::{Membership, MembershipSettings, OwnIdentity};
use crate::replication::security::DATAGRAM_BODY_MAX;
use crate::types::limits::MEMBERS_KNOWN_MAX;
use crate::types::stream::Incarnation;
use foca::{Header, Member as Update, Message, State};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

fn identity(number: usize) -> Identity {
    let name = if number == 3 { "n".repeat(64) } else { name(number) };
    let address = [Some(address(number)), None, Some("[2001:db8::7]:65535".parse().expect("an address"))][number % 3];
    Identity { name: name.into(), rank: 7 << number, incarnation: Incarnation(3), address, leaving: number % 2 == 1 }
}

pub(super) fn messages() -> Vec<Message<Identity>> {
    let (third, probe_number) = (identity(3), 200);
    vec![
        Message::Announce,
        Message::TurnUndead,
        Message::Feed,
        Message::Gossip,
        Message::Ping(1),
        Message::Ack(255),
        Message::PingReq { target: third.clone(), probe_number },
        Message::IndirectPing { origin: third.clone(), probe_number },
        Message::IndirectAck { target: third.clone(), probe_number },
        Message::ForwardedAck { origin: third, probe_number },
    ]
}

pub(super) fn said(message: Message<Identity>) -> Said {
    let bare = matches!(message, Message::Announce | Message::TurnUndead);
    let states = [State::Alive, State::Suspect, State::Down].into_iter().enumerate();
    let updates = states.map(|(at, state)| Update::new(identity(at), 9, state)).filter(|_| !bare).collect();
    Said { header: Header { src: identity(0), src_incarnation: 513, dst: identity(1), message }, updates }
}

pub(super) fn bytes_of(said: &Said) -> Vec<u8> {
    let mut bytes = vec![1, 2, 3];
    said.write(&mut bytes).expect("all of it can be written");
    bytes
}

#[test]
fn everything_comes_back_as_it_went() {
    for message in messages() {
        let sent = said(message);
        let came = Said::read(&bytes_of(&sent)).expect("what was written");
        assert_eq!((&came.header, &came.updates), (&sent.header, &sent.updates));
        let all = |said: &Said| -> Vec<String> { said.updates.iter().map(|update| format!("{update:?}")).collect() };
        assert_eq!(all(&came), all(&sent), "with addresses and goodbyes, which equality leaves out");
        assert_eq!(format!("{:?}", came.header), format!("{:?}", sent.header));
    }
}

#[test]
fn what_is_cut_short_or_goes_on_is_refused() {
    for message in messages() {
        let bytes = bytes_of(&said(message));
        for length in 0..bytes.len() {
            // Without any updates, a message that may have some is whole.
            if let Ok(read) = Said::read(&bytes[..length]) {
                assert!(read.updates.is_empty() && bytes.len() > length);
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Said::read(&longer).err(), Some(CodecError));
    }
}

#[test]
fn only_a_seed_has_no_name() {
    let nameless = |change: &dyn Fn(&mut Said)| {
        let mut said = said(Message::Ping(1));
        change(&mut said);
        Said::read(&bytes_of(&said)).is_ok()
    };
    let nobody = Identity::anybody_at(address(1));
    assert!(nameless(&|_| {}));
    assert!(!nameless(&|said| said.header.src = nobody.clone()));
    assert!(!nameless(&|said| said.header.dst = nobody.clone()));
    assert!(!nameless(&|said| said.updates[0] = Update::alive(nobody.clone())));
    assert!(!nameless(&|said| said.header.src.rank = u64::MAX / 2 + 1));
    let mut call = said(Message::Announce);
    call.header.dst = nobody;
    assert!(Said::read(&bytes_of(&call)).is_ok());
}

fn membership() -> Membership {
    let own = OwnIdentity { name: "pod-9", incarnation: Incarnation(1), address: Some(address(9)) };
    Membership::new(&MembershipSettings::default(), &own, 1)
}

#[test]
fn no_bytes_panic_or_pile_up() {
    let mut random = SmallRng::seed_from_u64(1);
    let (mut membership, mut now_us) = (membership(), 0);
    let samples: Vec<Vec<u8>> = messages().into_iter().map(|message| bytes_of(&said(message))).collect();
    for round in 0..20_000 {
        let mut bytes = samples[random.random_range(0..samples.len())].clone();
        for _ in 0..random.random_range(0..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        bytes.truncate(random.random_range(0..=bytes.len() * 3 / 2));
        membership.handle_datagram(now_us, address(5), &bytes);
        if round % 7 == 0 {
            now_us += 20_000;
            membership.handle_timeout(now_us);
        }
        while let Some((_, body)) = membership.poll_datagram() {
            assert!(body.len() <= DATAGRAM_BODY_MAX);
        }
        while membership.poll_event().is_some() {}
    }
    assert!(membership.counters().malformed > 1_000);
}

#[test]
fn a_crowd_is_forgotten_and_more_than_fit_are_not_heard() {
    let mut membership = membership();
    let call = |membership: &mut Membership, number: usize, gone: bool| {
        let src = Identity { name: format!("guest-{number}").into(), ..identity(0) };
        let updates = if gone { vec![Update::down(src.clone())] } else { Vec::new() };
        let dst = Identity { name: "pod-9".into(), rank: 1, incarnation: Incarnation(1), ..identity(0) };
        let said = Said { header: Header { src, src_incarnation: 0, dst, message: Message::Gossip }, updates };
        membership.handle_datagram(number as u64, address(5), &bytes_of(&said));
        while membership.poll_event().is_some() {}
    };
    for number in 0..3 * MEMBERS_KNOWN_MAX {
        call(&mut membership, number, true);
    }
    assert_eq!((membership.members().count(), membership.counters().crowded), (0, 0));
    for number in 0..MEMBERS_KNOWN_MAX + 10 {
        call(&mut membership, 10_000 + number, false);
    }
    assert_eq!((membership.members().count(), membership.counters().crowded), (MEMBERS_KNOWN_MAX, 10));
}

#[test]
fn one_seed_of_a_simulation_is_one_history() {
    let history = |seed| {
        let mut world = World::of(3, seed);
        world.lost = 50;
        world.nodes[1].is_dead = true;
        world.run(5 * SECOND);
        format!("{:?}", world.history)
    };
    assert_eq!(history(8), history(8));
    assert_ne!(history(8), history(9));
}
