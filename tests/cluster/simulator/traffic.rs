//! What nodes do to each other: dials, bytes on their way, ends of connections.

use crate::network::End;
use crate::random::mix;
use crate::world::{Event, World};
use also_cache::simulation::{Link, Order};
use std::net::SocketAddr;

impl World {
    pub(crate) fn obey(&mut self, host: usize, life: u64, order: Order) {
        match order {
            Order::Dial(address) => {
                self.fold(1);
                let at = self.time + self.random.within(self.plan.latency_us.0, self.plan.latency_us.1);
                self.schedule(at, Event::Dialled { from: host, life, address });
            }
            Order::Close(number) => {
                self.fold(2);
                self.tell(|| format!("{} closes {number}", self.hosts[host].name));
                self.transmit(host, life);
                self.close(host, life, number, false);
            }
        }
    }

    /// A life of a host ends one of its connections; the other end learns it after what was sent before.
    pub(crate) fn close(&mut self, host: usize, life: u64, number: u32, reset: bool) {
        let Some((id, end)) = self.network.of(host, life, number) else { return };
        let latency = self.random.within(self.plan.latency_us.0, self.plan.latency_us.1);
        let connection = self.network.connections.get_mut(&id).expect("just found");
        connection.ends[end].open = false;
        let other = connection.ends[1 - end];
        if other.open {
            let at = self.time + latency + self.plan.latency_us.1;
            let event = Event::Ended { host: other.host, life: other.life, number: other.number, reset };
            self.schedule(at, event);
        } else {
            self.network.connections.remove(&id);
        }
    }

    /// Sends what a node has to send; whether there was any.
    pub(crate) fn transmit(&mut self, host: usize, life: u64) -> bool {
        let mut any = false;
        for (id, end) in self.network.all_of(host, life) {
            let connection = &self.network.connections[&id];
            let number = connection.ends[end].number;
            if !connection.pipes[end].has_room() {
                continue;
            }
            let Some(bytes) = self.hosts[host].node.as_mut().and_then(|node| node.transmit(number)) else { continue };
            any = true;
            self.fold(bytes.len() as u64);
            let connection = self.network.connections.get_mut(&id).expect("just found");
            let times = connection.pipes[end].push(self.time, self.plan.latency_us, &bytes, &mut self.random);
            for at in times {
                self.schedule(at, Event::Deliver { connection: id, to: 1 - end });
            }
        }
        any
    }

    pub(crate) fn deliver(&mut self, id: u64, to: usize) {
        let Some(connection) = self.network.connections.get(&id) else { return };
        let (from, end) = (connection.ends[1 - to], connection.ends[to]);
        if !self.network.passes(from.host, end.host) || self.hosts[end.host].paused_until > self.time {
            // Held back: delivered when the way is free.
            return;
        }
        let connection = self.network.connections.get_mut(&id).expect("just found");
        let Some(piece) = connection.pipes[1 - to].pop(self.time) else { return };
        if !end.open || !self.runs(end.host, end.life) {
            return;
        }
        self.fold(piece.iter().fold(0, |sum, byte| mix(sum ^ u64::from(*byte))));
        self.with(end.host, |node| node.receive(end.number, &piece));
        // The sender has room again.
        if self.runs(from.host, from.life) {
            self.with(from.host, |_| ());
        }
    }

    /// Everything that was held back between two hosts goes on.
    pub(crate) fn deliver_held(&mut self) {
        let mut events = Vec::new();
        for (id, connection) in &self.network.connections {
            for (end, pipe) in connection.pipes.iter().enumerate() {
                let pieces = if pipe.is_empty() { 0 } else { 200 };
                events.extend((0..pieces).map(|_| Event::Deliver { connection: *id, to: 1 - end }));
            }
        }
        for event in events {
            self.schedule(self.time, event);
        }
    }

    pub(crate) fn dialled(&mut self, from: usize, life: u64, address: SocketAddr) {
        if !self.runs(from, life) {
            // What a paused host asked for is answered when it goes on.
            if self.hosts[from].life == life && self.hosts[from].node.is_some() {
                self.schedule(self.hosts[from].paused_until, Event::Dialled { from, life, address });
            }
            return;
        }
        let to = self.hosts.iter().position(|host| host.address == address && host.node.is_some());
        let reached =
            to.filter(|to| self.network.passes(from, *to) && self.network.passes(*to, from) && self.is_up(*to));
        self.tell(|| {
            format!("{} dials {address}: {}", self.hosts[from].name, if reached.is_some() { "there" } else { "-" })
        });
        let Some(to) = reached else {
            self.with(from, |node| node.dial_failed(address));
            return;
        };
        let ends = [self.new_end(from), self.new_end(to)];
        self.network.connect(ends);
        let theirs = SocketAddr::new(self.hosts[from].address.ip(), 50_000 + self.random.below(10_000) as u16);
        self.with(to, |node| node.link(ends[1].number, Link::Accepted(theirs)));
        self.with(from, |node| node.link(ends[0].number, Link::Dialled(address)));
    }

    fn new_end(&mut self, host: usize) -> End {
        self.hosts[host].next_number += 1;
        End { host, life: self.hosts[host].life, number: self.hosts[host].next_number, open: true }
    }

    pub(crate) fn ended(&mut self, host: usize, life: u64, number: u32, reset: bool) {
        let Some((id, end)) = self.network.of(host, life, number) else { return };
        let connection = &self.network.connections[&id];
        let other = connection.ends[1 - end];
        if !self.network.passes(other.host, host) && !self.at_rest {
            return self.schedule(self.time + 100_000, Event::Ended { host, life, number, reset });
        }
        if self.hosts[host].paused_until > self.time {
            return self.schedule(self.hosts[host].paused_until, Event::Ended { host, life, number, reset });
        }
        let connection = self.network.connections.remove(&id).expect("just found");
        if connection.ends[end].open && self.runs(host, life) {
            let link = if reset { Link::Reset } else { Link::ClosedByPeer };
            self.with(host, |node| node.link(number, link));
        }
    }
}
