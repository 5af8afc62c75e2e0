//! The choice of what is said of a key: its entry, a marker, or nothing yet.
//!
//! ```text
//!   the entry now        newer than the change, or the change itself -> the entry     of a leftover, maybe: the writer is heard -> wait
//!                        older -> a marker                                                                         it is not   -> a marker
//!   no entry             a marker
//!
//!   of what was read from the database nobody has to know once it is gone: no marker
//! ```

#![forbid(unsafe_code)]

use super::counters::NodeCounters;
use super::leftovers::Vouched;
use crate::arena::change::{Change, Operation};
use crate::arena::frame::FrameKind;
use crate::replication::store::{Outgoing, OutgoingBody};
use crate::sync::bite;
use crate::types::version::{Relation, Version};

/// What goes out for a key.
pub(super) enum Choice {
    Entry,
    Marker(FrameKind, Version),
    Nothing,
    /// Nothing for now: what there is to say is not known yet.
    Wait,
}

/// What goes out for a change, given the entry that its key has now.
pub(super) fn choose(
    change: &Change,
    outgoing: Option<&Outgoing>,
    vouched: Option<&Vouched>,
    waits_long: bool,
    counters: &mut NodeCounters,
) -> Choice {
    let is_loose =
        |version: &Version| vouched.is_some_and(|vouched| !vouched.covers(version)) && *version != change.version;
    let is_coming = |version: &Version| !waits_long && vouched.is_some_and(|vouched| vouched.will_cover(version));
    let say = |kind, version: Version| if version.is_fill() { Choice::Nothing } else { Choice::Marker(kind, version) };
    let marker = say(marker_of(change.operation), change.version);
    match outgoing {
        // What was read stands for no write: each has its own place.
        Some(Outgoing { version, .. }) if version.is_fill() && !change.version.is_fill() => marker,
        // The writer of both is heard: before long it says that the newer one is no leftover, unless it writes that key on and on.
        Some(Outgoing { version, .. }) if is_loose(version) && is_later(version, change) && is_coming(version) => {
            Choice::Wait
        }
        Some(outgoing) if !is_older(outgoing, change) && !is_loose(&outgoing.version) => {
            let is_foreign = outgoing.version.origin != change.version.origin;
            counters.overwritten_sent += u64::from(is_foreign);
            if matches!(outgoing.body, OutgoingBody::NoPin) {
                counters.unpinned_sent += 1;
                // Another node's comes by its own stream: its place is to stay free for it.
                return if is_foreign { marker } else { say(FrameKind::Invalidation, outgoing.version) };
            }
            Choice::Entry
        }
        Some(_) => marker,
        None => {
            match change.operation {
                Operation::Remove => counters.evicted_tombstones += 1,
                Operation::Set => counters.evicted_values += 1,
                _ => {}
            }
            if bite("node.evicted-unsaid") { Choice::Nothing } else { marker }
        }
    }
}

/// Whether the writer of a change has replaced it by this.
fn is_later(version: &Version, change: &Change) -> bool {
    version.origin == change.version.origin && version.stamp > change.version.stamp
}

fn is_older(outgoing: &Outgoing, change: &Change) -> bool {
    if outgoing.version.origin == change.version.origin {
        return outgoing.version.stamp < change.version.stamp;
    }
    !matches!(outgoing.version.relation(&change.version), Relation::Newer | Relation::Same)
}

pub(super) fn marker_of(operation: Operation) -> FrameKind {
    if operation == Operation::Remove { FrameKind::Tombstone } else { FrameKind::Invalidation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::key::KeyspaceId;
    use crate::types::version::{Order, Span, Stamp};

    #[test]
    fn what_was_read_does_not_go_in_the_place_of_a_write() {
        let write = Version::instant(Stamp::from_micros(5), 1);
        let fill = |stamp| Version { span: Span::of_fill(1), order: Order::Database, ..Version::instant(stamp, 1) };
        let read = fill(Stamp::from_micros(9));
        let chosen = |change: Version, entry: Version| {
            let change =
                Change { operation: Operation::Remove, version: change, keyspace: KeyspaceId::RAW, key: vec![1] };
            let outgoing = Outgoing { version: entry, body: OutgoingBody::Copied };
            choose(&change, Some(&outgoing), None, false, &mut NodeCounters::default())
        };
        let is_marker = |choice| matches!(choice, Choice::Marker(FrameKind::Tombstone, version) if version == write);
        assert!(is_marker(chosen(write, read)), "the write is said");
        assert!(matches!(chosen(read, read), Choice::Entry), "and what was read in its own place");
        assert!(matches!(chosen(fill(Stamp::from_micros(3)), read), Choice::Entry));
    }
}
