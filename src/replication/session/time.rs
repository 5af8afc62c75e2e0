//! Time as the protocol sees it: microseconds that somebody hands in.
//!
//! ```text
//!   driver: the cache's own clock --+
//!   simulator: virtual time --------+--> Micros --> node, session, timers        nobody here asks a clock
//! ```
//!
//! It is the clock that the node's stamps are made from, so that the offsets which heartbeats measure are those of stamps.

#![forbid(unsafe_code)]

use std::fmt;

/// A moment: microseconds since 2020 of the cache's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Micros(pub(crate) u64);

impl Micros {
    /// So many microseconds later.
    pub(crate) const fn plus(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds since an earlier moment; 0 if it is a later one.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
