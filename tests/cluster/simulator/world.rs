//! The world: virtual time, the events in it, and the hosts.

use crate::faults::Fault;
use crate::ledger::{Ledger, Rank, Write, rank};
use crate::network::{End, Network};
use crate::plan::Plan;
use crate::random::{Random, mix};
use also_cache::ManualClock;
use also_cache::simulation::{Hint, Link, Order, SimulatedNode, SimulatedSettings};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Something that happens at a moment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    Timeout {
        host: usize,
        life: u64,
    },
    Deliver {
        connection: u64,
        to: usize,
    },
    Dialled {
        from: usize,
        life: u64,
        address: SocketAddr,
    },
    /// The other end of a connection has closed or reset it.
    Ended {
        host: usize,
        life: u64,
        number: u32,
        reset: bool,
    },
    Hint {
        host: usize,
        to: usize,
        up: bool,
    },
    Operation {
        number: u64,
    },
    Fault {
        number: u64,
    },
    Unblock {
        from: usize,
        to: usize,
    },
    Resume {
        host: usize,
    },
    Restart {
        host: usize,
        kind: Fault,
    },
    KeepArena {
        host: usize,
    },
    EndLeave {
        host: usize,
    },
    Merge,
}

/// A machine with one node.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) file: PathBuf,
    pub(crate) node: Option<SimulatedNode>,
    pub(crate) life: u64,
    clock: ManualClock,
    offset_us: u64,
    drift_ppm: i64,
    pub(crate) paused_until: u64,
    next_number: u32,
    /// When the next timeout is due that is in the queue.
    wakes_at: u64,
    /// What its arena was some time before.
    pub(crate) kept_arena: Option<Vec<u8>>,
    pub(crate) leaving: bool,
    /// What reads of this arena have shown, by key: nothing older may be shown later.
    pub(crate) shown: BTreeMap<Vec<u8>, Rank>,
    pub(crate) cleared: Rank,
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) hash: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) time: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) ledger: Ledger,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    hash: u64,
    pub(crate) is_told: bool,
    pub(crate) at_rest: bool,
    directory: tempfile::TempDir,
}

/// A manual clock begins a day after its epoch.
const CLOCK_BEGINS_US: u64 = 86_400_000_000;
/// When a run begins.
const BEGIN_US: u64 = 10_000_000;
/// After this long without a fault everything must have been said to everybody.
const REST_US_MAX: u64 = 90_000_000;

impl World {
    pub(crate) fn new(plan: Plan, is_told: bool) -> Self {
        let base = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let directory = tempfile::Builder::new().prefix("also-cache-simulator-").tempdir_in(base).expect("a directory");
        let mut random = Random::new(mix(plan.seed));
        let hosts = (0..plan.nodes).map(|number| Host::new(number, &plan, &mut random, &directory)).collect();
        Self {
            random,
            time: BEGIN_US,
            queue: BinaryHeap::new(),
            sequence: 0,
            hosts,
            network: Network::default(),
            ledger: Ledger::default(),
            counts: BTreeMap::new(),
            hash: mix(plan.seed),
            plan,
            is_told,
            at_rest: false,
            directory,
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        let _ = &self.directory;
        self.prepare();
        let busy_until = BEGIN_US + self.plan.busy_us;
        while self.time < busy_until && self.step() {}
        self.heal();
        let rest_from = self.time;
        while !self.is_quiet() {
            assert!(self.step(), "nothing is left to happen, and the nodes are not at rest");
            assert!(self.time < rest_from + REST_US_MAX, "{}", self.unrest());
        }
        self.count("rest, ms", (self.time - rest_from) / 1000);
        // What is still on its way changes nothing any more.
        let until = self.time + 1_000_000;
        while self.time < until && self.step() {}
        self.check_at_rest();
        for host in 0..self.hosts.len() {
            self.collect(host);
        }
        Outcome { hash: self.hash, counts: self.counts }
    }

    fn prepare(&mut self) {
        let busy = self.plan.busy_us;
        if self.plan.merges {
            let half = self.hosts.len() / 2;
            for a in 0..half {
                for b in half..self.hosts.len() {
                    self.network.block(a, b, true);
                    self.network.block(b, a, true);
                }
            }
            let at = self.time + self.random.within(busy / 4, busy * 3 / 4);
            self.schedule(at, Event::Merge);
            self.count("merges", 1);
        }
        for host in 0..self.hosts.len() {
            let at = self.time + self.random.below(if host == 0 { 1 } else { 500_000 });
            self.schedule(at, Event::Restart { host, kind: Fault::CrashWarm });
        }
        for number in 0..self.plan.operations {
            let at = self.time + self.random.within(1_000, busy);
            self.schedule(at, Event::Operation { number });
        }
        for number in 0..self.plan.fault_count {
            let at = self.time + self.random.within(200_000, busy);
            self.schedule(at, Event::Fault { number });
        }
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    pub(crate) fn count(&mut self, name: &'static str, by: u64) {
        *self.counts.entry(name).or_insert(0) += by;
    }

    pub(crate) fn tell(&self, text: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>10.6} {}", (self.time - BEGIN_US) as f64 / 1e6, text());
        }
    }

