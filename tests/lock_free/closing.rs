//! The end of a cache: a close waits for writers, with a bound, and not for readers; the last handle ends the housekeeper.

use super::support::Watchdog;
use super::{LetGo, alone};
use also_cache::failpoint::{Action, arm, hits};
use also_cache::inspect::Inspection;
use also_cache::limits::CLOSE_WAIT_MAX_MS;
use also_cache::{Cache, InsertError, OpenError, PinnedValue, Recovery};
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub(super) fn in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a folder")
}

fn open(path: &Path) -> Cache {
    Cache::builder().capacity(4 << 20).file(path).background(false).hash_seed(5).open().expect("opens")
}

/// What the writer does, and what its key holds afterwards.
const WRITES: [(&str, &str, Option<&[u8]>); 3] = [
    ("insert.written", "absent", Some(b"new")),
    ("replace.swapped", "there", Some(b"new")),
    ("remove.unlinked", "there", None),
];

/// Closes while a writer is parked at a failpoint, and after it went on.
fn close_beside(point: &'static str, key: &str, after: Option<&[u8]>, in_time: bool) {
    let folder = in_memory();
    let path = folder.path().join("arena");
    let cache = open(&path);
    for key in ["there", "elsewhere"] {
        cache.insert(key, "old").expect("fits");
    }
    arm(point, Action::Park);
    std::thread::scope(|scope| {
        let stop = AtomicBool::new(false);
        let let_go = LetGo { point, stop: &stop };
        let writer = scope.spawn(|| match after {
            Some(value) => cache.insert(key, value).map(|_| ()),
            None => cache.remove(key).map(|_| ()),
        });
        while hits(point) == 0 {
            std::thread::yield_now();
        }
        let closing = scope.spawn(|| cache.clone().close());
        while cache.remove("none") != Err(InsertError::Closed) {
            std::thread::yield_now();
        }
        assert_eq!(cache.get("elsewhere").as_deref(), Some(b"old".as_slice()));
        if in_time {
            drop(let_go);
            closing.join().expect("no panic").expect("the writer went on");
        } else {
            let told = closing.join().expect("no panic");
            let wanted = matches!(told, Err(OpenError::NotSealed { inside: 1, waited_ms: CLOSE_WAIT_MAX_MS }));
            assert!(wanted, "{point}: {told:?}");
            assert!(!Inspection::of(&path).expect("an arena").sealed, "{point}: sealed beside a writer");
            drop(let_go);
        }
        assert_eq!(writer.join().expect("no panic"), Ok(()), "{point}: begun before the close");
    });
    cache.close().expect("nobody is inside");
    let again = open(&path);
    let entries = if key == "absent" { 3 } else { 1 + u64::from(after.is_some()) };
    assert!(
        matches!(again.recovery(), Recovery::Warm { sealed: true, entries: told, .. } if *told == entries),
        "{point}: {}",
        again.recovery()
    );
    assert_eq!(again.get(key).as_deref(), after, "{point}");
}

#[test]
fn a_close_seals_only_once_nobody_is_inside_a_write() {
    let _alone = alone();
    for (point, key, after) in WRITES {
        let _watchdog = Watchdog::new(point, 60);
        for in_time in [true, false] {
            close_beside(point, key, after, in_time);
        }
    }
}

#[test]
fn a_close_waits_for_no_reader_no_pin_and_no_reservation() {
    let _alone = alone();
    let _watchdog = Watchdog::new("a close beside readers", 60);
    let folder = in_memory();
    let path = folder.path().join("arena");
    let cache = open(&path);
    cache.insert("k", "v").expect("fits");
    let room = cache.reserve("later", 5, also_cache::InsertOptions::new()).expect("fits");
    let (value, pinned, reader) = (cache.get("k"), cache.get_pinned("k"), cache.reader());
    cache.clone().close().expect("readers do not count");
    assert!(Inspection::of(&path).expect("an arena").sealed);
    assert_eq!(value.as_deref(), Some(b"v".as_slice()));
    assert_eq!(pinned.as_deref(), Some(b"v".as_slice()));
    assert_eq!(reader.get("k"), Some(b"v".as_slice()));
    assert_eq!(room.commit(), Err(InsertError::Closed));
    drop((value, pinned, reader));
    drop(cache);
    let again = open(&path);
    assert!(matches!(again.recovery(), Recovery::Warm { sealed: true, entries: 1, .. }), "{}", again.recovery());
    assert!(again.get("later").is_none());
}

/// Housekeepers of this process; no other test of this crate has one.
fn housekeepers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux tells its threads").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "also-cache").count()
}

fn wait_for_housekeepers(wanted: usize) {
    while housekeepers() != wanted {
        std::thread::yield_now();
    }
}

#[test]
fn the_housekeeper_ends_with_the_last_handle_whatever_that_is() {
    let _alone = alone();
    let folder = in_memory();
    let path = folder.path().join("arena");
    type Keep = fn(&Cache) -> Box<dyn Send>;
    let kept: [(&str, Keep); 4] = [
        ("a clone", |cache| Box::new(cache.clone())),
        ("a pinned value", |cache| Box::new(cache.get_pinned("k").filter(PinnedValue::is_pinned).expect("there"))),
        ("a value of a walk", |cache| Box::new(cache.iter().next().expect("there").1)),
        ("a pinned value of a closed cache", |cache| {
            cache.clone().close().expect("closes");
            Box::new(cache.get_pinned("k").expect("there"))
        }),
    ];
    for (what, keep) in kept {
        let _watchdog = Watchdog::new(what, 60);
        let cache = Cache::builder().capacity(4 << 20).file(&path).open().expect("nobody has the file any more");
        cache.insert("k", "v").expect("fits");
        let last = keep(&cache);
        drop(cache);
        wait_for_housekeepers(1);
        assert!(
            matches!(Cache::builder().capacity(4 << 20).file(&path).open(), Err(OpenError::Locked { .. })),
            "{what}"
        );
        std::thread::spawn(move || drop(last)).join().expect("no panic");
        wait_for_housekeepers(0);
    }
}
