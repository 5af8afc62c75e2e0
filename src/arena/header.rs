//! The superblocks: who made this file, with which shape, in which boot, and the few words that change while it is used.
//!
//! ```text
//!   A, 4096 B: | superblock, CRC32C at its end | zero | live words from 2048 |
//!   B, 4096 B: | superblock                    | zero | clear stamp, again   |
//!
//!   live words (atomics, outside of the checksum; the clear stamp of all stands in B too, at 4096 + 2144):
//!     2048 ceiling of stamps  2056 buckets in use   2064 splits under way x 8   2128 alive until, us
//!     2136 entries, as of the last tick    2144 clear stamp of all    2152 clear stamps of key spaces x 64: {id + 1, stamp}
//! ```
//!
//! The valid one with the higher sequence counts; a new one is written over the other, so that a process killed in the
//! middle leaves one that is whole. An open writes both before it changes anything else: whichever is damaged later, no
//! control word carries a run above that of the other one.

use crate::arena::layout::{Layout, SUPERBLOCK_BYTES};
use crate::region::View;
use crate::sync::bite;
use crate::sync::failpoint::failpoint;
use crate::types::checksum;
use crate::types::limits::{CLEAR_STAMPS_MAX, PAGE_BYTES_MAX, PAGE_BYTES_MIN, SPLITS_MAX};
use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Says that a file is ours.
pub(crate) const MAGIC: [u8; 8] = *b"ALSOCACH";
/// Changes with every change of the bytes described in `docs/FORMAT.md`.
pub(crate) const LAYOUT_VERSION: u32 = 1;

/// Where the live words lie.
pub(crate) mod live {
    use super::{CLEAR_STAMPS_MAX, SPLITS_MAX};

    pub(crate) const CEILING: u64 = 2048;
    pub(crate) const BUCKETS: u64 = CEILING + 8;
    pub(crate) const SPLITS: u64 = BUCKETS + 8;
    pub(crate) const ALIVE: u64 = SPLITS + 8 * SPLITS_MAX as u64;
    pub(crate) const ENTRIES: u64 = ALIVE + 8;
    pub(crate) const CLEAR_ALL: u64 = ENTRIES + 8;
    pub(crate) const CLEAR_SPACES: u64 = CLEAR_ALL + 8;
    /// Stamp of the entries that are doubted, since when in microseconds, and the stamp of those that are to be next.
    pub(crate) const DOUBTED: u64 = CLEAR_SPACES + 16 * CLEAR_STAMPS_MAX as u64;
    pub(crate) const DOUBTED_SINCE: u64 = DOUBTED + 8;
    pub(crate) const DOUBTED_NEXT: u64 = DOUBTED_SINCE + 8;
    pub(crate) const END: u64 = DOUBTED_NEXT + 8;
    /// The clear stamp of all once more, in the other block: the larger of the two counts at an open, so that damage to
    /// one brings nothing back.
    pub(crate) const CLEAR_ALL_AGAIN: u64 = super::SUPERBLOCK_BYTES + CLEAR_ALL;
}

const _: () = assert!(live::END <= SUPERBLOCK_BYTES);
const _: () = assert!(size_of::<Superblock>() <= live::CEILING as usize);

/// What identifies an arena and its last life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Superblock {
    pub(crate) magic: [u8; 8],
    pub(crate) layout_version: U32,
    pub(crate) abi: U32,
    pub(crate) sequence: U64,
    pub(crate) capacity: U64,
    pub(crate) page_bytes: U64,
    pub(crate) pages: U32,
    pub(crate) pages_max: U32,
    pub(crate) device: U64,
    pub(crate) inode: U64,
    pub(crate) boot_id: [u8; 16],
    pub(crate) seeds: [U64; 4],
    pub(crate) known_answers: [U64; 3],
    pub(crate) run: U32,
    /// 1 after a clean close, else 0.
    pub(crate) sealed: U32,
    pub(crate) short_lives: U32,
    pub(crate) flags: U32,
    /// Microseconds between the boot clock and the cache's clock.
    pub(crate) clock_offset_us: I64,
    /// When this life began, on the cache's clock.
    pub(crate) opened_us: U64,
    /// Estimates for the time until the sweep is through.
    pub(crate) entries: U64,
    pub(crate) checksum: U32,
}

impl Superblock {
    /// A number that changes when a struct or constant of the format does without anyone raising the version.
    pub(crate) fn abi_hash() -> u32 {
        use crate::arena::{frame, layout};
        let facts = [
            size_of::<Self>() as u64,
            frame::HEADER_BYTES,
            frame::FRAME_START,
            layout::DESCRIPTOR_BYTES,
            layout::DESCRIPTORS_START,
            live::END,
            crate::arena::classes::BLOCKS_PER_PAGE,
        ];
        facts.iter().fold(0, |sum, fact| checksum::extend(sum, &fact.to_le_bytes()))
    }

