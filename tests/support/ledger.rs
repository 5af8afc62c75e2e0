//! What was acknowledged, in a file beside the arena that survives the writer; and values that say whose they are.
//!
//! ```text
//!   word 0: acknowledged writes   1 to 7: whatever else survives
//!   from word 8, two a key:  | begun: sequence << 1 | removed? | done: the same |
//! ```
//!
//! A write stores `begun`, acts, stores `done`. After a kill the entry is the one of `done`, or of `begun` if the two differ.
//! One writer per key; any number of processes may map the same ledger.

use super::Random;
use also_cache::{Cache, InsertError};
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

pub(crate) fn key_bytes(key: u64) -> [u8; 20] {
    let mut bytes = *b"ledger:.............";
    bytes[8..16].copy_from_slice(&key.to_le_bytes());
    bytes
}

/// The number of a key that was met in a walk.
pub(crate) fn key_of(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    (bytes == key_bytes(number)).then_some(number)
}

/// A value that says whose it is: key, sequence, length, and bytes that follow from them.
pub(crate) fn value(key: u64, sequence: u64, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    for word in [key, sequence, bytes as u64] {
        value.extend_from_slice(&word.to_le_bytes());
    }
    let mut random = Random(key << 32 ^ sequence);
    while value.len() < bytes {
        value.extend_from_slice(&random.next().to_le_bytes());
    }
    value.truncate(bytes.max(24));
    value
}

/// The sequence of a value, if each of its bytes is right.
pub(crate) fn sequence_of(key: u64, found: &[u8]) -> Result<u64, String> {
    let word = |at: usize| found.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let (Some(of), Some(sequence), Some(bytes)) = (word(0), word(8), word(16)) else {
        return Err(format!("key {key}: a value of {} bytes", found.len()));
    };
    if of != key || bytes != found.len() as u64 || found != value(key, sequence, found.len()).as_slice() {
        return Err(format!("key {key}: torn or foreign value: key {of}, sequence {sequence}, {bytes} bytes"));
    }
    Ok(sequence)
}

/// What a write of a key does next: a remove, or an insert of so many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    Remove,
    Insert(usize),
}

/// One write of a key by its one writer. `false` once the cache is closed.
pub(crate) fn write(cache: &Cache, ledger: &Ledger, key: u64, next: Next) -> bool {
    let sequence = ledger.begun(key).sequence.max(ledger.done(key).sequence) + 1;
    let Next::Insert(bytes) = next else {
        let mark = Mark { sequence, absent: true };
        ledger.begin(key, mark);
        if cache.remove(key_bytes(key)).is_err() {
            return false;
        }
        ledger.finish(key, mark);
        return true;
    };
    let value = value(key, sequence, bytes);
    ledger.begin(key, Mark { sequence, absent: false });
    let absent = match cache.insert(key_bytes(key), value) {
        Ok(_) => false,
        Err(InsertError::Closed) => return false,
        Err(InsertError::Busy { .. }) => true,
        Err(error) => panic!("key {key}, {bytes} bytes: {error}"),
    };
    ledger.finish(key, Mark { sequence, absent });
    true
}

/// Whether a value of this sequence may be what a key holds.
pub(crate) fn may_be(ledger: &Ledger, key: u64, sequence: u64) -> Result<(), String> {
    let (begun, done) = (ledger.begun(key), ledger.done(key));
    let acknowledged = !done.absent && sequence == done.sequence;
    let in_flight = !begun.absent && begun != done && sequence == begun.sequence;
    if acknowledged || in_flight {
        return Ok(());
    }
    Err(format!("key {key}: sequence {sequence} came back; acknowledged {done:?}, begun {begun:?}"))
}
