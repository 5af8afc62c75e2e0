//! Calls that wait for what other nodes do.
//!
//! ```text
//!   Goal                                   met when
//!   Replicated{position, acks}             so many members have applied this node's changes up to the position
//!   Applied{stream, position}              this node has applied that stream up to the position
//!
//!   add -> met at once? -> answered          else kept, with its deadline, at most WAITS_MAX
//!   progress -> each one is looked at        deadline -> answered with what is missing       caller gone -> dropped
//! ```
//!
//! How far members are is sorted once per look, so each call costs one comparison whatever it asks for.

#![forbid(unsafe_code)]

use crate::replication::driver::deadlines::{DeadlineId, Deadlines};
use crate::sync::promise::Promise;
use crate::types::limits::WAITS_MAX;
use crate::types::stream::{Position, StreamId, Vector};
use std::collections::BTreeMap;

/// How many of the other nodes must have applied something.
///
/// There is no majority here: membership is a hint, not a roster, so nobody can say of what it would be one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Acks {
    /// One of them, whichever.
    One,
    /// So many of them.
    Count(usize),
    /// All that are members at that moment: who leaves or dies no longer counts, who joins does. Alone: met at once.
    All,
}

/// What a call waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Own changes before a position are applied elsewhere.
    Replicated { position: Position, acks: Acks },
    /// Changes of a stream before a position are applied here.
    Applied { stream: StreamId, position: Position },
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waited {
    Met,
    /// The time is over: so many nodes have it of so many that were asked for.
    TimedOut {
        confirmed: usize,
        wanted: usize,
    },
    TooMany,
}

/// How far everybody is, as the waits look at it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Per connected member, how far it has applied this node's changes; highest first.
    confirmed: Vec<Position>,
    /// Members, also those that are not connected at the moment.
    members: usize,
}

impl Progress {
    /// What the connected members have confirmed, and how many members there are.
    pub(super) fn new(mut confirmed: Vec<Position>, members: usize) -> Self {
        confirmed.sort_unstable_by(|one, other| other.cmp(one));
        Self { members: members.max(confirmed.len()), confirmed }
    }

    fn is_met(&self, goal: &Goal, applied: &Vector) -> bool {
        match *goal {
            Goal::Replicated { position, acks } => match self.wanted(acks) {
                0 => true,
                count => self.confirmed.get(count - 1).is_some_and(|confirmed| *confirmed >= position),
            },
            Goal::Applied { stream, position } => applied.get(stream).is_some_and(|reached| reached >= position),
        }
    }

    fn missing(&self, goal: &Goal) -> Waited {
        match *goal {
            Goal::Replicated { position, acks } => Waited::TimedOut {
                confirmed: self.confirmed.partition_point(|confirmed| *confirmed >= position),
                wanted: self.wanted(acks),
            },
            Goal::Applied { .. } => Waited::TimedOut { confirmed: 0, wanted: 1 },
        }
    }

    fn wanted(&self, acks: Acks) -> usize {
        match acks {
            Acks::One => 1,
            Acks::Count(count) => count,
            Acks::All => self.members,
        }
    }
}

#[derive(Debug)]
struct Wait<A> {
    goal: Goal,
    deadline: DeadlineId<A>,
    promise: Promise<Waited>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Waits<A> {
    waiting: BTreeMap<u64, Wait<A>>,
    deadlines: Deadlines<A, u64>,
    number: u64,
}

impl<A> Default for Waits<A> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), deadlines: Deadlines::default(), number: 0 }
    }
}

