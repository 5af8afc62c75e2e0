//! What a dead process or a damaged file leaves: a split that stopped at each of its steps, and random bits.

use super::*;
use crate::index::bucket::{Chain, Meta};

/// How far a split got before the process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Death {
    Listed,
    Cleared,
    Counted,
    Copied,
    Forwarded,
    Moved,
    Unmarked,
}

/// Dies at a step, in the word after `moved` complete ones. Returns the key whose word was being moved.
fn die_during_split(world: &World, death: Death, moved: usize) -> Option<u64> {
    let region = world.region.view();
    let table = &world.index.table;
    let target = table.count(region);
    let source = table.source(target).expect("beyond the initial buckets");
    table.list(region, target).expect("the list is empty");
    if death >= Death::Cleared {
        table.bucket(target).clear(region, Meta::SPLITTING);
    }
    if death < Death::Counted {
        return None;
    }
    assert!(table.advance(region, target));
    let mut left = moved;
    for place in Chain::of(region, table.bucket(source), source).places() {
        let word = place.read(region);
        let belongs = world.hash_of(word).is_some_and(|hash| table.number(region, hash) == target);
        if word.is_empty() || !belongs || death < Death::Copied {
            continue;
        }
        let step = if left > 0 || death == Death::Unmarked { Death::Moved } else { death };
        let copy = world.index.put(region, table.bucket(target), target, word.tentative(), world);
        let copy = copy.expect("the target has room");
        if step >= Death::Forwarded {
            assert!(place.exchange(region, word, word.forwarded()));
        }
        if step >= Death::Moved {
            assert!(copy.exchange(region, word.tentative(), word));
        }
        if left == 0 && death != Death::Unmarked {
            return Some(world.keys[slot_of(word)].load(Ordering::Relaxed));
        }
        left = left.saturating_sub(1);
    }
    if death == Death::Unmarked {
        let bucket = table.bucket(target);
        bucket.set_meta(region, bucket.meta(region).settled());
    }
    None
}

#[test]
fn a_split_is_settled_wherever_it_died() {
    use Death::*;
    for death in [Listed, Cleared, Counted, Copied, Forwarded, Moved, Unmarked] {
        for (moved, keys) in [(0, 12), (1, 12), (3, 60), (5, 60)] {
            for update in ["none", "replace", "remove"] {
                let mut world = World::new(4, 200);
                let mut map: BTreeMap<u64, usize> = (0..keys).map(|key| (key, world.slot(key))).collect();
                assert!(map.values().all(|slot| world.insert(*slot) == Ok(None)));
                // Another thread updates the very entry before it dies too.
                let key = die_during_split(&world, death, moved).unwrap_or(5);
                if update == "replace" {
                    let slot = world.slot(key);
                    assert_eq!(world.insert(slot), Ok(map.insert(key, slot)), "{death:?}");
                } else if update == "remove" {
                    assert_eq!(world.remove(key), map.remove(&key), "{death:?}");
                }
                assert!(map.iter().all(|(key, slot)| world.get(*key) == Some(*slot)), "{death:?}, before settling");

                world.restart(4);
                assert_eq!(world.index.settle(world.region.view(), &world), Ok(1));

                let mut slots: Vec<usize> = map.values().copied().collect();
                slots.sort_unstable();
                assert_eq!(world.walk(), slots, "{death:?} after {moved} of {keys}, {update}");
                assert!((0..keys).all(|key| world.get(key) == map.get(&key).copied()), "{death:?}");
                assert_eq!(world.index.buckets(world.region.view()), if death < Counted { 4 } else { 5 });
                assert_eq!(world.index.settle(world.region.view(), &world), Ok(0), "settled once and for all");
                assert!(world.index.grow(world.region.view(), &world, 1_000) > 0, "growth goes on");
                assert_eq!(world.walk(), slots);
            }
        }
    }
}

#[test]
fn a_count_or_a_page_that_can_not_be_is_refused() {
    let mut world = World::new(4, 1);
    for found in [0, 3, 17, u64::MAX] {
        world.region.view().word(0).store(found, Ordering::Relaxed);
        world.restart(4);
        assert_eq!(world.index.settle(world.region.view(), &world), Err(SettleError::Count { found, min: 4, max: 16 }));
    }
    world.region.view().word(0).store(4, Ordering::Relaxed);
    let offset = REGION_BYTES - BUCKET_BYTES;
    assert!(world.index.add_page(offset));
    assert_eq!(
        world.index.settle(world.region.view(), &world),
        Err(SettleError::Page { offset, region: REGION_BYTES })
    );
}

#[test]
fn damage_of_any_kind_is_survived() {
    for seed in 1..300 {
        let mut random = Random(seed);
        let mut world = World::new(4, 2_000);
        world.reuse_overflow = false;
        for key in 0..300 {
            let _ = world.insert(world.slot(key));
            world.index.grow(world.region.view(), &world, key);
        }
        let count = u64::from(world.index.buckets(world.region.view()));
        for _ in 0..random.below(400) {
            let start = if random.below(2) == 0 { PAGES_AT } else { OVERFLOW_AT };
            let at = start + random.below(count * 8) * 8;
            let old = world.region.view().word(at).load(Ordering::Relaxed);
            let new = match random.below(4) {
                0 => random.next(),
                1 => old ^ (1 << random.below(64)),
                2 => world.region.view().word(PAGES_AT + random.below(count * 8) * 8).load(Ordering::Relaxed),
                _ => (OVERFLOW_AT / BUCKET_BYTES + random.below(64)) | (random.below(count + 2) << 34),
            };
            world.region.view().word(at).store(new, Ordering::Relaxed);
        }
        for at in 0..8 {
            world.region.view().word(64 + at * 8).store(random.below(count + 3), Ordering::Relaxed);
        }
        world.restart(4);
        assert!(world.index.settle(world.region.view(), &world).is_ok(), "seed {seed}");
        for key in 0..400 {
            let slot = world.slot(key);
            if world.insert(slot).is_ok() {
                assert_eq!(world.get(key), Some(slot), "seed {seed}, key {key}");
            }
            world.index.grow(world.region.view(), &world, 300 + key);
        }
        world.index.for_each(world.region.view(), |_| {});
    }
}
