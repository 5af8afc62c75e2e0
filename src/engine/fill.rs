//! Fill: a value that was read from the database for a miss, cached unless its key was written meanwhile.
//!
//! ```text
//!   miss    begin_fill    cell: one more load, its voids noted               then the database is read
//!   write   void_fills    loads there? voids + 1, the stripe taken and given back     then the write takes effect
//!   fill    stripe -> voids as noted, nothing cleared? -> replace, or link       else: the value is the caller's alone
//!
//!      63              16 15      0
//!     +------------------+---------+
//!     | voids            | loads   |   cell, one for many keys: a write of any of them voids, and costs a load in vain
//!     +------------------+---------+
//! ```
//!
//! What is read while a write is under way may be of before it. So a write that comes while a key is loaded has the last
//! word, also where it left nothing behind: a removal, or an entry that is evicted by then. Source: leases, in Nishtala et
//! al., "Scaling Memcache at Facebook" (NSDI 2013); here they are of one node, and a write's version does the rest elsewhere.
//!
//! # Invariants
//!
//! - Behind `void_fills` nothing is filled of what was read before it; but where a stopped thread has the stripe it is there for a
//!   moment, and goes.
//! - A fill replaces whatever is there: its writer was through with the database before that was read.

use crate::arena::change::Operation;
use crate::arena::frame::FrameKind;
use crate::engine::Engine;
use crate::engine::apply::Content;
use crate::engine::get::{HasKey, Sought};
use crate::engine::insert::{Draft, Entry, Refusal, Source};
use crate::eviction::expiry::TimeToLive;
use crate::sync::epoch::Guard;
use crate::sync::failpoint::failpoint;
use crate::sync::{AtomicU64, Ordering, bite};
use crate::types::handle::IndexWord;
use crate::types::key::KeyHash;
use crate::types::limits::FILL_CELLS;
use crate::types::version::{Order, Span, Stamp, Version};

/// A small cache has few cells.
const BYTES_PER_CELL: u64 = 4096;

const VOID: u64 = 1 << 16;
const LOADS: u64 = VOID - 1;

/// Who loads which keys, and who wrote meanwhile.
#[derive(Debug)]
pub(crate) struct Fills {
    cells: Box<[AtomicU64]>,
    /// Clears, each counted before its stamp is made.
    clears: AtomicU64,
}

/// One load under way: what was there when it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    cell: u32,
    voids: u64,
    clears: u64,
    /// Before the database is read, by the slowest clock that it may be compared with.
    begin_us: u64,
}

impl Ticket {
    fn is_voided_by(&self, cell: u64) -> bool {
        cell / VOID != self.voids && !bite("fill.unguarded")
    }
}

/// What a fill is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) ttl: TimeToLive,
    pub(crate) cost: u8,
    pub(crate) row: Option<u64>,
}

/// Why a value that was read is not cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unfilled {
    /// Its key, or one that shares its cell, was written while it was read.
    Voided,
    /// As an insert is refused.
    Refused(Refusal),
    Closed,
}

impl Fills {
    /// For a cache of so many bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        // A model of something else has none: each look at one would multiply its executions.
        let cells = if cfg!(loom) { 0 } else { (capacity / BYTES_PER_CELL).clamp(1, FILL_CELLS as u64) };
        Self::with_cells(cells as usize)
    }

    pub(super) fn with_cells(cells: usize) -> Self {
        Self { cells: (0..cells).map(|_| AtomicU64::new(0)).collect(), clears: AtomicU64::new(0) }
    }

    #[inline]
    fn number(&self, hash: KeyHash) -> usize {
        // Not the bits that choose the stripe and the bucket: two keys share both no more often than by chance.
        (hash.bits() >> 40) as usize % self.cells.len()
    }

    /// A clear is about to be stamped: what is being loaded may be of before it.
    pub(super) fn void_all(&self) {
        // A fill that does not see it has its stamp already, below that of the clear: pairs with the fence in `is_void`.
        self.clears.fetch_add(1, Ordering::Relaxed);
        crate::sync::fence(Ordering::SeqCst);
    }

    /// Whether a write has come meanwhile that has been here; one that waits for the stripe of the caller may not be seen.
    fn is_void(&self, ticket: &Ticket) -> bool {
        // The stamp of the fill was made before; that of a clear which is not seen here is made behind its own fence.
        crate::sync::fence(Ordering::SeqCst);
        // Relaxed: the stripe orders the two, or `is_void_after_all` decides.
        let voids = self.cells[ticket.cell as usize].load(Ordering::Relaxed);
        ticket.is_voided_by(voids) || self.clears.load(Ordering::Relaxed) != ticket.clears
    }
}

impl Fills {
    /// The same behind what the caller has done to the index, without a stripe: a write that is not seen here finds that.
    fn is_void_after_all(&self, ticket: &Ticket) -> bool {
        // AcqRel: an exchange sees the last one, and pairs with that in `void_those_under_way`, whichever comes first.
        let voids = self.cells[ticket.cell as usize].fetch_add(0, Ordering::AcqRel);
        ticket.is_voided_by(voids) || self.is_void(ticket)
    }
}

