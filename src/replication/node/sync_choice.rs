//! What a donor says of a key: its entry, a marker, or nothing.

#![forbid(unsafe_code)]

use super::choice::Choice;
use super::key_queue::Task;
use crate::arena::frame::FrameKind;
use crate::replication::store::{Outgoing, OutgoingBody};
use crate::sync::bite;
use crate::types::version::{Stamp, Version};

/// `began`: what is younger comes by its own stream too, which a marker of its version would keep out.
pub(super) fn choose(task: Task, outgoing: Option<&Outgoing>, began: Stamp, floor: &dyn Fn() -> Stamp) -> Choice {
    let comes_again = |version: &Version| version.stamp > began && !bite("node.marker-for-younger");
    match (task, outgoing) {
        (Task::Entry, Some(Outgoing { body: OutgoingBody::NoPin, version, .. })) if comes_again(version) => {
            Choice::Nothing
        }
        // In the slot of what was given, or in its place.
        (Task::Marker, Some(Outgoing { version, .. })) if comes_again(version) => Choice::Entry,
        (Task::Entry, Some(Outgoing { body: OutgoingBody::NoPin, version, .. }))
        | (Task::Marker, Some(Outgoing { version, .. })) => Choice::Marker(FrameKind::Invalidation, *version),
        (Task::Deny(stamp), Some(Outgoing { version, .. })) if version.stamp < stamp => {
            Choice::Marker(FrameKind::Invalidation, void(stamp))
        }
        // A marker of what comes by its own stream would keep it out: what is held goes, and no more.
        (Task::Void(held) | Task::Deny(held), Some(Outgoing { body: OutgoingBody::NoPin, version, .. })) => {
            let version = if comes_again(version) { void(held) } else { *version };
            Choice::Marker(FrameKind::Invalidation, version)
        }
        (Task::Void(held), Some(Outgoing { version, .. })) if version.is_fill() => {
            Choice::Marker(FrameKind::Invalidation, void(held.max(floor())))
        }
        (Task::Entry | Task::Void(_) | Task::Deny(_), Some(_)) => Choice::Entry,
        (Task::Void(stamp) | Task::Deny(stamp), None) => {
            Choice::Marker(FrameKind::Invalidation, void(stamp.max(floor())))
        }
        // Evicted meanwhile: its floor comes with the others.
        (Task::Entry | Task::Marker, None) => Choice::Nothing,
    }
}

/// The version of a floor: newer than everything up to its stamp, whoever wrote it.
fn void(stamp: Stamp) -> Version {
    Version::instant(stamp, u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_younger_than_a_sync_is_given_again_and_not_marked() {
        let entry = |stamp| Outgoing { version: Version::instant(Stamp(stamp), 1), body: OutgoingBody::Copied };
        let chosen = |task, stamp| choose(task, Some(&entry(stamp)), Stamp(5), &|| Stamp::ZERO);
        let is_marker = |choice| matches!(choice, Choice::Marker(FrameKind::Invalidation, _));
        assert!(is_marker(chosen(Task::Marker, 5)) && matches!(chosen(Task::Marker, 6), Choice::Entry));
        let unpinned = |stamp| Outgoing { body: OutgoingBody::NoPin, ..entry(stamp) };
        let chosen = |stamp| choose(Task::Entry, Some(&unpinned(stamp)), Stamp(5), &|| Stamp::ZERO);
        assert!(is_marker(chosen(5)) && matches!(chosen(6), Choice::Nothing));
        // What the receiver holds goes all the same, and what is younger may come.
        let answered = |stamp| choose(Task::Void(Stamp(3)), Some(&unpinned(stamp)), Stamp(5), &|| Stamp::ZERO);
        let told = |choice| match choice {
            Choice::Marker(_, version) => version.stamp,
            _ => Stamp::ZERO,
        };
        assert_eq!((told(answered(5)), told(answered(6))), (Stamp(5), Stamp(3)));
        // What was read here stands where a write did: the floor tells of that.
        let span = crate::types::version::Span::of_fill(1);
        let read = Outgoing { version: Version { span, ..entry(9).version }, ..entry(9) };
        assert_eq!(told(choose(Task::Void(Stamp(3)), Some(&read), Stamp(5), &|| Stamp(7))), Stamp(7));
    }
}
