//! What the driver has seen: connections, bytes, datagrams, refusals.
//!
//! Written by the driver's thread alone, read by any.

#![forbid(unsafe_code)]

use crate::sync::{GaugeU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Counter {
    Dialled,
    DialsFailed,
    /// Dials that plaintext forbids: they would leave the host.
    DialsForbidden,
    Accepted,
    /// Connections that were not let in: too many from there, or too many at all.
    Turned,
    AcceptsFailed,
    /// Handshakes that were over and right.
    Secured,
    /// The other side has another secret, or is in another cluster.
    WrongSecret,
    /// Handshakes that the other side has ended: it does not take our secret, or has no room.
    Rejected,
    /// A handshake or a record that no node sends.
    Forged,
    /// Handshakes that took too long.
    TimedOut,
    /// Connections that the other side, or the network, has ended.
    Lost,
    BytesIn,
    BytesOut,
    Batches,
    /// Batches of which the kernel took only a part.
    Spilled,
    DatagramsIn,
    DatagramsOut,
    /// Datagrams that were not let in: forged, replayed, of another cluster.
    DatagramsRefused,
    /// Datagrams that could not be sent.
    DatagramsLost,
    Rounds,
    /// Look-ups of names.
    Resolves,
    ResolvesFailed,
}

const COUNTERS: usize = Counter::ResolvesFailed as usize + 1;

/// The counters of one node.
#[derive(Debug)]
pub(crate) struct Counters([GaugeU64; COUNTERS]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| GaugeU64::new(0)))
    }
}

impl Counters {
    pub(super) fn add(&self, counter: Counter, count: u64) {
        // Relaxed: figures publish nothing.
        self.0[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, counter: Counter) -> u64 {
        // Relaxed: figures publish nothing.
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}
