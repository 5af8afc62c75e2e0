//! What the models in `loom-tests` may reach; exists under loom only.

#![forbid(unsafe_code)]

use crate::eviction::clock::{ClassPage, ClassPages, Clock};
use crate::eviction::ghost::{Ghost, Table};
use crate::eviction::probation::Probation;
use crate::types::key::KeyHash;

/// The probation ring. Under loom a chunk has one cell, so a ring of one or two cells is full and grows at once.
#[derive(Debug, Default)]
pub struct Ring(Probation);

impl Ring {
    /// Enters a number; answers the displaced one.
    pub fn push(&self, number: u32) -> Option<u32> {
        self.0.push(number)
    }

    /// Takes the oldest number.
    pub fn pop(&self) -> Option<u32> {
        self.0.pop()
    }

    /// Makes room; answers the capacity.
    pub fn reserve(&self, cells: u32) -> u32 {
        self.0.reserve(cells)
    }

    /// Takes what is left.
    pub fn drain(&self, taken: impl FnMut(u32)) {
        self.0.drain(taken);
    }
}

/// The hand of a class.
#[derive(Debug, Default)]
pub struct Hand(Clock);

impl Hand {
    /// Claims slots of pages given as (page, slots): answers (lap, page, first, count).
    pub fn claim(&self, batch: u32, pages: &[(u32, u32)]) -> Option<(u16, u32, u32, u32)> {
        let span = self.0.claim(batch, &Pages(pages))?;
        Some((span.lap, span.page, span.first, span.count))
    }

    /// Claims slots, looks at one of them and gives the others back: answers (lap, page, first).
    pub fn claim_one_of(&self, batch: u32, pages: &[(u32, u32)]) -> Option<(u16, u32, u32)> {
        let span = self.0.claim(batch, &Pages(pages))?;
        self.0.give_back(&span, 1);
        Some((span.lap, span.page, span.first))
    }
}

struct Pages<'a>(&'a [(u32, u32)]);

impl ClassPages for Pages<'_> {
    fn at_or_after(&self, page: u32) -> Option<ClassPage> {
        let (page, slots) = *self.0.iter().find(|(number, _)| *number >= page).or(self.0.first())?;
        Some(ClassPage { page, slots })
    }
}

/// A ghost table of one line and one class.
#[derive(Debug)]
pub struct Ghosts(Ghost);

impl Default for Ghosts {
    fn default() -> Self {
        Self(Ghost::new(0, 1))
    }
}

impl Ghosts {
    /// Remembers an entry evicted from main.
    pub fn insert(&self, hash: u64) {
        self.0.insert(0, Table::Main, KeyHash::from_bits(hash), 64);
    }

    /// Takes its ghost.
    pub fn take(&self, hash: u64) -> bool {
        self.0.take(0, KeyHash::from_bits(hash)).is_some()
    }
}
