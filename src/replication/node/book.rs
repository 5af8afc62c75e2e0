//! The address book: whom to dial, and when again.
//!
//! ```text
//!   known --due--> dialling --connected--> connected --closed--> known, later: 0.1 s, 0.2 s, .. up to the limit
//!                     | failed                | bad input, three times in a minute: a minute of quarantine
//!                     +---> known, later      | leads to this node: never again
//! ```

#![forbid(unsafe_code)]

use crate::replication::session::ConnectionId;
use crate::replication::session::time::Micros;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Addresses that are kept.
const ADDRESSES_MAX: usize = 256;
const FIRST_DELAY_US: u64 = 100_000;
const STRIKES: u32 = 3;
const QUARANTINE_US: u64 = 60_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Known,
    Dialling,
    Connected(ConnectionId),
    Oneself,
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    is_seed: bool,
    due: Micros,
    failures: u32,
    strikes: u32,
    struck: Micros,
    /// Who was there last.
    name: Option<String>,
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
        let entry = Entry { state: State::Known, is_seed, due: now, failures: 0, strikes: 0, struck: now, name: None };
        self.entries.insert(address, entry);
        true
    }

    /// The seeds are these, and no others.
    pub(super) fn set_seeds(&mut self, now: Micros, addresses: &[SocketAddr]) -> u64 {
        self.entries.values_mut().for_each(|entry| entry.is_seed = false);
        addresses.iter().filter(|address| !self.add(now, **address, true)).count() as u64
    }

    /// Somebody says that a node is there: it is tried at once.
    pub(super) fn hasten(&mut self, now: Micros, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address)
            && entry.strikes < STRIKES
        {
            entry.due = entry.due.min(now);
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

    /// It leads to this node.
    pub(super) fn is_oneself(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.state = State::Oneself;
        }
    }

    /// Nobody answered, or a connection has ended.
    pub(super) fn failed(&mut self, now: Micros, address: SocketAddr) {
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let jitter = self.seed >> 40;
        let Some(entry) = self.entries.get_mut(&address) else { return };
        if entry.state == State::Oneself {
            return;
        }
        let delay = (FIRST_DELAY_US << entry.failures.min(16)).min(self.delay_us_max);
        entry.failures = entry.failures.saturating_add(1);
        entry.state = State::Known;
        entry.due = now.plus(delay / 2 + jitter % (delay / 2 + 1));
    }

    /// Whoever is there has sent what no correct node sends. Whether it is in quarantine now.
    pub(super) fn strike(&mut self, now: Micros, address: SocketAddr) -> bool {
        let Some(entry) = self.entries.get_mut(&address) else { return false };
        if now.since(entry.struck) > QUARANTINE_US {
            entry.strikes = 0;
        }
        (entry.strikes, entry.struck) = (entry.strikes + 1, now);
        if entry.strikes < STRIKES {
            return false;
        }
        entry.due = entry.due.max(now.plus(QUARANTINE_US));
        true
    }

    /// Whether every seed has been tried once.
    pub(super) fn all_tried(&self) -> bool {
        let untried = |entry: &&Entry| {
            entry.is_seed && entry.failures == 0 && matches!(entry.state, State::Known | State::Dialling)
        };
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
        assert_eq!(book.take_due(Micros(1_000_000), |_| false), None);
        assert_eq!(book.take_due(Micros(61_000_000), |_| false), Some(address(1)));
        book.is_oneself(address(1));
        book.failed(Micros(0), address(1));
        assert_eq!(book.next_due(|_| false), None);
    }
}
