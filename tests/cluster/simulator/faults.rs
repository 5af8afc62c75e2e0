//! What goes wrong, and how it is repaired.

use crate::fault::Fault;
use crate::host::Host;
use crate::ledger::Write;
use crate::verdicts::Verdict;
use crate::world::{Event, World};
use also_cache::simulation::{Link, SimulatedNode};

impl World {
    /// One fault of the plan.
    pub(crate) fn fault(&mut self, _number: u64) {
        let fault = *self.random.of(&self.plan.faults.clone());
        let up: Vec<usize> = (0..self.hosts.len()).filter(|host| self.is_up(*host)).collect();
        if up.len() < 2 {
            return;
        }
        let host = *self.random.of(&up);
        self.count(fault.name(), 1);
        self.tell(|| format!("{} on {}", fault.name(), self.hosts[host].name));
        match fault {
            Fault::Reset => self.reset_one(host),
            Fault::Stall => self.stall_one(host),
            Fault::CutOneWay | Fault::CutBothWays => self.cut(host, fault == Fault::CutBothWays),
            Fault::Isolate => self.isolate(host),
            Fault::Pause => self.pause(host),
            Fault::CrashWarm
            | Fault::CrashCold
            | Fault::CrashOldArena
            | Fault::CrashCopiedArena
            | Fault::CrashTwinArena
            | Fault::CrashTwice
            | Fault::CrashUnsent => self.crash(host, fault),
            Fault::Leave => self.leave(host),
            Fault::ClockJump => {
                let by = self.random.within(1_000, self.plan.clock_jump_us);
                self.hosts[host].jump(by);
            }
            Fault::Corrupt => self.corrupt(host),
            Fault::FalseDown => self.say_of(host, Verdict::Down, (0, 0)),
            Fault::Rumours => self.confuse(host),
            Fault::Storm => self.storm(host),
        }
    }

    fn some_connection(&mut self, host: usize) -> Option<(u64, usize)> {
        let all = self.network.all_of(host, self.hosts[host].life);
        (!all.is_empty()).then(|| *self.random.of(&all))
    }

    fn reset_one(&mut self, host: usize) {
        if let Some((id, end)) = self.some_connection(host) {
            self.reset(id, end);
        }
    }

    fn reset(&mut self, id: u64, end: usize) {
        let kept = self.random.below(5_000) as usize;
        let connection = self.network.connections.get_mut(&id).expect("just found");
        connection.pipes[end].cut_after(kept);
        connection.pipes[1 - end].cut_after(kept / 2);
        for end in connection.ends {
            let at = self.time + self.random.within(self.plan.latency_us.0, 2 * self.plan.latency_us.1);
            self.schedule(at, Event::Ended { host: end.host, life: end.life, number: end.number, reset: true });
        }
        // Both ends learn of it by themselves.
        let connection = self.network.connections.remove(&id).expect("just found");
        for end in connection.ends.into_iter().filter(|end| end.open) {
            if self.runs(end.host, end.life) {
                self.with(end.host, |node| node.link(end.number, Link::Reset));
            }
        }
    }

    fn stall_one(&mut self, host: usize) {
        let Some((id, end)) = self.some_connection(host) else { return };
        let until = self.time + self.random.within(10_000, 3_000_000);
        let connection = self.network.connections.get_mut(&id).expect("just found");
        connection.pipes[end].stalled_until = until;
        let to = 1 - end;
        for _ in 0..300 {
            self.schedule(until, Event::Deliver { connection: id, to });
        }
    }

    fn other(&mut self, host: usize) -> usize {
        (host + 1 + self.random.below(self.hosts.len() as u64 - 1) as usize) % self.hosts.len()
    }

    fn cut(&mut self, host: usize, both: bool) {
        let other = self.other(host);
        let until = self.time + self.random.within(100_000, 6_000_000);
        self.network.block(host, other, true);
        self.schedule(until, Event::Unblock { from: host, to: other });
        if both {
            self.network.block(other, host, true);
            self.schedule(until, Event::Unblock { from: other, to: host });
        }
    }

