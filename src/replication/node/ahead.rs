//! Ahead: some records of a frame are checked and looked up together, before the first of them is applied.
//!
//! ```text
//!   record   | r | r | r | ... |     each checked, its bucket on its way
//!            | r | r | r | ... |     each bucket read, the entry, floor or stripe that it leads to on its way
//!            | r |                   applied, one after another, from what is near by then
//! ```
//!
//! What is loaded is a guess: nothing is decided by it.

#![forbid(unsafe_code)]

use crate::arena::received::ReceivedFrame;
use crate::replication::store::{Sought, Store};
use crate::replication::wire::{DecodeError, Record, Records};
use crate::types::version::Stamp;

/// Records that are looked up together.
const TOGETHER: usize = 16;

/// The records of a frame, in their order.
pub(super) struct Ahead<'a> {
    records: Records<'a>,
    near: [Option<Near<'a>>; TOGETHER],
    at: usize,
    /// What is wrong with the record behind those that are near.
    fault: Option<DecodeError>,
}

/// A record whose entry, if it has one, is whole.
pub(super) struct Near<'a> {
    pub(super) record: Record<'a>,
    /// `None` of a clear.
    pub(super) entry: Option<(ReceivedFrame<'a>, Sought<'a>)>,
}

impl<'a> Ahead<'a> {
    pub(super) fn of(records: Records<'a>) -> Self {
        Self { records, near: [const { None }; TOGETHER], at: TOGETHER, fault: None }
    }

    /// The next record; an error if its entry is not what it should be: then those before it have been given out.
    pub(super) fn next(&mut self, store: &Store) -> Result<Option<Near<'a>>, DecodeError> {
        if self.at == TOGETHER {
            self.approach(store);
        }
        let near = self.near.get_mut(self.at).and_then(Option::take);
        self.at += usize::from(near.is_some());
        match near {
            Some(near) => Ok(Some(near)),
            None => self.fault.take().map_or(Ok(None), Err),
        }
    }

    fn approach(&mut self, store: &Store) {
        let mut newest = Stamp::ZERO;
        self.at = 0;
        for place in &mut self.near {
            *place = None;
            if self.fault.is_some() {
                continue;
            }
            let Some(record) = self.records.next() else { continue };
            match record.entry() {
                Ok(frame) => {
                    let entry = frame.map(|frame| (frame, store.approach(frame.key)));
                    newest = entry.map_or(newest, |(frame, _)| newest.max(frame.version.stamp));
                    *place = Some(Near { record, entry });
                }
                Err(fault) => self.fault = Some(fault),
            }
        }
        // Whoever has followed the newest has followed all; where it is too far ahead, each is looked at by itself.
        store.follow_newest(newest);
        for (_, sought) in self.near.iter().flatten().filter_map(|near| near.entry.as_ref()) {
            store.approach_entry(sought);
        }
    }
}
