//! Doors for `loom-tests`: a tiny ring, and a doorbell beside it.
//!
//! A change is a number: stamp and key both say it, so that a torn record shows.

use super::record::{self, CELL_BYTES};
use super::{Claim, HEADER_BYTES, Ring, Shape};
use crate::arena::change::{Change, NewChange, Operation, Read};
use crate::region::{Region, View};
use crate::sync::Ordering;
use crate::sync::doorbell::Doorbell;
use crate::types::key::KeyspaceId;
use crate::types::stream::{Origin, Position};
use crate::types::version::{Stamp, Version};

const HEADER_AT: u64 = 0;
const PAGES_AT: u64 = 4096;
/// Words of a record with a short key, behind its control word: seal, stamp and key.
const WORDS: u64 = 3;

/// What a reader met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A change, and the position behind it.
    Change(u8, u64),
    /// Padding, or a change that was not made; and the position behind.
    Nothing(u64),
    /// The end, or an unfinished record.
    NotYet,
    /// Overwritten.
    Lost,
}

/// A record that waits to be finished.
#[derive(Clone, Copy, Debug)]
pub struct Claimed(Claim, u8);

/// A ring and nothing else.
pub struct OneRing {
    region: Region,
    ring: Ring,
}

fn change(number: &u8) -> NewChange<'_> {
    let version = Version::instant(Stamp(u64::from(*number)), 0);
    let key = std::slice::from_ref(number);
    NewChange { operation: Operation::Set, version, keyspace: KeyspaceId::RAW, key }
}

impl OneRing {
    /// An empty ring of pages of so many cells, a power of two. A change takes one cell.
    pub fn new(pages: u64, page_cells: u64) -> Self {
        let page_bytes = page_cells * CELL_BYTES;
        let offsets: Box<[u64]> = (0..pages).map(|page| PAGES_AT + page * page_bytes).collect();
        let region = Region::heap(PAGES_AT + pages * page_bytes);
        for cell in 0..pages * page_cells {
            for word in 0..=WORDS {
                // Made before there are threads.
                region.view().word(PAGES_AT + cell * CELL_BYTES + word * 8);
            }
        }
        let ring = Ring::new(offsets, page_bytes, HEADER_AT);
        ring.reset(region.view(), Position(0));
        Self { region, ring }
    }

    fn view(&self) -> View<'_> {
        self.region.view()
    }

    /// Writes a change that was made.
    pub fn note(&self, number: u8) {
        self.ring.note(self.view(), &change(&number));
    }

    /// Claims and writes a record.
    pub fn claim(&self, number: u8) -> Claimed {
        Claimed(self.ring.claim(self.view(), &change(&number)), number)
    }

    /// Says whether the change of a record was made.
    pub fn finish(&self, claimed: Claimed, made: bool) -> bool {
        self.ring.finish(self.view(), claimed.0, made)
    }

    /// Says that it was made, as often as it takes.
    pub fn finish_made(&self, claimed: Claimed) {
        self.ring.finish_made(self.view(), claimed.0, &change(&claimed.1));
    }

    /// As a writer that is stopped right behind its claim: the head is not moved on. `false` if another one was first.
    pub fn stop_after_claim(&self) -> bool {
        let head = self.ring.end(self.view());
        let word = self.view().word(self.ring.place(head).at);
        let claim = super::Control::new(head, 1, super::State::Claimed);
        let found = super::Control(word.load(Ordering::Acquire));
        let free = !found.is_of(head);
        free && word.compare_exchange(found.0, claim.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// As a writer that is stopped before it writes the words of its record.
    pub fn stop_before_words(&self, number: u8) -> Claimed {
        Claimed(self.ring.take(self.view(), Shape::of(&change(&number)).cells()), number)
    }

    /// That writer goes on, a lap later perhaps.
    pub fn write_words(&self, claimed: Claimed) {
        let change = change(&claimed.1);
        record::write(self.view(), claimed.0.at, claimed.0.position(), Shape::of(&change), &change);
    }

    /// Reads a position.
    pub fn read(&self, at: u64) -> Seen {
        let mut into = Change::default();
        match self.ring.read(self.view(), Position(at), Origin::NONE, &mut into) {
            Read::Change { next } => Seen::Change(number(&into), next.0),
            Read::Nothing { next } => Seen::Nothing(next.0),
            Read::NotYet => Seen::NotYet,
            Read::Lost => Seen::Lost,
        }
    }

    /// The number of the record at a position, without its checksum: what the second look at the head alone is worth.
    /// `None` if there is none that is DONE, or it may have been overwritten meanwhile.
    pub fn read_unsummed(&self, at: u64) -> Option<u8> {
        let mut into = Change::default();
        let word = self.view().word(self.ring.place(Position(at)).at);
        let control = super::Control(word.load(Ordering::Acquire));
        let is_done = control.is_of(Position(at)) && control.state() == Some(super::State::Done);
        if !is_done {
            return None;
        }
        self.ring.copy(self.view(), control, Origin::NONE, &mut into).map(|_| number(&into))
    }

    /// Behind the last record.
    pub fn end(&self) -> u64 {
        self.ring.end(self.view()).0
    }

    /// The oldest position from which on all is there.
    pub fn start(&self) -> u64 {
        self.ring.start(self.view()).0
    }
}

/// # Panics
///
/// If the change is torn.
fn number(change: &Change) -> u8 {
    assert_eq!(change.key, [change.version.stamp.0 as u8], "torn: {change:?}");
    change.key[0]
}

/// A doorbell that counts how often it woke somebody.
pub struct Bell(Doorbell);

impl Bell {
    /// The sleeper is awake.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Doorbell::new(wake))
    }

    /// Wakes the sleeper if it is asleep.
    pub fn ring(&self) {
        self.0.ring();
    }

    /// Whether the sleeper may sleep.
    pub fn may_sleep(&self, is_work_there: impl FnOnce() -> bool) -> bool {
        self.0.may_sleep(is_work_there)
    }
}

const _: () = assert!(HEADER_AT + HEADER_BYTES <= PAGES_AT);
