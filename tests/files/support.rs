//! A small arena on disk with known content, and what the format says about where things lie (docs/FORMAT.md).

use also_cache::{Builder, Cache};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const CAPACITY: u64 = 2 << 20;

/// Offsets of the superblock's fields.
pub(crate) mod field {
    pub(crate) const LAYOUT_VERSION: usize = 8;
    pub(crate) const ABI: usize = 12;
    pub(crate) const SEQUENCE: usize = 16;
    pub(crate) const PAGE_BYTES: usize = 32;
    pub(crate) const PAGES: usize = 40;
    pub(crate) const PAGES_MAX: usize = 44;
    pub(crate) const INODE: usize = 56;
    pub(crate) const BOOT_ID: usize = 64;
    pub(crate) const KNOWN_ANSWERS: usize = 112;
    pub(crate) const RUN: usize = 136;
    pub(crate) const CHECKSUM: usize = 176;
    pub(crate) const END: usize = 180;
}

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

pub(crate) fn key(number: u64) -> Vec<u8> {
    let mut key = format!("key {number} ").into_bytes();
    // Keys of all lengths, some of the longest.
    let bytes = if number.is_multiple_of(97) { 1024 } else { 12 + number as usize % 40 };
    key.resize(bytes, b'.');
    key
}

/// A value that says whose it is and which write made it.
pub(crate) fn value(number: u64, write: u64) -> Vec<u8> {
    let mut random = Random(number << 24 ^ write);
    let bytes = match number % 101 {
        0 => 18_000 + random.below(40_000),
        1..=4 => 1_100 + random.below(9_000),
        5 => 0,
        _ => random.below(500),
    } as usize;
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        value.extend_from_slice(&random.next().to_le_bytes());
    }
    value.truncate(bytes);
    value
}

/// What is right: the write of each key that may be found, and none other.
pub(crate) type Content = BTreeMap<u64, u64>;

/// An arena's file, its bytes, and what is in it.
pub(crate) struct Sample {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) content: Content,
    pub(crate) sealed: bool,
}

pub(crate) const KEYS: u64 = 1_500;

pub(crate) fn builder(path: &Path) -> Builder {
    Cache::builder().capacity(CAPACITY).file(path).background(false).crash_loop_guard(false)
}

impl Sample {
    pub(crate) fn new(folder: &Path, name: &str, seal: bool) -> Self {
        let path = folder.join(name);
        let mut content = Content::new();
        let cache = builder(&path).hash_seed(7).open().expect("a new arena");
        for number in KEYS..KEYS + 100 {
            cache.insert(key(number), value(number, 0)).expect("fits");
        }
        cache.clear().expect("open");
        for write in 1..=3 {
            for number in (0..KEYS).filter(|number| write == 1 || number % (write + 1) == 0) {
                if cache.insert(key(number), value(number, write)).is_ok() {
                    content.insert(number, write);
                } else {
                    content.remove(&number);
                }
            }
        }
        for number in (0..KEYS).step_by(7) {
            cache.remove(key(number)).expect("open");
            content.remove(&number);
        }
        settle(&cache);
        // What was evicted on the way is not what an open can be asked for.
        content.retain(|number, _| cache.contains(key(*number)));
        if seal {
            cache.close().expect("closes");
        } else {
            drop(cache);
        }
        let bytes = std::fs::read(&path).expect("readable");
        Self { path, bytes, content, sealed: seal }
    }

