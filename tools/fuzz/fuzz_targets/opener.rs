//! Opens a small real arena whose bytes were changed as the input says, and works with it: no panic, no wrong value.
//!
//! The input is a list of 8 bytes each: what to do, where, with what. The arena is made once; its file stays the same one.

#![no_main]

use also_cache::Cache;
use libfuzzer_sys::fuzz_target;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

const KEYS: u64 = 700;

struct Sample {
    path: PathBuf,
    bytes: Vec<u8>,
    _folder: tempfile::TempDir,
}

static SAMPLE: OnceLock<Sample> = OnceLock::new();

fn key(number: u64) -> String {
    format!("key:{number}:{}", "k".repeat(number as usize % 40))
}

/// Says whose it is and which write made it, in every byte.
fn value(number: u64, write: u64) -> Vec<u8> {
    let bytes = match number % 50 {
        0 => 20_000,
        1..=3 => 1_500 + number as usize * 3,
        _ => 8 + number as usize % 300,
    };
    (0..bytes as u64).map(|at| (number * 31 + write * 7 + at) as u8).collect()
}

fn open(sample: &Sample) -> Option<Cache> {
    Cache::builder().capacity(1 << 20).file(&sample.path).background(false).crash_loop_guard(false).open().ok()
}

fn sample() -> &'static Sample {
    SAMPLE.get_or_init(|| {
        let shared = std::path::Path::new("/dev/shm");
        let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let path = folder.path().join("arena");
        let cache = Cache::builder().capacity(1 << 20).file(&path).background(false).hash_seed(3);
        let cache = cache.open().expect("a new arena");
        for number in 0..KEYS {
            let _ = cache.insert(key(number), value(number, 0));
        }
        drop(cache);
        let bytes = std::fs::read(&path).expect("readable");
        Sample { path, bytes, _folder: folder }
    })
}

fn check(cache: &Cache, writes: &[u64]) {
    for number in 0..KEYS {
        if let Some(found) = cache.get(key(number)) {
            assert!(*found == *value(number, writes[number as usize]), "key {number}: a wrong value");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let sample = sample();
    let mut bytes = sample.bytes.clone();
    for change in data.chunks_exact(8) {
        let at = u32::from_le_bytes([change[1], change[2], change[3], change[4]]) as usize;
        // Half of them hit what steers everything: superblocks, live words, descriptors.
        let at = if change[0] & 0x80 == 0 { at % bytes.len().max(1) } else { at % 12_288 };
        let with = u16::from_le_bytes([change[5], change[6]]) as usize;
        match change[0] % 6 {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= change[5];
                }
            }
            2 => bytes.iter_mut().skip(at).take(with).for_each(|byte| *byte = change[7]),
            3 => {
                let page = at / 4096 * 4096;
                let other = with % 256 * 4096;
                if page + 4096 <= bytes.len() && other + 4096 <= bytes.len() {
                    bytes.copy_within(page..page + 4096, other);
                }
            }
            4 if change[7] == 0 => bytes.truncate(at),
            _ => {
                let word = at / 8 * 8;
                if word + 8 <= bytes.len() {
                    bytes[word..word + 8].copy_from_slice(&(with as u64).to_le_bytes());
                }
            }
        }
    }
    let file = std::fs::OpenOptions::new().write(true).open(&sample.path).expect("writable");
    file.set_len(0).expect("shrinks");
    file.write_all_at(&bytes, 0).expect("fits");
    let _ = also_cache::inspect::Inspection::of(&sample.path);
    let Some(cache) = open(sample) else { return };
    let mut writes = vec![0; KEYS as usize];
    check(&cache, &writes);
    for round in 0..200 {
        if !cache.maintain(Duration::from_millis(5)) {
            break;
        }
        assert!(round < 199, "housekeeping never ends");
    }
    check(&cache, &writes);
    for number in (0..KEYS).step_by(3) {
        writes[number as usize] = 1;
        let _ = cache.insert(key(number), value(number, 1));
    }
    check(&cache, &writes);
    assert!(cache.iter().count() as u64 <= KEYS);
});
