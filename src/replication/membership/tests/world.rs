//! A network of memberships, all of it from one seed.
//!
//! ```text
//!   node --poll_datagram--> seal --> lost? doubled? delayed 0.1..3 ms, now and then 20 ms --> open --handle_datagram--> node
//!        --poll_event-----> history: (when, whose, what)
//! ```

#![forbid(unsafe_code)]

use crate::replication::membership::{MemberEvent, Membership, MembershipSettings, OwnIdentity};
use crate::replication::security::{DatagramRefusal, Datagrams, Entropy, Protection, Secret, Secrets};
use crate::types::stream::Incarnation;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub(super) const SECOND: u64 = 1_000_000;

/// Nodes, and what is on its way between them.
pub(super) struct World {
    pub(super) now_us: u64,
    pub(super) nodes: Vec<Node>,
    /// Of a thousand datagrams, so many are lost, and so many come twice.
    pub(super) lost: u32,
    pub(super) doubled: u32,
    /// What happened: when, to which node, what.
    pub(super) history: Vec<(u64, usize, MemberEvent)>,
    pub(super) refusals: Vec<DatagramRefusal>,
    /// Every datagram as it was sent, if somebody listens.
    pub(super) tap: Option<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
    random: SmallRng,
    in_flight: BTreeMap<(u64, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
}

pub(super) struct Node {
    pub(super) membership: Membership,
    datagrams: Datagrams,
    pub(super) address: SocketAddr,
    /// Only nodes of one side hear each other.
    pub(super) side: u32,
    /// A process that was killed.
    pub(super) is_dead: bool,
    /// A process that was stopped: what comes waits, time goes on.
    is_stopped: bool,
    unread: Vec<(SocketAddr, Vec<u8>)>,
}

pub(super) fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8 + 1], 7_400))
}

pub(super) fn name(number: usize) -> String {
    format!("pod-{number}")
}

pub(super) fn protection(secret: &str) -> Protection {
    let secret = Secret::new(secret).expect("long enough");
    Protection::Sealed(Secrets::new(&[secret], "simulated").expect("one secret"))
}

impl World {
    /// An empty network. 2 of 1,000 datagrams come twice.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now_us: 7,
            nodes: Vec::new(),
            lost: 0,
            doubled: 2,
            history: Vec::new(),
            refusals: Vec::new(),
            tap: None,
            random: SmallRng::seed_from_u64(seed),
            in_flight: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Nodes that all have all addresses as seeds, and know each other.
    pub(super) fn of(nodes: usize, seed: u64) -> Self {
        let mut world = Self::new(seed);
        let seeds: Vec<SocketAddr> = (0..nodes).map(address).collect();
        for number in 0..nodes {
            world.start(&name(number), 1, address(number), &seeds);
        }
        world.run(3 * SECOND);
        assert!(world.all_see_all(), "seed {seed}: {:?}", world.history);
        world
    }

    /// Starts a node; gives its number.
    pub(super) fn start(&mut self, name: &str, incarnation: u64, at: SocketAddr, seeds: &[SocketAddr]) -> usize {
        self.start_with(name, incarnation, at, seeds, protection("the simulated secret"), Some(at))
    }

    pub(super) fn start_with(
        &mut self,
        name: &str,
        incarnation: u64,
        at: SocketAddr,
        seeds: &[SocketAddr],
        protection: Protection,
        advertised: Option<SocketAddr>,
    ) -> usize {
        let mut entropy = [0; 32];
        self.random.fill(&mut entropy);
        let entropy = Entropy::given(entropy);
        let own = OwnIdentity { name, incarnation: Incarnation(incarnation), address: advertised };
        let membership = Membership::new(&MembershipSettings::default(), &own, self.random.random());
        let datagrams = Datagrams::new(protection, name, Incarnation(incarnation), &entropy);
        let (side, unread) = (0, Vec::new());
        self.nodes.push(Node { membership, datagrams, address: at, side, is_dead: false, is_stopped: false, unread });
        let number = self.nodes.len() - 1;
        self.nodes[number].membership.announce(self.now_us, seeds);
        self.drain(number);
        number
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, for_us: u64) {
        let until_us = self.now_us + for_us;
        loop {
            let timers = self.nodes.iter().enumerate().filter(|(_, node)| !node.is_dead && !node.is_stopped);
            let timer = timers.filter_map(|(at, node)| Some((node.membership.poll_timeout()?, at))).min();
            let arrival = self.in_flight.first_key_value().map(|((at_us, _), _)| *at_us);
            let timer_us = timer.map_or(u64::MAX, |(due_us, _)| due_us);
            let next_us = timer_us.min(arrival.unwrap_or(u64::MAX));
            if next_us > until_us {
                self.now_us = until_us;
                return;
            }
            self.now_us = self.now_us.max(next_us);
            match timer {
                Some((due_us, number)) if arrival.is_none_or(|arrival| due_us <= arrival) => {
                    self.nodes[number].membership.handle_timeout(self.now_us);
                    self.drain(number);
                }
                _ => self.deliver_next(),
            }
        }
    }