    /// Puts bytes into the file, which stays the same one.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path).expect("writable");
        file.set_len(0).expect("shrinks");
        file.write_all_at(bytes, 0).expect("fits");
    }

    pub(crate) fn page_bytes(&self) -> usize {
        read(&self.bytes, newest(&self.bytes) + field::PAGE_BYTES, 8) as usize
    }

    /// Where pages begin.
    pub(crate) fn data_start(&self) -> usize {
        let pages_max = read(&self.bytes, newest(&self.bytes) + field::PAGES_MAX, 4) as usize;
        (8192 + 64 * pages_max).next_multiple_of(self.page_bytes())
    }

    /// Starts of the pages of a kind, by the descriptors.
    pub(crate) fn pages_of(&self, kinds: &[u64]) -> Vec<usize> {
        let pages = read(&self.bytes, newest(&self.bytes) + field::PAGES, 4) as usize;
        let kind = |page: &usize| read(&self.bytes, 8192 + 64 * page, 1);
        let of_kind = (0..pages).filter(|page| kinds.contains(&kind(page)));
        of_kind.map(|page| self.data_start() + page * self.page_bytes()).collect()
    }
}

pub(crate) fn read(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut word = [0; 8];
    word[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(word)
}

/// Where the superblock that counts begins.
pub(crate) fn newest(bytes: &[u8]) -> usize {
    let whole = |start: usize| {
        let mut block = bytes[start..start + field::END].to_vec();
        let sum = read(&block, field::CHECKSUM, 4);
        block[field::CHECKSUM..].fill(0);
        u64::from(crc32c::crc32c(&block)) == sum && block.starts_with(b"ALSOCACH")
    };
    let later = read(bytes, 4096 + field::SEQUENCE, 8) > read(bytes, field::SEQUENCE, 8);
    if whole(4096) && (later || !whole(0)) { 4096 } else { 0 }
}

/// Changes bytes of the superblock that counts, as one who could have written it.
pub(crate) fn patch(bytes: &mut [u8], at: usize, with: &[u8]) {
    let start = newest(bytes);
    bytes[start + at..start + at + with.len()].copy_from_slice(with);
    bytes[start + field::CHECKSUM..start + field::END].fill(0);
    let sum = crc32c::crc32c(&bytes[start..start + field::END]);
    bytes[start + field::CHECKSUM..start + field::END].copy_from_slice(&sum.to_le_bytes());
}

/// Housekeeping until there is nothing left to do.
pub(crate) fn settle(cache: &Cache) {
    let start = Instant::now();
    while cache.maintain(Duration::from_millis(20)) || !cache.stats().settled {
        assert!(start.elapsed() < Duration::from_secs(20), "housekeeping never ends\n{}", cache.stats());
    }
}

/// Every hit is right; returns how many.
pub(crate) fn check(cache: &Cache, content: &Content) -> u64 {
    let mut hits = 0;
    for number in 0..KEYS + 100 {
        let Some(found) = cache.get(key(number)) else { continue };
        let write = content.get(&number).unwrap_or_else(|| panic!("key {number} came back"));
        assert!(*found == *value(number, *write), "key {number}: not the value of write {write}");
        hits += 1;
    }
    for (found, bytes) in cache.iter() {
        let text = String::from_utf8_lossy(&found);
        let number = text.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a walk shows our keys");
        let write = content.get(&number).unwrap_or_else(|| panic!("key {number} came back in a walk"));
        assert!(*bytes == *value(number, *write), "key {number} in a walk: not the value of write {write}");
    }
    hits
}

/// A cache that has been opened over damage has to work like any other.
pub(crate) fn use_it(cache: &Cache, content: &mut Content, random: &mut Random, writes: u64) {
    for write in 10..10 + writes {
        let number = random.below(KEYS);
        match random.below(10) {
            0 => {
                cache.remove(key(number)).expect("open");
                content.remove(&number);
            }
            1..=3 => {
                if let Some(found) = cache.get(key(number)) {
                    let right = content.get(&number).unwrap_or_else(|| panic!("key {number} came back in use"));
                    assert!(*found == *value(number, *right), "key {number} in use: not the value of write {right}");
                }
            }
            _ => {
                if cache.insert(key(number), value(number, write)).is_ok() {
                    content.insert(number, write);
                } else {
                    content.remove(&number);
                }
            }
        }
    }
}
