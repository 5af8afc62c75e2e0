//! Identities, members and headers as bytes.
//!
//! ```text
//!   identity  | length u8 | name: up to 64 | rank u64 | incarnation u64 | leaving u8 | port u16 | IPv6 address 16 |
//!             IPv4 addresses are mapped ones; port 0: no address is known
//!   member    | identity | refutations u16 | state u8: 0 alive, 1 suspect, 2 down |
//!   header    | kind u8 | source: identity | refutations u16 | destination: identity | number u8 | third: identity |
//!             number: of probes only                          third: of the four indirect kinds only
//!   datagram  | header | count u16, big-endian: foca's | members |      both are left out of announcements and verdicts
//! ```
//!
//! Numbers are little-endian. Decoding takes no more than is there, checks every byte that has a meaning, and allocates
//! names only. A name may be empty in one place: the destination of an announcement to whoever lives at an address.

#![forbid(unsafe_code)]

use super::identity::Identity;
use crate::sync::Arc;
use crate::types::limits::NODE_NAME_BYTES_MAX;
use crate::types::stream::Incarnation;
use bytes::{Buf, BufMut};
use foca::{Header, Member as Update, Message, State};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes that are no datagram of membership, or no room for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("bytes that say nothing of membership, or no room for them")]
pub(super) struct CodecError;

/// What one datagram says.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) header: Header<Identity>,
    pub(super) updates: Vec<Update<Identity>>,
}

impl Said {
    /// Reads a whole body: nothing may be left over.
    pub(super) fn read(mut body: &[u8]) -> Result<Self, CodecError> {
        let header = read_header(&mut body)?;
        let mut updates = Vec::new();
        let has_updates = !matches!(header.message, Message::Announce | Message::TurnUndead | Message::Broadcast);
        if has_updates && !body.is_empty() {
            for _ in 0..u16::from_be_bytes(take(&mut body)?) {
                // Each takes bytes, so the list is never longer than the datagram.
                updates.push(read_member(&mut body)?);
            }
        }
        if body.is_empty() { Ok(Self { header, updates }) } else { Err(CodecError) }
    }

    /// Writes it in place of what `out` holds.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        write_header(&self.header, &mut *out)?;
        if !self.updates.is_empty() {
            out.put_u16(u16::try_from(self.updates.len()).map_err(|_| CodecError)?);
            self.updates.iter().try_for_each(|update| write_member(update, &mut *out))?;
        }
        Ok(())
    }
}

/// As foca asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codec;

impl foca::Codec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Identity>, buf: impl BufMut) -> Result<(), CodecError> {
        write_header(header, buf)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        read_header(&mut buf)
    }

    fn encode_member(&mut self, member: &Update<Identity>, buf: impl BufMut) -> Result<(), CodecError> {
        write_member(member, buf)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Update<Identity>, CodecError> {
        read_member(&mut buf)
    }
}

fn take<const N: usize>(from: &mut impl Buf) -> Result<[u8; N], CodecError> {
    let mut bytes = [0; N];
    from.try_copy_to_slice(&mut bytes).map_err(|_| CodecError)?;
    Ok(bytes)
}

fn read_identity(from: &mut impl Buf) -> Result<Identity, CodecError> {
    let [length] = take(from)?;
    let mut name = [0; NODE_NAME_BYTES_MAX];
    let name = name.get_mut(..usize::from(length)).ok_or(CodecError)?;
    from.try_copy_to_slice(name).map_err(|_| CodecError)?;
    let name: Arc<str> = std::str::from_utf8(name).map_err(|_| CodecError)?.into();
    let rank = u64::from_le_bytes(take(from)?);
    if rank > RANK_MAX {
        return Err(CodecError);
    }
    let incarnation = Incarnation(u64::from_le_bytes(take(from)?));
    let leaving = match take(from)? {
        [flag @ 0..=1] => flag == 1,
        _ => return Err(CodecError),
    };
    let port = u16::from_le_bytes(take(from)?);
    let address = Ipv6Addr::from(take::<16>(from)?).to_canonical();
    let address = match port {
        0 if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => None,
        0 => return Err(CodecError),
        _ if address.is_unspecified() || address.is_multicast() => return Err(CodecError),
        _ => Some(SocketAddr::new(address, port)),
    };
    Ok(Identity { name, rank, incarnation, address, leaving })
}

fn write_identity(identity: &Identity, mut into: impl BufMut) -> Result<(), CodecError> {
    let name = identity.name.as_bytes();
    let length = u8::try_from(name.len()).map_err(|_| CodecError)?;
    if name.len() > NODE_NAME_BYTES_MAX || into.remaining_mut() < IDENTITY_FIXED_BYTES + name.len() {
        return Err(CodecError);
    }
    into.put_u8(length);
    into.put_slice(name);
    into.put_u64_le(identity.rank);
    into.put_u64_le(identity.incarnation.0);
    into.put_u8(u8::from(identity.leaving));
    into.put_u16_le(identity.address.map_or(0, |address| address.port()));
    let address = match identity.address.map(|address| address.ip()) {
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped(),
        Some(IpAddr::V6(address)) => address,
        None => Ipv6Addr::UNSPECIFIED,
    };
    into.put_slice(&address.octets());
    Ok(())
}

