//! What the nodes acknowledged, key by key: the parent's memory of what must be on each of them.
//!
//! ```text
//!   Never --wrote--> Written(s) --removing--> Open(s) --removed--> Removed(s) --wrote--> Written(s')
//!                        |  ^                   |
//!                        |  +------wrote--------+
//!                        +--refused--> Open
//! ```

use super::protocol::Record;

/// What is known of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing was acknowledged; whatever is there may be there.
    Never,
    /// This write was acknowledged: it, or a later one, must be there.
    Written(u64),
    /// A removal had begun, or an insert was refused: an entry may be there or not.
    Open,
    /// This removal was acknowledged: nothing up to it may be there.
    Removed(u64),
}

/// All keys, and the sums that a process reported.
#[derive(Debug)]
pub(super) struct Ledger {
    keys: Vec<Known>,
    /// Operations of all kinds.
    pub(super) operations: u64,
    /// Acknowledged writes.
    pub(super) writes: u64,
    /// Acknowledged removals.
    pub(super) removals: u64,
    /// Refused writes.
    pub(super) refused: u64,
    /// Wrong values that the child itself read.
    pub(super) wrong: u64,
    /// Entries in the cache by its own count, at the last look before the kill.
    pub(super) entries: u64,
    /// Entries that the cache evicted by then.
    pub(super) evicted: u64,
}

impl Ledger {
    /// A ledger over the key numbers below `keys`.
    pub(super) fn new(keys: u64) -> Self {
        let keys = vec![Known::Never; keys as usize];
        Self { keys, operations: 0, writes: 0, removals: 0, refused: 0, wrong: 0, entries: 0, evicted: 0 }
    }

    /// Notes a record. One about a key that does not exist is none of ours and is left out.
    pub(super) fn note(&mut self, record: Record) {
        match record {
            Record::Wrote { number, sequence } => {
                self.writes += 1;
                self.know(number, Known::Written(sequence));
            }
            Record::Removing { number, .. } => self.know(number, Known::Open),
            Record::Removed { number, sequence } => {
                self.removals += 1;
                self.know(number, Known::Removed(sequence));
            }
            Record::Refused { number } => {
                self.refused += 1;
                self.know(number, Known::Open);
            }
            Record::Wrong { .. } => self.wrong += 1,
            Record::Status { entries, evicted } => (self.entries, self.evicted) = (entries, evicted),
            Record::Operations { count } => self.operations += count,
            // Not about what was acknowledged.
            _ => {}
        }
    }

    /// What is known of each key, by number.
    pub(super) fn keys(&self) -> &[Known] {
        &self.keys
    }

    /// Takes what a later process, or the one that these keys belong to, had acknowledged.
    pub(super) fn overlay(&mut self, later: &Self) {
        for (known, later) in self.keys.iter_mut().zip(&later.keys) {
            if *later != Known::Never {
                *known = *later;
            }
        }
        self.operations += later.operations;
        self.writes += later.writes;
        self.removals += later.removals;
        self.refused += later.refused;
        self.wrong += later.wrong;
    }

    fn know(&mut self, number: u64, known: Known) {
        if let Some(key) = self.keys.get_mut(number as usize) {
            *key = known;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_under_way_leaves_a_key_open() {
        let mut ledger = Ledger::new(2);
        ledger.note(Record::Wrote { number: 1, sequence: 4 });
        assert_eq!(ledger.keys(), [Known::Never, Known::Written(4)]);
        ledger.note(Record::Removing { number: 1, sequence: 5 });
        assert_eq!(ledger.keys()[1], Known::Open);
        ledger.note(Record::Removed { number: 1, sequence: 5 });
        assert_eq!(ledger.keys()[1], Known::Removed(5));
        ledger.note(Record::Wrote { number: 99, sequence: 1 });
        assert_eq!((ledger.writes, ledger.removals), (2, 1));
    }

    #[test]
    fn a_later_ledger_lies_over_an_earlier_one() {
        let mut earlier = Ledger::new(3);
        (0..3).for_each(|number| earlier.note(Record::Wrote { number, sequence: 1 }));
        let mut later = Ledger::new(3);
        later.note(Record::Wrote { number: 0, sequence: 9 });
        later.note(Record::Removed { number: 1, sequence: 10 });
        earlier.overlay(&later);
        assert_eq!(earlier.keys(), [Known::Written(9), Known::Removed(10), Known::Written(1)]);
        assert_eq!((earlier.writes, earlier.removals), (4, 1));
    }
}
