//! Looking into the file of an arena without opening it: read-only, without its lock, live or broken.
//!
//! ```text
//!   superblocks, live words  ->  descriptors  ->  index pages -> words     every page of slots, once, in order
//!                                                     \______ by handle ______/
//! ```
//!
//! Pages are read one at a time, the index alone is kept: about 24 bytes per entry. While a process works on the file,
//! what does not fit together may be a write on its way: it is counted as *in motion*, and is no problem.

#![forbid(unsafe_code)]

mod image;
mod slots;
mod words;

use crate::arena::header::Superblock;
use crate::types::clock::TimeSource;
use image::Image;
use std::path::{Path, PathBuf};

/// Why a file could not be inspected. Nothing is ever changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The file can not be read.
    #[error("{} can not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has content, but no arena's.
    #[error("{} is no arena", path.display())]
    NotAnArena {
        /// The file.
        path: PathBuf,
    },
    /// Neither superblock is whole, or it is of another build: an open starts cold, there is nothing to look at.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is in the file of an arena.
///
/// ```
/// use also_cache::{Cache, inspect::Inspection};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("arena");
/// let cache = Cache::builder().capacity(1 << 20).file(&path).open()?;
/// cache.insert("k", "v")?;
/// cache.close()?;
/// let inspection = Inspection::of(&path)?;
/// assert_eq!((inspection.entries, inspection.problems.len()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// The capacity that it was opened with.
    pub capacity: u64,
    /// Version of the format.
    pub layout_version: u32,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Pages now.
    pub pages: u32,
    /// Pages that it can grow to.
    pub pages_max: u32,
    /// The number of the last life.
    pub run: u16,
    /// Whether that ended with `close`.
    pub sealed: bool,
    /// Whether it was in this boot of the machine.
    pub same_boot: bool,
    /// Lives before it that were cut down within seconds, in a row.
    pub short_lives: u32,
    /// Whether a process has it open: what is told about a moving file is approximate.
    pub live: bool,
    /// Pages by kind, those that there are.
    pub pages_by_kind: Vec<(&'static str, u64)>,
    /// Size classes that have pages, the smallest first.
    pub classes: Vec<ClassOccupancy>,
    /// Entries: slots that the index names and that are whole.
    pub entries: u64,
    /// Entries that the last life noted.
    pub entries_noted: u64,
    /// The index.
    pub index: IndexOccupancy,
    /// Entries by age, young ones first.
    pub ages: Vec<(&'static str, u64)>,
    /// Entries by time to live, short ones first.
    pub times_to_live: Vec<(&'static str, u64)>,
    /// LIVE slots that nothing names: what a kill leaves; the next life frees them.
    pub orphans: u64,
    /// Mismatches in a file that is being written.
    pub in_motion: u64,
    /// What is wrong, at most [`PROBLEMS_MAX`] of it.
    pub problems: Vec<Problem>,
    /// How many there are in all.
    pub problems_found: u64,
}

/// Problems that are kept.
pub const PROBLEMS_MAX: usize = 1_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// What.
    pub what: String,
}

/// Slots of one size class, by the state in their control words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassOccupancy {
    /// Bytes of a slot; of a block for large values.
    pub slot_bytes: u64,
    /// Whether values take several blocks: `slots` and `free` count blocks then.
    pub is_large: bool,
    /// Pages of the class.
    pub pages: u64,
    /// Slots in them.
    pub slots: u64,
    /// Slots that are entries.
    pub live: u64,
    /// Bytes of keys, values and headers in them.
    pub used_bytes: u64,
    /// Slots that were being written.
    pub writing: u64,
    /// Slots that waited for readers.
    pub retired: u64,
}

/// The index in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexOccupancy {
    /// Home buckets.
    pub buckets: u64,
    /// Pages of home buckets.
    pub pages: u64,
    /// Words that name something.
    pub words: u64,
    /// Chains by the number of their overflow buckets.
    pub chains: Vec<u64>,
    /// Splits under way.
    pub splits: u64,
}

impl IndexOccupancy {
    /// Words per place in home buckets.
    pub fn load(&self) -> f64 {
        self.words as f64 / (self.buckets.max(1) * 7) as f64
    }
}

impl Inspection {
    /// Reads a file: geometry, every descriptor, index word, slot and checksum.
    ///
    /// # Errors
    ///
    /// [`InspectError`] if there is nothing to look at. What is wrong with an arena is in [`Inspection::problems`].
    ///
    /// # Complexity
    ///
    /// Reads the whole file once, a page at a time.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, InspectError> {
        let image = Image::open(path.as_ref())?;
        let mut found = Self::outline(&image);
        if image.file_bytes < image.layout.len() {
            found.problem(image.file_bytes, || {
                format!("the file ends here, its arena has {} bytes", image.layout.len())
            });
        }
        let mut words = words::Words::read(&image, &mut found);
        slots::check(&image, &mut words, &mut found);
        if found.live {
            found.in_motion = found.problems_found;
            found.problems_found = 0;
            found.problems.clear();
        }
        Ok(found)
    }

    fn outline(image: &Image) -> Self {
        let block = &image.block;
        Self {
            file_bytes: image.file_bytes,
            capacity: block.capacity.get(),
            layout_version: block.layout_version.get(),
            page_bytes: image.layout.page_bytes,
            pages: image.layout.pages,
            pages_max: image.layout.pages_max,
            run: block.run.get() as u16,
            sealed: block.sealed.get() == 1,
            same_boot: block.boot_id == crate::region::boot_id().unwrap_or_default(),
            short_lives: block.short_lives.get(),
            live: image.is_open_elsewhere(),
            pages_by_kind: image.pages_by_kind(),
            classes: Vec::new(),
            entries: 0,
            entries_noted: image.word(crate::arena::header::live::ENTRIES),
            index: IndexOccupancy::default(),
            ages: AGES.iter().map(|(name, _)| (*name, 0)).collect(),
            times_to_live: TIMES_TO_LIVE.iter().map(|(name, _)| (*name, 0)).collect(),
            orphans: 0,
            in_motion: 0,
            problems: Vec::new(),
            problems_found: 0,
        }
    }

    fn problem(&mut self, offset: u64, what: impl FnOnce() -> String) {
        self.problems_found += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { offset, what: what() });
        }
    }
}

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;
const HOUR_US: u64 = 60 * MINUTE_US;
/// Upper bounds of the rows of both histograms.
const AGES: &[(&str, u64)] = &[
    ("below 1 s", SECOND_US),
    ("below 1 min", MINUTE_US),
    ("below 1 h", HOUR_US),
    ("below 1 day", 24 * HOUR_US),
    ("older", u64::MAX),
];
const TIMES_TO_LIVE: &[(&str, u64)] = &[
    ("up to 1 s", SECOND_US),
    ("up to 1 min", MINUTE_US),
    ("up to 1 h", HOUR_US),
    ("up to 1 day", 24 * HOUR_US),
    ("longer", u64::MAX - 1),
    ("for ever", u64::MAX),
];

fn count_in(rows: &mut [(&'static str, u64)], bounds: &[(&str, u64)], value: u64) {
    if let Some(row) = bounds.iter().position(|(_, bound)| value <= *bound) {
        rows[row].1 += 1;
    }
}

/// What the cache's clock says now, as far as the superblock tells.
fn now_us(block: &Superblock) -> u64 {
    TimeSource::Boot { offset_us: block.clock_offset_us.get() }.fine_us()
}
