//! Kills while an arena is made, and lives that are too short.

use crate::lives::{SIGKILL, child_command, in_memory};
use crate::scenario::Scenario;
use also_cache::{ColdReason, Recovery};
use std::os::unix::process::ExitStatusExt;

/// A child that dies while the first page of a new arena is assigned.
pub(crate) fn kill_during_creation(passage: u64) {
    let folder = in_memory();
    let scenario = Scenario::Full;
    let mut command = child_command(folder.path(), scenario);
    command.env("ALSO_CACHE_FAILPOINT", format!("page.assigned:kill:{passage}"));
    command.env("RESTART_WRITES", u64::MAX.to_string());
    let status = command.status().expect("the child runs");
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
    let cache = scenario.builder(folder.path()).open().expect("opens");
    // The first page is the index, before the superblock is written; later ones are taken by writers.
    match cache.recovery() {
        Recovery::Cold { reason: ColdReason::SuperblockDamaged } => assert_eq!(passage, 1),
        Recovery::Warm { .. } => assert!(passage > 1),
        other => panic!("passage {passage}: {other}"),
    }
    cache.insert("k", "v").expect("works");
    assert_eq!(cache.get("k").as_deref(), Some(b"v".as_slice()));
}

/// Lives that are cut down, and what the guard makes of them.
pub(crate) fn crash_loop() {
    let folder = in_memory();
    let scenario = Scenario::Full;
    let guarded = || scenario.builder(folder.path()).crash_loop_guard(true).open().expect("opens");
    let cut_down = || {
        let mut command = child_command(folder.path(), scenario);
        let status = command.env("RESTART_FAILPOINT", "insert.linked").status().expect("the child runs");
        assert_eq!(status.signal(), Some(SIGKILL), "{status}");
    };
    // Ends in order do not count, however many.
    for _ in 0..5 {
        drop(guarded());
    }
    assert!(matches!(guarded().recovery(), Recovery::Warm { .. }));
    for _ in 0..3 {
        cut_down();
    }
    let half = {
        let cache = guarded();
        let cold = Recovery::Cold { reason: ColdReason::CrashLoop { lives: 3 } };
        assert_eq!(*cache.recovery(), cold, "{}", cache.recovery());
        cache.stats().file_bytes
    };
    assert!(half <= scenario.capacity() / 2, "{half} bytes");
    // One more chance at full size; and without the guard no number of lives is too many.
    for _ in 0..3 {
        cut_down();
    }
    let unguarded = scenario.builder(folder.path()).open().expect("opens");
    assert!(matches!(unguarded.recovery(), Recovery::Warm { .. }), "{}", unguarded.recovery());
}
