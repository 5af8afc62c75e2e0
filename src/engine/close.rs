//! Close: what a life writes when it ends, so that the next one knows.
//!
//! ```text
//!   no more writes -> nobody inside one -> figures -> all pages to the disk -> the block that says "sealed" -> that too
//!                     | still somebody at the bound: not sealed, with an error
//! ```
//!
//! What was sealed is at rest. Readers go on, and a guard or a pin of theirs holds up nothing here; a reservation that is still
//! open has a slot of its own, which the next life frees.

use crate::arena::header::{Superblock, live};
use crate::engine::Engine;
use crate::region::RegionError;
use crate::sync::Ordering;
use crate::sync::failpoint::failpoint;
use crate::types::limits::{CLOSE_WAIT_MAX_MS, SHORT_LIFE_MS};
use std::time::{Duration, Instant};
use zerocopy::little_endian::U32;

/// Between two looks at who is inside.
const PAUSE: Duration = Duration::from_micros(50);

/// Why a file was not sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloseFailure {
    #[error(transparent)]
    Region(#[from] RegionError),
    #[error("{0} threads are inside a write or a close")]
    Inside(u32),
}

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

    /// Notes that the life ended in order, however short it was: no crash, to those who count them. What is sealed says so
    /// already.
    pub(crate) fn note_end(&self) {
        let block = self.superblock();
        if block.sealed.get() == 1 {
            return;
        }
        self.note_entries();
        let enough = block.opened_us.get().saturating_add(SHORT_LIFE_MS * 1_000);
        // Relaxed: read by the next life only.
        self.region.view().word(live::ALIVE).fetch_max(enough, Ordering::Relaxed);
    }

    /// Writes the superblock that says: closed in order. Later writes are refused, those under way waited for.
    pub(crate) fn seal(&self) -> Result<(), CloseFailure> {
        self.writers.close();
        let began = Instant::now();
        // One at a time: clones may close too, and the block is written in place.
        let Some(mut block) = wait_for(began, || crate::sync::try_lock(&self.superblock)) else {
            return Err(CloseFailure::Inside(1));
        };
        if block.sealed.get() == 1 {
            return Ok(());
        }
        if wait_for(began, || (self.writers.inside() == 0).then_some(())).is_none() {
            return Err(CloseFailure::Inside(self.writers.inside()));
        }
        self.note_entries();
        failpoint!("close.sealing");
        self.region.sync_all()?;
        let mut sealed = *block;
        sealed.sealed = U32::new(1);
        sealed.short_lives = U32::new(0);
        sealed.write(self.region.view());
        self.region.sync_all()?;
        // Only now: a close that failed here is tried again by the next.
        *block = sealed;
        Ok(())
    }
}

/// Asks again and again, until the bound of a close; the last answer comes after it.
fn wait_for<T>(began: Instant, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let late = began.elapsed() >= Duration::from_millis(CLOSE_WAIT_MAX_MS);
        match ask() {
            None if !late => std::thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}
