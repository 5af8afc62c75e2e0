//! Members: what users and waiting calls see of the peers.
//!
//! ```text
//!   own end, noted at each tick   | 100 | 140 | 180 | 200 |        acknowledged: 150   behind: 50 cells, since the tick of 180
//! ```

#![forbid(unsafe_code)]

use super::Node;
use super::api::{Acknowledged, Lag, Member, Readiness};
use super::link::Link;
use crate::replication::session::peer::Peer;
use crate::replication::session::time::Micros;
use crate::types::limits::STAMP_SKEW_MAX_US;
use crate::types::stream::Position;
use std::collections::VecDeque;

/// Ticks that are remembered; what is older counts as that old.
const NOTED_MAX: usize = 256;
/// Bytes of a cell of a ring.
const CELL_BYTES: u64 = crate::arena::ring::CELL_BYTES;

/// Where the own stream ended, and when.
#[derive(Debug, Default)]
pub(super) struct Ends {
    noted: VecDeque<(Micros, Position)>,
}

impl Ends {
    pub(super) fn note(&mut self, now: Micros, end: Position) {
        if self.noted.back().is_some_and(|(_, last)| *last == end) {
            return;
        }
        if self.noted.len() == NOTED_MAX {
            self.noted.pop_front();
        }
        self.noted.push_back((now, end));
    }

    /// Since when something behind a position is there.
    fn since(&self, position: Position) -> Option<Micros> {
        self.noted.iter().find(|(_, end)| *end > position).map(|(at, _)| *at)
    }
}

impl Node {
    /// The peers whose handshake is done, by name.
    pub(crate) fn members(&self, now: Micros) -> Vec<Member> {
        let of_link = |link: &Link| Some(self.member(now, link, link.peer()?));
        let mut members: Vec<Member> = self.links.values().filter_map(of_link).collect();
        members.sort_by(|one, other| one.name.cmp(&other.name));
        members.dedup_by(|one, other| one.name == other.name);
        members
    }

    fn member(&self, now: Micros, link: &Link, peer: &Peer) -> Member {
        let clock = link.session.clock.best().unwrap_or_default();
        let acknowledged = peer.vector.get(self.stream).unwrap_or_default();
        let row = self.streams.rows.get(&peer.stream());
        let here = row.map_or(Position(0), |row| row.position);
        Member {
            name: peer.name.clone(),
            incarnation: peer.incarnation,
            address: peer.address,
            readiness: match peer.flags {
                flags if flags.held => Readiness::Held,
                flags if flags.behind => Readiness::Serving,
                flags if flags.complete => Readiness::Complete,
                _ => Readiness::Joining,
            },
            connected_us: now.since(link.session.opened),
            silent_us: now.since(link.session.heard),
            rtt_us: clock.rtt_us,
            clock_bound_us: clock.bound_us(),
            behind: lag(now, acknowledged, self.store.end(), self.ends.since(acknowledged)),
            ahead: lag(now, here, peer.end(), row.map(|row| row.moved)),
        }
    }

    /// What each connected peer has acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<Acknowledged> {
        let of_peer = |peer: &Peer| Acknowledged { name: peer.name.clone(), vector: peer.vector.clone() };
        self.links.values().filter_map(|link| link.peer().map(of_peer)).collect()
    }

    /// Tells the store how far the clocks of those that are heard can be from this one. One that is not measured yet can be as far
    /// as others are followed. Where nobody is heard what was said last stands: changes of before may still come.
    pub(super) fn note_clock_error(&self) {
        let error_us = |link: &Link| link.session.clock.best().map_or(STAMP_SKEW_MAX_US, |sample| sample.bound_us());
        if let Some(error_us) = self.links.values().filter(|link| link.peer().is_some()).map(error_us).max() {
            self.store.set_clock_error(error_us);
        }
    }

    /// The error between this node's clock and any peer's that can not be ruled out; 0 without peers.
    pub(crate) fn clock_bound_us(&self) -> u64 {
        let bounds = self.links.values().filter(|link| link.peer().is_some());
        bounds.filter_map(|link| link.session.clock.best()).map(|sample| sample.bound_us()).max().unwrap_or(0)
    }
}

fn lag(now: Micros, here: Position, end: Position, since: Option<Micros>) -> Lag {
    let cells = end.0.saturating_sub(here.0);
    let us = if cells == 0 { 0 } else { since.map_or(0, |since| now.since(since)) };
    Lag { cells, bytes: cells.saturating_mul(CELL_BYTES), us }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_as_old_as_the_first_change_that_is_missing() {
        let mut ends = Ends::default();
        for (at, end) in [(10, 100), (20, 140), (30, 140), (40, 180)] {
            ends.note(Micros(at), Position(end));
        }
        assert_eq!(ends.since(Position(99)), Some(Micros(10)));
        assert_eq!(ends.since(Position(120)), Some(Micros(20)));
        assert_eq!(ends.since(Position(140)), Some(Micros(40)));
        assert_eq!(ends.since(Position(180)), None);
        let lag = lag(Micros(50), Position(150), Position(180), ends.since(Position(150)));
        assert_eq!(lag, Lag { cells: 30, bytes: 1920, us: 10 });
        let most = super::lag(Micros(50), Position(0), Position(u64::MAX), None);
        assert_eq!((most.cells, most.bytes), (u64::MAX, u64::MAX));
    }
}
