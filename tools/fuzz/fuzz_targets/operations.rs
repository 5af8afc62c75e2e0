//! A byte stream as operations on a small cache, beside a map: a hit is what was written last.

#![no_main]

use also_cache::{Cache, InsertOptions, ManualClock};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let clock = ManualClock::new();
    let cache = Cache::builder().capacity(1 << 20).background(false).clock(clock.clone()).hash_seed(9);
    let cache = cache.open().expect("a small cache");
    // Value and deadline in milliseconds of the virtual time.
    let mut model: HashMap<u16, (Vec<u8>, u64)> = HashMap::new();
    let (mut now_ms, mut pinned) = (0_u64, Vec::new());
    for step in data.chunks_exact(6) {
        let number = u16::from_le_bytes([step[1], step[2]]) % 600;
        let key = [b"key:".as_slice(), &number.to_le_bytes()].concat();
        let bytes = u16::from_le_bytes([step[3], step[4]]) as usize % 30_000 >> (step[5] % 12);
        match step[0] % 12 {
            0..=4 => {
                let value = vec![step[5]; bytes];
                let ttl_ms = if step[5] & 1 == 1 { 1 + u64::from(step[4]) } else { u64::MAX / 2 };
                let mut options = InsertOptions::new();
                if step[5] & 1 == 1 {
                    options = options.ttl(Duration::from_millis(ttl_ms));
                }
                match cache.insert_with(&key, &value, options) {
                    Ok(_) => drop(model.insert(number, (value, now_ms + ttl_ms))),
                    Err(_) => drop(model.remove(&number)),
                }
            }
            5 | 6 => {
                if let Some(found) = cache.get(&key) {
                    let (value, until) = model.get(&number).expect("a hit was written");
                    assert!(*found == **value && now_ms <= *until, "key {number}");
                }
            }
            7 => {
                cache.remove(&key).expect("open");
                model.remove(&number);
            }
            8 => {
                if let Ok(mut room) = cache.reserve(&key, bytes, InsertOptions::new()) {
                    room.fill(step[5]);
                    if step[5] & 2 == 2 {
                        match room.commit() {
                            Ok(_) => drop(model.insert(number, (vec![step[5]; bytes], u64::MAX / 2))),
                            Err(_) => drop(model.remove(&number)),
                        }
                    }
                } else {
                    model.remove(&number);
                }
            }
            9 => {
                clock.advance(Duration::from_millis(u64::from(step[5])));
                now_ms += u64::from(step[5]);
            }
            10 => {
                if let Some(value) = cache.get_pinned(&key) {
                    pinned.push((value.to_vec(), value));
                }
                if pinned.len() > 20 {
                    pinned.clear();
                }
            }
            _ if step[5] == 0 => {
                cache.clear().expect("open");
                model.clear();
            }
            _ => drop(cache.maintain(Duration::from_micros(200))),
        }
    }
    for (copy, value) in &pinned {
        assert!(copy.as_slice() == &**value, "a pinned value changed");
    }
    for (number, (value, until)) in &model {
        let key = [b"key:".as_slice(), &number.to_le_bytes()].concat();
        if let Some(found) = cache.get(&key) {
            assert!(*found == **value && now_ms <= *until, "key {number} at the end");
        }
    }
});
