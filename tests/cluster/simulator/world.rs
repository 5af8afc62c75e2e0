//! The world: virtual time, the events in it, and the hosts.

use crate::fault::Fault;
use crate::host::{CLOCK_BEGINS_US, Host};
use crate::ledger::Ledger;
use crate::network::Network;
use crate::plan::Plan;
use crate::random::{Random, mix};
use crate::verdicts::Verdict;
use also_cache::ManualClock;
use also_cache::simulation::SimulatedNode;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

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
    /// Membership says something of a host to another one.
    Verdict {
        host: usize,
        to: usize,
        verdict: Verdict,
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
    /// In the middle of a sync.
    CutOff {
        host: usize,
        life: u64,
    },
    Merge,
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
    steps: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) ledger: Ledger,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    hash: u64,
    pub(crate) is_told: bool,
    pub(crate) at_rest: bool,
    directory: tempfile::TempDir,
}

/// When a run begins.
const BEGIN_US: u64 = 10_000_000;
/// After this long without a fault everything must have been said to everybody.
const REST_US_MAX: u64 = 90_000_000;
/// More than that are the same few for ever.
const STEPS_MAX: u64 = 2_000_000;

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
            steps: 0,
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
        for host in 0..self.hosts.len() {
            self.collect(host);
        }
        self.check_at_rest();
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
            let is_late = self.plan.late_join && host + 1 == self.hosts.len();
            let within = if host == 0 { 1 } else { 500_000 };
            let at = self.time + if is_late { self.random.within(busy / 4, busy) } else { self.random.below(within) };
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

    pub(crate) fn fold(&mut self, value: u64) {
        self.hash = mix(self.hash ^ value);
    }

    /// The next event; `false` if there is none.
    fn step(&mut self) -> bool {
        let Some(Reverse((at, _, event))) = self.queue.pop() else { return false };
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "no end of events, at {} us: {event:?}, {}", self.time, self.unrest());
        self.time = self.time.max(at);
        self.fold(self.time);
        match event {
            Event::Timeout { host, life } => self.timeout(host, life),
            Event::Deliver { connection, to } => self.deliver(connection, to),
            Event::Dialled { from, life, address } => self.dialled(from, life, address),
            Event::Ended { host, life, number, reset } => self.ended(host, life, number, reset),
            Event::Verdict { host, to, verdict } => self.hear(host, to, verdict),
            Event::Operation { number } => self.operate(number),
            Event::Fault { number } => self.fault(number),
            Event::Unblock { from, to } => self.unblock(from, to),
            Event::Resume { host } => self.resume(host),
            Event::Restart { host, kind } => self.restart(host, kind),
            Event::KeepArena { host } => self.keep_arena(host),
            Event::EndLeave { host } => self.end_leave(host),
            Event::CutOff { host, life } => self.cut_off(host, life),
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
    pub(crate) fn set_clock(&mut self, host: usize) {
        let local = self.hosts[host].local(self.time);
        if let Some(node) = &self.hosts[host].node {
            node.advance(local.saturating_sub(node.now()));
        }
    }

    pub(crate) fn drive(&mut self, host: usize) {
        let life = self.hosts[host].life;
        for _ in 0..1000 {
            while let Some(order) = self.hosts[host].node.as_mut().and_then(SimulatedNode::order) {
                self.obey(host, life, order);
            }
            if !self.transmit(host, life) {
                break;
            }
        }
        self.check_confirmation(host);
        self.await_sync(host);
        let Some(deadline) = self.hosts[host].node.as_ref().and_then(SimulatedNode::deadline) else { return };
        let at = self.hosts[host].global(deadline, self.time);
        // One that is past was dropped: the host was paused.
        if at < self.hosts[host].wakes_at || self.hosts[host].wakes_at <= self.time {
            self.hosts[host].wakes_at = at;
            self.schedule(at, Event::Timeout { host, life });
        }
    }

    /// Starts a host's node, the first time or again.
    pub(crate) fn start(&mut self, host: usize) {
        let seeds = if self.plan.one_seed { 1 } else { self.hosts.len() };
        let addresses: Vec<_> = self.hosts[..seeds].iter().map(|host| host.address).collect();
        let settings = self.hosts[host].settings(host, &self.plan);
        self.hosts[host].life += 1;
        self.hosts[host].paused_until = 0;
        self.hosts[host].wakes_at = u64::MAX;
        self.hosts[host].leaving = false;
        self.set_fresh_clock(host);
        self.hosts[host].node = Some(SimulatedNode::start(&settings(self.hosts[host].clock.clone())));
        self.tell(|| format!("{} starts life {}", self.hosts[host].name, self.hosts[host].life));
        self.hosts[host].to_confirm = None;
        self.hosts[host].seen_isolations = 0;
        self.expect_confirmation(host);
        self.with(host, |node| node.seeds(&addresses));
        self.say_of(host, Verdict::Up, (0, 200_000));
    }

    fn set_fresh_clock(&mut self, host: usize) {
        let clock = ManualClock::new();
        let local = self.hosts[host].local(self.time);
        clock.advance(std::time::Duration::from_micros(local - CLOCK_BEGINS_US));
        self.hosts[host].clock = clock;
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
        // It may come when the host is back.
        self.say_of(host, Verdict::Down, (500_000, 3_000_000));
    }
}
