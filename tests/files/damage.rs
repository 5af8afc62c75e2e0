//! Random damage, by seed.

use crate::support::{Random, Sample};

/// What was done to the bytes.
pub(crate) struct Damage {
    pub(crate) bytes: Vec<u8>,
    pub(crate) what: &'static str,
    pub(crate) region: &'static str,
}

/// The regions of a file that damage aims at.
const REGIONS: &[&str] =
    &["superblocks", "live words", "descriptors", "index", "overflow", "data", "slot headers", "large", "runs", "all"];
const KINDS: &[&str] = &["flip", "zero", "garbage", "swap pages", "copy a page", "swap 4 KiB", "truncate", "extend"];

impl Damage {
    pub(crate) fn new(sample: &Sample, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut bytes = sample.bytes.clone();
        // By turns, so that few seeds reach all.
        let what = KINDS[if seed.is_multiple_of(3) { seed as usize / 3 % KINDS.len() } else { 0 }];
        let region = REGIONS[seed as usize % REGIONS.len()];
        let (start, end) = range(sample, region, &mut random);
        let page = sample.page_bytes();
        let pages = (bytes.len() - sample.data_start()) / page;
        let page_at = |random: &mut Random| sample.data_start() + random.below(pages as u64) as usize * page;
        match what {
            "flip" => {
                for _ in 0..1 + random.below(12) {
                    let at = start + random.below((end - start) as u64) as usize;
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            "zero" | "garbage" => {
                let at = start + random.below((end - start) as u64) as usize;
                let scale = random.below(16);
                let len = (1 + random.below(1 << scale)) as usize;
                let to = (at + len).min(end);
                for byte in &mut bytes[at..to] {
                    *byte = if what == "zero" { 0 } else { random.next() as u8 };
                }
            }
            "swap pages" | "copy a page" => {
                let (one, other) = (page_at(&mut random), page_at(&mut random));
                let copy = bytes[one..one + page].to_vec();
                if what == "swap pages" {
                    bytes.copy_within(other..other + page, one);
                }
                bytes[other..other + page].copy_from_slice(&copy);
            }
            "swap 4 KiB" => {
                let blocks = bytes.len() as u64 / 4096;
                let (one, other) = (random.below(blocks) as usize * 4096, random.below(blocks) as usize * 4096);
                let copy = bytes[one..one + 4096].to_vec();
                bytes.copy_within(other..other + 4096, one);
                bytes[other..other + 4096].copy_from_slice(&copy);
            }
            "truncate" => bytes.truncate(random.below(bytes.len() as u64) as usize),
            _ => bytes.extend((0..1 + random.below(100_000)).map(|at| at as u8)),
        }
        Self { bytes, what, region }
    }
}

/// A range of bytes within a region.
fn range(sample: &Sample, region: &str, random: &mut Random) -> (usize, usize) {
    let page = sample.page_bytes();
    let mut one_of = |kinds: &[u64]| {
        let pages = sample.pages_of(kinds);
        match pages.is_empty() {
            true => (0, sample.bytes.len()),
            false => {
                let start = pages[random.below(pages.len() as u64) as usize];
                (start, start + page)
            }
        }
    };
    match region {
        "superblocks" => (4096 * (random.below(2) as usize), 4096 + 180),
        "live words" => (2048, 2048 + 112),
        "descriptors" => (8192, 8192 + 64 * ((sample.bytes.len() - sample.data_start()) / page)),
        "index" => one_of(&[3]),
        "overflow" => one_of(&[4]),
        "data" => one_of(&[1]),
        "slot headers" => {
            let (start, _) = one_of(&[1]);
            // Slots start at multiples of 16; the first few hundred bytes have some of any class.
            (start, start + 512)
        }
        "large" => one_of(&[2]),
        "runs" => one_of(&[5, 6]),
        _ => (0, sample.bytes.len()),
    }
}
