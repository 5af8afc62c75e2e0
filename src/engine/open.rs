//! Open: from a file, or from nothing, to a running engine. O(1) in entries.
//!
//! ```text
//!   lock the file -> empty?  create
//!        | else read both superblocks: not ours -> NotAnArena, never written to
//!        v
//!   magic, version, ABI, shape, device and inode, boot or seal, hash answers, length -> any doubt: cold, with the reason
//!        v
//!   map, back, one pass over the page descriptors, splits settled -> run + 1 on disk -> serve
//! ```
//!
//! Pages are looked at when first used, or by the sweep; nothing is trusted before.

use crate::arena::classes::ClassId;
use crate::arena::header::{LAYOUT_VERSION, MAGIC, Superblock, live};
use crate::arena::layout::{Layout, PageId, SUPERBLOCK_BYTES};
use crate::arena::page::PageKind;
use crate::arena::slot::Run;
use crate::engine::recovery::{ColdReason, Recovery};
use crate::engine::{Engine, Parts, Settings};
use crate::region::{FileIdentity, OpenedFile, Region, RegionError, boot_id};
use crate::sync::failpoint::failpoint;
use crate::sync::{Ordering, bite};
use crate::types::clock::{HybridClock, ManualClock, TimeSource};
use crate::types::key::KeyHasher;
use crate::types::limits::{CEILING_AHEAD_MAX_US, PAGE_BYTES_MAX, SHORT_LIFE_MS, SHORT_LIVES_MAX};
use crate::types::version::Stamp;
use std::path::PathBuf;
use zerocopy::FromZeros;
use zerocopy::little_endian::{I64, U32, U64};

/// What an open is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) capacity: u64,
    pub(crate) file: Option<PathBuf>,
    pub(crate) settings: Settings,
    pub(crate) clock: Option<ManualClock>,
    pub(crate) seed: Option<u64>,
    /// Whether lives that ended within seconds make the next one start cold.
    pub(crate) crash_loop_guard: bool,
}

/// Why a cache could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenFailure {
    #[error(transparent)]
    Region(#[from] RegionError),
    #[error("{path} has content, but is no arena")]
    NotAnArena { path: PathBuf },
}

/// Everything about the file before it is mapped.
struct Examined {
    opened: OpenedFile,
    found: Result<(Superblock, Layout), ColdReason>,
    /// From a file whose last superblock could be read, usable or not.
    short_lives: u32,
}

pub(crate) fn open(request: &Request) -> Result<(Engine, Recovery), OpenFailure> {
    let Some(path) = &request.file else {
        let layout = Layout::for_capacity(request.capacity);
        let region = Region::anonymous(layout.len(), PAGE_BYTES_MAX)?;
        return Ok((create(request, region, layout, None, 0), Recovery::Created));
    };
    let opened = OpenedFile::open(path)?;
    if opened.is_new() {
        let layout = Layout::for_capacity(request.capacity);
        return Ok((create_file(request, opened, layout, 0)?, Recovery::Created));
    }
    let examined = examine(opened, path.clone())?;
    if request.crash_loop_guard && examined.short_lives >= SHORT_LIVES_MAX {
        let reason = ColdReason::CrashLoop { lives: examined.short_lives };
        return start_cold(request, examined.opened, reason, request.capacity / 2);
    }
    match examined.found {
        Err(reason) => start_cold(request, examined.opened, reason, request.capacity),
        Ok((block, layout)) => warm(request, examined.opened, block, layout, examined.short_lives),
    }
}

