//! The ledger: every write that a caller was told of, and which of them may be gone with the node that made them.

use also_cache::Version;
use std::collections::BTreeMap;

/// Order of two writes of one key.
pub(crate) type Rank = (u64, u16);

pub(crate) fn rank(version: &Version) -> Rank {
    (version.stamp(), version.origin())
}

/// A write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) rank: Rank,
    /// `None`: the key was removed, or its write was refused: at and before this nothing may be seen.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) host: usize,
    /// The stream that tells of it, and the position behind it.
    pub(crate) stream: (u16, u64),
    pub(crate) end: u64,
    /// Its node lost its memory before any other one that is there had applied it.
    pub(crate) may_be_lost: bool,
}

/// All writes, by key; clears apart, since they are of all keys.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    by_key: BTreeMap<Vec<u8>, Vec<Write>>,
    clears: Vec<Write>,
}

impl Ledger {
    pub(crate) fn note(&mut self, key: &[u8], write: Write) {
        self.by_key.entry(key.to_vec()).or_default().push(write);
    }

    pub(crate) fn note_clear(&mut self, write: Write) {
        self.clears.push(write);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.by_key.keys()
    }

    /// The value that was written with a version, if one was.
    pub(crate) fn value_of(&self, key: &[u8], rank: Rank) -> Option<&Vec<u8>> {
        self.by_key.get(key)?.iter().find(|write| write.rank == rank)?.value.as_ref()
    }

    /// The newest write of a key that a node has which has applied streams so far.
    pub(crate) fn newest_within(&self, key: &[u8], mut has: impl FnMut(&Write) -> bool) -> Option<&Write> {
        let of_key = self.by_key.get(key).into_iter().flatten();
        of_key.chain(&self.clears).filter(|write| has(write)).max_by_key(|write| write.rank)
    }

    /// The newest write of a key that can not have been lost: what is older must not be seen at rest.
    pub(crate) fn newest_certain(&self, key: &[u8]) -> Option<&Write> {
        let of_key = self.by_key.get(key).into_iter().flatten();
        of_key.chain(&self.clears).filter(|write| !write.may_be_lost).max_by_key(|write| write.rank)
    }

    /// The newest write of a key, lost or not.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<&Write> {
        self.by_key.get(key).into_iter().flatten().chain(&self.clears).max_by_key(|write| write.rank)
    }

    /// Marks what only one node knew, which is gone: `holds` says whether another one has applied a stream so far.
    pub(crate) fn lose(&mut self, host: usize, mut holds: impl FnMut(&Write) -> bool) {
        let all = self.by_key.values_mut().flatten().chain(&mut self.clears);
        for write in all.filter(|write| !write.may_be_lost) {
            let own = write.host == host;
            write.may_be_lost = own && !holds(write);
        }
    }

    /// The same for what others had made and only the lost node still had; `holds` also says whether its maker is there.
    pub(crate) fn lose_of_others(&mut self, host: usize, mut holds: impl FnMut(&Write) -> bool) {
        let all = self.by_key.values_mut().flatten().chain(&mut self.clears);
        for write in all.filter(|write| !write.may_be_lost && write.host != host) {
            write.may_be_lost = !holds(write);
        }
    }
}
