//! Threads on one growing index: some keys come, go and are replaced, others stay and must be seen by every reader.

use super::*;
use crate::sync::AtomicBool;
use std::collections::BTreeSet;

/// What the threads of the stress test may still own of every slot.
struct Ledger(Vec<AtomicU64>);

impl Ledger {
    fn own(&self, slot: usize) {
        assert_eq!(self.0[slot].fetch_add(1, Ordering::Relaxed), 0, "slot {slot} was won twice");
    }
}

#[test]
fn threads_lose_double_and_resurrect_nothing_while_the_index_grows() {
    const LASTING: u64 = 3_000;
    const PASSING: u64 = 2_000;
    const STEPS: usize = 30_000;
    let slots = LASTING as usize + 4 * STEPS;
    let mut world = World::new(4, slots);
    world.reuse_overflow = false;
    let ledger = Ledger((0..slots).map(|_| AtomicU64::new(0)).collect());
    let entries = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    // How many of the lasting keys are in: those below are never absent again.
    let lasting = AtomicU64::new(0);
    let change = |seed: u64| {
        let mut random = Random(seed);
        for _ in 0..STEPS {
            let key = LASTING + random.below(PASSING);
            if random.below(3) == 0 {
                if let Some(slot) = world.remove(key) {
                    entries.fetch_sub(1, Ordering::Relaxed);
                    ledger.own(slot);
                }
                continue;
            }
            let present = lasting.load(Ordering::Acquire);
            let replaces = present > 0 && random.below(2) == 0;
            let slot = world.slot(if replaces { random.below(present) } else { key });
            match world.insert(slot) {
                Ok(Some(old)) => ledger.own(old),
                Ok(None) if replaces => panic!("a lasting key was absent"),
                Ok(None) => drop(entries.fetch_add(1, Ordering::Relaxed)),
                Err(Full) => ledger.own(slot),
            }
            world.index.grow(world.region.view(), &world, entries.load(Ordering::Relaxed));
        }
    };
    std::thread::scope(|scope| {
        let changers = [scope.spawn(|| change(1)), scope.spawn(|| change(2))];
        scope.spawn(|| {
            for key in 0..LASTING {
                assert_eq!(world.insert(world.slot(key)), Ok(None));
                entries.fetch_add(1, Ordering::Relaxed);
                lasting.store(key + 1, Ordering::Release);
                world.index.grow(world.region.view(), &world, entries.load(Ordering::Relaxed));
            }
        });
        scope.spawn(|| {
            let mut random = Random(3);
            while !done.load(Ordering::Relaxed) {
                let present = lasting.load(Ordering::Acquire);
                for _ in 0..100 {
                    let key = random.below(present.max(1));
                    assert!(present == 0 || world.get(key).is_some(), "key {key} of {present} is gone");
                }
                let mut met = BTreeSet::new();
                world.index.for_each(world.region.view(), |word| {
                    met.insert(world.keys[slot_of(word)].load(Ordering::Relaxed));
                });
                assert!((0..present).all(|key| met.contains(&key)), "the walk missed a lasting key");
            }
        });
        for changer in changers {
            changer.join().expect("a changing thread failed");
        }
        done.store(true, Ordering::Relaxed);
    });
    every_slot_has_one_owner(&world, &ledger);
    assert!(world.index.buckets(world.region.view()) > 500);
}

/// Won by somebody, given up by the index, or still in it: exactly one of these for each slot used.
fn every_slot_has_one_owner(world: &World, ledger: &Ledger) {
    for (slot, why) in world.dropped.lock().expect("nobody panicked").iter() {
        assert_eq!(*why, Dropped::NoRoom);
        ledger.own(*slot);
    }
    let left = world.walk();
    left.iter().for_each(|slot| ledger.own(*slot));
    let keys: BTreeSet<u64> = left.iter().map(|slot| world.keys[*slot].load(Ordering::Relaxed)).collect();
    assert_eq!(keys.len(), left.len(), "a key is there twice");
    let used = world.next_slot.load(Ordering::Relaxed) as usize;
    assert!(ledger.0[..used].iter().all(|owned| owned.load(Ordering::Relaxed) == 1), "a slot is nobody's");
}