fn examine(opened: OpenedFile, path: PathBuf) -> Result<Examined, OpenFailure> {
    let mut first = vec![0_u8; 2 * SUPERBLOCK_BYTES as usize];
    let bytes = opened.read_at(0, &mut first)?;
    first.truncate(bytes);
    let Some(block) = Superblock::newest(&first) else {
        if !Superblock::is_ours(&first) {
            return Err(OpenFailure::NotAnArena { path });
        }
        return Ok(Examined { opened, found: Err(ColdReason::SuperblockDamaged), short_lives: 0 });
    };
    let word = |at: u64| {
        let bytes = first.get(at as usize..at as usize + 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    // A life that was still writing or ticking seconds after its start was not cut down at once.
    let last_sign = Stamp(word(live::CEILING)).micros().max(word(live::ALIVE));
    let lived_us = last_sign.saturating_sub(block.opened_us.get());
    let was_short = block.sealed.get() == 0 && lived_us < SHORT_LIFE_MS * 1_000;
    let short_lives = if was_short { block.short_lives.get().saturating_add(1) } else { 0 };
    let length = opened.state()?.length;
    let found = judge(&block, opened.identity(), length).map(|layout| (block, layout));
    Ok(Examined { opened, found, short_lives })
}

/// Whether a superblock can be served as it is.
fn judge(block: &Superblock, identity: FileIdentity, length: u64) -> Result<Layout, ColdReason> {
    if block.layout_version.get() != LAYOUT_VERSION {
        return Err(ColdReason::LayoutVersion { found: block.layout_version.get(), expected: LAYOUT_VERSION });
    }
    if block.abi.get() != Superblock::abi_hash() {
        return Err(ColdReason::AbiChanged { found: block.abi.get(), expected: Superblock::abi_hash() });
    }
    let layout = block.layout().ok_or(ColdReason::Geometry)?;
    if length < layout.len() {
        return Err(ColdReason::Truncated { found: length, expected: layout.len() });
    }
    if (block.device.get(), block.inode.get()) != (identity.device, identity.inode) {
        return Err(ColdReason::Copied { found: identity.inode, expected: block.inode.get() });
    }
    let rebooted = !is_of_this_boot(block) && !bite("seal.ignored-boot");
    if rebooted && block.sealed.get() == 0 {
        return Err(ColdReason::Rebooted);
    }
    let hasher = KeyHasher::new(block.seeds.map(U64::get));
    if hasher.known_answers() != block.known_answers.map(U64::get) {
        return Err(ColdReason::HashChanged);
    }
    if block.run.get() >= u32::from(u16::MAX) {
        return Err(ColdReason::RunsExhausted(block.run.get()));
    }
    Ok(layout)
}

/// Whether the machine has been up since. A kernel that does not tell counts as another boot.
fn is_of_this_boot(block: &Superblock) -> bool {
    boot_id().is_some_and(|id| id == block.boot_id)
}

fn start_cold(
    request: &Request,
    opened: OpenedFile,
    reason: ColdReason,
    capacity: u64,
) -> Result<(Engine, Recovery), OpenFailure> {
    let layout = Layout::for_capacity(capacity);
    // What could not be replaced is left as it is.
    opened.check_room(layout.len(), &[layout.hole()])?;
    opened.truncate(0)?;
    let engine = create_file(request, opened, layout, 0)?;
    Ok((engine, Recovery::Cold { reason }))
}

fn create_file(request: &Request, opened: OpenedFile, layout: Layout, lives: u32) -> Result<Engine, RegionError> {
    let identity = opened.identity();
    // First of all: a process killed while the file is backed leaves one that says whose it is.
    opened.write_at(0, &MAGIC)?;
    let region = opened.map(layout.len(), &[layout.hole()])?;
    Ok(create(request, region, layout, Some(identity), lives))
}

fn create(
    request: &Request,
    region: Region,
    layout: Layout,
    identity: Option<FileIdentity>,
    short_lives: u32,
) -> Engine {
    let hasher = KeyHasher::new(seeds(request.seed));
    let source = match &request.clock {
        Some(clock) => TimeSource::Manual(clock.clone()),
        None => TimeSource::boot_now(),
    };
    let clock = HybridClock::new(source, Stamp::ZERO);
    let mut block = Superblock::new_zeroed();
    block.magic = MAGIC;
    block.layout_version = U32::new(LAYOUT_VERSION);
    block.abi = U32::new(Superblock::abi_hash());
    block.seeds = hasher.seeds().map(U64::new);
    block.known_answers = hasher.known_answers().map(U64::new);
    block.short_lives = U32::new(short_lives);
    let run = Run(1);
    describe(&mut block, request, &layout, identity, &clock, run);
    let engine = Engine::assemble(parts(request, region, layout, hasher, clock, run));
    engine.format();
    // Last: before it is whole, the next open finds zeros in its place and starts anew.
    block.write_both(engine.region().view());
    engine.set_superblock(block);
    engine.sweep.set_settled();
    engine
}

fn describe(
    block: &mut Superblock,
    request: &Request,
    layout: &Layout,
    identity: Option<FileIdentity>,
    clock: &HybridClock,
    run: Run,
) {
    block.capacity = U64::new(request.capacity);
    block.page_bytes = U64::new(layout.page_bytes);
    block.pages = U32::new(layout.pages);
    block.pages_max = U32::new(layout.pages_max);
    if let Some(identity) = identity {
        block.device = U64::new(identity.device);
        block.inode = U64::new(identity.inode);
    }
    block.boot_id = boot_id().unwrap_or_default();
    block.run = U32::new(u32::from(run.0));
    block.sealed = U32::new(0);
    block.clock_offset_us = I64::new(clock.offset_us());
    block.opened_us = U64::new(clock.fine_us());
}

fn warm(
    request: &Request,
    opened: OpenedFile,
    mut block: Superblock,
    old: Layout,
    short_lives: u32,
) -> Result<(Engine, Recovery), OpenFailure> {
    let identity = opened.identity();
    let same_boot = is_of_this_boot(&block);
    let sealed = block.sealed.get() == 1;
    let wanted = old.resized(request.capacity);
    if wanted.pages != Layout::pages_within(request.capacity, old.page_bytes) {
        let reason = ColdReason::Resize { wanted: request.capacity, page_bytes: old.page_bytes };
        return start_cold(request, opened, reason, request.capacity);
    }
    // A few pages more or less are not worth a move: the same capacity gives the same pages.
    let layout = if wanted.pages > old.pages { wanted } else { old };
    let region = opened.map(layout.len(), &[layout.hole()])?;
    let hasher = KeyHasher::new(block.seeds.map(U64::get));
    let floor = Stamp(region.view().word(live::CEILING).load(Ordering::Acquire));
    let source = match &request.clock {
        Some(clock) => TimeSource::Manual(clock.clone()),
        None if same_boot => TimeSource::Boot { offset_us: block.clock_offset_us.get() },
        None => TimeSource::boot_now(),
    };
    let clock = HybridClock::new(source, floor);
    let run = Run(block.run.get() as u16 + 1);
    block.short_lives = U32::new(short_lives);
    let entries = region.view().word(live::ENTRIES).load(Ordering::Acquire);
    let before = block;
    describe(&mut block, request, &layout, Some(identity), &clock, run);
    let engine = Engine::assemble(parts(request, region, layout, hasher, clock, run));
    // Before anything else is written: what this life changes in slots carries its run, and however it ends, and
    // whichever of the two blocks is damaged then, no later life may take that run for its own.
    block.write_both(engine.region().view());
    if sealed && engine.region().on_disk() {
        // Else the disk would say "sealed" of what this life changes, until the kernel writes the block back.
        engine.region().sync_all()?;
    }
    failpoint!("open.run_raised");
    let ahead_us = floor.micros().saturating_sub(engine.clock().fine_us());
    let loaded = if ahead_us > CEILING_AHEAD_MAX_US {
        Err(ColdReason::Clock { ahead_us })
    } else if !engine.load_clears(floor) {
        Err(ColdReason::Clears)
    } else {
        engine.load(entries).map_err(ColdReason::Index)
    };
    if let Err(reason) = loaded {
        drop(engine);
        let opened = OpenedFile::open(request.file.as_deref().unwrap_or_else(|| "".as_ref()))?;
        return start_cold(request, opened, reason, request.capacity);
    }
    engine.set_superblock(block);
    if wanted.pages < old.pages {
        let resized = Some((old.pages, wanted.pages));
        return Ok(match shrink(request, engine, wanted)? {
            Ok(engine) => (engine, Recovery::Warm { run: run.0 + 1, entries, sealed, resized }),
            Err(cold) => cold,
        });
    }
    let resized = (layout.pages != before.pages.get()).then_some((before.pages.get(), layout.pages));
    Ok((engine, Recovery::Warm { run: run.0, entries, sealed, resized }))
}

/// Empties the pages beyond the wanted end, cuts the file and opens it again. `Err` holds a cold start.
fn shrink(
    request: &Request,
    mut engine: Engine,
    wanted: Layout,
) -> Result<Result<Engine, (Engine, Recovery)>, OpenFailure> {
    let path = request.file.as_deref().unwrap_or_else(|| "".as_ref());
    let vacated = engine.vacate(PageId(wanted.pages));
    let mut block = engine.superblock();
    block.pages = U32::new(wanted.pages);
    engine.note_end();
    block.write(engine.region().view());
    drop(engine);
    let opened = OpenedFile::open(path)?;
    if !vacated {
        let reason = ColdReason::Resize { wanted: request.capacity, page_bytes: wanted.page_bytes };
        return start_cold(request, opened, reason, request.capacity).map(Err);
    }
    opened.truncate(wanted.len())?;
    let examined = examine(opened, path.to_owned())?;
    match examined.found {
        Err(reason) => start_cold(request, examined.opened, reason, request.capacity).map(Err),
        Ok((block, layout)) => match warm(request, examined.opened, block, layout, examined.short_lives)? {
            (engine, Recovery::Warm { .. }) => Ok(Ok(engine)),
            cold => Ok(Err(cold)),
        },
    }
}

fn parts(request: &Request, region: Region, layout: Layout, hasher: KeyHasher, clock: HybridClock, run: Run) -> Parts {
    // A sixteenth of the capacity is heap; ghosts take what tables and rings leave, at most 2 %.
    let ghost_bytes = (request.capacity / 50).min(u64::from(u32::MAX)) as usize;
    Parts { region, layout, hasher, clock, run, settings: request.settings.clone(), ghost_bytes }
}

/// Four words for the hash: from the caller's seed, or from the process's random state.
fn seeds(seed: Option<u64>) -> [u64; 4] {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new();
    std::array::from_fn(|at| match seed {
        Some(seed) => (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9 + 2 * at as u64),
        None => random.hash_one(at),
    })
}

impl Engine {
    /// One pass over the page descriptors, then the index. Single-threaded.
    fn load(&self, entries: u64) -> Result<(), String> {
        let mut index_pages = Vec::new();
        let mut runs = Vec::new();
        let (mut floors, mut changes) = (Vec::new(), Vec::new());
        for page in self.pages.ids() {
            match self.pages.load(self.region.view(), page).kind() {
                PageKind::Index => index_pages.push((self.pages.ordinal(self.region.view(), page), page)),
                PageKind::RunHead | PageKind::RunTail => runs.push(page),
                PageKind::Floors => floors.push((self.pages.ordinal(self.region.view(), page), page)),
                PageKind::Changes => changes.push((self.pages.ordinal(self.region.view(), page), page)),
                _ => {}
            }
        }
        index_pages.sort_unstable();
        for (ordinal, page) in &index_pages {
            let start = self.pages.layout().page_start(*page);
            if *ordinal == 0 {
                // Taken, and its number not written yet, when the process died.
                self.pages.make_dirty(self.region.view(), *page);
                self.pages.leave_dirty(*page);
            } else if *ordinal != u64::from(self.index.pages()) + 1 || !self.index.add_page(start) {
                return Err(format!("page {} stands at number {ordinal} of the directory", page.0));
            }
        }
        // Relaxed: single-threaded.
        let overflow = self.pages.class(ClassId::OVERFLOW).inherited.load(Ordering::Relaxed);
        self.overflow_unknown.store(overflow, Ordering::Relaxed);
        // A figure of the last life, or damage: more entries than there are words would make the index grow for ever.
        let words = self.pages.layout().page_bytes / 8 * u64::from(self.index.pages());
        self.sweep.expect(entries.min(words));
        self.filled.store(self.pages.free_pages() <= super::PAGES_SPARE, Ordering::Relaxed);
        // Before the index is settled: what it drops then raises a floor.
        self.load_replicated(&mut floors, &mut changes);
        let guard = self.pin();
        self.index.settle(self.region.view(), self).map_err(|error| error.to_string())?;
        drop(guard);
        self.load_runs(&runs);
        Ok(())
    }

    /// Runs that an entry names stay; tails without a head, and heads without an entry, are given back.
    fn load_runs(&self, runs: &[PageId]) {
        let mut covered = 0;
        for page in runs {
            if self.pages.info(*page).kind() == PageKind::RunHead && page.0 >= covered {
                covered = page.0 + self.pages.run_pages(self.region.view(), *page);
                self.load_run(*page);
            } else if page.0 >= covered {
                self.pages.make_dirty(self.region.view(), *page);
                self.pages.leave_dirty(*page);
            }
        }
    }
}
