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

impl From<OnIsolated> for api::OnIsolated {
    fn from(policy: OnIsolated) -> Self {
        match policy {
            OnIsolated::Serve => Self::Serve,
            OnIsolated::Miss => Self::Miss,
        }
    }
}