    fn fold(&mut self, value: u64) {
        self.hash = mix(self.hash ^ value);
    }

    /// The next event; `false` if there is none.
    fn step(&mut self) -> bool {
        let Some(Reverse((at, _, event))) = self.queue.pop() else { return false };
        self.time = self.time.max(at);
        self.fold(self.time);
        match event {
            Event::Timeout { host, life } => self.timeout(host, life),
            Event::Deliver { connection, to } => self.deliver(connection, to),
            Event::Dialled { from, life, address } => self.dialled(from, life, address),
            Event::Ended { host, life, number, reset } => self.ended(host, life, number, reset),
            Event::Hint { host, to, up } => self.hint(host, to, up),
            Event::Operation { number } => self.operate(number),
            Event::Fault { number } => self.fault(number),
            Event::Unblock { from, to } => self.unblock(from, to),
            Event::Resume { host } => self.resume(host),
            Event::Restart { host, kind } => self.restart(host, kind),
            Event::KeepArena { host } => self.keep_arena(host),
            Event::EndLeave { host } => self.end_leave(host),
            Event::Merge => self.heal_network(),
        }
        true
    }

    /// Whether a host runs now, in this life.
    pub(crate) fn runs(&self, host: usize, life: u64) -> bool {
        let host = &self.hosts[host];
        host.node.is_some() && host.life == life && host.paused_until <= self.time
    }

    pub(crate) fn is_up(&self, host: usize) -> bool {
        self.runs(host, self.hosts[host].life)
    }

    fn timeout(&mut self, host: usize, life: u64) {
        if !self.runs(host, life) {
            return;
        }
        self.hosts[host].wakes_at = u64::MAX;
        self.with(host, SimulatedNode::timeout);
    }

    /// Lets a node do something, and does what it asks for.
    pub(crate) fn with<T>(&mut self, host: usize, act: impl FnOnce(&mut SimulatedNode) -> T) -> Option<T> {
        self.set_clock(host);
        let result = act(self.hosts[host].node.as_mut()?);
        self.drive(host);
        Some(result)
    }

    /// Brings a host's clock to the moment.
    fn set_clock(&mut self, host: usize) {
        let local = self.hosts[host].local(self.time);
        if let Some(node) = &self.hosts[host].node {
            node.advance(local.saturating_sub(node.now()));
        }
    }

    fn drive(&mut self, host: usize) {
        let life = self.hosts[host].life;
        for _ in 0..1000 {
            while let Some(order) = self.hosts[host].node.as_mut().and_then(SimulatedNode::order) {
                self.obey(host, life, order);
            }
            if !self.transmit(host, life) {
                break;
            }
        }
        let Some(deadline) = self.hosts[host].node.as_ref().and_then(SimulatedNode::deadline) else { return };
        let at = self.hosts[host].global(deadline, self.time);
        // One that is past was dropped: the host was paused.
        if at < self.hosts[host].wakes_at || self.hosts[host].wakes_at <= self.time {
            self.hosts[host].wakes_at = at;
            self.schedule(at, Event::Timeout { host, life });
        }
    }