fn read_named(from: &mut impl Buf) -> Result<Identity, CodecError> {
    read_identity(from).and_then(|identity| if identity.name.is_empty() { Err(CodecError) } else { Ok(identity) })
}

fn read_member(from: &mut impl Buf) -> Result<Update<Identity>, CodecError> {
    let identity = read_named(from)?;
    let refutations = u16::from_le_bytes(take(from)?);
    let state = match take(from)? {
        [0] => State::Alive,
        [1] => State::Suspect,
        [2] => State::Down,
        _ => return Err(CodecError),
    };
    Ok(Update::new(identity, refutations, state))
}

fn write_member(member: &Update<Identity>, mut into: impl BufMut) -> Result<(), CodecError> {
    write_identity(member.id(), &mut into)?;
    if into.remaining_mut() < 3 {
        return Err(CodecError);
    }
    into.put_u16_le(member.incarnation());
    into.put_u8(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
    Ok(())
}

fn read_header(from: &mut impl Buf) -> Result<Header<Identity>, CodecError> {
    let [kind] = take(from)?;
    let src = read_named(from)?;
    let src_incarnation = u16::from_le_bytes(take(from)?);
    let dst = if kind == ANNOUNCE { read_identity(from)? } else { read_named(from)? };
    let message = match kind {
        ANNOUNCE => Message::Announce,
        FEED => Message::Feed,
        GOSSIP => Message::Gossip,
        TURN_UNDEAD => Message::TurnUndead,
        PING..=FORWARDED_ACK => {
            let [probe_number] = take(from)?;
            match kind {
                PING => Message::Ping(probe_number),
                ACK => Message::Ack(probe_number),
                PING_REQUEST => Message::PingReq { target: read_named(from)?, probe_number },
                INDIRECT_PING => Message::IndirectPing { origin: read_named(from)?, probe_number },
                INDIRECT_ACK => Message::IndirectAck { target: read_named(from)?, probe_number },
                _ => Message::ForwardedAck { origin: read_named(from)?, probe_number },
            }
        }
        _ => return Err(CodecError),
    };
    Ok(Header { src, src_incarnation, dst, message })
}

fn write_header(header: &Header<Identity>, mut into: impl BufMut) -> Result<(), CodecError> {
    let (kind, number, third) = match &header.message {
        Message::Announce => (ANNOUNCE, None, None),
        Message::Feed => (FEED, None, None),
        Message::Gossip => (GOSSIP, None, None),
        Message::TurnUndead => (TURN_UNDEAD, None, None),
        Message::Ping(number) => (PING, Some(*number), None),
        Message::Ack(number) => (ACK, Some(*number), None),
        Message::PingReq { target, probe_number } => (PING_REQUEST, Some(*probe_number), Some(target)),
        Message::IndirectPing { origin, probe_number } => (INDIRECT_PING, Some(*probe_number), Some(origin)),
        Message::IndirectAck { target, probe_number } => (INDIRECT_ACK, Some(*probe_number), Some(target)),
        Message::ForwardedAck { origin, probe_number } => (FORWARDED_ACK, Some(*probe_number), Some(origin)),
        Message::Broadcast => return Err(CodecError),
    };
    if !into.has_remaining_mut() {
        return Err(CodecError);
    }
    into.put_u8(kind);
    write_identity(&header.src, &mut into)?;
    if into.remaining_mut() < 2 {
        return Err(CodecError);
    }
    into.put_u16_le(header.src_incarnation);
    write_identity(&header.dst, &mut into)?;
    if let Some(number) = number {
        if !into.has_remaining_mut() {
            return Err(CodecError);
        }
        into.put_u8(number);
    }
    third.map_or(Ok(()), |third| write_identity(third, into))
}

const ANNOUNCE: u8 = 1;
const FEED: u8 = 2;
const GOSSIP: u8 = 3;
const TURN_UNDEAD: u8 = 4;
const PING: u8 = 5;
const ACK: u8 = 6;
const PING_REQUEST: u8 = 7;
const INDIRECT_PING: u8 = 8;
const INDIRECT_ACK: u8 = 9;
const FORWARDED_ACK: u8 = 10;

/// So that there is always a higher one for who needs it.
const RANK_MAX: u64 = u64::MAX / 2;

/// Of an identity, without its name.
const IDENTITY_FIXED_BYTES: usize = 1 + 8 + 8 + 1 + 2 + 16;