    /// Stops a process for a while, as a debugger or a full machine does. Its timers come before what lies unread.
    pub(super) fn stop_for(&mut self, number: usize, for_us: u64) {
        self.nodes[number].is_stopped = true;
        self.run(for_us);
        self.nodes[number].is_stopped = false;
        self.nodes[number].membership.handle_timeout(self.now_us);
        self.drain(number);
        for (from, datagram) in std::mem::take(&mut self.nodes[number].unread) {
            self.hand_over(number, from, datagram);
        }
    }

    /// Gives a datagram to the node at an address.
    pub(super) fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let Some(number) = self.nodes.iter().position(|node| node.address == to && !node.is_dead) else { return };
        if self.nodes[number].is_stopped {
            self.nodes[number].unread.push((from, datagram));
        } else {
            self.hand_over(number, from, datagram);
        }
    }

    fn deliver_next(&mut self) {
        if let Some((_, (from, to, datagram))) = self.in_flight.pop_first() {
            self.deliver(from, to, datagram);
        }
    }

    fn hand_over(&mut self, number: usize, from: SocketAddr, mut datagram: Vec<u8>) {
        let node = &mut self.nodes[number];
        match node.datagrams.open(self.now_us, &mut datagram) {
            Ok(body) => node.membership.handle_datagram(self.now_us, from, body),
            Err(refusal) => self.refusals.push(refusal),
        }
        self.drain(number);
    }

    /// Sends what a node has to send, and notes what it tells.
    pub(super) fn drain(&mut self, number: usize) {
        while let Some(event) = self.nodes[number].membership.poll_event() {
            self.history.push((self.now_us, number, event));
        }
        while let Some((to, body)) = self.nodes[number].membership.poll_datagram() {
            let (node, mut datagram) = (&mut self.nodes[number], Vec::new());
            node.datagrams.seal(&body, &mut datagram).expect("foca keeps to the size");
            let (from, side) = (node.address, node.side);
            if let Some(tap) = &mut self.tap {
                tap.push((from, to, datagram.clone()));
            }
            let copies = if self.random.random_range(0..1_000) < self.doubled { 2 } else { 1 };
            let apart = self.nodes.iter().any(|other| other.address == to && other.side != side);
            for _ in 0..copies {
                let lost = self.random.random_range(0..1_000) < self.lost;
                let slow = self.random.random_range(0..100) == 0;
                let delay_us = self.random.random_range(100..=if slow { 20_000 } else { 3_000 });
                if !lost && !apart {
                    self.in_flight.insert((self.now_us + delay_us, self.sent), (from, to, datagram.clone()));
                    self.sent += 1;
                }
            }
        }
    }

    /// Nodes that run.
    pub(super) fn living(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|number| !self.nodes[*number].is_dead)
    }

    /// The addresses that a node sees up.
    pub(super) fn seen_by(&self, number: usize) -> Vec<SocketAddr> {
        let mut seen: Vec<SocketAddr> = self.nodes[number].membership.members().map(|member| member.address).collect();
        seen.sort_unstable();
        seen
    }

    /// Whether every living node sees exactly the other living ones.
    pub(super) fn all_see_all(&self) -> bool {
        self.living().all(|number| {
            let mut others: Vec<SocketAddr> =
                self.living().filter(|other| *other != number).map(|other| self.nodes[other].address).collect();
            others.sort_unstable();
            self.seen_by(number) == others
        })
    }

    /// Lets time pass until all see all, and gives how long that took.
    pub(super) fn run_until_all_see_all(&mut self, at_most_us: u64) -> Option<u64> {
        let start_us = self.now_us;
        while !self.all_see_all() {
            if self.now_us - start_us >= at_most_us {
                return None;
            }
            self.run(20_000);
        }
        Some(self.now_us - start_us)
    }

    /// Moments at which nodes saw something happen, from a time on.
    pub(super) fn seen_since(&self, since_us: u64, what: impl Fn(&MemberEvent) -> bool) -> Vec<(u64, usize)> {
        let since = self.history.iter().filter(|(at_us, _, event)| *at_us >= since_us && what(event));
        since.map(|(at_us, number, _)| (*at_us, *number)).collect()
    }
}
