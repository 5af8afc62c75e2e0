//! Events in words: a name for programs, a sentence for people.

use crate::size::{count, duration};
use also_cache::{Event, SyncKind};

/// The event's name, and what to say of it.
pub(super) fn describe(event: &Event) -> (&'static str, String) {
    match event {
        Event::MemberJoined { name, address: Some(address), .. } => ("joined", format!("{name} joined from {address}")),
        Event::MemberJoined { name, .. } => ("joined", format!("{name} joined")),
        Event::MemberLost { name } => ("lost", format!("{name} is not heard any more")),
        Event::MemberLeft { name } => ("left", format!("{name} left")),
        Event::Refused { address, by_peer, reason } => {
            let who = if *by_peer { "refused by" } else { "refused" };
            ("refused", format!("{who} {address}: {reason}"))
        }
        Event::Isolated { fenced: false } => ("isolated", "no other node is heard; reads go on".to_owned()),
        Event::Isolated { fenced: true } => ("isolated", "no other node is heard; reads miss".to_owned()),
        Event::Reunited => ("reunited", "another node is heard again, and what was missed has come".to_owned()),
        Event::Relaying { origin, from, .. } => {
            ("relaying", format!("changes of origin {origin:04x} come through {from}"))
        }
        Event::OriginLost { origin, .. } => {
            ("origin_lost", format!("origin {origin:04x} is gone; all that the others have of it is here"))
        }
        Event::SyncBegan { from, kind } => ("sync_began", format!("a {} from {from} begins", sync(*kind))),
        Event::SyncEnded { from, kind, entries, took } => {
            let (entries, took) = (count(*entries), duration(*took));
            ("sync_ended", format!("a {} of {entries} entries from {from}, in {took}", sync(*kind)))
        }
        Event::Confirmed { after } => {
            ("confirmed", format!("the entries of the earlier life are right, after {}", duration(*after)))
        }
        Event::ServingUnconfirmed => {
            ("serving_unconfirmed", "nobody to ask: the entries of the earlier life are served as they are".to_owned())
        }
        Event::StartedOver { entries } => {
            ("started_over", format!("about {} entries went: no member could learn of them", count(*entries)))
        }
        Event::Readiness(readiness) => ("readiness", format!("readiness: {readiness}")),
        Event::Namesake { address, superseded: true, .. } => {
            ("superseded", format!("a later process at {address} has this name: this one is no member any more"))
        }
        Event::Namesake { address, .. } => ("namesake", format!("another process at {address} has this name")),
        Event::WrongSecret { address, by_peer: false } => {
            ("wrong_secret", format!("{address} knows no secret of this node"))
        }
        Event::WrongSecret { address, .. } => {
            ("wrong_secret", format!("{address} takes no secret of this node, or is full"))
        }
        Event::SeedUnresolved { seed, reason } => ("unresolved", format!("{seed} stands for no address: {reason}")),
        Event::Left { unconfirmed } if unconfirmed.is_empty() => ("goodbye", "said goodbye".to_owned()),
        Event::Left { unconfirmed } => {
            ("goodbye", format!("said goodbye; not everything was confirmed by {}", unconfirmed.join(", ")))
        }
        other => ("other", format!("{other:?}")),
    }
}

fn sync(kind: SyncKind) -> &'static str {
    match kind {
        SyncKind::Snapshot => "snapshot",
        SyncKind::Delta => "comparison",
        _ => "sync",
    }
}
