//! Changes that wait for the end of a sync, in their order, up to a bound.

#![forbid(unsafe_code)]

use crate::arena::received::ReceivedFrame;
use crate::types::key::Key;
use crate::types::limits::PUT_OFF_BYTES_MAX;
use crate::types::version::{Stamp, Version};
use std::collections::BTreeMap;

/// Entries as they came.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    entries: Vec<u8>,
    /// The last version of each key, by the key's hash.
    last: BTreeMap<u64, Stamp>,
}

impl PutOff {
    /// Keeps an entry; `false` if there is no room.
    pub(super) fn push(&mut self, frame: &ReceivedFrame<'_>, entry: &[u8]) -> bool {
        if self.entries.len() + entry.len() > PUT_OFF_BYTES_MAX {
            return false;
        }
        self.last.insert(frame.key.wire_hash(), frame.version.stamp);
        self.entries.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        self.entries.extend_from_slice(entry);
        true
    }

    /// Whether the last entry of a key is of this version.
    pub(super) fn is_last(&self, key: Key<'_>, version: &Version) -> bool {
        self.last.get(&key.wire_hash()) == Some(&version.stamp)
    }

    /// Bytes of heap that are held, about.
    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.capacity() + self.last.len() * size_of::<(u64, Stamp)>()
    }

    /// Visits all, in their order.
    pub(super) fn try_each<E>(&self, mut visit: impl FnMut(&ReceivedFrame<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut left = &self.entries[..];
        while let Some((length, rest)) = left.split_first_chunk::<4>() {
            let Some((entry, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
            if let Ok(frame) = ReceivedFrame::read(entry) {
                visit(&frame)?;
            }
            left = rest;
        }
        Ok(())
    }
}
