//! What membership says: hints that come late, twice, out of order, or not at all, and some that are wrong.
//!
//! Membership itself runs in a simulated world of its own, beside its source: there datagrams are lost, doubled and delayed.
//! Here only what it may say to a node counts, and no verdict may do harm.

use crate::world::{Event, World};
use also_cache::simulation::Hint;

/// What is said of a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Verdict {
    Up,
    Down,
    Left,
}

impl World {
    /// Says something of a host to each other one, after a while; some of it is lost.
    pub(crate) fn say_of(&mut self, host: usize, verdict: Verdict, after_us: (u64, u64)) {
        for to in (0..self.hosts.len()).filter(|to| *to != host) {
            if !self.random.chance(self.plan.verdicts_lost) {
                let at = self.time + self.random.within(after_us.0, after_us.1);
                self.schedule(at, Event::Verdict { host, to, verdict });
            }
        }
    }

    /// Rumours of a host in any order: none of them need be true.
    pub(crate) fn confuse(&mut self, host: usize) {
        for to in (0..self.hosts.len()).filter(|to| *to != host) {
            for _ in 0..self.random.within(1, 5) {
                let verdict = *self.random.of(&[Verdict::Up, Verdict::Down, Verdict::Left]);
                let at = self.time + self.random.below(3_000_000);
                self.schedule(at, Event::Verdict { host, to, verdict });
            }
        }
    }

    /// Membership is right in the end: everybody hears of everybody.
    pub(crate) fn tell_all(&mut self) {
        for host in 0..self.hosts.len() {
            for to in (0..self.hosts.len()).filter(|to| *to != host) {
                // Behind all that was said before.
                let at = self.time + self.random.within(3_000_000, 3_500_000);
                self.schedule(at, Event::Verdict { host, to, verdict: Verdict::Up });
            }
        }
    }

    pub(crate) fn hear(&mut self, host: usize, to: usize, verdict: Verdict) {
        let address = self.hosts[host].address;
        let hint = match verdict {
            Verdict::Up => Hint::Up(address),
            Verdict::Down => Hint::Down(address),
            Verdict::Left => Hint::Left(address),
        };
        if self.is_up(to) {
            self.with(to, |node| node.hint(hint));
        }
    }
}
