//! Which entry goes next: lock-free structures that see slot numbers, hashes and sizes, never bytes.
//!
//! ```text
//!                      until the arena is first full, up to main's share
//!                 +-----------------------------------------------------------+
//!                 |             ghost hit                                     v
//!   fresh insert -+--------------------------------------------------------> main: CLOCK over the physical slots
//!                 |                                                           ^  |  frequency > 0: one less, pass
//!                 +--> ring: FIFO of slot numbers ---- used while in it ------+  |  frequency 0
//!                                    |                                           v
//!                                    +-- not used --> ghost table R     ghost table M
//!
//!   probation  the ring of one class          policy   where an entry goes, who is evicted, the ring's share
//!   clock      the hand of one class          expiry   time to live: the field, the deadline, the jitter
//!   ghost      what was evicted, all classes
//! ```
//!
//! An entry never moves in memory: whether it stands in the ring or in main is one bit of its slot, which the engine
//! keeps, with the frequency. No entry costs a pointer.
//! Sources: S3-FIFO (Yang et al., SOSP 2023), ARC (Megiddo and Modha, FAST 2003), CLOCK (Corbató, 1968). We depart from
//! S3-FIFO in the fill before the arena is first full, the adaptive share, the second ghost table and the physical hand.

#![forbid(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod expiry;
pub(crate) mod ghost;
#[cfg(loom)]
pub mod loom_internals;
pub(crate) mod policy;
pub(crate) mod probation;
#[cfg(all(test, not(loom)))]
mod simulator;

use clock::Clock;
use policy::Share;
use probation::Probation;

/// The part of the policy that each size class has for itself; takes no heap before the class is used.
#[derive(Debug, Default)]
pub(crate) struct ClassPolicy {
    pub(crate) probation: Probation,
    pub(crate) clock: Clock,
    pub(crate) share: Share,
}