impl Engine {
    /// Begins to load a key; to be ended by `end_fill`. Nothing of what the database says may have been read before.
    pub(crate) fn begin_fill(&self, hash: KeyHash) -> Ticket {
        let fills = &self.fills;
        let cell = fills.number(hash);
        // Relaxed: a write to the database that this load does not see comes behind its read there, and so behind this.
        let before = fills.cells[cell].fetch_add(1, Ordering::Relaxed);
        let clears = fills.clears.load(Ordering::Relaxed);
        // For a database in this process that orders its reads and writes by nothing else.
        crate::sync::fence(Ordering::SeqCst);
        let now_us = self.clock.fine_us();
        if !bite("fill.begins-ahead") {
            // A write behind this has a later stamp, though stamps are made by a coarse clock.
            self.clock
                .observe(Stamp::from_micros(now_us), self.region.view().word(crate::arena::header::live::CEILING));
        }
        // Relaxed: a bound of some moments ago holds by its own margin.
        let begin_us = now_us.saturating_sub(self.clock_error_us.load(Ordering::Relaxed));
        Ticket { cell: cell as u32, voids: before / VOID, clears, begin_us }
    }

    /// The load is over.
    pub(crate) fn end_fill(&self, ticket: &Ticket) {
        // Release: pairs with the Acquire in `void_fills`. Who sees no load any more sees what it has cached.
        self.fills.cells[ticket.cell as usize].fetch_sub(1, Ordering::Release);
    }

    /// Whether what this load reads can still be cached.
    pub(crate) fn can_fill(&self, ticket: &Ticket) -> bool {
        !self.fills.is_void(ticket)
    }

    /// A write of a key is about to take effect: whoever loads it has read what was before. One look at a line that is
    /// rarely written, where nobody loads.
    #[inline]
    pub(super) fn void_fills(&self, hash: KeyHash) {
        if cfg!(loom) && self.fills.cells.is_empty() {
            return;
        }
        // Acquire: pairs with the Release in `end_fill`. A load whose read the write comes behind is seen, as in `begin_fill`.
        let order = if bite("fill.ended-unseen") { Ordering::Relaxed } else { Ordering::Acquire };
        if self.fills.cells[self.fills.number(hash)].load(order) & LOADS != 0 {
            self.void_those_under_way(hash);
        }
    }

    #[cold]
    #[inline(never)]
    fn void_those_under_way(&self, hash: KeyHash) {
        // AcqRel: pairs with `is_void_after_all`.
        self.fills.cells[self.fills.number(hash)].fetch_add(VOID, Ordering::AcqRel);
        if bite("fill.voided-beside-stripe") {
            return;
        }
        // A fill that has not seen it is linked by the time that this has the stripe, and is found by the write. Should a
        // stopped thread hold the stripe for long, the fill looks again once it is linked, and goes.
        drop(self.index.lock(hash));
    }

    /// How far this node's clock can be from another one's.
    pub(crate) fn set_clock_error(&self, micros: u64) {
        // Relaxed: a figure.
        self.clock_error_us.store(micros, Ordering::Relaxed);
    }

    /// Caches what was read for a key: a value, or that there is none.
    pub(crate) fn fill(
        &self,
        ticket: &Ticket,
        sought: &Sought<'_>,
        value: Option<&[u8]>,
        wish: &Wish,
    ) -> Result<Version, Unfilled> {
        let Some((_writing, guard)) = self.begin_write() else { return Err(Unfilled::Closed) };
        let (bytes, kind) = match value {
            Some(value) => (value, FrameKind::Value),
            None => (&[][..], FrameKind::Negative),
        };
        // Only which optional fields there are matters here: the stamp is made once the bytes are there.
        let shape = self.version_of_fill(ticket, wish.row);
        let made = if bytes.len() as u64 > self.settings.value_bytes_max {
            Err(Refusal::TooLarge)
        } else {
            self.draft(guard, sought.key, bytes.len() as u64, &shape)
        };
        let (guard, mut draft) = match made {
            Ok(made) => made,
            Err(refusal) => return Err(self.leave_nothing_old(ticket, sought, refusal)),
        };
        self.copy_in(&mut draft, Content::Value(bytes));
        let version = self.version_of_fill(ticket, wish.row);
        let entry = Entry { version, ttl: wish.ttl, kind, cost: wish.cost, source: Source::Fill };
        match self.publish_fill(&guard, ticket, sought, &draft, &entry) {
            Ok(()) => Ok(version),
            Err(Unfilled::Refused(refusal)) => Err(self.leave_nothing_old(ticket, sought, refusal)),
            Err(unfilled) => Err(unfilled),
        }
    }

    /// From before the database was read to now, by the fine clock.
    fn version_of_fill(&self, ticket: &Ticket, row: Option<u64>) -> Version {
        let stamp = self.stamp_of_now();
        let micros = stamp.micros().saturating_sub(ticket.begin_us) + 1;
        let span = Span::of_fill(u32::try_from(micros).unwrap_or(u32::MAX));
        Version { span, row, order: Order::Database, ..Version::instant(stamp, self.origin().0) }
    }

