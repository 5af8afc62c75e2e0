//! The index: every chain walked, every word looked at, kept by handle.

#![forbid(unsafe_code)]

use crate::arena::header::live;
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::index::{BUCKET_BYTES, bucket_of, chain_of};
use crate::inspect::Inspection;
use crate::inspect::image::{Image, word_at};
use crate::types::handle::IndexWord;
use crate::types::key::KeyHash;
use crate::types::limits::OVERFLOW_CHAIN_MAX;
use std::collections::HashMap;

/// A word, and the bucket in whose chain it stands.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) word: IndexWord,
    pub(super) bucket: u32,
    pub(super) met: bool,
}

/// All words, by the offset of the slot that they name.
pub(super) struct Words {
    named: Vec<(u64, Named)>,
    buckets: u32,
    /// Targets of the splits under way.
    splits: Vec<u64>,
}

impl Words {
    pub(super) fn read(image: &Image, found: &mut Inspection) -> Self {
        let mut pages: Vec<_> =
            image.pages().filter(|page| matches!(image.kind(*page), Some((PageKind::Index, _)))).collect();
        pages.retain(|page| image.ordinal(*page) > 0);
        pages.sort_by_key(|page| image.ordinal(*page));
        for (at, page) in pages.iter().enumerate() {
            if image.ordinal(*page) != at as u64 + 1 {
                let what = || format!("index page {} stands at number {}", page.0, image.ordinal(*page));
                found.problem(image.layout.descriptor(*page), what);
            }
        }
        for page in image.pages().filter(|page| image.kind(*page).is_none()) {
            found.problem(image.layout.descriptor(page), || format!("page {} has a descriptor of no kind", page.0));
        }
        let per_page = image.layout.page_bytes / BUCKET_BYTES;
        let noted = image.word(live::BUCKETS);
        let buckets = noted.min(pages.len() as u64 * per_page);
        if buckets != noted || noted < per_page {
            found.problem(live::BUCKETS, || format!("{noted} buckets on {} index pages", pages.len()));
        }
        let splits = image.splits();
        found.index.buckets = buckets;
        found.index.pages = pages.len() as u64;
        found.index.splits = splits.len() as u64;
        found.index.chains = vec![0; 1 + OVERFLOW_CHAIN_MAX];
        let mut words = Self { named: Vec::new(), buckets: buckets as u32, splits };
        let mut overflow = HashMap::new();
        for (at, page) in pages.iter().enumerate() {
            let bytes = image.page(*page);
            for number in 0..per_page.min(buckets.saturating_sub(at as u64 * per_page)) {
                let bucket = (at as u64 * per_page + number) as u32;
                let home = &bytes[(number * BUCKET_BYTES) as usize..][..BUCKET_BYTES as usize];
                let offset = image.layout.page_start(*page) + number * BUCKET_BYTES;
                words.walk(image, found, &mut overflow, bucket, offset, home);
            }
        }
        words.named.sort_unstable_by_key(|(offset, _)| *offset);
        for pair in words.named.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            found.problem(pair[0].0, || {
                format!("two words name this slot, in buckets {} and {}", pair[0].1.bucket, pair[1].1.bucket)
            });
        }
        words
    }

    fn walk(
        &mut self,
        image: &Image,
        found: &mut Inspection,
        overflow: &mut HashMap<PageId, Vec<u8>>,
        bucket: u32,
        offset: u64,
        home: &[u8],
    ) {
        let (mut at, mut bytes, mut links) = (offset, home.to_vec(), 0);
        loop {
            for position in 0..7 {
                let word = IndexWord::from_bits(word_at(&bytes, position * 8));
                if word.is_empty() || (word.is_marked() && self.is_splitting(bucket)) {
                    continue;
                }
                if word.is_marked() {
                    found
                        .problem(at + position * 8, || format!("{word:?} is marked, and bucket {bucket} is not split"));
                    continue;
                }
                found.index.words += 1;
                self.named.push((word.handle().offset(), Named { word, bucket, met: false }));
            }
            let Some(next) = chain_of(word_at(&bytes, 56), bucket, links > 0).unwrap_or_else(|| {
                found.problem(at + 56, || format!("a bucket of the chain of {bucket} belongs to another"));
                None
            }) else {
                break;
            };
            let page =
                image.layout.page_of(next).filter(|page| matches!(image.kind(*page), Some((PageKind::Overflow, _))));
            let Some(page) = page.filter(|_| links < OVERFLOW_CHAIN_MAX) else {
                found.problem(at + 56, || format!("the chain of bucket {bucket} leads to {next:#x}"));
                break;
            };
            links += 1;
            let page_bytes = overflow.entry(page).or_insert_with(|| image.page(page));
            let start = (next - image.layout.page_start(page)) as usize;
            bytes = page_bytes[start..start + BUCKET_BYTES as usize].to_vec();
            at = next;
        }
        found.index.chains[links] += 1;
    }

    /// Whether a bucket is the source or the target of a split under way.
    fn is_splitting(&self, bucket: u32) -> bool {
        self.splits.iter().any(|target| [*target, source_of(*target)].contains(&u64::from(bucket)))
    }

    /// Whether a key of this hash may have its word in a bucket.
    pub(super) fn may_stand_in(&self, hash: KeyHash, bucket: u32) -> bool {
        let home = self.home(hash);
        // Not moved yet.
        let waits = self.splits.contains(&u64::from(home)) && source_of(u64::from(home)) == u64::from(bucket);
        home == bucket || waits
    }

    /// The word that names a slot.
    pub(super) fn naming(&mut self, offset: u64) -> Option<&mut Named> {
        let at = self.named.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        Some(&mut self.named[at].1)
    }

    pub(super) fn home(&self, hash: KeyHash) -> u32 {
        bucket_of(hash, self.buckets.max(1))
    }

    /// Words whose slot was not met in any page.
    pub(super) fn unmet(&self) -> impl Iterator<Item = (u64, &Named)> {
        self.named.iter().filter(|(_, named)| !named.met).map(|(offset, named)| (*offset, named))
    }
}

/// The bucket that one is split from: its number without the highest bit.
fn source_of(target: u64) -> u64 {
    target ^ (1 << target.max(1).ilog2())
}
