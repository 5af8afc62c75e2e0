//! What was sent ahead of its place in the stream: the keys whose entry was newer than the change that stood there.
//!
//! ```text
//!   ring      k@5     a       k@7     b       k@9          the entry of k is k@9 when its first change is reached
//!   sent      k@9     a       -       b       k@9 marker   of a change that is older nothing; in its own place a marker
//! ```
//!
//! The marker keeps the stream whole for who goes on from there, or gets it from a relay: each version that was sent stands
//! in its own place too. One of another node has none in this stream: there each older change gets a marker in its place. The
//! table holds keys, not hashes of keys, so nothing is left out by mistake.

#![forbid(unsafe_code)]

use crate::sync::bite;
use crate::types::key::Key;
use crate::types::limits::SENT_AHEAD_MAX;
use crate::types::version::Stamp;
use std::cmp::Ordering;

/// Longer keys are not remembered.
const KEY_BYTES_MAX: usize = 44;

#[derive(Clone, Copy)]
struct Row {
    stamp: Stamp,
    keyspace: u16,
    length: u8,
    has_place: bool,
    key: [u8; KEY_BYTES_MAX],
}

const FREE: Row = Row { stamp: Stamp::ZERO, keyspace: 0, length: 0, has_place: false, key: [0; KEY_BYTES_MAX] };

const _: () = assert!(size_of::<Row>() == 56);

/// The table of one subscription. Allocates when the first key is noted.
#[derive(Default)]
pub(crate) struct SentAhead {
    rows: Option<Box<[Row; SENT_AHEAD_MAX]>>,
}

/// What is left to be said of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// All of it.
    Everything,
    /// Its version was sent already, or a newer one of another node: a marker in its place.
    Marker,
    /// A newer one was sent already, and has a place of its own.
    Nothing,
}

impl SentAhead {
    pub(crate) const BYTES_MAX: usize = size_of::<[Row; SENT_AHEAD_MAX]>();

    /// Bytes of heap that are held.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.as_ref().map_or(0, |rows| size_of_val(&**rows))
    }

    fn row_of(key: Key<'_>) -> usize {
        key.wire_hash() as usize % SENT_AHEAD_MAX
    }

    /// An entry of this stamp was sent in the place of an older change; `has_place`: its own change comes in this stream.
    pub(crate) fn note(&mut self, key: Key<'_>, stamp: Stamp, has_place: bool) {
        if key.bytes.len() > KEY_BYTES_MAX {
            return;
        }
        let rows = self.rows.get_or_insert_with(|| Box::new([FREE; SENT_AHEAD_MAX]));
        let row = &mut rows[Self::row_of(key)];
        *row = Row { stamp, keyspace: key.keyspace.0, length: key.bytes.len() as u8, has_place, ..FREE };
        row.key[..key.bytes.len()].copy_from_slice(key.bytes);
    }

    /// What is to be said of a change of a key with this stamp.
    pub(crate) fn left(&self, key: Key<'_>, stamp: Stamp) -> Left {
        let Some(rows) = &self.rows else { return Left::Everything };
        let row = &rows[Self::row_of(key)];
        if row.keyspace != key.keyspace.0 || row.key[..usize::from(row.length)] != *key.bytes {
            return Left::Everything;
        }
        match stamp.cmp(&row.stamp) {
            Ordering::Less if row.has_place || bite("node.overtaken-unmarked") => Left::Nothing,
            Ordering::Less | Ordering::Equal => Left::Marker,
            Ordering::Greater => Left::Everything,
        }
    }
}

impl std::fmt::Debug for SentAhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SentAhead({})", if self.rows.is_some() { "used" } else { "unused" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::key::KeyspaceId;

    fn key(bytes: &[u8]) -> Key<'_> {
        Key::new(KeyspaceId::RAW, bytes).expect("a valid key")
    }

    #[test]
    fn a_version_that_was_sent_ahead_is_marked_in_its_place() {
        let mut sent = SentAhead::default();
        assert_eq!(sent.left(key(b"k"), Stamp(5)), Left::Everything);
        sent.note(key(b"k"), Stamp(9), true);
        assert_eq!(sent.left(key(b"k"), Stamp(7)), Left::Nothing);
        assert_eq!(sent.left(key(b"k"), Stamp(9)), Left::Marker);
        assert_eq!(sent.left(key(b"k"), Stamp(11)), Left::Everything);
    }

    #[test]
    fn a_version_of_another_node_has_no_place_of_its_own() {
        let mut sent = SentAhead::default();
        sent.note(key(b"k"), Stamp(9), false);
        assert_eq!(sent.left(key(b"k"), Stamp(7)), Left::Marker);
        assert_eq!(sent.left(key(b"k"), Stamp(11)), Left::Everything);
    }

    #[test]
    fn other_keys_are_not_taken_for_it() {
        let mut sent = SentAhead::default();
        let all: Vec<[u8; 2]> = (0..1_000_u16).map(u16::to_le_bytes).collect();
        sent.note(key(&all[0]), Stamp(9), true);
        assert!(all[1..].iter().all(|other| sent.left(key(other), Stamp(1)) == Left::Everything));
        let other_space = Key::new(KeyspaceId(1), &all[0]).expect("a valid key");
        assert_eq!(sent.left(other_space, Stamp(1)), Left::Everything);
        let prefix = Key::new(KeyspaceId::RAW, &all[0][..1]).expect("a valid key");
        assert_eq!(sent.left(prefix, Stamp(1)), Left::Everything);
    }

    #[test]
    fn what_is_displaced_or_too_long_is_sent_once_more() {
        let mut sent = SentAhead::default();
        let long = [7; KEY_BYTES_MAX + 1];
        sent.note(key(&long), Stamp(9), true);
        assert_eq!(sent.left(key(&long), Stamp(5)), Left::Everything);
        let all: Vec<[u8; 2]> = (0..1_000_u16).map(u16::to_le_bytes).collect();
        all.iter().for_each(|one| sent.note(key(one), Stamp(9), true));
        assert_eq!(
            all.iter().filter(|one| sent.left(key(&one[..]), Stamp(5)) == Left::Nothing).count(),
            SENT_AHEAD_MAX
        );
    }
}
