//! A row: one stream, as far as it has come here, and from whom it comes.
//!
//! ```text
//!   asked for --> flowing --put off--> claimed up to there alone --no room, or in chunks--> halted
//!                                                                                             | the sync has ended
//!   asked for again from `position` <---------------------------------------------------------+
//!
//!   HEARTBEAT: end, clock --> promised --position >= end, all claimed--> caught up, up to that clock
//! ```

#![forbid(unsafe_code)]

use super::isolation::Orphaned;
use crate::replication::session::ConnectionId;
use crate::replication::session::time::Micros;
use crate::types::stream::Position;
use crate::types::version::Stamp;

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Everything before this was applied, or will have been once a sync is through.
    pub(super) position: Position,
    /// Where the part begins that is not claimed yet; `None` if all is.
    pub(super) base: Option<Position>,
    /// A change behind `base` was put off.
    has_deferred: bool,
    pub(super) source: Option<ConnectionId>,
    /// Not asked for until the sync that is under way has ended: what comes next can not be put off.
    is_halted: bool,
    pub(super) from_origin: bool,
    /// Asked for, nothing has come yet.
    pub(super) awaiting: bool,
    /// When it last moved, or was asked for.
    pub(super) moved: Micros,
    /// Who does not have it from `position` on.
    pub(super) refused: Vec<ConnectionId>,
    /// All that was changed up to this stamp has been applied.
    pub(super) caught_up: Option<Stamp>,
    /// So will all up to this one have been, once this position is.
    promised: Option<(Position, Stamp)>,
    pub(super) orphaned: Option<Orphaned>,
}

impl Row {
    pub(super) fn new(position: Position) -> Self {
        Self {
            position,
            base: None,
            has_deferred: false,
            source: None,
            is_halted: false,
            from_origin: false,
            awaiting: false,
            moved: Micros(0),
            refused: Vec::new(),
            caught_up: None,
            promised: None,
            orphaned: None,
        }
    }

    fn start_at(&mut self, position: Position, base: Option<Position>) {
        (self.position, self.base) = (position, base);
        (self.source, self.awaiting, self.has_deferred, self.is_halted) = (None, false, false, false);
        self.refused.clear();
    }

    /// Goes on at another place, which is claimed only once a sync is through.
    pub(super) fn jump(&mut self, to: Position) {
        self.start_at(to, Some(to));
    }

    /// Goes on exactly from what is claimed.
    pub(super) fn go_back(&mut self, claimed: Position) {
        self.start_at(claimed, None);
    }

    /// Nothing comes any more; from whom it came.
    pub(super) fn stop(&mut self) -> Option<ConnectionId> {
        self.awaiting = false;
        self.source.take()
    }

    /// Nothing comes any more until the sync has ended; from whom it came.
    pub(super) fn halt(&mut self) -> Option<ConnectionId> {
        self.is_halted = true;
        self.stop()
    }

    /// The sync has ended, or is given up.
    pub(super) fn go_on(&mut self) {
        self.is_halted = false;
    }

    /// Everything up to its position is claimed; whether something was not.
    pub(super) fn claim(&mut self) -> bool {
        (self.has_deferred, self.is_halted) = (false, false);
        let was_open = self.base.take().is_some();
        self.keep_promise();
        was_open
    }

    pub(super) fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// The origin says that what it had changed up to a stamp lies before a position. Whether that is here.
    pub(super) fn promise(&mut self, end: Position, until: Stamp) -> bool {
        if self.base.is_none() && self.position >= end {
            (self.caught_up, self.promised) = (Some(until), None);
            return true;
        }
        self.promised.get_or_insert((end, until));
        false
    }

    pub(super) fn keep_promise(&mut self) {
        if let Some((end, until)) = self.promised {
            self.promise(end, until);
        }
    }

    /// A change was put off until a sync is through: nothing behind it is claimed before.
    pub(super) fn put_off(&mut self, at: Position) {
        self.base = Some(self.base.map_or(self.position, |base| base.min(at)));
        self.has_deferred = true;
    }

    /// What was put off is lost: it has to come again.
    pub(super) fn take_up(&mut self, claimed: Position) {
        match self.base.filter(|_| self.has_deferred) {
            Some(base) if base <= claimed => self.go_back(claimed),
            Some(base) => self.jump(base),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_once_all_before_its_end_is_claimed() {
        let mut row = Row::new(Position(5));
        assert!(row.promise(Position(5), Stamp(50)) && row.caught_up == Some(Stamp(50)));
        assert!(!row.promise(Position(9), Stamp(60)) && !row.promise(Position(20), Stamp(70)));
        row.position = Position(9);
        row.keep_promise();
        assert_eq!(row.caught_up, Some(Stamp(60)), "the first of the two");
        row.jump(Position(30));
        assert!(!row.promise(Position(30), Stamp(80)), "a part is not claimed");
        row.keep_promise();
        assert_eq!(row.caught_up, Some(Stamp(60)));
        assert!(row.claim() && row.caught_up == Some(Stamp(80)));
    }

    #[test]
    fn whatever_ends_a_sync_lets_a_halted_row_go_on() {
        let mut row = Row::new(Position(5));
        let halted = |row: &mut Row| {
            row.source = Some(ConnectionId(1));
            assert_eq!((row.halt(), row.is_halted()), (Some(ConnectionId(1)), true));
        };
        halted(&mut row);
        row.claim();
        assert!(!row.is_halted());
        halted(&mut row);
        row.go_on();
        assert!(!row.is_halted());
        halted(&mut row);
        row.jump(Position(9));
        assert!(!row.is_halted());
    }
}
