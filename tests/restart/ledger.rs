//! What was acknowledged, in a file beside the arena that survives the writer.
//!
//! ```text
//!   word 0: acknowledged writes   1: entries, as last sampled   2: evictions   3: armed   4: page moves   5: writes at the sample
//!   from word 8, two a key:  | begun: sequence << 1 | removed? | done: the same |
//! ```
//!
//! A write stores `begun`, acts, stores `done`. After a kill the entry is the one of `done`, or of `begun` if the two differ.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A mapped ledger. One writer per key.
pub(crate) struct Ledger {
    map: memmap2::MmapRaw,
}

/// A state of a key: the sequence of its last write, and whether that left it absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) sequence: u64,
    pub(crate) absent: bool,
}

pub(crate) const ACKNOWLEDGED: usize = 0;
pub(crate) const ENTRIES: usize = 1;
pub(crate) const EVICTIONS: usize = 2;
pub(crate) const ARMED: usize = 3;
pub(crate) const MOVES: usize = 4;
pub(crate) const SAMPLED_AT: usize = 5;
const KEYS_AT: usize = 8;

impl Ledger {
    pub(crate) fn open(path: &Path, keys: u64) -> Self {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.expect("the ledger opens");
        file.set_len((KEYS_AT as u64 + 2 * keys) * 8).expect("the ledger grows");
        Self { map: memmap2::MmapRaw::map_raw(&file).expect("the ledger maps") }
    }

    pub(crate) fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at * 8 < self.map.len());
        let pointer = self.map.as_mut_ptr().cast::<u64>().wrapping_add(at);
        // SAFETY: inside of the mapping, aligned, and only ever accessed as this atomic.
        unsafe { AtomicU64::from_ptr(pointer) }
    }

    pub(crate) fn begun(&self, key: u64) -> Mark {
        Mark::of(self.word(KEYS_AT + 2 * key as usize).load(Ordering::SeqCst))
    }

    pub(crate) fn done(&self, key: u64) -> Mark {
        Mark::of(self.word(KEYS_AT + 2 * key as usize + 1).load(Ordering::SeqCst))
    }

    pub(crate) fn begin(&self, key: u64, mark: Mark) {
        self.word(KEYS_AT + 2 * key as usize).store(mark.bits(), Ordering::SeqCst);
    }

    pub(crate) fn finish(&self, key: u64, mark: Mark) {
        self.word(KEYS_AT + 2 * key as usize + 1).store(mark.bits(), Ordering::SeqCst);
        self.word(ACKNOWLEDGED).fetch_add(1, Ordering::SeqCst);
    }

    /// Both marks, once a parent has seen how a key stands.
    pub(crate) fn settle(&self, key: u64, mark: Mark) {
        self.begin(key, mark);
        self.word(KEYS_AT + 2 * key as usize + 1).store(mark.bits(), Ordering::SeqCst);
    }
}

impl Mark {
    fn of(bits: u64) -> Self {
        Self { sequence: bits >> 1, absent: bits & 1 == 1 || bits >> 1 == 0 }
    }

    fn bits(self) -> u64 {
        self.sequence << 1 | u64::from(self.absent)
    }
}
