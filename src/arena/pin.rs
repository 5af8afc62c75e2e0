//! The budget of counted pins: how many bytes may be held outside of a guard.
//!
//! A pin keeps one slot from being reused and stalls nothing else. Beyond the budget, or with 511 pins on one slot,
//! callers hand out owned bytes instead, and count that.

use crate::sync::{AtomicU64, Ordering};

/// Bytes held by pins, with their bound.
#[derive(Debug)]
pub(crate) struct PinBudget {
    held: AtomicU64,
    limit: u64,
}

impl PinBudget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { held: AtomicU64::new(0), limit }
    }

    /// Takes room for a pin; `false` if the budget is spent. Relaxed: a sum, it orders nothing.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.limit {
            return true;
        }
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Gives it back. Relaxed: as above.
    pub(crate) fn give(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}
