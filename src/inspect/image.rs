//! A file read by pieces: the superblock that counts, the live words and the descriptors are kept.

#![forbid(unsafe_code)]

use crate::arena::classes::{ClassId, Classes};
use crate::arena::header::{LAYOUT_VERSION, Superblock, live};
use crate::arena::layout::{DESCRIPTOR_BYTES, DESCRIPTORS_START, Layout, PageId, SUPERBLOCK_BYTES};
use crate::arena::page::PageKind;
use crate::inspect::InspectError;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use zerocopy::FromBytes;

/// An arena's file.
pub(super) struct Image {
    file: File,
    head: Vec<u8>,
    descriptors: Vec<u8>,
    pub(super) file_bytes: u64,
    pub(super) block: Superblock,
    pub(super) layout: Layout,
    pub(super) classes: Classes,
}

impl Image {
    pub(super) fn open(path: &Path) -> Result<Self, InspectError> {
        let failed = |source| InspectError::Read { path: path.to_owned(), source };
        let unreadable = |reason: String| InspectError::Unreadable { path: path.to_owned(), reason };
        let file = File::open(path).map_err(failed)?;
        let file_bytes = file.metadata().map_err(failed)?.len();
        let head = read(&file, 0, 2 * SUPERBLOCK_BYTES).map_err(failed)?;
        if !Superblock::is_ours(&head) {
            return Err(InspectError::NotAnArena { path: path.to_owned() });
        }
        let block = Superblock::newest(&head).ok_or_else(|| unreadable("both superblocks are damaged".to_owned()))?;
        if block.layout_version.get() != LAYOUT_VERSION || block.abi.get() != Superblock::abi_hash() {
            return Err(unreadable(format!("layout version {}, another build's", block.layout_version.get())));
        }
        let layout = block.layout().ok_or_else(|| unreadable("page size and count do not fit together".to_owned()))?;
        let descriptors = u64::from(layout.pages) * DESCRIPTOR_BYTES;
        let descriptors = read(&file, DESCRIPTORS_START, descriptors).map_err(failed)?;
        let classes = Classes::new(layout.page_bytes);
        Ok(Self { file, head, descriptors, file_bytes, block, layout, classes })
    }

    /// A word of the first two blocks.
    pub(super) fn word(&self, at: u64) -> u64 {
        word_at(&self.head, at)
    }

    /// Bytes of the file; zeros where it ends before.
    pub(super) fn bytes(&self, offset: u64, len: u64) -> Vec<u8> {
        read(&self.file, offset, len).unwrap_or_else(|_| vec![0; len as usize])
    }

    pub(super) fn page(&self, page: PageId) -> Vec<u8> {
        self.bytes(self.layout.page_start(page), self.layout.page_bytes)
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = PageId> + use<> {
        (0..self.layout.pages).map(PageId)
    }

    /// Kind and class of a page; `None` for a descriptor that nobody writes.
    pub(super) fn kind(&self, page: PageId) -> Option<(PageKind, ClassId)> {
        let bits = self.descriptor_word(page, 0);
        let (kind, class) = (PageKind::from_bits(bits & 0xff)?, ClassId((bits >> 8) as u8));
        let fits = match kind {
            PageKind::Data => self.classes.contains(class),
            PageKind::Large | PageKind::RunHead | PageKind::RunTail => class == ClassId::LARGE,
            PageKind::Overflow => class == ClassId::OVERFLOW,
            PageKind::Free | PageKind::Index | PageKind::Dirty | PageKind::Floors | PageKind::Changes => {
                class == ClassId(0)
            }
        };
        (fits && bits >> 16 == 0).then_some((kind, class))
    }

    pub(super) fn ordinal(&self, page: PageId) -> u64 {
        self.descriptor_word(page, 8)
    }

    fn descriptor_word(&self, page: PageId, at: u64) -> u64 {
        word_at(&self.descriptors, u64::from(page.0) * DESCRIPTOR_BYTES + at)
    }

    pub(super) fn pages_by_kind(&self) -> Vec<(&'static str, u64)> {
        const NAMES: [&str; 11] = [
            "free", "data", "large", "index", "overflow", "run head", "run tail", "dirty", "floors", "changes",
            "unknown",
        ];
        let mut counts = [0; NAMES.len()];
        for page in self.pages() {
            counts[self.kind(page).map_or(10, |(kind, _)| kind as usize)] += 1;
        }
        NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// Bytes from a slot's start that its value may take; `None` if no slot starts there.
    pub(super) fn room(&self, offset: u64) -> Option<u64> {
        let page = self.layout.page_of(offset)?;
        let within = offset - self.layout.page_start(page);
        let (kind, class) = self.kind(page)?;
        let slot_bytes = u64::from(self.classes.slot_bytes(class));
        match kind {
            PageKind::RunHead => {
                let pages = self.ordinal(page).clamp(1, u64::from(self.layout.pages - page.0));
                (within == 0).then(|| pages * self.layout.page_bytes)
            }
            PageKind::Large => within.is_multiple_of(slot_bytes).then_some(self.layout.page_bytes - within),
            PageKind::Data => {
                let number = within / slot_bytes;
                let starts = within.is_multiple_of(slot_bytes);
                (starts && number < u64::from(self.classes.slots_per_page(class))).then_some(slot_bytes)
            }
            _ => None,
        }
    }

    /// Whether some process holds the arena's lock, by the kernel's list of locks; that of this one counts.
    pub(super) fn is_open_elsewhere(&self) -> bool {
        let Ok(met) = self.file.metadata() else { return false };
        let inode = format!(":{}", met.ino());
        let locks = || std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let held = |line: &str| {
            let mut fields = line.split_whitespace();
            fields.nth(1) == Some("FLOCK") && fields.nth(3).is_some_and(|place| place.ends_with(&inode))
        };
        // Read in pieces, the list skips a lock when one before it goes meanwhile: a miss is believed the eighth time.
        (0..8).any(|_| locks().lines().any(held))
    }

    /// The splits that are listed, as target buckets.
    pub(super) fn splits(&self) -> Vec<u64> {
        let rows = (0..crate::types::limits::SPLITS_MAX as u64).map(|row| self.word(live::SPLITS + 8 * row));
        rows.filter(|word| *word != 0).map(|word| word - 1).collect()
    }
}

/// A little-endian word; 0 where the bytes end before.
pub(super) fn word_at(bytes: &[u8], at: u64) -> u64 {
    let found = bytes.get(at as usize..).and_then(|rest| zerocopy::little_endian::U64::read_from_prefix(rest).ok());
    found.map_or(0, |(word, _)| word.get())
}

/// Reads as far as the file goes, and zeros behind.
fn read(file: &File, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
