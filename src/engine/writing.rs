//! Writing: each journey that changes the arena on a caller's behalf begins here, so that a close can wait for it.
//!
//! ```text
//!   begin_write -> mark up -> pin (a full fence) -> closed?  None
//!                                                -> open:    the mark and the guard
//! ```
//!
//! Reads do not come here: they may go on beside and after a close, and what they write (hits, pins, adopted slots,
//! damaged or expired entries taken out) is nothing that the next life believes unchecked.

use crate::engine::Engine;
use crate::sync::epoch::Guard;
use crate::sync::writers::Writing;

impl Engine {
    /// Begins to write; `None` once the cache is closed. The mark stays up until the last store of the write.
    #[inline]
    pub(crate) fn begin_write(&self) -> Option<(Writing<'_>, Guard)> {
        let writing = self.writers.mark();
        let guard = self.domain.pin_fenced();
        (!self.writers.are_closed()).then_some((writing, guard))
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.writers.are_closed()
    }
}
