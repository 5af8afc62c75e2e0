//! Others with this node's own name: former lives that gossip still knows, and copies that live.
//!
//! ```text
//!   gossip says:   own name, another address, up          --> call that address, once a second
//!                  own name, higher rank                  --> unless its owner answers within a second: go above it
//!   a datagram of  own name, earlier incarnation          --> event Namesake; answer, so that it learns of this one
//!                  own name, later incarnation            --> event Superseded; silent from now on
//! ```
//!
//! Gossip alone proves nothing: it may be about a life that has ended. A sealed datagram does: somebody lives there. Two
//! copies that never meet would take the name from each other by turns, so each calls the other once it hears of it.

#![forbid(unsafe_code)]

use super::identity::Identity;
use foca::{Member as Update, State};
use std::net::SocketAddr;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Namesakes {
    /// The highest rank that gossip knows of this name, and when to go above it.
    outranked: Option<(u64, u64)>,
    /// Before this, nobody is called again.
    quiet_until_us: u64,
    /// The namesake that was reported last.
    reported: Option<Identity>,
}

/// What a datagram of a namesake means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is this node, heard by itself.
    Itself,
    /// The other is older. `report`: it was not reported before.
    Older { report: bool },
    /// The other is newer.
    Newer,
}

impl Namesakes {
    /// Gossip about the own name, but not about this identity. Gives an address that should be called.
    pub(super) fn heard(&mut self, now_us: u64, own: &Identity, update: &Update<Identity>) -> Option<SocketAddr> {
        let other = update.id();
        if other.standing() > own.standing() {
            let (rank, due_us) = self.outranked.unwrap_or((0, now_us + ANSWER_US));
            self.outranked = Some((rank.max(other.rank), due_us));
        }
        let lives = update.state() != State::Down && other.address.is_some() && other.address != own.address;
        if lives { other.address.filter(|_| self.may_call(now_us)) } else { None }
    }

    /// A datagram of the own name.
    pub(super) fn met(&mut self, own: &Identity, other: &Identity) -> Verdict {
        let verdict = match other.incarnation.cmp(&own.incarnation) {
            std::cmp::Ordering::Greater => return Verdict::Newer,
            std::cmp::Ordering::Less => Verdict::Older { report: true },
            // Two that started in the same microsecond: the address decides, if both know theirs.
            std::cmp::Ordering::Equal if other.address == own.address => return Verdict::Itself,
            std::cmp::Ordering::Equal if own.address.is_some() && other.address > own.address => return Verdict::Newer,
            std::cmp::Ordering::Equal => Verdict::Older { report: true },
        };
        let known = self
            .reported
            .as_ref()
            .is_some_and(|known| known.incarnation == other.incarnation && known.address == other.address);
        self.reported = Some(other.clone());
        if known { Verdict::Older { report: false } } else { verdict }
    }

    /// Once a second.
    pub(super) fn may_call(&mut self, now_us: u64) -> bool {
        let may = now_us >= self.quiet_until_us;
        if may {
            self.quiet_until_us = now_us + CALL_INTERVAL_US;
        }
        may
    }

    pub(super) fn due_us(&self) -> Option<u64> {
        self.outranked.map(|(_, due_us)| due_us)
    }

    /// The rank to go above, once nobody has answered for it.
    pub(super) fn take_outranked(&mut self, now_us: u64) -> Option<u64> {
        let (rank, due_us) = self.outranked?;
        if due_us > now_us {
            return None;
        }
        self.outranked = None;
        Some(rank)
    }
}

/// How long an owner of a higher rank has to answer. Microseconds.
const ANSWER_US: u64 = 1_000_000;
const CALL_INTERVAL_US: u64 = 1_000_000;
