//! One file, one cache: who may open it when, and what keeps it mapped.

use super::{key, value};
use also_cache::{Cache, InsertError, OpenError, Recovery};
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        Self(if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("arena")
    }
}

fn open(path: &Path, capacity: u64) -> Result<Cache, OpenError> {
    Cache::builder().capacity(capacity).file(path).open()
}

#[test]
fn a_second_handle_on_one_file_is_locked_out_until_the_last_is_gone() {
    let folder = Folder::new();
    let first = open(&folder.path(), 4 << 20).expect("opens");
    first.insert("k", "v").expect("fits");
    let clone = first.clone();
    let refused = open(&folder.path(), 4 << 20).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Locked { path }) if path == folder.path()));
    drop(first);
    assert!(matches!(open(&folder.path(), 4 << 20), Err(OpenError::Locked { .. })));
    drop(clone);
    let again = open(&folder.path(), 4 << 20).expect("the last handle is gone");
    assert!(matches!(again.recovery(), Recovery::Warm { run: 2, .. }), "{}", again.recovery());
    assert_eq!(again.get("k").as_deref(), Some(b"v".as_slice()));
}

#[test]
fn a_pinned_value_keeps_its_cache_mapped_and_its_file_locked() {
    let folder = Folder::new();
    let cache = open(&folder.path(), 4 << 20).expect("opens");
    cache.insert("k", value(7, 3_000)).expect("fits");
    let pin = cache.get_pinned("k").expect("there");
    assert!(pin.is_pinned());
    drop(cache);
    let pin = std::thread::spawn(move || {
        assert_eq!(*pin, *value(7, 3_000));
        pin
    })
    .join()
    .expect("the bytes are there");
    assert!(matches!(open(&folder.path(), 4 << 20), Err(OpenError::Locked { .. })));
    drop(pin);
    let again = open(&folder.path(), 4 << 20).expect("the pin is gone");
    assert_eq!(again.get("k").as_deref(), Some(value(7, 3_000).as_slice()));
}

#[test]
fn after_a_close_reads_go_on_and_writes_are_refused() {
    let folder = Folder::new();
    let cache = open(&folder.path(), 4 << 20).expect("opens");
    for number in 0..1_000 {
        cache.insert(key(number), "v").expect("fits");
    }
    let room = cache.reserve("room", 3, also_cache::InsertOptions::new()).expect("room");
    let clone = cache.clone();
    clone.close().expect("sealed");
    assert_eq!(room.commit(), Err(InsertError::Closed));
    assert_eq!(cache.insert("k", "v"), Err(InsertError::Closed));
    assert_eq!(cache.remove(key(1)), Err(InsertError::Closed));
    assert_eq!(cache.clear(), Err(InsertError::Closed));
    assert!(matches!(cache.reserve("k", 1, also_cache::InsertOptions::new()), Err(InsertError::Closed)));
    assert!((0..1_000).all(|number| cache.contains(key(number))));
    assert!(!cache.maintain(Duration::from_millis(1)), "a sealed cache has no housekeeping");
    assert_eq!(cache.get_pinned(key(5)).as_deref(), Some(b"v".as_slice()));
    cache.clone().close().expect("closing twice is closing once");
    drop(cache);
    let again = open(&folder.path(), 4 << 20).expect("opens");
    assert!(matches!(again.recovery(), Recovery::Warm { sealed: true, entries: 1_000, .. }), "{}", again.recovery());
    while again.maintain(Duration::from_millis(5)) {}
    assert_eq!(again.len(), 1_000);
}

#[test]
fn twice_the_capacity_keeps_all_but_a_thousandth() {
    let folder = Folder::new();
    let cache = open(&folder.path(), 8 << 20).expect("opens");
    for number in 0..200_000 {
        let _ = cache.insert(key(number), value(number, number as usize % 200));
    }
    let there: Vec<u64> = (0..200_000).filter(|number| cache.contains(key(*number))).collect();
    let pages = cache.stats().pages;
    drop(cache);
    let cache = open(&folder.path(), 16 << 20).expect("opens");
    let resized = match cache.recovery() {
        Recovery::Warm { resized: Some((before, now)), .. } => (u64::from(*before), u64::from(*now)),
        other => panic!("{other}"),
    };
    assert!(resized.0 == pages && resized.1 >= 2 * pages, "{resized:?}");
    let kept = there.iter().filter(|number| {
        let number = **number;
        cache.get(key(number)).is_some_and(|found| *found == *value(number, number as usize % 200))
    });
    let kept = kept.count();
    println!("{kept} of {} kept, {} to {} pages", there.len(), resized.0, resized.1);
    assert!(there.len() > 10_000 && kept as u64 * 1_000 >= there.len() as u64 * 999);
    // The room is used: as many again fit without an eviction of those.
    let before = cache.stats();
    for number in 300_000..300_000 + kept as u64 / 2 {
        cache.insert(key(number), "new").expect("fits");
    }
    let after = cache.stats();
    assert_eq!(before.evicted_main + before.evicted_probation, after.evicted_main + after.evicted_probation, "{after}");
}

#[test]
fn a_byte_that_changed_in_the_file_is_never_served() {
    let folder = Folder::new();
    let cache = open(&folder.path(), 4 << 20).expect("opens");
    for number in 0..100 {
        cache.insert(key(number), value(number, 100)).expect("fits");
    }
    drop(cache);
    let mut bytes = std::fs::read(folder.path()).expect("readable");
    let wanted = value(42, 100);
    let at = bytes.windows(100).position(|window| window == wanted).expect("the value lies in the file");
    bytes[at + 50] ^= 1;
    // Written in place: another file would be a copy.
    let file = std::fs::OpenOptions::new().write(true).open(folder.path()).expect("writable");
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[at..at + 100], at as u64).expect("writable");
    drop(file);
    let cache = open(&folder.path(), 4 << 20).expect("opens");
    assert!(matches!(cache.recovery(), Recovery::Warm { .. }), "{}", cache.recovery());
    assert!(cache.get(key(42)).is_none(), "a damaged value was served");
    assert_eq!((0..100).filter(|number| cache.contains(key(*number))).count(), 99);
    assert_eq!(cache.stats().damaged, 1);
}

#[test]
fn a_reader_that_refreshes_lets_what_was_retired_go() {
    let cache = Cache::builder().capacity(1 << 20).background(false).open().expect("opens");
    let retired = || {
        for _ in 0..20 {
            cache.maintain(Duration::from_millis(1));
        }
        cache.stats().retired_bytes
    };
    cache.insert("k", "old").expect("fits");
    let mut reader = cache.reader();
    cache.insert("k", "new").expect("fits");
    assert!(retired() > 0, "the reader may still be looking at the old value");
    assert_eq!(reader.get("k"), Some(b"new".as_slice()));
    reader.refresh();
    cache.maintain(Duration::from_millis(1));
    reader.refresh();
    assert_eq!(retired(), 0, "nobody looks at the old value any more");
}

#[test]
fn what_can_not_be_replaced_is_left_as_it_is() {
    let folder = Folder::new();
    let path = folder.path();
    open(&path, 4 << 20).expect("opens").insert("k", "v").expect("fits");
    // More than any machine has, and than this file can grow to.
    let refused = open(&path, 1 << 38).expect_err("no machine has so much");
    assert!(matches!(refused, OpenError::NotEnoughMemory { .. }), "{refused}");
    let cache = open(&path, 4 << 20).expect("opens");
    assert!(matches!(cache.recovery(), Recovery::Warm { .. }), "{}", cache.recovery());
    assert!(cache.contains("k"));
}
