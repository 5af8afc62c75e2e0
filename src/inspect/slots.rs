//! The slots: every page of them once, each control word, and each entry's key, lengths and checksum.

#![forbid(unsafe_code)]

use crate::arena::classes::ClassId;
use crate::arena::frame::{FRAME_START, FrameHeader, HEADER_BYTES};
use crate::arena::layout::PageId;
use crate::arena::page::PageKind;
use crate::arena::slot::{Control, State};
use crate::eviction::expiry::TimeToLive;
use crate::inspect::image::Image;
use crate::inspect::words::{Named, Words};
use crate::inspect::{AGES, ClassOccupancy, Inspection, TIMES_TO_LIVE, count_in, now_us};
use crate::types::key::{Key, KeyHasher};
use std::collections::BTreeMap;
use zerocopy::FromBytes;
use zerocopy::little_endian::{U32, U64};

struct Check<'a> {
    image: &'a Image,
    hasher: KeyHasher,
    now_us: u64,
    classes: BTreeMap<u64, ClassOccupancy>,
}

/// Looks at every slot.
pub(super) fn check(image: &Image, words: &mut Words, found: &mut Inspection) {
    let hasher = KeyHasher::new(image.block.seeds.map(U64::get));
    let mut check = Check { image, hasher, now_us: now_us(&image.block), classes: BTreeMap::new() };
    for page in image.pages() {
        if let Some((kind, class)) = image.kind(page)
            && matches!(kind, PageKind::Data | PageKind::Large | PageKind::RunHead)
        {
            check.page(page, kind, class, words, found);
        }
    }
    for (offset, named) in words.unmet() {
        found.problem(offset, || format!("bucket {} names it, and no slot begins there", named.bucket));
    }
    found.classes = check.classes.into_values().collect();
}

impl Check<'_> {
    fn page(&mut self, page: PageId, kind: PageKind, class: ClassId, words: &mut Words, found: &mut Inspection) {
        let start = self.image.layout.page_start(page);
        let slot_bytes = u64::from(self.image.classes.slot_bytes(class));
        let slots = if kind == PageKind::RunHead { 1 } else { u64::from(self.image.classes.slots_per_page(class)) };
        let bytes = match self.image.room(start) {
            Some(room) if kind == PageKind::RunHead => self.image.bytes(start, room.min(self.image.file_bytes)),
            _ => self.image.page(page),
        };
        if kind != PageKind::RunHead {
            let row = self.row(class);
            row.pages += 1;
            row.slots += slots;
        }
        let mut number = 0;
        while number < slots {
            let at = number * slot_bytes;
            number += self.slot(start + at, &bytes[at as usize..], class, words, found).max(1);
        }
    }

    fn row(&mut self, class: ClassId) -> &mut ClassOccupancy {
        let slot_bytes = u64::from(self.image.classes.slot_bytes(class));
        let is_large = class == ClassId::LARGE;
        let row = self.classes.entry(u64::from(class.0)).or_default();
        (row.slot_bytes, row.is_large) = (slot_bytes, is_large);
        row
    }

    /// One slot, by its bytes up to the end of its page or run. Returns how many slots or blocks it takes.
    fn slot(&mut self, offset: u64, bytes: &[u8], class: ClassId, words: &mut Words, found: &mut Inspection) -> u64 {
        let control = U32::read_from_prefix(bytes).map_or(0, |(word, _)| word.get());
        let state = Control::from_bits(control).state();
        let Some(named) = words.naming(offset) else {
            // Within pages of blocks most of them are the middle of a value, or what is left of one.
            let row = self.row(class);
            match state {
                Some(State::Writing) if class != ClassId::LARGE => row.writing += 1,
                Some(State::Retired) if class != ClassId::LARGE => row.retired += 1,
                Some(State::Live) if class != ClassId::LARGE => found.orphans += 1,
                _ => {}
            }
            return 1;
        };
        named.met = true;
        let named = *named;
        match self.entry(offset, bytes, state, &named, words) {
            Ok(used) => {
                found.entries += 1;
                let row = self.row(class);
                row.live += 1;
                row.used_bytes += used;
                let Some(header) = FrameHeader::read(&bytes[FRAME_START as usize..]) else { return 1 };
                let age = self.now_us.saturating_sub(header.stamp().micros());
                count_in(&mut found.ages, AGES, age);
                let ttl = TimeToLive::from_bits(header.ttl()).deadline(0).unwrap_or(u64::MAX);
                count_in(&mut found.times_to_live, TIMES_TO_LIVE, ttl);
                if class == ClassId::LARGE { used.div_ceil(self.image.classes.block_bytes()) } else { 1 }
            }
            Err(what) => {
                found.problem(offset, || what);
                1
            }
        }
    }

    /// Whether a named slot is what its word says; the bytes that it uses.
    fn entry(
        &self,
        offset: u64,
        bytes: &[u8],
        state: Option<State>,
        named: &Named,
        words: &Words,
    ) -> Result<u64, String> {
        if state != Some(State::Live) {
            let met = state.map_or("in no known state".to_owned(), |state| format!("{state:?}").to_uppercase());
            return Err(format!("bucket {} names a slot that is {met}", named.bucket));
        }
        if bytes[5] != named.word.generation().0 {
            return Err(format!("generation {}, its word has {}", bytes[5], named.word.generation().0));
        }
        let header = FrameHeader::read(&bytes[FRAME_START as usize..]).ok_or("no room for a header")?;
        let extent = header.extent();
        let room = self.image.room(offset).ok_or("no slot begins here")?.min(bytes.len() as u64);
        if extent.end() > room || extent.key_bytes == 0 {
            return Err(format!("{} bytes in a slot with room for {room}", extent.end()));
        }
        let part = |start: u64, len: u64| &bytes[start as usize..(start + len) as usize];
        let key = Key::new(header.keyspace(), part(extent.key_start, extent.key_bytes)).ok_or("no valid key")?;
        let hash = self.hasher.hash(key);
        if hash.tag() != named.word.tag() || !words.may_stand_in(hash, named.bucket) {
            return Err(format!("its key belongs to bucket {}, its word is in {}", words.home(hash), named.bucket));
        }
        if header.checksum_of(part(HEADER_BYTES, extent.end() - HEADER_BYTES)) != header.checksum() {
            return Err("the checksum is wrong".to_owned());
        }
        Ok(extent.end())
    }
}
