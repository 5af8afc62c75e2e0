//! A ring of changes in the arena: any thread writes, nobody waits for anybody, readers follow.
//!
//! ```text
//!   page        |        |        |        |        |      the ring's pages, in their order; a lap is once through all
//!               +--------+--------+--------+--------+
//!   this lap    | rrrrrr | rrrP                            r a record of 1 to 19 cells, P padding up to the page's end
//!   the one before           rrrr | rrrrrP | rrrrrr |      still there, from head - capacity on
//!               +--------+--------+--------+--------+
//!                            ^ head: the position of the next record
//!
//!   claim    cell of head: exchange its control word for a claim     -> the record is its writer's
//!            exchange head for the position behind                     by the writer, or by whoever comes next
//!            write the words                                           `record`
//!   finish   exchange CLAIMED for DONE or VOID                         readers go on
//! ```
//!
//! A *position* counts cells since the arena was made; the cell is its remainder by the capacity. A writer that is stopped
//! or killed anywhere holds up no other one: its claim is helped along, and once a lap is over its record is overwritten
//! like any other. It learns so by `finish`, and what it wrote into a later record breaks that record's checksum.
//!
//! # Invariants
//!
//! - Head only rises, from the begin of one record to that of the next, and each of these was claimed before.
//! - A record never straddles a page, so that one begins at each page's first cell.
//! - Readers believe nothing: what they return was sealed for that position, and the head was within a lap afterwards.

mod control;
#[cfg(loom)]
pub mod model;
mod record;
pub(crate) mod settle;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::arena::change::{Change, NewChange, Read};
use crate::region::View;
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU64, Ordering, bite, fence};
use crate::types::stream::{Origin, Position};
use control::{Control, State};
pub(crate) use record::CELL_BYTES;
use record::{RECORD_CELLS_MAX, Shape};

/// Bytes of the header: [`Ring::new`]'s `header_at` is where they begin.
#[cfg(any(test, loom))]
pub(crate) const HEADER_BYTES: u64 = 16;
const HEAD: u64 = 0;
const BASE: u64 = 8;

/// Where a ring lies. What it says lies in the region.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    pages: Box<[u64]>,
    page_cells: u64,
    header_at: u64,
}

/// A record that was claimed and written, and waits for [`Ring::finish`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "readers wait at a claim until it is finished"]
pub(crate) struct Claim {
    at: u64,
    control: Control,
}

impl Claim {
    /// Where its record begins.
    pub(crate) fn position(self) -> Position {
        self.control.position()
    }
}

/// Where the cell of a position lies.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    /// Cells up to the end of the page.
    room: u64,
}

impl Ring {
    /// A ring over pages given by their offsets, with its header at another one. New bytes need a [`Ring::reset`], bytes
    /// of an earlier life a [`Ring::settle`].
    ///
    /// # Panics
    ///
    /// If there is no page, one does not begin at a cell, or their size is no power of two with room for the longest record.
    pub(crate) fn new(pages: Box<[u64]>, page_bytes: u64, header_at: u64) -> Self {
        let page_cells = page_bytes / CELL_BYTES;
        assert!(page_bytes.is_power_of_two() && !pages.is_empty(), "{} pages of {page_bytes} bytes", pages.len());
        assert!(page_cells >= RECORD_CELLS_MAX || cfg!(loom), "pages of {page_bytes} bytes hold no record");
        assert!(pages.iter().all(|page| page.is_multiple_of(CELL_BYTES)), "{pages:?} do not begin at cells");
        Self { pages, page_cells, header_at }
    }

    /// Positions of one lap.
    pub(crate) fn capacity(&self) -> u64 {
        self.page_cells * self.pages.len() as u64
    }

