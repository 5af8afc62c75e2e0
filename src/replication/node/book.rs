//! The address book: whom to dial, and when again.
//!
//! ```text
//!   known --due--> dialling --connected--> connected --closed--> known, later: 0.1 s, 0.2 s, .. up to the limit
//!                     | failed                | bad input, three times in a minute: a minute of quarantine
//!                     +---> known, later      | leads to this node, or to one that is connected: rarely
//!
//!   no seed, and its node has left, or nobody answers and nobody says that a node is there: forgotten
//! ```

#![forbid(unsafe_code)]

use crate::replication::session::ConnectionId;
use crate::replication::session::time::Micros;
use crate::types::limits::ADDRESSES_MAX;
use std::collections::BTreeMap;
use std::net::SocketAddr;

const FIRST_DELAY_US: u64 = 100_000;
/// So many strikes within a minute put an address into quarantine for a minute.
const STRIKES: usize = 3;
const QUARANTINE_US: u64 = 60_000_000;
/// Failures in a row after which an address is forgotten that is no seed, and where nobody says that a node is.
const FAILURES_MAX: u32 = 100;
/// Most time between two tries of an address where nobody new was met: somebody else may be there one day.
const VAIN_DELAY_US_MAX: u64 = 60_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Known,
    Dialling,
    Connected(ConnectionId),
    /// It led to this node, or to one that is connected.
    Vain,
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    is_seed: bool,
    /// Membership says that a node is there.
    is_listed: bool,
    due: Micros,
    failures: u32,
    /// When the last strikes were, the oldest first.
    strikes: [Option<Micros>; STRIKES],
    /// Not dialled before, whatever happens meanwhile.
    held_until: Micros,
    /// Who was there last.
    name: Option<String>,
    /// The last try was in vain.
    was_vain: bool,
}

/// All addresses.
#[derive(Debug)]
pub(super) struct Book {
    entries: BTreeMap<SocketAddr, Entry>,
    delay_us_max: u64,
    seed: u64,
}

impl Book {
    pub(super) fn new(delay_us_max: u64, seed: u64) -> Self {
        Self { entries: BTreeMap::new(), delay_us_max, seed }
    }

