//! Who is there, how far they are behind, and how far this node has come.

#![forbid(unsafe_code)]

use crate::arena::ring::CELL_BYTES;
use crate::replication::driver::shared::Known;
use crate::replication::node::api;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// How far a node has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Readiness {
    /// It looks for others, or asks them what it missed. Entries of an earlier life are not read yet.
    Joining,
    /// Reads are answered. Not everything that the others have is here yet, so some of them miss: a sync is under way. Or
    /// nobody is there to ask: no seed was given, and nobody has come.
    Serving,
    /// Nothing is missing that a connected member had when the two met, and no sync is under way. Changes since then
    /// come with a lag, which [`Member`] tells. A node that finds nobody is complete after 2 s.
    Complete,
}

impl From<api::Readiness> for Readiness {
    fn from(readiness: api::Readiness) -> Self {
        match readiness {
            api::Readiness::Held | api::Readiness::Joining => Self::Joining,
            api::Readiness::Serving => Self::Serving,
            api::Readiness::Complete => Self::Complete,
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Joining => "joining",
            Self::Serving => "serving",
            Self::Complete => "complete",
        })
    }
}

/// How a member is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MemberState {
    /// Changes go to it and come from it.
    Connected,
    /// Others, or its own datagrams, say that it is there; no connection stands at the moment.
    Away,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connected => "connected",
            Self::Away => "away",
        })
    }
}

/// Another node of the cluster.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it is reached; `None` while it has not said, and was not dialled.
    pub address: Option<SocketAddr>,
    /// Which of its lives: rises with every start.
    pub incarnation: u64,
    /// How it is reached.
    pub state: MemberState,
    /// How far it has come, as it says.
    pub readiness: Readiness,
    /// How far it is behind this node's changes.
    pub lag: Lag,
    /// How far this node is behind its changes.
    pub behind: Lag,
    /// How long it has been connected; zero while it is away.
    pub connected: Duration,
    /// How long nothing has come from it.
    pub silent: Duration,
    /// How long an answer takes; zero before the first one.
    pub round_trip: Duration,
    /// Between the clocks of the two no larger error is possible; zero before the first answer.
    pub clock_bound: Duration,
}

impl From<&api::Member> for Member {
    fn from(member: &api::Member) -> Self {
        Self {
            name: member.name.clone(),
            address: member.address,
            incarnation: member.incarnation.0,
            state: MemberState::Connected,
            readiness: member.readiness.into(),
            lag: member.behind.into(),
            behind: member.ahead.into(),
            connected: Duration::from_micros(member.connected_us),
            silent: Duration::from_micros(member.silent_us),
            round_trip: Duration::from_micros(member.rtt_us),
            clock_bound: Duration::from_micros(member.clock_bound_us),
        }
    }
}

impl From<&Known> for Member {
    fn from(known: &Known) -> Self {
        Self {
            name: known.name.clone(),
            address: Some(known.address),
            incarnation: known.incarnation.0,
            state: MemberState::Away,
            readiness: Readiness::Joining,
            lag: Lag::default(),
            behind: Lag::default(),
            connected: Duration::ZERO,
            silent: Duration::ZERO,
            round_trip: Duration::ZERO,
            clock_bound: Duration::ZERO,
        }
    }
}

/// A distance between what a node has changed and what another one has applied of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Lag {
    /// Changes, at most: one for every 64 bytes of their records, which is what a change of a short key takes.
    pub changes: u64,
    /// Bytes of their records, without the values.
    pub bytes: u64,
    /// How old the oldest of them is.
    pub time: Duration,
}

impl Lag {
    /// Whether nothing is missing.
    pub fn is_zero(&self) -> bool {
        self.bytes == 0
    }

    /// Of so many cells.
    pub(super) fn of_cells(cells: u64) -> Self {
        Self { changes: cells, bytes: cells.saturating_mul(CELL_BYTES), time: Duration::ZERO }
    }

    /// The larger of two, figure by figure.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            changes: self.changes.max(other.changes),
            bytes: self.bytes.max(other.bytes),
            time: self.time.max(other.time),
        }
    }
}

impl From<api::Lag> for Lag {
    fn from(lag: api::Lag) -> Self {
        Self { bytes: lag.bytes, time: Duration::from_micros(lag.us), ..Self::of_cells(lag.cells) }
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} changes, {} bytes, {} ms", self.changes, self.bytes, self.time.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_what_a_member_says_whatever_it_says() {
        assert_eq!(Lag::of_cells(u64::MAX).bytes, u64::MAX);
        assert_eq!(Lag::of_cells(3).bytes, 3 * CELL_BYTES);
    }
}
