//! Membership, its datagrams, and the seeds.
//!
//! ```text
//!   socket -> open -> membership -> events -> the node: whom to dial; waits: how many there are
//!   socket <- seal <- membership <- time, seeds
//!   seeds  -> membership, and the node
//! ```
//!
//! A datagram that finds no room in the kernel is lost, as any other may be: nothing here keeps one.

#![forbid(unsafe_code)]

use crate::replication::driver::counters::Counter;
use crate::replication::driver::happening::Happening;
use crate::replication::driver::net::{DATAGRAMS, Net};
use crate::replication::driver::sockets;
use crate::replication::membership::{Member, MemberEvent, Membership};
use crate::replication::node::api::MemberChange;
use crate::replication::security::{DatagramRefusal, Datagrams};
use crate::replication::session::time::Micros;
use crate::types::limits::{ARRIVALS_PER_TURN, DATAGRAM_BYTES_MAX};
use mio::Interest;
use mio::net::UdpSocket;
use std::io;
use std::net::SocketAddr;

/// Errors of the socket after which it is left until the next edge: they may go on for ever.
const ERRORS_PER_TURN: usize = 16;

/// What goes by datagrams.
pub(super) struct Gossip {
    pub(super) socket: UdpSocket,
    pub(super) membership: Membership,
    pub(super) datagrams: Datagrams,
    readable: bool,
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
}

impl Gossip {
    pub(super) fn new(socket: UdpSocket, membership: Membership, datagrams: Datagrams) -> Self {
        // One byte more than any node sends: a longer datagram is seen to be longer.
        let incoming = vec![0; DATAGRAM_BYTES_MAX + 1].into_boxed_slice();
        Self { socket, membership, datagrams, readable: true, incoming, outgoing: Vec::new() }
    }

    /// Datagrams may have come.
    pub(super) fn ready(&mut self) {
        self.readable = true;
    }

    pub(super) fn is_busy(&self) -> bool {
        self.readable
    }

    pub(super) fn poll_timeout(&self) -> Option<Micros> {
        self.membership.poll_timeout().map(Micros)
    }

    pub(super) fn meet_deadline(&mut self, now: Micros) {
        if self.membership.poll_timeout().is_some_and(|at| at <= now.0) {
            self.membership.handle_timeout(now.0);
        }
    }

    pub(super) fn set_address(&mut self, now: Micros, address: SocketAddr) {
        self.membership.set_address(now.0, address);
    }
}

impl Net {
    pub(super) fn listen_for_datagrams(&mut self) -> io::Result<()> {
        self.poll.registry().register(&mut self.gossip.socket, DATAGRAMS, Interest::READABLE)
    }

    /// Takes datagrams.
    pub(super) fn receive_datagrams(&mut self, now: Micros) {
        let mut errors = 0;
        for _ in 0..ARRIVALS_PER_TURN {
            if !self.gossip.readable {
                break;
            }
            let Gossip { socket, membership, datagrams, incoming, readable, .. } = &mut self.gossip;
            match sockets::receive_datagram(socket, incoming) {
                Ok(None) => *readable = false,
                Ok(Some((bytes, from))) => {
                    self.shared.counters.add(Counter::DatagramsIn, 1);
                    match datagrams.open(now.0, &mut incoming[..bytes]) {
                        Ok(body) => membership.handle_datagram(now.0, from, body),
                        Err(DatagramRefusal::Own) => {}
                        Err(refusal) => {
                            tracing::trace!(%refusal, %from, "a datagram was refused");
                            *self.refusals.entry(refusal.counter()).or_insert(0) += 1;
                            self.shared.counters.add(Counter::DatagramsRefused, 1);
                        }
                    }
                }
                // The answer to one that was sent, as a rule: nobody listens there. Others may wait behind it.
                Err(_) => {
                    errors += 1;
                    *readable = errors < ERRORS_PER_TURN;
                    self.shared.counters.add(Counter::DatagramsLost, 1);
                }
            }
        }
        self.take_member_events(now);
    }

    fn take_member_events(&mut self, now: Micros) {
        while let Some(event) = self.gossip.membership.poll_event() {
            match event {
                MemberEvent::Up(member) => self.node.handle_member(now, MemberChange::Up(member.address)),
                MemberEvent::Down(member) => self.node.handle_member(now, MemberChange::Down(member.address)),
                MemberEvent::Left(member) => self.node.handle_member(now, MemberChange::Left(member.address)),
                MemberEvent::Replaced { former, member } => {
                    if former.address != member.address {
                        self.node.handle_member(now, MemberChange::Down(former.address));
                    }
                    self.node.handle_member(now, MemberChange::Up(member.address));
                }
                MemberEvent::Renewed => {}
                MemberEvent::Namesake { incarnation, address } => {
                    self.happened(Happening::Namesake { incarnation, address, superseded: false });
                }
                MemberEvent::Superseded { incarnation, address } => {
                    self.happened(Happening::Namesake { incarnation, address, superseded: true });
                }
            }
        }
    }

    /// Sends what membership has to say.
    pub(super) fn send_datagrams(&mut self, now: Micros) {
        self.take_member_events(now);
        let Self { gossip, shared, bound, secrets, .. } = self;
        let Gossip { socket, membership, datagrams, outgoing, .. } = gossip;
        while let Some((to, body)) = membership.poll_datagram() {
            // Plaintext leaves no host, wherever an address came from.
            let forbidden = secrets.is_none() && !to.ip().to_canonical().is_loopback();
            let sent = !forbidden
                && datagrams.seal(&body, outgoing).is_ok()
                && sockets::send_datagram(socket, *bound, to, outgoing).unwrap_or(false);
            shared.counters.add(if sent { Counter::DatagramsOut } else { Counter::DatagramsLost }, 1);
        }
    }

    /// The seeds, as they are now.
    pub(super) fn take_seeds(&mut self, now: Micros, seeds: &[SocketAddr]) {
        let seeds: Vec<SocketAddr> = seeds.iter().copied().map(sockets::canonical).collect();
        self.node.handle_seeds(now, &seeds);
        self.gossip.membership.announce(now.0, &seeds);
    }

    /// All that are up, by membership.
    pub(super) fn known_members(&self) -> Vec<Member> {
        self.gossip.membership.members().collect()
    }
}