    /// An address where a node may be. `false` if there is no room for it.
    pub(super) fn add(&mut self, now: Micros, address: SocketAddr, is_seed: bool) -> bool {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.is_seed |= is_seed;
            return true;
        }
        if self.entries.len() >= ADDRESSES_MAX {
            let idle = self.entries.iter().find(|(_, entry)| !entry.is_seed && entry.state == State::Known);
            let Some(idle) = idle.map(|(address, _)| *address) else { return false };
            self.entries.remove(&idle);
        }
        let entry = Entry {
            state: State::Known,
            is_seed,
            is_listed: false,
            due: now,
            failures: 0,
            strikes: [None; STRIKES],
            held_until: now,
            name: None,
            was_vain: false,
        };
        self.entries.insert(address, entry);
        true
    }

    /// The seeds are these, and no others.
    pub(super) fn set_seeds(&mut self, now: Micros, addresses: &[SocketAddr]) -> u64 {
        self.entries.values_mut().for_each(|entry| entry.is_seed = false);
        addresses.iter().filter(|address| !self.add(now, **address, true)).count() as u64
    }

    /// Membership says that a node is there: it is tried at once.
    pub(super) fn list(&mut self, now: Micros, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.is_listed = true;
            entry.due = entry.due.min(now.max(entry.held_until));
        }
    }

    /// Membership does not say so any more.
    pub(super) fn unlist(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.is_listed = false;
        }
    }

    /// The node that was there has left.
    pub(super) fn left(&mut self, address: SocketAddr) {
        self.unlist(address);
        if self.entries.get(&address).is_some_and(|entry| !entry.is_seed && entry.state == State::Known) {
            self.entries.remove(&address);
        }
    }

    /// The next address to dial: due, and of nobody who is connected.
    pub(super) fn take_due(&mut self, now: Micros, is_connected: impl Fn(&str) -> bool) -> Option<SocketAddr> {
        let due = |entry: &Entry| entry.state == State::Known && entry.due <= now;
        let found =
            self.entries.iter_mut().find(|(_, entry)| due(entry) && !entry.name.as_deref().is_some_and(&is_connected));
        let (address, entry) = found?;
        entry.state = State::Dialling;
        Some(*address)
    }

    /// When the next address is due.
    pub(super) fn next_due(&self, is_connected: impl Fn(&str) -> bool) -> Option<Micros> {
        let waits = |entry: &&Entry| entry.state == State::Known && !entry.name.as_deref().is_some_and(&is_connected);
        self.entries.values().filter(waits).map(|entry| entry.due).min()
    }

    pub(super) fn connected(&mut self, address: SocketAddr, id: ConnectionId) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.state = State::Connected(id);
        }
    }

    /// A node of this name has answered there.
    pub(super) fn met(&mut self, address: SocketAddr, name: &str) {
        if let Some(entry) = self.entries.get_mut(&address) {
            (entry.name, entry.failures) = (Some(name.to_owned()), 0);
        }
    }

    /// It leads to this node, to one that is connected already, or to one that does not want this one.
    pub(super) fn in_vain(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.state = State::Vain;
        }
    }

    /// Somebody is gone, and may be back where dialling was in vain.
    pub(super) fn hasten(&mut self, now: Micros) {
        for entry in self.entries.values_mut().filter(|entry| entry.was_vain) {
            entry.due = entry.due.min(now.plus(self.delay_us_max)).max(entry.held_until);
        }
    }

    /// Nobody answered, or a connection has ended.
    pub(super) fn failed(&mut self, now: Micros, address: SocketAddr) {
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let jitter = self.seed >> 40;
        let Some(entry) = self.entries.get_mut(&address) else { return };
        entry.was_vain = entry.state == State::Vain;
        let delay_us_max = if entry.was_vain { VAIN_DELAY_US_MAX } else { self.delay_us_max };
        let delay = (FIRST_DELAY_US << entry.failures.min(16)).min(delay_us_max);
        entry.failures = entry.failures.saturating_add(1);
        entry.state = State::Known;
        entry.due = now.plus(delay / 2 + jitter % (delay / 2 + 1)).max(entry.held_until);
        if entry.failures >= FAILURES_MAX && !entry.is_seed && !entry.is_listed {
            self.entries.remove(&address);
        }
    }

    /// Whoever is there has sent what no correct node sends. Whether it is in quarantine now.
    pub(super) fn strike(&mut self, now: Micros, address: SocketAddr) -> bool {
        let Some(entry) = self.entries.get_mut(&address) else { return false };
        entry.strikes.rotate_left(1);
        entry.strikes[STRIKES - 1] = Some(now);
        if entry.strikes[0].is_none_or(|first| now.since(first) > QUARANTINE_US) {
            return false;
        }
        entry.held_until = now.plus(QUARANTINE_US);
        entry.due = entry.due.max(entry.held_until);
        true
    }

    /// Whether every seed has been tried once: somebody answered, be it this node itself, or it failed.
    pub(super) fn all_tried(&self) -> bool {
        let untried =
            |entry: &&Entry| entry.is_seed && entry.failures == 0 && entry.name.is_none() && entry.state != State::Vain;
        !self.entries.values().any(|entry| untried(&entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 7400))
    }

    #[test]
    fn an_address_that_fails_is_tried_later_and_later() {
        let mut book = Book::new(1_000_000, 7);
        assert!(book.add(Micros(0), address(1), true) && !book.all_tried());
        let mut now = Micros(0);
        for _ in 0..10 {
            now = book.next_due(|_| false).expect("it is known").max(now);
            assert_eq!(book.take_due(now, |_| false), Some(address(1)));
            assert_eq!(book.take_due(now, |_| false), None);
            book.failed(now, address(1));
        }
        assert!(book.all_tried());
        let wait = book.next_due(|_| false).expect("it is known").since(now);
        assert!((500_000..=1_000_000).contains(&wait), "{wait}");
    }

    #[test]
    fn who_is_connected_is_not_dialled_and_who_misbehaves_waits() {
        let mut book = Book::new(1_000_000, 7);
        book.add(Micros(0), address(1), false);
        book.met(address(1), "pod-1");
        assert_eq!(book.take_due(Micros(0), |name| name == "pod-1"), None);
        assert!(!book.strike(Micros(1), address(1)) && !book.strike(Micros(2), address(1)));
        assert!(book.strike(Micros(3), address(1)));
        book.failed(Micros(4), address(1));
        book.list(Micros(5), address(1));
        assert_eq!(book.take_due(Micros(60_000_002), |_| false), None);
        assert_eq!(book.take_due(Micros(60_000_003), |_| false), Some(address(1)));
    }

    #[test]
    fn where_nobody_new_is_met_is_tried_ever_more_rarely_until_somebody_is_lost() {
        let mut book = Book::new(1_000_000, 7);
        book.add(Micros(0), address(1), true);
        let (mut now, mut tries) = (Micros(0), 0);
        while now < Micros(600_000_000) {
            assert_eq!(book.take_due(now, |_| false), Some(address(1)));
            book.in_vain(address(1));
            assert!(book.all_tried());
            book.failed(now, address(1));
            now = book.next_due(|_| false).expect("it is known");
            tries += 1;
        }
        assert!((18..=32).contains(&tries), "{tries} in ten minutes");
        let then = Micros(now.0 - 20_000_000);
        book.hasten(then);
        assert!(book.next_due(|_| false) <= Some(then.plus(1_000_000)));
    }

    #[test]
    fn three_strikes_count_within_one_minute() {
        let mut book = Book::new(1_000_000, 7);
        book.add(Micros(0), address(1), false);
        let strikes = [1, 50, 100, 150, 155].map(|seconds| book.strike(Micros(seconds * 1_000_000), address(1)));
        assert_eq!(strikes, [false, false, false, false, true]);
    }

    #[test]
    fn an_address_where_nobody_is_any_more_is_forgotten() {
        let mut book = Book::new(1_000_000, 7);
        (1..=4).for_each(|last| _ = book.add(Micros(0), address(last), last == 1));
        book.list(Micros(0), address(2));
        for _ in 0..2 * FAILURES_MAX {
            (1..=3).for_each(|last| book.failed(Micros(0), address(last)));
        }
        book.left(address(4));
        assert_eq!(book.entries.keys().copied().collect::<Vec<_>>(), [address(1), address(2)]);
        book.unlist(address(2));
        book.failed(Micros(0), address(2));
        book.left(address(1));
        assert_eq!(book.entries.keys().copied().collect::<Vec<_>>(), [address(1)], "a seed stays");
    }
}
