//! What a node does when others are not heard.

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
}

/// What happens to entries when a node is gone for good, perhaps with changes that it had told nobody of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OnOriginLost {
    /// They stay.
    #[default]
    Keep,
    /// They are to be loaded again before they are served for long.
    Revalidate,
}

impl From<OnIsolated> for api::OnIsolated {
    fn from(policy: OnIsolated) -> Self {
        match policy {
            OnIsolated::Serve => Self::Serve,
            OnIsolated::Miss => Self::Miss,
        }
    }
}

impl From<OnOriginLost> for api::OnOriginLost {
    fn from(policy: OnOriginLost) -> Self {
        match policy {
            OnOriginLost::Keep => Self::Keep,
            OnOriginLost::Revalidate => Self::Revalidate,
        }
    }
}

impl From<api::OnOriginLost> for OnOriginLost {
    fn from(policy: api::OnOriginLost) -> Self {
        match policy {
            api::OnOriginLost::Keep => Self::Keep,
            api::OnOriginLost::Revalidate => Self::Revalidate,
        }
    }
}
