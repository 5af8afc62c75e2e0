//! What size classes cost: of the bytes of all slots with an entry, those that neither header, key nor value uses.
//!
//! Lengths are uniform from 64 bytes to the longest. A value above the largest class counts with its blocks, one above a
//! page with its pages. Only our cache has slots.

use crate::failure::Result;
use crate::value::{self, KEY_BYTES};
use also_cache::{Cache, Place, Stats};

/// Percent of the bytes of live slots that are unused, over a cache filled twice.
pub(super) fn measure(bytes: u64, longest: u64) -> Result<Vec<(String, f64)>> {
    let cache = Cache::builder().capacity(bytes).open()?;
    let keys = bytes * 4 / (SHORTEST + longest);
    let mut buffer = Vec::new();
    for number in 0..keys {
        value::write(&mut buffer, number, 0, value::length(number, 0, SHORTEST, longest));
        // What is refused is not there below.
        let _ = cache.insert(value::key(number), &buffer);
    }
    let stats = cache.stats();
    let (mut used, mut taken, mut entries) = (0, 0, 0);
    for number in 0..keys {
        let Ok(found) = cache.explain(value::key(number)) else { continue };
        if let (Place::Probation | Place::Main, Some(slot_bytes)) = (found.place, found.slot_bytes) {
            let frame = framed_bytes(value::length(number, 0, SHORTEST, longest) as u64);
            used += frame;
            taken += taken_bytes(frame, slot_bytes, &stats);
            entries += 1;
        }
    }
    let waste = 100.0 * (taken - used) as f64 / (taken as f64).max(1.0);
    Ok(vec![("slot bytes unused, %".to_owned(), waste), ("entries".to_owned(), f64::from(entries))])
}

/// Header, key, padding to 8, value.
fn framed_bytes(value_bytes: u64) -> u64 {
    HEADER_BYTES + (KEY_BYTES as u64).next_multiple_of(8) + value_bytes
}

/// Bytes of the slot, of the blocks or of the pages that an entry stands in.
fn taken_bytes(frame: u64, slot_bytes: u64, stats: &Stats) -> u64 {
    let largest = stats.classes.iter().filter(|class| !class.is_large).map(|class| class.slot_bytes).max().unwrap_or(0);
    let block = stats.classes.iter().find(|class| class.is_large).map_or(stats.page_bytes, |class| class.slot_bytes);
    match frame {
        _ if slot_bytes <= largest => slot_bytes,
        _ if frame <= stats.page_bytes => frame.next_multiple_of(block),
        _ => frame.next_multiple_of(stats.page_bytes),
    }
}

const SHORTEST: u64 = 64;
const HEADER_BYTES: u64 = 32;
