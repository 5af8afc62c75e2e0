//! What is due when, of the driver's own: connections in the making, callers who wait.
//!
//! ```text
//!   (at, number) -> what        in order of time; what is settled early is taken out at once, so nothing piles up
//!
//!   sleep = min(node, membership, this) - now, rounded up to whole milliseconds by the poller
//! ```

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

/// Names one deadline until it is met or dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct DeadlineId<A> {
    at: A,
    number: u64,
}

/// Deadlines by time.
#[derive(Debug)]
pub(super) struct Deadlines<A, W> {
    due: BTreeMap<DeadlineId<A>, W>,
    number: u64,
}

impl<A, W> Default for Deadlines<A, W> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), number: 0 }
    }
}

impl<A: Copy + Ord, W> Deadlines<A, W> {
    /// Notes that something is due.
    pub(super) fn set(&mut self, at: A, what: W) -> DeadlineId<A> {
        let id = DeadlineId { at, number: self.number };
        self.number += 1;
        self.due.insert(id, what);
        id
    }

    /// Forgets one.
    pub(super) fn drop(&mut self, id: DeadlineId<A>) {
        self.due.remove(&id);
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<A> {
        self.due.first_key_value().map(|(id, _)| id.at)
    }

    /// Takes the next one that is due.
    pub(super) fn take(&mut self, now: A) -> Option<W> {
        let first = self.due.first_entry()?;
        if first.key().at > now { None } else { Some(first.remove()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let mut deadlines = Deadlines::default();
        let late = deadlines.set(30, "late");
        deadlines.set(10, "first");
        deadlines.set(10, "second");
        deadlines.set(40, "last");
        assert_eq!(deadlines.next(), Some(10));
        assert_eq!(deadlines.take(9), None);
        deadlines.drop(late);
        let taken: Vec<_> = std::iter::from_fn(|| deadlines.take(39)).collect();
        assert_eq!(taken, ["first", "second"]);
        assert_eq!(deadlines.next(), Some(40));
        assert_eq!(deadlines.take(40), Some("last"));
        assert_eq!(deadlines.next(), None);
    }
}
