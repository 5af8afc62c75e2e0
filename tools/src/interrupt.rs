//! Ctrl-C and SIGTERM as a flag that loops look at, so that files and child processes are cleaned up on every way out.

use crate::failure::{Failure, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Turns Ctrl-C and SIGTERM into [`requested`]. Call once per process; a second handler is refused by the system crate,
/// which only means that the first stays.
pub(crate) fn catch() {
    // Relaxed: the flag carries no data, and a loop that sees it a round later is fine.
    let _ = ctrlc::set_handler(|| REQUESTED.store(true, Ordering::Relaxed));
}

/// Whether the user wants to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Ends the current journey with [`Failure::Interrupted`] if the user wants to stop.
pub(crate) fn check() -> Result<()> {
    if requested() { Err(Failure::Interrupted) } else { Ok(()) }
}

static REQUESTED: AtomicBool = AtomicBool::new(false);