    /// A stamp that is not before this moment, as those of a coarse clock may be.
    pub(crate) fn stamp_of_now(&self) -> Stamp {
        let ceiling = self.region.view().word(crate::arena::header::live::CEILING);
        self.clock.observe(Stamp::from_micros(self.clock.fine_us()), ceiling);
        self.stamp()
    }

    /// A value that can not be stored: what it would have replaced is older, unless it was written meanwhile.
    fn leave_nothing_old(&self, ticket: &Ticket, sought: &Sought<'_>, refusal: Refusal) -> Unfilled {
        let is_newer_here = matches!(refusal, Refusal::Superseded(_));
        let _guard = self.pin();
        let check = HasKey { engine: self, key: sought.key };
        while !is_newer_here && let Some(found) = self.index.find(self.region.view(), sought.hash, &check) {
            let Some(slot) = self.slot(found.word.handle()).filter(|_| !self.fills.is_void_after_all(ticket)) else {
                break;
            };
            self.take_out_word(&found, slot);
        }
        Unfilled::Refused(refusal)
    }

    fn publish_fill(
        &self,
        guard: &Guard,
        ticket: &Ticket,
        sought: &Sought<'_>,
        draft: &Draft,
        entry: &Entry,
    ) -> Result<(), Unfilled> {
        let Sought { key, hash, .. } = *sought;
        let slot = self.slot(draft.handle).expect("a draft lies in the region");
        self.write_frame(slot, key, draft, entry);
        failpoint!("insert.written");
        let announced = self.announce(Operation::Set, key, entry);
        let word = IndexWord::new(hash, draft.generation, draft.handle);
        let entered = self.enter_fill(guard, ticket, sought, draft, entry, word);
        let is_withdrawn = entered.is_ok() && self.withdraw(ticket, sought, &entry.version);
        announced.conclude(entered.is_ok() && !is_withdrawn);
        match entered {
            Err(unfilled) => {
                self.abandon(draft);
                Err(unfilled)
            }
            Ok(()) if is_withdrawn => Err(Unfilled::Voided),
            Ok(()) => {
                self.note_linked(slot);
                Ok(())
            }
        }
    }

    /// Links the written slot under the stripe of its key, whatever is there.
    fn enter_fill(
        &self,
        guard: &Guard,
        ticket: &Ticket,
        sought: &Sought<'_>,
        draft: &Draft,
        entry: &Entry,
        word: IndexWord,
    ) -> Result<(), Unfilled> {
        let Sought { key, hash, .. } = *sought;
        let check = HasKey { engine: self, key };
        let Some(stripe) = self.index.lock(hash) else { return Err(Unfilled::Refused(Refusal::Busy)) };
        loop {
            let found = self.index.find(self.region.view(), hash, &check);
            // Behind the search: a write that takes out what was found, or finds nothing either, has voided before.
            if self.fills.is_void(ticket) {
                return Err(Unfilled::Voided);
            }
            let Some(found) = found else {
                let part = self.admit(draft.class, hash);
                return self.link_new(guard, key, hash, draft, entry, word, part, stripe).map_err(Unfilled::Refused);
            };
            match self.replace(key, draft, entry, word, &found) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(refusal) => return Err(Unfilled::Refused(refusal)),
            }
        }
    }

    /// Takes a fill back that a writer could not wait for. Whether it did.
    fn withdraw(&self, ticket: &Ticket, sought: &Sought<'_>, version: &Version) -> bool {
        if !self.fills.is_void_after_all(ticket) {
            return false;
        }
        let check = HasKey { engine: self, key: sought.key };
        // A page move may give it another word meanwhile, under the same version.
        while let Some(found) = self.index.find(self.region.view(), sought.hash, &check) {
            let Some(slot) = self.slot(found.word.handle()) else { return false };
            // SAFETY: the caller's guard was there before the search.
            if unsafe { slot.version() } != *version {
                return false;
            }
            if self.take_out_word(&found, slot) {
                return true;
            }
        }
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::engine::Settings;
    use crate::engine::changes::Ordering as Wanted;
    use crate::engine::open::{Request, open};
    use crate::types::key::{Key, KeyspaceId};
    use crate::types::version::Relation;

    #[test]
    fn a_write_behind_the_begin_of_a_load_is_never_older_than_what_it_reads() {
        let (capacity, settings) = (1 << 20, Settings::default());
        // The clocks of the machine: the coarse one, from which stamps are made, is late by some milliseconds.
        let request = Request { capacity, file: None, settings, clock: None, seed: None, crash_loop_guard: false };
        let (engine, _) = open(&request).expect("opens");
        let key = Key::new(KeyspaceId::RAW, b"k").expect("a valid key");
        for _ in 0..2_000 {
            let ticket = engine.begin_fill(engine.hash(key));
            let write = engine.next_version(&Wanted::default());
            let fill = engine.version_of_fill(&ticket, None);
            engine.end_fill(&ticket);
            assert!(matches!(write.relation(&fill), Relation::Newer | Relation::Unknown), "{write:?}, {fill:?}");
        }
    }
}