    fn head<'r>(&self, region: View<'r>) -> &'r AtomicU64 {
        region.word(self.header_at + HEAD)
    }

    /// The first position that counts.
    fn base(&self, region: View<'_>) -> Position {
        // Relaxed: changes only while the caller is alone, in `settle` and `reset`.
        Position(region.word(self.header_at + BASE).load(Ordering::Relaxed))
    }

    #[inline]
    fn place(&self, position: Position) -> Place {
        let within = position.0 & (self.page_cells - 1);
        let page = (position.0 >> self.page_cells.trailing_zeros()) % self.pages.len() as u64;
        Place { at: self.pages[page as usize] + within * CELL_BYTES, room: self.page_cells - within }
    }

    /// Writes a record. Readers wait at it until it is finished; a writer that dies before is taken to have made the
    /// change. Lock-free; allocates nothing.
    ///
    /// # Panics
    ///
    /// If an operation that has a key comes without one or with one that is too long, or a clear comes with one.
    pub(crate) fn claim(&self, region: View<'_>, change: &NewChange<'_>) -> Claim {
        let shape = Shape::of(change);
        let claim = self.take(region, shape.cells());
        if !bite("ring.write-unfenced") {
            // Pairs with the Acquire fence in `copy`: whoever takes a word from below sees a head that is past it.
            fence(Ordering::Release);
        }
        record::write(region, claim.at, claim.position(), shape, change);
        failpoint!("ring.written");
        claim
    }

    /// Starts to load what the next record will be written to, as far as can be told now.
    #[inline]
    pub(crate) fn prefetch(&self, region: View<'_>) {
        // Relaxed: a guess.
        let head = Position(self.head(region).load(Ordering::Relaxed));
        region.prefetch_to_write(self.place(head).at);
        region.prefetch_to_write(self.header_at + HEAD);
    }

    /// Claims so many cells at the head, and padding before them where they would straddle a page.
    fn take(&self, region: View<'_>, cells: u64) -> Claim {
        loop {
            // Acquire: pairs with the Release in `pass`; the claim of what lies before this head is seen.
            let head = Position(self.head(region).load(Ordering::Acquire));
            let place = self.place(head);
            let word = region.word(place.at);
            // Acquire: pairs with the Release below and in `finish`. Who passes a claim on passes on what it saw.
            let found = Control(word.load(Ordering::Acquire));
            if found.is_of(head) {
                if !bite("ring.no-helping") {
                    self.pass(region, found);
                }
                continue;
            }
            if found.position() > head && !bite("ring.claim-by-late-head") {
                // A lap and more went by since the head was read.
                continue;
            }
            let (cells, state) = if cells <= place.room { (cells, State::Claimed) } else { (place.room, State::Pad) };
            let control = Control::new(head, cells, state);
            // Release: pairs with the Acquire above and in `read`. Acquire: the words of the record that was here come
            // before those that are to be written.
            let claimed = word.compare_exchange(found.0, control.0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            if bite("ring.claim-without-exchange") {
                word.store(control.0, Ordering::Release);
            } else if !claimed {
                continue;
            }
            failpoint!("ring.claimed");
            self.pass(region, control);
            if state == State::Claimed {
                return Claim { at: place.at, control };
            }
        }
    }

    /// Moves the head from the begin of a claim to its end, unless somebody has done so.
    fn pass(&self, region: View<'_>, claimed: Control) {
        let (from, to) = (claimed.position().0, claimed.next().0);
        if bite("ring.head-without-exchange") {
            self.head(region).store(to, Ordering::Release);
            return;
        }
        let release = if bite("ring.pass-relaxed") { Ordering::Relaxed } else { Ordering::Release };
        // Release: pairs with the Acquire of the head in `take` and `read`. Relaxed: who loses has nothing to do.
        let _ = self.head(region).compare_exchange(from, to, release, Ordering::Relaxed);
    }

    /// Says whether the change of a claim was made. `false` if a lap went by meanwhile and the record is gone; a change that
    /// was made then has to be written once more, by [`Ring::note`]. A full fence stands between what was written and the return.
    #[must_use = "a record that is gone tells nobody"]
    pub(crate) fn finish(&self, region: View<'_>, claim: Claim, made: bool) -> bool {
        let to = claim.control.with_state(if made { State::Done } else { State::Void });
        let word = region.word(claim.at);
        if bite("ring.finish-unchecked") {
            word.store(to.0, Ordering::Release);
            return true;
        }
        let release = if bite("ring.publish-relaxed") { Ordering::Relaxed } else { Ordering::Release };
        // Release: pairs with the Acquire of the control word in `read`, which then sees the words. Relaxed: the record
        // is somebody else's now.
        let finished = word.compare_exchange(claim.control.0, to.0, release, Ordering::Relaxed).is_ok();
        failpoint!("ring.finished");
        if !bite("ring.finish-unfenced") {
            fence(Ordering::SeqCst);
        }
        // A longer record that begins before this one takes its cells without a look at its word. Whoever has seen the head
        // go by before the change was made has seen nothing of the change, which then is written once more; whoever sees it
        // go by from here on sees the change. Relaxed: by the fence, which stands between the change and this look.
        finished && self.is_within_lap(Position(self.head(region).load(Ordering::Relaxed)), claim.position())
    }

    /// Finishes a claim whose change was made, and writes it anew as often as a lap goes by meanwhile. A change that is
    /// written anew stands behind changes that were made after it, which is why who sends one looks its key up; a reader may
    /// have read it before.
    pub(crate) fn finish_made(&self, region: View<'_>, mut claim: Claim, change: &NewChange<'_>) {
        while !self.finish(region, claim, true) {
            claim = self.claim(region, change);
        }
    }

    /// Writes the record of a change that was made.
    pub(crate) fn note(&self, region: View<'_>, change: &NewChange<'_>) {
        self.finish_made(region, self.claim(region, change), change);
    }

    /// Reads what lies at a position, whose origin the caller knows. `into` is the change only where the answer says so.
    pub(crate) fn read(&self, region: View<'_>, at: Position, origin: Origin, into: &mut Change) -> Read<Position> {
        // Acquire: pairs with the Release in `pass`, so that the claims of all records before the head are seen.
        let head = Position(self.head(region).load(Ordering::Acquire));
        if at == head {
            return Read::NotYet;
        }
        let place = self.place(at);
        // Acquire: pairs with the Release in `finish`, so that the words of a record that is DONE are seen.
        let control = Control(region.word(place.at).load(Ordering::Acquire));
        let is_there = self.is_within_lap(head, at) && self.base(region) <= at;
        if !is_there || !control.is_of(at) || control.cells() > place.room {
            return Read::Lost;
        }
        let next = control.next();
        match control.state() {
            Some(State::Claimed) => Read::NotYet,
            Some(State::Void | State::Pad) => Read::Nothing { next },
            Some(State::Done) if self.copy(region, control, origin, into) == Some(true) => Read::Change { next },
            _ => Read::Lost,
        }
    }

    /// Copies a record that is DONE: whether it is what was sealed; `None` if it may have been overwritten meanwhile.
    fn copy(&self, region: View<'_>, control: Control, origin: Origin, into: &mut Change) -> Option<bool> {
        let at = control.position();
        let sealed = record::load(region, self.place(at).at, control, origin, into);
        if !bite("ring.read-unfenced") {
            // Pairs with the Release fence in `claim`: if a word was a later writer's, the head that it saw is seen here.
            fence(Ordering::Acquire);
        }
        // Relaxed: by the fence.
        let head = Position(self.head(region).load(Ordering::Relaxed));
        (self.is_within_lap(head, at) || bite("ring.no-recheck")).then_some(sealed)
    }

    /// Whether a position was written and no claim before this head has overwritten it.
    fn is_within_lap(&self, head: Position, at: Position) -> bool {
        at < head && head.0 - at.0 <= self.capacity()
    }

    /// Behind the last record.
    pub(crate) fn end(&self, region: View<'_>) -> Position {
        // Acquire: as in `read`.
        Position(self.head(region).load(Ordering::Acquire))
    }

    /// Where the first record begins that is still being written, from a begin of a record on; the end if there is none.
    pub(crate) fn settled(&self, region: View<'_>, from: Position) -> Position {
        let head = self.end(region);
        let mut at = from;
        while at != head {
            // Acquire: as in `read`.
            let control = Control(region.word(self.place(at).at).load(Ordering::Acquire));
            match control.state() {
                // Writers have overtaken: nobody reads from there any more.
                _ if !control.is_of(at) || !self.is_within_lap(self.end(region), at) => return head,
                Some(State::Claimed) => return at,
                _ => at = control.next(),
            }
        }
        head
    }

    /// The oldest begin of a page of which nothing is overwritten, or the base. A record begins there, and from there on
    /// each is followed by one, unless writers overtake.
    pub(crate) fn start(&self, region: View<'_>) -> Position {
        self.start_of(self.end(region), self.base(region))
    }

    fn start_of(&self, head: Position, base: Position) -> Position {
        let overwritten = head.0.checked_sub(self.capacity());
        // The page that the next claim begins to overwrite does not count.
        let boundary = overwritten.map_or(0, |at| (at + 1).next_multiple_of(self.page_cells));
        base.max(Position(boundary))
    }

    /// Whether a reader can go on from a position: a record begins there, or it is the end.
    #[cfg(any(test, loom))]
    pub(crate) fn covers(&self, region: View<'_>, at: Position) -> bool {
        let head = self.end(region);
        // Acquire: as in `read`.
        let begins = || Control(region.word(self.place(at).at).load(Ordering::Acquire)).is_of(at);
        at == head || (self.is_within_lap(head, at) && self.base(region) <= at && begins())
    }
}
