//! Seeds: called at once, and again for ever, as long as they are no members.
//!
//! ```text
//!   seeds     a   b   c        members: a            call b, c     after 1 s, 1.5 s, 2.3 s ... 5 s, each a little off
//!                              members: a, b, c      call nobody   look again in 1 s
//! ```
//!
//! It never stops: a cluster that fell in two finds itself again as long as one seed of one half lies in the other.

#![forbid(unsafe_code)]

use super::settings::MembershipSettings;
use crate::sync::bite;
use crate::types::limits::SEED_ADDRESSES_MAX;
use rand::RngExt;
use rand::rngs::SmallRng;
use std::net::SocketAddr;

/// Addresses, and when to call them.
#[derive(Debug)]
pub(super) struct Seeds {
    addresses: Vec<SocketAddr>,
    due_us: Option<u64>,
    wait_us: u64,
    first_us: u64,
    last_us: u64,
}

impl Seeds {
    pub(super) fn new(settings: &MembershipSettings) -> Self {
        let [first_us, last_us] = [settings.announce_first, settings.announce_last].map(|wait| wait.as_micros() as u64);
        Self { addresses: Vec::new(), due_us: None, wait_us: first_us, first_us, last_us }
    }

    /// These from now on; due at once if one of them is new.
    pub(super) fn set(&mut self, now_us: u64, addresses: &[SocketAddr]) {
        let mut addresses: Vec<SocketAddr> = addresses.iter().take(SEED_ADDRESSES_MAX).copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.iter().any(|address| !self.addresses.contains(address)) {
            self.due_us = Some(now_us);
            self.wait_us = self.first_us;
        }
        if addresses.is_empty() {
            self.due_us = None;
        }
        self.addresses = addresses;
    }

    /// When to call [`calls`](Self::calls).
    pub(super) fn due_us(&self) -> Option<u64> {
        self.due_us
    }

    /// Whom to call now.
    pub(super) fn calls(
        &mut self,
        now_us: u64,
        is_known: impl Fn(&SocketAddr) -> bool,
        random: &mut SmallRng,
    ) -> Vec<SocketAddr> {
        if self.due_us.is_none_or(|due_us| due_us > now_us) {
            return Vec::new();
        }
        let calls: Vec<SocketAddr> = self.addresses.iter().filter(|address| !is_known(address)).copied().collect();
        let wait_us = self.wait_us;
        self.wait_us = if calls.is_empty() { self.first_us } else { (wait_us + wait_us / 2).min(self.last_us) };
        // Nodes that were started together do not call in step.
        let jitter_us = random.random_range(0..=wait_us / 8);
        self.due_us = Some(now_us + (wait_us - jitter_us).max(1));
        if bite("membership.seeds-called-once") {
            self.due_us = None;
        }
        calls
    }
}

/// A new identity of this node, of which nobody may have heard yet: called out soon, then ever more rarely.
#[derive(Debug, Default)]
pub(super) struct Rejoining {
    /// When to call next, and how long to wait then; 0: at once.
    next: Option<(u64, u64)>,
}

impl Rejoining {
    pub(super) fn begin(&mut self) {
        self.next = Some((0, REJOIN_FIRST_US));
    }

    /// Somebody answered the new identity.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    pub(super) fn due_us(&self) -> Option<u64> {
        self.next.map(|(due_us, _)| due_us)
    }

    /// Whether to call now; sets the next time.
    pub(super) fn is_due(&mut self, now_us: u64) -> bool {
        let Some((_, wait_us)) = self.next.filter(|(due_us, _)| *due_us <= now_us) else { return false };
        self.next = Some((now_us + wait_us, (2 * wait_us).min(REJOIN_LAST_US)));
        true
    }
}

const REJOIN_FIRST_US: u64 = 100_000;
const REJOIN_LAST_US: u64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn strangers_are_called_again_and_again_and_members_are_not() {
        let mut seeds = Seeds::new(&MembershipSettings::default());
        let mut random = SmallRng::seed_from_u64(1);
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        assert_eq!(seeds.due_us(), None);
        seeds.set(7, &[one, other, one]);
        assert_eq!(seeds.due_us(), Some(7));
        let (mut now_us, mut waits) = (7, Vec::new());
        for _ in 0..20 {
            assert_eq!(seeds.calls(now_us, |address| *address == one, &mut random), [other]);
            assert_eq!(seeds.calls(now_us, |_| false, &mut random), [], "not twice at one time");
            let due_us = seeds.due_us().expect("for ever");
            waits.push(due_us - now_us);
            now_us = due_us;
        }
        assert!(waits.iter().all(|wait| (875_000..=5_000_000).contains(wait)), "{waits:?}");
        assert!(waits[0] <= 1_000_000 && *waits.last().expect("some") >= 4_375_000);
        assert_eq!(seeds.calls(now_us, |_| true, &mut random), []);
        let due_us = seeds.due_us().expect("for ever");
        seeds.set(due_us, &[one, other]);
        assert_eq!(seeds.due_us(), Some(due_us), "nothing new");
        assert_eq!(seeds.calls(due_us, |_| false, &mut random).len(), 2);
        assert!(seeds.due_us().expect("for ever") - due_us <= 1_000_000, "soon again");
        seeds.set(due_us, &[]);
        assert_eq!(seeds.due_us(), None);
    }
}
