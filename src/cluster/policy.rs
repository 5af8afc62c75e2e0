//! What a node does when others are not heard, or are gone.

#![forbid(unsafe_code)]

use crate::replication::node::api;

/// What reads do while this node hears no other one. It goes on trying to reach them in any case, and never empties itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OnIsolated {
    /// They go on, with what was known last.
    #[default]
    Serve,
    /// They miss, until what was missed has come.
    Miss,
    /// Reads of entries of before miss, until what was missed has come. What is written meanwhile is read: each key is
    /// loaded once more.
    Revalidate,
}

/// What becomes of the entries of a node when another node is gone without a goodbye. What that one had sent to anybody has
/// come to all by then; a change that it had sent to nobody is lost unless it comes back with its arena, and the older
/// entry is still here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OnOriginLost {
    /// They stay, until they expire, are written or are evicted.
    #[default]
    Keep,
    /// Those of before the loss go, each at its own moment within 30 seconds, so that they are loaded again, and not all at
    /// once; a second loss begins when that is through. See [`DOUBT_SPAN_MS`](crate::limits::DOUBT_SPAN_MS).
    Revalidate,
}

impl From<OnOriginLost> for api::OnOriginLost {
    fn from(policy: OnOriginLost) -> Self {
        match policy {
            OnOriginLost::Keep => Self::Keep,
            OnOriginLost::Revalidate => Self::Revalidate,
        }
    }
}

impl From<OnIsolated> for api::OnIsolated {
    fn from(policy: OnIsolated) -> Self {
        match policy {
            OnIsolated::Serve => Self::Serve,
            OnIsolated::Miss => Self::Miss,
            OnIsolated::Revalidate => Self::Revalidate,
        }
    }
}
