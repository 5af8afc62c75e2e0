//! Ahead: what the next records of a frame will touch is on its way while one is applied.
//!
//! ```text
//!   record   | applied | near: its entry | far: its bucket | ...
//! ```
//!
//! A guess before any check: nothing is decided by it.

#![forbid(unsafe_code)]

use crate::arena::received::FrameHead;
use crate::replication::store::{Sought, Store};
use crate::replication::wire::{Record, RecordBody, Records};
use crate::types::key::Key;

/// The records behind the one that is applied.
pub(super) struct Ahead<'a> {
    records: Records<'a>,
    near: Option<Sought<'a>>,
}

impl<'a> Ahead<'a> {
    /// Of a frame whose first record is next.
    pub(super) fn of(records: &Records<'a>, store: &Store) -> Self {
        let mut ahead = Self { records: records.clone(), near: None };
        ahead.records.next();
        ahead.near = ahead.approach_next(store);
        ahead
    }

    /// The next record is about to be applied.
    pub(super) fn step(&mut self, store: &Store) {
        if let Some(near) = self.near.take() {
            store.approach_entry(&near);
        }
        self.near = self.approach_next(store);
    }

    fn approach_next(&mut self, store: &Store) -> Option<Sought<'a>> {
        self.records.next().and_then(|record| key_of(&record)).map(|key| store.approach(key))
    }
}

fn key_of<'a>(record: &Record<'a>) -> Option<Key<'a>> {
    let RecordBody::Entry(bytes) = record.body else { return None };
    FrameHead::read(bytes).ok().map(|head| head.key)
}
