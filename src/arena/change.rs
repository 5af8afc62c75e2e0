//! A change: what was done to a key and with which version, apart from the bytes that it has now.
//!
//! Rings keep changes, not values: who sends one looks the key up, so that many changes of one key become one.

#![forbid(unsafe_code)]

use crate::types::key::{Key, KeyspaceId};
use crate::types::version::Version;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// A value was stored.
    Set = 1,
    /// The key was removed.
    Remove = 2,
    /// The key changed, nobody knows to what; or it could not be stored.
    Invalidate = 3,
    /// A key space was cleared: no key.
    ClearKeyspace = 4,
    /// Everything was cleared: no key.
    ClearAll = 5,
}

impl Operation {
    /// From the bits of a record.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        use Operation::{ClearAll, ClearKeyspace, Invalidate, Remove, Set};
        [Set, Remove, Invalidate, ClearKeyspace, ClearAll].into_iter().find(|operation| *operation as u8 == bits)
    }

    /// Whether it is about one key.
    pub(crate) fn has_key(self) -> bool {
        matches!(self, Self::Set | Self::Remove | Self::Invalidate)
    }
}

/// A change that is about to be written into a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewChange<'k> {
    pub(crate) operation: Operation,
    pub(crate) version: Version,
    pub(crate) keyspace: KeyspaceId,
    /// Empty for clears.
    pub(crate) key: &'k [u8],
}

/// A change read from a ring. Reused from read to read, so that reading allocates once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) operation: Operation,
    pub(crate) version: Version,
    pub(crate) keyspace: KeyspaceId,
    /// Empty for clears.
    pub(crate) key: Vec<u8>,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            operation: Operation::Invalidate,
            version: Version::instant(crate::types::version::Stamp::ZERO, 0),
            keyspace: KeyspaceId::RAW,
            key: Vec::new(),
        }
    }
}

impl Change {
    /// The key that was changed; `None` for clears.
    pub(crate) fn key(&self) -> Option<Key<'_>> {
        if self.operation.has_key() { Key::new(self.keyspace, &self.key) } else { None }
    }
}

/// What a reader of a ring met at a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Read<P> {
    /// A change; the next one begins there.
    Change { next: P },
    /// Nothing to tell (padding, or a change that was not made); go on there.
    Nothing { next: P },
    /// Nothing yet: the end, or a change whose writer is still at it.
    NotYet,
    /// Overwritten meanwhile, or never a place where a record began.
    Lost,
}
