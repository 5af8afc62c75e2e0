//! Huge pages in the background, and a warm file that is mapped ahead of its reads.

use also_cache::{Cache, Recovery};
use std::time::{Duration, Instant};

#[test]
fn free_pages_become_huge_and_every_value_stays() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return eprintln!("SKIPPED: no folder in /dev/shm") };
    let path = folder.path().join("arena");
    let open = || Cache::builder().capacity(64 << 20).file(&path).background(false).open().expect("it opens");
    let cache = open();
    cache.insert("in use", "v").expect("room");
    let began = Instant::now();
    while cache.stats().huge_page_bytes < Some(WANTED) && began.elapsed() < Duration::from_secs(5) {
        cache.maintain(Duration::from_millis(1));
    }
    match cache.stats().huge_page_bytes {
        Some(0) | None => eprintln!("SKIPPED: this kernel makes no huge pages of small ones"),
        Some(bytes) => assert!(bytes >= WANTED, "{bytes} bytes on huge pages"),
    }
    for number in 0..ENTRIES {
        cache.insert(number.to_le_bytes(), [7; 400]).expect("room");
    }
    drop(cache);
    let again = open();
    assert!(matches!(again.recovery(), Recovery::Warm { .. }), "{}", again.recovery());
    while again.maintain(Duration::from_millis(1)) {}
    assert_eq!(again.get("in use").as_deref(), Some(&b"v"[..]));
    let kept = |number: u32| again.read(number.to_le_bytes(), |value| value == [7; 400]);
    assert!((0..ENTRIES).all(|number| kept(number) == Some(true)));
}

const WANTED: u64 = 4 << 20;
const ENTRIES: u32 = 40_000;
