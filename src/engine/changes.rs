//! Which version a write gets, and which versions given from outside are taken.

use crate::engine::Engine;
use crate::types::limits::{STAMP_AHEAD_MAX_US, STAMP_SKEW_MAX_US};
use crate::types::version::{Order, Version};

/// What a caller asks of a new version.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ordering {
    /// The database's row version.
    pub(crate) row: Option<u64>,
    /// A version made elsewhere, to be kept as it is.
    pub(crate) given: Option<Version>,
}

impl Engine {
    /// The version of a write that begins now.
    #[inline]
    pub(crate) fn next_version(&self, ordering: &Ordering) -> Version {
        if let Some(given) = ordering.given {
            self.clock.observe(given.stamp, self.region.view().word(crate::arena::header::live::CEILING));
            return given;
        }
        let instant = Version::instant(self.stamp(), self.origin().0);
        match ordering.row {
            Some(row) => Version { row: Some(row), order: Order::Database, ..instant },
            None => instant,
        }
    }

    /// How far ahead of the clock a version given from outside may lie, in microseconds. In a cluster the clock follows it no
    /// further than the others follow this one.
    pub(crate) fn given_ahead_max_us(&self) -> u64 {
        if self.replicated().is_some() { STAMP_SKEW_MAX_US / 2 } else { STAMP_AHEAD_MAX_US }
    }

    /// The bounds that a version given from outside has to keep: `Err` with how far ahead it is, in microseconds.
    pub(crate) fn check_given(&self, version: &Version) -> Result<(), u64> {
        let ahead = version.micros().saturating_sub(self.clock.fine_us());
        if ahead > self.given_ahead_max_us() { Err(ahead) } else { Ok(()) }
    }
}