    fn obey(&mut self, host: usize, life: u64, order: Order) {
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
    fn transmit(&mut self, host: usize, life: u64) -> bool {
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

    fn deliver(&mut self, id: u64, to: usize) {
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

    fn dialled(&mut self, from: usize, life: u64, address: SocketAddr) {
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

    fn ended(&mut self, host: usize, life: u64, number: u32, reset: bool) {
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

    fn hint(&mut self, host: usize, to: usize, up: bool) {
        let address = self.hosts[host].address;
        if self.is_up(to) {
            self.with(to, |node| node.hint(if up { Hint::Up(address) } else { Hint::Down(address) }));
        }
    }

    /// Starts a host's node, the first time or again.
    pub(crate) fn start(&mut self, host: usize) {
        let addresses: Vec<_> = self.hosts.iter().map(|host| host.address).collect();
        let settings = self.hosts[host].settings(host, &self.plan);
        self.hosts[host].life += 1;
        self.hosts[host].paused_until = 0;
        self.hosts[host].wakes_at = u64::MAX;
        self.hosts[host].leaving = false;
        self.set_fresh_clock(host);
        self.hosts[host].node = Some(SimulatedNode::start(&settings(self.hosts[host].clock.clone())));
        self.tell(|| format!("{} starts life {}", self.hosts[host].name, self.hosts[host].life));
        self.with(host, |node| node.seeds(&addresses));
        for to in 0..self.hosts.len() {
            if to != host && self.random.chance(80) {
                let at = self.time + self.random.below(200_000);
                self.schedule(at, Event::Hint { host, to, up: true });
            }
        }
    }

    fn set_fresh_clock(&mut self, host: usize) {
        let clock = ManualClock::new();
        let local = self.hosts[host].local(self.time);
        clock.advance(std::time::Duration::from_micros(local - CLOCK_BEGINS_US));
        self.hosts[host].clock = clock;
    }

    /// One operation of a user, on some host that runs.
    fn operate(&mut self, number: u64) {
        let up: Vec<usize> = (0..self.hosts.len()).filter(|host| self.is_up(*host)).collect();
        if up.is_empty() {
            return;
        }
        let host = *self.random.of(&up);
        let key = format!("key-{}", self.random.below(self.plan.keys)).into_bytes();
        let dice = self.random.below(100);
        if dice < self.plan.reads {
            self.read(host, &key);
        } else if dice < self.plan.reads + self.plan.removes {
            self.remove(host, &key);
        } else if self.random.chance(self.plan.clears) && self.random.chance(10) {
            self.clear(host);
        } else {
            let value = self.value(number, host);
            self.insert(host, &key, &value);
        }
        self.with(host, SimulatedNode::changed);
        if self.random.chance(20) {
            self.with(host, |node| node.maintain());
        }
    }

    fn value(&mut self, number: u64, host: usize) -> Vec<u8> {
        let large = self.plan.large_values && self.random.chance(5);
        let bytes = if large { self.random.within(20_000, 60_000) } else { self.random.below(self.plan.value_bytes) };
        let mut value = format!("{number}/{host}/").into_bytes();
        value.resize(value.len() + bytes as usize, number as u8);
        value
    }

    pub(crate) fn insert(&mut self, host: usize, key: &[u8], value: &[u8]) {
        let Some((version, stored)) = self.with(host, |node| node.insert(key, value)).flatten() else { return };
        self.count("inserts", 1);
        self.count("inserts refused", u64::from(!stored));
        self.tell(|| format!("{} inserts {} {version}", self.hosts[host].name, key.escape_ascii()));
        let write = self.write(host, rank(&version), stored.then(|| value.to_vec()));
        self.hosts[host].show(key, write.rank);
        self.ledger.note(key, write);
    }

    fn remove(&mut self, host: usize, key: &[u8]) {
        let Some(version) = self.with(host, |node| node.remove(key)).flatten() else { return };
        self.count("removes", 1);
        self.tell(|| format!("{} removes {} {version}", self.hosts[host].name, key.escape_ascii()));
        let write = self.write(host, rank(&version), None);
        self.hosts[host].show(key, write.rank);
        self.ledger.note(key, write);
    }

    fn clear(&mut self, host: usize) {
        let Some(stamp) = self.with(host, |node| node.clear()).flatten() else { return };
        self.count("clears", 1);
        self.tell(|| format!("{} clears {stamp:016x}", self.hosts[host].name));
        let write = self.write(host, (stamp, u16::MAX), None);
        self.hosts[host].cleared = self.hosts[host].cleared.max(write.rank);
        self.ledger.note_clear(write);
    }

    fn write(&self, host: usize, rank: Rank, value: Option<Vec<u8>>) -> Write {
        let node = self.hosts[host].node.as_ref().expect("it has just written");
        Write { rank, value, host, stream: node.stream(), end: node.end(), may_be_lost: false }
    }

    fn collect(&mut self, host: usize) {
        let counters = self.hosts[host].node.as_ref().map(SimulatedNode::counters).unwrap_or_default();
        for (name, value) in counters {
            self.count(name, value);
        }
    }

    /// A host's node is gone at once.
    pub(crate) fn kill(&mut self, host: usize) {
        self.collect(host);
        let life = self.hosts[host].life;
        for (id, end) in self.network.all_of(host, life) {
            let kept = if self.random.chance(50) { usize::MAX } else { self.random.below(3000) as usize };
            let connection = self.network.connections.get_mut(&id).expect("just found");
            connection.pipes[end].cut_after(kept);
            let number = connection.ends[end].number;
            self.close(host, life, number, true);
        }
        self.hosts[host].node = None;
        for to in 0..self.hosts.len() {
            if to != host && self.random.chance(80) {
                let at = self.time + self.random.within(500_000, 3_000_000);
                self.schedule(at, Event::Hint { host, to, up: false });
            }
        }
    }
}

impl Host {
    fn new(number: usize, plan: &Plan, random: &mut Random, directory: &tempfile::TempDir) -> Self {
        let name = format!("node-{number}");
        Self {
            address: SocketAddr::from(([10, 0, 0, number as u8 + 1], 7400)),
            file: directory.path().join(&name),
            name,
            node: None,
            life: 0,
            clock: ManualClock::new(),
            offset_us: random.below(plan.clock_offset_us + 1),
            drift_ppm: random.below(2 * plan.drift_ppm + 1) as i64 - plan.drift_ppm as i64,
            paused_until: 0,
            next_number: 0,
            wakes_at: u64::MAX,
            kept_arena: None,
            leaving: false,
            shown: BTreeMap::new(),
            cleared: (0, 0),
        }
    }

    fn settings(&self, number: usize, plan: &Plan) -> impl FnOnce(ManualClock) -> SimulatedSettings + use<> {
        let smaller = plan.small_values_node && number == 1;
        let settings = SimulatedSettings {
            name: self.name.clone(),
            address: self.address,
            file: self.file.clone(),
            clock: ManualClock::new(),
            seed: mix(plan.seed ^ number as u64 ^ (self.life << 32)),
            entries_max: plan.entries_max,
            value_bytes_max: if smaller { 30 } else { 1 << 20 },
            relay_bytes: plan.relay_bytes,
            protocol_max: if plan.mixed_protocol && number == 0 { 2 } else { 1 },
            fences: plan.fences,
            cluster: 7,
        };
        move |clock| SimulatedSettings { clock, ..settings }
    }

    /// What its clock says at a moment of the world.
    fn local(&self, time: u64) -> u64 {
        let drift = time as i64 * self.drift_ppm / 1_000_000;
        (CLOCK_BEGINS_US + time + self.offset_us).saturating_add_signed(drift)
    }

    /// The moment of the world at which its clock will say so; not before now.
    fn global(&self, deadline: u64, now: u64) -> u64 {
        let behind = deadline.saturating_sub(self.local(now));
        now + behind.saturating_mul(1_000_000) / 1_000_000_u64.saturating_add_signed(self.drift_ppm) + 1
    }

    pub(crate) fn jump(&mut self, by_us: u64) {
        self.offset_us += by_us;
    }

    /// Notes that a version of a key was shown, or made, here.
    pub(crate) fn show(&mut self, key: &[u8], rank: Rank) {
        let shown = self.shown.entry(key.to_vec()).or_default();
        *shown = (*shown).max(rank);
    }
}
