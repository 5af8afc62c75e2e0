//! Keys that wait to be sent, with what is to be said of each: one buffer, used again and again.

#![forbid(unsafe_code)]

use crate::types::key::{Key, KeyspaceId};
use crate::types::version::Stamp;
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What is to be said of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Task {
    /// Its entry, whatever it is by then; nothing if it is gone.
    Entry,
    /// That its version is known, should the receiver have missed the entry.
    Marker,
    /// That nothing up to this stamp can be vouched for.
    Void(Stamp),
    /// The same, also where something older is here.
    Deny(Stamp),
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    stamp: U64,
    keyspace: U16,
    key_bytes: U16,
    task: u8,
}

/// A queue of keys.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    bytes: Vec<u8>,
    at: usize,
}

impl KeyQueue {
    pub(super) fn push(&mut self, key: Key<'_>, task: Task) {
        let (number, stamp) = match task {
            Task::Entry => (0, Stamp::ZERO),
            Task::Marker => (1, Stamp::ZERO),
            Task::Void(stamp) => (2, stamp),
            Task::Deny(stamp) => (3, stamp),
        };
        let head = Head {
            stamp: U64::new(stamp.0),
            keyspace: U16::new(key.keyspace.0),
            key_bytes: U16::new(key.bytes.len() as u16),
            task: number,
        };
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(key.bytes);
    }

    /// The next key, which stays until it is passed.
    pub(super) fn front(&self) -> Option<(Key<'_>, Task)> {
        let (head, rest) = Head::ref_from_prefix(&self.bytes[self.at..]).ok()?;
        let key = Key::new(KeyspaceId(head.keyspace.get()), rest.get(..usize::from(head.key_bytes.get()))?)?;
        let stamp = Stamp(head.stamp.get());
        let task = match head.task {
            0 => Task::Entry,
            1 => Task::Marker,
            2 => Task::Void(stamp),
            _ => Task::Deny(stamp),
        };
        Some((key, task))
    }

    /// The next key has been dealt with.
    pub(super) fn pass(&mut self) {
        let bytes = self.front().map_or(0, |(key, _)| size_of::<Head>() + key.bytes.len());
        self.at += bytes;
        if self.is_empty() {
            self.bytes.clear();
            self.at = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Bytes of heap that are held.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_in_their_order() {
        let mut queue = KeyQueue::default();
        let tasks = [Task::Entry, Task::Marker, Task::Void(Stamp(7))];
        for (number, task) in (0..9_u8).zip(tasks.into_iter().cycle()) {
            queue.push(Key::new(KeyspaceId(3), &[number; 5]).expect("a valid key"), task);
        }
        for (number, task) in (0..9_u8).zip(tasks.into_iter().cycle()) {
            let (key, found) = queue.front().expect("one more");
            assert_eq!((key.bytes, key.keyspace, found), (&[number; 5][..], KeyspaceId(3), task));
            queue.pass();
        }
        assert!(queue.is_empty() && queue.front().is_none());
    }
}
