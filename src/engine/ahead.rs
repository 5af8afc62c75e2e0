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
use crate::types::key::Key;
use crate::types::stream::Position;

/// Changes that are approached together.
const TOGETHER: usize = 32;

impl Engine {
    /// Starts to load the bucket of a key.
    #[inline]
    pub(crate) fn approach<'k>(&self, key: Key<'k>) -> Sought<'k> {
        self.seek(key)
    }

    /// Starts to load what the bucket leads to; the bucket has been approached a while ago.
    #[inline]
    pub(crate) fn approach_entry(&self, sought: &Sought<'_>) {
        if self.index.is_absent_at_sight(self.region.view(), sought.hash) {
            self.prefetch_floor(sought.key);
        } else {
            self.aim(*sought);
        }
    }

    /// Starts to load the entries of the own changes from a position on; returns the position behind those.
    pub(crate) fn approach_changes(&self, from: Position, scratch: &mut Change) -> Position {
        let region = self.region.view();
        let (mut at, mut homes) = (from, [None; TOGETHER]);
        for place in &mut homes {
            match self.read_own_change(at, scratch) {
                Read::Change { next } => {
                    at = next;
                    *place = scratch.key().map(|key| {
                        let sought = self.approach(key);
                        (sought.hash, sought.home)
                    });
                }
                Read::Nothing { next } => at = next,
                Read::NotYet | Read::Lost => break,
            }
        }
        for (hash, home) in homes.into_iter().flatten() {
            let offset = self.index.aim(region, hash, home).word.handle().offset();
            region.prefetch(offset);
            region.prefetch(offset + 64);
        }
        at
    }
}
