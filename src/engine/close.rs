//! Close: what a life writes when it ends, so that the next one knows.
//!
//! ```text
//!   no more writes -> figures -> all pages to the disk -> the block that says "sealed" -> that to the disk
//! ```

use crate::arena::header::{Superblock, live};
use crate::engine::Engine;
use crate::region::RegionError;
use crate::sync::Ordering;
use crate::sync::failpoint::failpoint;
use crate::types::limits::SHORT_LIFE_MS;
use zerocopy::little_endian::U32;

impl Engine {
    /// The superblock as last written.
    pub(crate) fn superblock(&self) -> Superblock {
        *crate::sync::lock(&self.superblock)
    }

    /// Remembers the superblock as written.
    pub(crate) fn set_superblock(&self, block: Superblock) {
        *crate::sync::lock(&self.superblock) = block;
    }

    /// Notes figures that the next open tells before it knows better.
    pub(crate) fn note_entries(&self) {
        // Relaxed: read by the next life only.
        self.region.view().word(live::ENTRIES).store(self.len(), Ordering::Relaxed);
        self.region.view().word(live::ALIVE).store(self.clock.fine_us(), Ordering::Relaxed);
    }

    /// Notes that the life ended in order, however short it was: no crash, to those who count them.
    pub(crate) fn note_end(&self) {
        self.note_entries();
        let enough = self.superblock().opened_us.get().saturating_add(SHORT_LIFE_MS * 1_000);
        // Relaxed: read by the next life only.
        self.region.view().word(live::ALIVE).fetch_max(enough, Ordering::Relaxed);
    }

    /// Writes the superblock that says: closed in order. Later writes are refused.
    pub(crate) fn seal(&self) -> Result<(), RegionError> {
        // Release: pairs with the Acquire in `is_closed`.
        self.closed.store(true, Ordering::Release);
        // One at a time: clones may close too, and the block is written in place.
        let mut block = crate::sync::lock(&self.superblock);
        if block.sealed.get() == 1 {
            return Ok(());
        }
        self.note_entries();
        failpoint!("close.sealing");
        self.region.sync_all()?;
        let mut sealed = *block;
        sealed.sealed = U32::new(1);
        sealed.short_lives = U32::new(0);
        sealed.write(self.region.view());
        *block = sealed;
        self.region.sync_all()
    }
}
