//! Files that somebody else could have written: whole superblocks with other facts in them.

use crate::in_memory;
use crate::support::{Sample, builder, check, field, newest, patch, read, settle};
use also_cache::{Cache, ColdReason, Recovery};

/// Opens a patched file: cold for a reason, or warm.
fn recovery(sample: &Sample, at: usize, with: &[u8]) -> Recovery {
    let mut bytes = sample.bytes.clone();
    patch(&mut bytes, at, with);
    sample.write(&bytes);
    let cache = builder(&sample.path).open().expect("opens");
    let warm = matches!(cache.recovery(), Recovery::Warm { .. });
    let hits = check(&cache, &sample.content);
    assert_eq!(warm, hits > 0, "{}: {hits} hits", cache.recovery());
    cache.insert("k", "v").expect("works");
    cache.recovery().clone()
}

fn reason(recovery: Recovery) -> ColdReason {
    match recovery {
        Recovery::Cold { reason } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn every_doubt_about_the_superblock_is_cold_with_its_reason() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", false);
    let cold = |at: usize, with: &[u8]| reason(recovery(&sample, at, with));
    assert!(matches!(cold(field::LAYOUT_VERSION, &[9, 0, 0, 0]), ColdReason::LayoutVersion { found: 9, .. }));
    assert!(matches!(cold(field::ABI, &[1, 2, 3, 4]), ColdReason::AbiChanged { found: 0x0403_0201, .. }));
    assert_eq!(cold(field::KNOWN_ANSWERS, &[0; 8]), ColdReason::HashChanged);
    assert_eq!(cold(field::BOOT_ID, &[7; 16]), ColdReason::Rebooted);
    assert!(matches!(cold(field::INODE, &[1; 8]), ColdReason::Copied { .. }));
    assert_eq!(cold(field::RUN, &[0xff, 0xff, 0, 0]), ColdReason::RunsExhausted(0xffff));
    for page_bytes in [0, 1, 4096, 12_345, 1 << 40, 1 << 63, u64::MAX] {
        assert_eq!(cold(field::PAGE_BYTES, &u64::to_le_bytes(page_bytes)), ColdReason::Geometry, "{page_bytes}");
    }
    assert_eq!(cold(field::PAGES, &[0; 4]), ColdReason::Geometry);
    assert_eq!(cold(field::PAGES, &[0xff; 4]), ColdReason::Geometry);
    assert_eq!(cold(field::PAGES_MAX, &[0xff; 4]), ColdReason::Geometry);
    let pages = read(&sample.bytes, newest(&sample.bytes) + field::PAGES, 4) as u32;
    assert!(matches!(cold(field::PAGES, &(pages * 2).to_le_bytes()), ColdReason::Truncated { .. }));
    // Fewer pages than there were: the rest of the file is taken for growth, and what it holds is as right as before.
    recovery(&sample, field::PAGES, &(pages / 2).to_le_bytes());
}

#[test]
fn facts_that_are_only_carried_along_do_no_harm() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", false);
    for (at, len) in [(field::SEQUENCE, 8), (144, 4), (148, 4), (160, 8), (168, 8)] {
        let recovery = recovery(&sample, at, &vec![0xff; len]);
        assert!(matches!(recovery, Recovery::Warm { .. }), "field at {at}: {recovery}");
    }
}

#[test]
fn a_sealed_arena_is_warm_in_another_boot() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", true);
    let recovery = recovery(&sample, field::BOOT_ID, &[7; 16]);
    assert!(matches!(recovery, Recovery::Warm { sealed: true, .. }), "{recovery}");
}

#[test]
fn live_words_that_can_not_be_are_cold() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", false);
    let with = |at: usize, word: u64| {
        let mut bytes = sample.bytes.clone();
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        sample.write(&bytes);
        builder(&sample.path).open().expect("opens")
    };
    let cold = |cache: Cache| reason(cache.recovery().clone());
    assert!(matches!(cold(with(2048, u64::MAX)), ColdReason::Clock { .. }));
    for buckets in [0, 1, 1 << 20, u64::MAX] {
        assert!(matches!(cold(with(2056, buckets)), ColdReason::Index(_)), "{buckets} buckets");
    }
    assert_eq!(cold(with(2144, u64::MAX)), ColdReason::Clears);
    // Lost clears come back from the copy, with any number of entries, splits and signs of life.
    for at in [2144, 4096 + 2144, 2064, 2128, 2136] {
        for word in [0, u64::MAX] {
            if (at, word) == (4096 + 2144, u64::MAX) {
                continue;
            }
            if (at, word) == (2144, u64::MAX) {
                continue;
            }
            let cache = with(at, word);
            assert!(matches!(cache.recovery(), Recovery::Warm { .. }), "word {word:x} at {at}: {}", cache.recovery());
            assert!(check(&cache, &sample.content) > 0);
        }
    }
}

#[test]
fn descriptors_of_no_kind_cost_their_pages_and_nothing_else() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", false);
    let pages = read(&sample.bytes, newest(&sample.bytes) + field::PAGES, 4) as usize;
    let data = (0..pages).find(|page| read(&sample.bytes, 8192 + 64 * page, 1) == 1).expect("a page of data");
    // Kind, class: classes that do not exist, kinds that do not exist, kinds with the class of another.
    for (kind, class) in
        [(1, 200), (1, 79), (1, 80), (1, 81), (2, 3), (4, 0), (5, 80), (6, 80), (7, 9), (9, 0), (255, 255)]
    {
        let mut bytes = sample.bytes.clone();
        bytes[8192 + 64 * data] = kind;
        bytes[8192 + 64 * data + 1] = class;
        sample.write(&bytes);
        let cache = builder(&sample.path).open().expect("opens");
        assert!(matches!(cache.recovery(), Recovery::Warm { .. }), "{kind} {class}: {}", cache.recovery());
        let hits = check(&cache, &sample.content);
        assert!(hits * 10 > sample.content.len() as u64 * 8, "{kind} {class}: {hits} hits");
        crate::support::settle(&cache);
        check(&cache, &sample.content);
    }
}

/// Life 1 leaves a file, life 2 writes into it, then one superblock is damaged, then life 3. A run that two lives shared
/// would make life 3 believe what life 2 marked as checked.
#[test]
fn a_damaged_superblock_lets_no_two_lives_share_a_run() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", false);
    for (damaged, read_first) in [(0, false), (4096, false), (0, true), (4096, true)] {
        sample.write(&sample.bytes);
        let second = builder(&sample.path).open().expect("opens");
        assert!(matches!(second.recovery(), Recovery::Warm { run: 2, .. }), "{}", second.recovery());
        let (bytes, key) = ([0x5a; 333], "written by the second life");
        second.insert(key, bytes).expect("fits");
        drop(second);
        let mut file = std::fs::read(&sample.path).expect("readable");
        file[damaged + field::SEQUENCE] ^= 0x10;
        let at = file.windows(bytes.len()).position(|window| window == bytes).expect("it is there");
        file[at + 7] ^= 1;
        sample.write(&file);
        let third = builder(&sample.path).open().expect("opens");
        assert!(matches!(third.recovery(), Recovery::Warm { run: 3, .. }), "{damaged}: {}", third.recovery());
        if !read_first {
            settle(&third);
        }
        assert!(third.get(key).is_none(), "{damaged}: a damaged value is served");
        assert_eq!(third.stats().damaged, 1);
        settle(&third);
        assert!(check(&third, &sample.content) > 0);
    }
}
