//! Ahead: what entries dealt with one after another will touch is loaded before their turn, many loads at a time.
//!
//! ```text
//!   approach         hash -> home bucket on its way
//!   approach_entry   home bucket -> the entry that it leads to on its way; absent: the floor of its range
//!   its turn         everything is near
//! ```
//!
//! All of it is a guess: nothing is decided here, and what has moved meanwhile is looked up again in its turn.

use crate::arena::change::{Change, Read};
use crate::engine::Engine;
use crate::engine::get::Sought;
use crate::index::Home;
use crate::types::key::{Key, KeyHash};
use crate::types::stream::Position;
use crate::types::version::Stamp;

/// Changes that are approached together.
const TOGETHER: usize = 32;

impl Engine {
    /// Follows the newest of some stamps, if it is not too far ahead: then all are followed.
    pub(crate) fn follow_newest(&self, stamp: Stamp) {
        if let Some(_writing) = self.begin_write() {
            self.follow(stamp);
        }
    }

    /// Starts to load the bucket of a key.
    #[inline]
    pub(crate) fn approach<'k>(&self, key: Key<'k>) -> Sought<'k> {
        self.seek(key)
    }

    /// Starts to load what the bucket leads to; the bucket has been approached a while ago.
    #[inline]
    pub(crate) fn approach_entry(&self, sought: &Sought<'_>) {
        let region = self.region.view();
        let likely = self.index.aim(region, sought.hash, sought.home);
        if likely.word.is_empty() {
            // Absent, or behind the bucket.
            self.prefetch_floor(sought.key);
            self.index.prefetch_to_insert(region, sought.home, sought.hash);
            self.index.prefetch_beyond(region, sought.home);
        } else {
            let offset = likely.word.handle().offset();
            region.prefetch(offset);
            region.prefetch(offset + 63);
        }
    }

    /// Reads the own change at a position, and starts to load the entries of those behind it.
    pub(crate) fn next_own_change(&self, at: Position, ahead: &mut ChangesAhead, into: &mut Change) -> Read<Position> {
        if ahead.rows.get(ahead.given).is_none_or(|row| row.at != at) {
            ahead.given = 0;
            let stopped = self.read_ahead(at, ahead);
            if ahead.rows.is_empty() {
                return stopped;
            }
        }
        let row = &mut ahead.rows[ahead.given];
        ahead.given += 1;
        ahead.place = row.place;
        std::mem::swap(&mut row.change, into);
        row.read
    }

    /// Reads changes from a position on, as many as are approached together; how the last look ended.
    fn read_ahead(&self, from: Position, ahead: &mut ChangesAhead) -> Read<Position> {
        let mut at = from;
        ahead.spare.append(&mut ahead.rows);
        let stopped = loop {
            let mut change = ahead.spare.pop().map_or_else(Change::default, |row| row.change);
            let read = self.read_own_change(at, &mut change);
            let (next, place) = match read {
                Read::Change { next } => {
                    let sought = change.key().map(|key| self.approach(key));
                    (next, sought.map(|sought| (sought.hash, sought.home)))
                }
                Read::Nothing { next } => (next, None),
                Read::NotYet | Read::Lost => {
                    ahead.spare.push(Row { at, read, change, place: None });
                    break read;
                }
            };
            ahead.rows.push(Row { at, read, change, place });
            at = next;
            if ahead.rows.len() == TOGETHER {
                break read;
            }
        };
        let region = self.region.view();
        for (hash, home) in ahead.rows.iter().filter_map(|row| row.place) {
            let offset = self.index.aim(region, hash, home).word.handle().offset();
            region.prefetch(offset);
            region.prefetch(offset + 64);
        }
        stopped
    }
}

/// Own changes that were read together. Allocates as long as it has none.
#[derive(Debug, Default)]
pub(crate) struct ChangesAhead {
    rows: Vec<Row>,
    /// How many of them were given out.
    given: usize,
    spare: Vec<Row>,
    /// Where the key of the one given out last is looked for.
    place: Option<(KeyHash, Home)>,
}

#[derive(Debug)]
struct Row {
    at: Position,
    read: Read<Position>,
    change: Change,
    place: Option<(KeyHash, Home)>,
}

impl ChangesAhead {
    /// What was read is old by now.
    pub(crate) fn forget(&mut self) {
        self.given = self.rows.len();
    }

    /// The key of the change that was given out last, looked for.
    pub(crate) fn sought<'k>(&self, key: Key<'k>) -> Option<Sought<'k>> {
        self.place.map(|(hash, home)| Sought { key, hash, home })
    }

    /// Bytes of heap that are held, but for long keys.
    pub(crate) fn heap_bytes(&self) -> usize {
        (self.rows.capacity() + self.spare.capacity()) * size_of::<Row>()
    }
}