impl<A: Copy + Ord> Waits<A> {
    /// Takes a call in. Looked at with the next progress; nothing is answered here but that there are too many.
    pub(super) fn add(&mut self, goal: Goal, deadline: A, promise: Promise<Waited>) {
        if self.waiting.len() >= WAITS_MAX {
            self.forget_unwanted();
        }
        if self.waiting.len() >= WAITS_MAX {
            promise.keep(Waited::TooMany);
            return;
        }
        let number = self.number;
        self.number += 1;
        let deadline = self.deadlines.set(deadline, number);
        self.waiting.insert(number, Wait { goal, deadline, promise });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next one has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<A> {
        self.deadlines.next()
    }

    /// Answers those that are met, and those whose time is over.
    pub(super) fn look(&mut self, now: A, progress: &Progress, applied: &Vector) {
        self.keep(|wait| {
            let met = progress.is_met(&wait.goal, applied);
            if met {
                wait.promise.keep(Waited::Met);
            }
            !met
        });
        while let Some(number) = self.deadlines.take(now) {
            if let Some(wait) = self.waiting.remove(&number) {
                wait.promise.keep(progress.missing(&wait.goal));
            }
        }
    }

    fn forget_unwanted(&mut self) {
        self.keep(|wait| wait.promise.is_wanted());
    }

    fn keep(&mut self, mut is_kept: impl FnMut(&Wait<A>) -> bool) {
        let Self { waiting, deadlines, .. } = self;
        waiting.retain(|_, wait| {
            let kept = is_kept(wait);
            if !kept {
                deadlines.drop(wait.deadline);
            }
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::promise::{Answer, promise};
    use crate::types::stream::{Incarnation, Origin};
    use std::time::Duration;

    fn add(waits: &mut Waits<u64>, goal: Goal, deadline: u64) -> Answer<Waited> {
        let (promise, answer) = promise();
        waits.add(goal, deadline, promise);
        answer
    }

    fn replicated(position: u64, acks: Acks) -> Goal {
        Goal::Replicated { position: Position(position), acks }
    }

    /// The answer, or the wait that goes on.
    fn answered(answer: Answer<Waited>) -> Result<Waited, Answer<Waited>> {
        answer.wait(Duration::ZERO).map(|outcome| outcome.expect("the waits answer"))
    }

    fn progress(confirmed: &[u64]) -> Progress {
        Progress::new(confirmed.iter().copied().map(Position).collect(), 0)
    }

    #[test]
    fn each_asks_for_its_own_number_of_nodes() {
        let mut waits = Waits::default();
        let nothing = Vector::default();
        let one = add(&mut waits, replicated(10, Acks::One), 100);
        let two = add(&mut waits, replicated(10, Acks::Count(2)), 100);
        let all = add(&mut waits, replicated(10, Acks::All), 100);
        waits.look(1, &progress(&[9, 9, 9]), &nothing);
        let one = answered(one).expect_err("nobody has it");
        waits.look(2, &progress(&[9, 12, 9]), &nothing);
        assert_eq!(answered(one).expect("one has it"), Waited::Met);
        let two = answered(two).expect_err("only one has it");
        waits.look(3, &progress(&[10, 12, 9]), &nothing);
        assert_eq!(answered(two).expect("two have it"), Waited::Met);
        waits.look(100, &progress(&[10, 12, 9]), &nothing);
        assert_eq!(answered(all).expect("its time is over"), Waited::TimedOut { confirmed: 2, wanted: 3 });
        assert!(waits.is_empty() && waits.next_deadline().is_none());
    }

    #[test]
    fn all_of_nobody_is_met_and_one_of_nobody_is_not() {
        let mut waits = Waits::default();
        let all = add(&mut waits, replicated(10, Acks::All), 5);
        let one = add(&mut waits, replicated(10, Acks::One), 5);
        waits.look(1, &progress(&[]), &Vector::default());
        assert_eq!(answered(all).expect("there is nobody to wait for"), Waited::Met);
        assert_eq!(waits.next_deadline(), Some(5));
        waits.look(5, &progress(&[]), &Vector::default());
        assert_eq!(answered(one).expect("its time is over"), Waited::TimedOut { confirmed: 0, wanted: 1 });
    }

    #[test]
    fn a_member_that_is_away_is_waited_for() {
        let mut waits = Waits::default();
        let all = add(&mut waits, replicated(10, Acks::All), 5);
        waits.look(1, &Progress::new(vec![Position(10)], 2), &Vector::default());
        let all = answered(all).expect_err("one of two has it");
        waits.look(2, &Progress::new(vec![Position(10)], 1), &Vector::default());
        assert_eq!(answered(all).expect("the other one is no member any more"), Waited::Met);
    }

    #[test]
    fn a_stream_is_waited_for_by_its_life() {
        let mut waits = Waits::default();
        let life = |incarnation| StreamId { origin: Origin(7), incarnation: Incarnation(incarnation) };
        let wait = add(&mut waits, Goal::Applied { stream: life(2), position: Position(5) }, 50);
        let mut applied = Vector::default();
        applied.advance(life(1), Position(99));
        applied.advance(life(2), Position(4));
        waits.look(1, &progress(&[]), &applied);
        let wait = answered(wait).expect_err("one change is missing");
        applied.advance(life(2), Position(5));
        waits.look(2, &progress(&[]), &applied);
        assert_eq!(answered(wait).expect("it has come"), Waited::Met);
    }

    #[test]
    fn there_are_never_too_many_and_who_went_away_makes_room() {
        let mut waits = Waits::default();
        let mut kept: Vec<_> = (0..WAITS_MAX).map(|_| add(&mut waits, replicated(1, Acks::One), u64::MAX)).collect();
        let refused = add(&mut waits, replicated(1, Acks::One), 9);
        assert_eq!(answered(refused).expect("it is refused"), Waited::TooMany);
        kept.pop();
        let taken = add(&mut waits, replicated(1, Acks::One), 9);
        assert!(answered(taken).is_err());
    }
}