    fn isolate(&mut self, host: usize) {
        let until = self.time + self.random.within(300_000, 6_000_000);
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            for (from, to) in [(host, other), (other, host)] {
                self.network.block(from, to, true);
                self.schedule(until, Event::Unblock { from, to });
            }
        }
    }

    pub(crate) fn unblock(&mut self, from: usize, to: usize) {
        self.network.block(from, to, false);
        self.deliver_held();
    }

    pub(crate) fn heal_network(&mut self) {
        self.network.heal(self.time);
        self.deliver_held();
    }

    fn pause(&mut self, host: usize) {
        let until = self.time + self.random.within(10_000, 5_000_000);
        self.hosts[host].paused_until = until;
        self.schedule(until, Event::Resume { host });
    }

    pub(crate) fn resume(&mut self, host: usize) {
        if self.is_up(host) {
            self.deliver_held();
            self.with(host, SimulatedNode::timeout);
        }
    }

    fn crash(&mut self, host: usize, fault: Fault) {
        if fault == Fault::CrashOldArena && self.hosts[host].kept_arena.is_none() {
            self.keep_arena(host);
            let at = self.time + self.random.within(100_000, 2_000_000);
            // The crash comes later, when the arena has grown old.
            return self.schedule(at, Event::KeepArena { host });
        }
        if fault == Fault::CrashUnsent {
            self.write_unsent(host);
        }
        self.kill(host);
        let kind = if fault == Fault::CrashTwice { self.prepare_sync(host) } else { fault };
        let at = self.time + self.random.within(1_000, 4_000_000);
        self.schedule(at, Event::Restart { host, kind });
    }

    /// Sees to it that a host needs a sync when it comes back, in which it will be cut off.
    fn prepare_sync(&mut self, host: usize) -> Fault {
        self.hosts[host].to_cut_off = true;
        let other = self.other(host);
        if self.is_up(other) && self.random.chance(60) {
            self.storm(other);
            return Fault::CrashWarm;
        }
        Fault::CrashCold
    }

    /// A sync is under way, at one that is to be cut off in it.
    pub(crate) fn await_sync(&mut self, host: usize) {
        let Host { node: Some(node), to_cut_off, life, .. } = &mut self.hosts[host] else { return };
        if *to_cut_off && node.is_syncing() {
            *to_cut_off = false;
            let life = *life;
            let at = self.time + self.random.below(6 * self.plan.latency_us.1);
            self.schedule(at, Event::CutOff { host, life });
        }
    }

    pub(crate) fn cut_off(&mut self, host: usize, life: u64) {
        if !self.runs(host, life) || self.at_rest {
            return;
        }
        let syncs = self.hosts[host].node.as_ref().is_some_and(SimulatedNode::is_syncing);
        self.count("syncs cut off", u64::from(syncs));
        if self.random.chance(50) {
            let is_delta = syncs && self.hosts[host].node.as_ref().is_some_and(SimulatedNode::is_warm);
            self.count("delta syncs cut off by a kill", u64::from(is_delta));
            self.kill(host);
            let at = self.time + self.random.within(1_000, 1_000_000);
            return self.schedule(at, Event::Restart { host, kind: Fault::CrashWarm });
        }
        for (id, end) in self.network.all_of(host, life) {
            // One of them may have ended by another.
            if self.network.connections.contains_key(&id) {
                self.reset(id, end);
            }
        }
    }

    /// Keeps the bytes of an arena; the second time the host is killed, and gets them back.
    pub(crate) fn keep_arena(&mut self, host: usize) {
        if self.hosts[host].kept_arena.is_none() {
            self.hosts[host].kept_arena = std::fs::read(&self.hosts[host].file).ok();
        } else if self.is_up(host) {
            self.kill(host);
            let at = self.time + self.random.within(1_000, 1_000_000);
            self.schedule(at, Event::Restart { host, kind: Fault::CrashOldArena });
        } else {
            self.hosts[host].kept_arena = None;
        }
    }

    fn leave(&mut self, host: usize) {
        self.hosts[host].leaving = true;
        let within = self.random.within(0, 500_000);
        self.with(host, |node| node.leave(within));
        self.schedule(self.time + within + 100_000, Event::EndLeave { host });
    }

    pub(crate) fn end_leave(&mut self, host: usize) {
        if self.hosts[host].node.is_none() || !self.hosts[host].leaving {
            return;
        }
        self.kill(host);
        let at = self.time + self.random.within(1_000, 3_000_000);
        self.schedule(at, Event::Restart { host, kind: Fault::CrashWarm });
    }

    fn corrupt(&mut self, host: usize) {
        if let Some((id, end)) = self.some_connection(host) {
            let connection = self.network.connections.get_mut(&id).expect("just found");
            connection.pipes[end].corrupt_next = true;
        }
    }

    fn storm(&mut self, host: usize) {
        for number in 0..self.random.within(100, 1_500) {
            let key = format!("storm-{}", self.random.below(100_000)).into_bytes();
            self.insert(host, &key, &[number as u8; 100]);
        }
        self.with(host, SimulatedNode::changed);
    }

    /// A host comes back, with what the kind of its end has left.
    pub(crate) fn restart(&mut self, host: usize, kind: Fault) {
        if self.hosts[host].node.is_some() {
            return;
        }
        let file = self.hosts[host].file.clone();
        match kind {
            Fault::CrashCold => {
                self.lose(host);
                // There may be none yet.
                _ = std::fs::remove_file(&file);
            }
            Fault::CrashCopiedArena | Fault::CrashTwinArena => {
                self.lose(host);
                let of = if kind == Fault::CrashTwinArena { self.other(host) } else { host };
                self.copy_arena(of, host);
            }
            Fault::CrashOldArena => {
                // Another fault may have taken it before.
                if let Some(bytes) = self.hosts[host].kept_arena.take() {
                    self.lose(host);
                    std::fs::write(&file, bytes).expect("as long as before");
                }
            }
            _ => {}
        }
        self.start(host);
    }

    /// A host gets what is in an arena's file at the moment, as another file.
    fn copy_arena(&mut self, from: usize, to: usize) {
        let copy = self.hosts[to].file.with_extension("copy");
        // One that has not come yet has none.
        if std::fs::copy(&self.hosts[from].file, &copy).is_ok() {
            std::fs::rename(&copy, &self.hosts[to].file).expect("the same directory");
        }
    }

    /// What only this host's arena knew is gone.
    fn lose(&mut self, host: usize) {
        let applied: Vec<_> = self
            .hosts
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != host)
            .filter_map(|(_, of)| Some((of.node.as_ref()?.stream(), of.node.as_ref()?.applied())))
            .collect();
        let knows = |write: &Write| {
            applied.iter().any(|(own, vector)| {
                // A later life of its writer knows it only if it came up with that life's arena.
                *own == write.stream || vector.iter().any(|(stream, at)| *stream == write.stream && *at >= write.end)
            })
        };
        self.ledger.lose(host, knows);
        self.ledger.lose_of_others(host, knows);
        self.hosts[host].shown.clear();
        self.hosts[host].cleared = (0, 0);
    }

    /// The last fault is over: everything is repaired, and everybody comes back.
    pub(crate) fn heal(&mut self) {
        self.at_rest = true;
        self.tell(|| "all is repaired".to_owned());
        self.heal_network();
        self.tell_all();
        for host in 0..self.hosts.len() {
            self.hosts[host].paused_until = 0;
            if self.hosts[host].leaving {
                self.end_leave(host);
            }
            if self.hosts[host].node.is_none() {
                self.restart(host, Fault::CrashWarm);
            }
            self.with(host, SimulatedNode::timeout);
        }
        self.deliver_held();
    }
}
