//! What a node holds, key by key, held against what was acknowledged.

use super::ledger::{Known, Ledger};
use serde::Serialize;

/// What was met under a key on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Met {
    #[default]
    Absent,
    /// The value of this write.
    Value(u64),
    /// Wrong bytes.
    Damaged,
}

/// What the survey of a node found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Survey {
    pub(super) node: &'static str,
    /// Keys whose last acknowledged operation was a write.
    pub(super) expected: u64,
    /// Those of them that are there, right and not older than acknowledged.
    pub(super) held: u64,
    /// Those of them that are not there.
    pub(super) absent: u64,
    /// Reasons for that which the node has counted: changes left out below a floor, entries evicted.
    pub(super) left_out: u64,
    pub(super) evicted: u64,
    /// And those that the others have: values that they could not send.
    pub(super) withheld: u64,
    /// Values that are there, the ones beyond the ledger included.
    pub(super) found: u64,
    /// Values with wrong bytes.
    pub(super) damaged: u64,
    /// Values older than the acknowledged write.
    pub(super) stale: u64,
    /// Values that an acknowledged removal had removed.
    pub(super) resurrected: u64,
    /// The first thing found wrong, in words.
    pub(super) example: Option<String>,
}

impl Survey {
    /// Holds what a node holds against what was acknowledged.
    pub(super) fn of(node: &'static str, ledger: &Ledger, copies: &[Met], (left_out, evicted): (u64, u64)) -> Self {
        let mut survey = Self { node, left_out, evicted, ..Self::default() };
        for (number, (known, met)) in (0_u64..).zip(ledger.keys().iter().zip(copies)) {
            survey.note(number, *known, *met);
        }
        survey
    }

    /// Values that must not be there.
    pub(super) fn wrong(&self) -> u64 {
        self.damaged + self.stale + self.resurrected
    }

    /// Keys that are missing without a reason that the node has counted.
    pub(super) fn unexplained(&self) -> u64 {
        self.absent.saturating_sub(self.left_out + self.evicted + self.withheld)
    }

    fn note(&mut self, number: u64, known: Known, met: Met) {
        self.expected += u64::from(matches!(known, Known::Written(_)));
        self.found += u64::from(met != Met::Absent);
        let problem = match (known, met) {
            (Known::Written(_), Met::Absent) => {
                self.absent += 1;
                return;
            }
            (_, Met::Damaged) => {
                self.damaged += 1;
                "its bytes are wrong".to_owned()
            }
            (Known::Written(acknowledged), Met::Value(sequence)) if sequence < acknowledged => {
                self.stale += 1;
                format!("write {sequence} is there, write {acknowledged} was acknowledged")
            }
            (Known::Removed(removal), Met::Value(sequence)) if sequence <= removal => {
                self.resurrected += 1;
                format!("write {sequence} is there, removal {removal} was acknowledged")
            }
            (Known::Written(_), Met::Value(_)) => {
                self.held += 1;
                return;
            }
            _ => return,
        };
        self.example.get_or_insert(format!("key {number} on {}: {problem}", self.node));
    }
}

/// Acknowledged writes that no node holds.
pub(super) fn lost(ledger: &Ledger, copies: &[Vec<Met>]) -> u64 {
    let is_gone =
        |number: usize| copies.iter().all(|of_node| of_node.get(number).is_none_or(|met| *met == Met::Absent));
    let written = ledger.keys().iter().enumerate().filter(|(_, known)| matches!(known, Known::Written(_)));
    written.filter(|(number, _)| is_gone(*number)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Record;
    use super::*;

    #[test]
    fn each_kind_of_damage_is_told_apart() {
        let mut survey = Survey { node: "b", ..Survey::default() };
        survey.note(0, Known::Written(5), Met::Value(6));
        survey.note(1, Known::Written(5), Met::Absent);
        survey.note(2, Known::Written(5), Met::Value(4));
        survey.note(3, Known::Removed(5), Met::Value(4));
        survey.note(4, Known::Removed(5), Met::Value(6));
        survey.note(5, Known::Open, Met::Damaged);
        survey.note(6, Known::Open, Met::Absent);
        survey.note(7, Known::Never, Met::Value(1));
        assert_eq!((survey.expected, survey.held, survey.absent, survey.found), (3, 1, 1, 6));
        assert_eq!((survey.damaged, survey.stale, survey.resurrected, survey.wrong()), (1, 1, 1, 3));
        assert_eq!(survey.unexplained(), 1);
        assert!(survey.example.expect("the first is kept").starts_with("key 2 on b"));
    }

    #[test]
    fn what_one_node_still_holds_is_not_lost() {
        let mut ledger = Ledger::new(3);
        (0..2).for_each(|number| ledger.note(Record::Wrote { number, sequence: 1 }));
        let copies = [vec![Met::Absent, Met::Value(1), Met::Absent], vec![Met::Absent; 3]];
        assert_eq!(lost(&ledger, &copies), 1);
        assert_eq!(Survey::of("a", &ledger, &copies[0], (1, 0)).unexplained(), 0);
    }
}
