//! Settling: what a dead process left half split is brought to an end before anybody looks.
//!
//! ```text
//!   listed, target >= count                        the target was never reachable      unlist
//!   listed, target <  count
//!     target: TENTATIVE W, source: FORWARD W       the copy counts                     W
//!     target: TENTATIVE W, source: anything else   the source counts                   empty
//!     then steps 5 to 7 of the split again, and unlist
//! ```
//!
//! Costs one walk over two chains per listed split, at most `SPLITS_MAX`, however large the index is. The content may be
//! anything: links that lead nowhere end a chain, marks that no split explains are cleared, words that do not fit are
//! dropped. A death during settling leaves what the next settling handles.

use crate::index::bucket::Chain;
use crate::index::growth::Split;
use crate::index::{Index, SettleError, Slots};
use crate::region::View;
use crate::sync::bite;
use crate::types::handle::IndexWord;

impl Index {
    /// Settles all listed splits and returns how many there were. Single-threaded, after all pages were added.
    ///
    /// # Errors
    ///
    /// [`SettleError`] if the count or the pages are impossible; nothing changed.
    pub(crate) fn settle(&self, region: View<'_>, slots: &impl Slots) -> Result<usize, SettleError> {
        self.table.check(region)?;
        let count = self.table.count(region);
        let mut settled = 0;
        for (listed, target) in self.table.listed(region) {
            let reachable = target.filter(|target| *target < count);
            let reachable = reachable.filter(|_| !bite("settle.skipped"));
            if let Some((source, target)) = reachable.and_then(|target| Some((self.table.source(target)?, target))) {
                self.resolve_copies(region, Split { source, target });
                self.complete(region, slots, Split { source, target });
            }
            self.table.unlist(region, listed);
            settled += 1;
        }
        Ok(settled)
    }

    /// Decides every marked word of the target.
    fn resolve_copies(&self, region: View<'_>, split: Split) {
        let source = Chain::of(region, self.table.bucket(split.source), split.source);
        let target = Chain::of(region, self.table.bucket(split.target), split.target);
        for place in target.places() {
            let word = place.read(region);
            let resolved = if word.is_empty() {
                continue;
            } else if word.is_tentative() && source.holds(region, word.forwarded()) {
                word.plain()
            } else if word.is_marked() || source.holds(region, word) {
                IndexWord::EMPTY
            } else {
                continue;
            };
            place.exchange(region, word, resolved);
        }
    }
}