    fn sum(&self) -> u32 {
        let blank = Self { checksum: U32::ZERO, ..*self };
        checksum::extend(0, blank.as_bytes())
    }

    /// The newer valid one of the first two blocks of a file; `None` if neither is whole.
    pub(crate) fn newest(bytes: &[u8]) -> Option<Self> {
        let at = |start: usize| {
            let block = bytes.get(start..)?;
            let (found, _) = Self::read_from_prefix(block).ok()?;
            (found.magic == MAGIC && found.checksum.get() == found.sum()).then_some(found)
        };
        let (a, b) = (at(0), at(SUPERBLOCK_BYTES as usize));
        match (a, b) {
            (Some(a), Some(b)) if b.sequence.get() > a.sequence.get() => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        }
    }

    /// Whether a file begins like one of ours, valid or not.
    pub(crate) fn is_ours(bytes: &[u8]) -> bool {
        [0, SUPERBLOCK_BYTES as usize].iter().any(|start| bytes.get(*start..start + 8) == Some(&MAGIC[..]))
    }

    /// The shape it describes, if such a one can exist.
    pub(crate) fn layout(&self) -> Option<Layout> {
        if !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&self.page_bytes.get()) {
            return None;
        }
        let by_size = Layout::with_pages(
            self.page_bytes.get(),
            self.pages_max.get() / crate::arena::layout::GROWTH_FACTOR as u32,
        );
        let layout = Layout {
            page_bytes: self.page_bytes.get(),
            pages: self.pages.get(),
            pages_max: self.pages_max.get(),
            data_start: by_size.data_start,
        };
        layout.is_sound().then_some(layout)
    }

    /// Writes it over both, the older one first, with the next two sequence numbers. What carries its run may be written
    /// from then on.
    pub(crate) fn write_both(&mut self, region: View<'_>) {
        self.write(region);
        failpoint!("open.run_half_raised");
        if !bite("open.run-in-one-copy") {
            self.write(region);
        }
    }

    /// Writes it over the older of the two, with the next sequence number.
    pub(crate) fn write(&mut self, region: View<'_>) {
        self.sequence = U64::new(self.sequence.get().wrapping_add(1));
        self.checksum = U32::new(self.sum());
        let start = self.sequence.get() % 2 * SUPERBLOCK_BYTES;
        // SAFETY: superblocks are written by the one opener or closer, who holds the file's lock; the live words lie
        // behind these bytes.
        let bytes = unsafe { region.payload_mut(0, start, size_of::<Self>() as u64) };
        bytes.copy_from_slice(self.as_bytes());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::region::Region;
    use zerocopy::FromZeros;

    fn sample() -> Superblock {
        let mut block = Superblock::new_zeroed();
        block.magic = MAGIC;
        block.run = U32::new(3);
        block
    }

    fn first_bytes(region: View<'_>) -> Vec<u8> {
        // SAFETY: nobody else has this region.
        unsafe { region.payload(0, 0, 8192) }.to_vec()
    }

    #[test]
    fn the_newest_whole_block_counts() {
        let region = Region::heap(8192);
        let mut block = sample();
        block.write(region.view());
        block.run = U32::new(4);
        block.write(region.view());
        let mut bytes = first_bytes(region.view());
        assert_eq!(Superblock::newest(&bytes).map(|found| found.run.get()), Some(4));
        let newest = (block.sequence.get() % 2 * SUPERBLOCK_BYTES) as usize;
        bytes[newest + 20] ^= 1;
        assert_eq!(Superblock::newest(&bytes).map(|found| found.run.get()), Some(3));
        bytes[SUPERBLOCK_BYTES as usize - newest + 20] ^= 1;
        assert_eq!(Superblock::newest(&bytes), None);
        assert!(Superblock::is_ours(&bytes));
    }

    #[test]
    fn both_blocks_say_the_run_once_both_are_written() {
        let region = Region::heap(8192);
        let mut block = sample();
        for run in [4, 5, 6] {
            block.run = U32::new(run);
            block.write_both(region.view());
            for damaged in [0, SUPERBLOCK_BYTES as usize] {
                let mut bytes = first_bytes(region.view());
                bytes[damaged + 20] ^= 1;
                assert_eq!(Superblock::newest(&bytes).map(|found| found.run.get()), Some(run), "{damaged}");
            }
            // A life of its own writes more of them, as it does when it seals.
            block.write(region.view());
        }
    }
}
