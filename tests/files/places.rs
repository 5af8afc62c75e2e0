//! Paths that are not what they should be, and machines that are too small.

use crate::in_memory;
use crate::support::{CAPACITY, Sample, builder, check};
use also_cache::{Cache, ColdReason, OpenError, Recovery};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn a_file_that_is_not_ours_is_never_written_to() {
    let folder = in_memory();
    let path = folder.path().join("diary");
    for content in [b"dear diary".to_vec(), vec![0; 100_000], vec![0xff; 5_000_000], b"ALSO".to_vec()] {
        std::fs::write(&path, &content).expect("writable");
        let refused = builder(&path).open().map(|cache| cache.recovery().clone());
        assert!(matches!(refused, Err(OpenError::NotAnArena { .. })), "{refused:?}");
        assert_eq!(std::fs::read(&path).expect("readable"), content);
    }
}

#[test]
fn an_empty_file_becomes_an_arena() {
    let folder = in_memory();
    let path = folder.path().join("empty");
    std::fs::write(&path, b"").expect("writable");
    assert_eq!(*builder(&path).open().expect("opens").recovery(), Recovery::Created);
}

#[test]
fn what_is_no_file_is_an_error_that_says_so() {
    let folder = in_memory();
    let message = |path: &Path| builder(path).open().expect_err("no file").to_string();
    assert!(message(folder.path()).contains("a directory"));
    assert!(message(Path::new("/dev/null")).contains("a character device"));
    assert!(message(&folder.path().join("no/such/folder/arena")).contains("can not be opened"));
}

#[test]
fn a_second_handle_is_locked_out() {
    let folder = in_memory();
    let path = folder.path().join("arena");
    let first = builder(&path).open().expect("opens");
    assert!(matches!(builder(&path).open(), Err(OpenError::Locked { .. })));
    drop(first);
    assert!(builder(&path).open().is_ok());
}

#[test]
fn a_copy_made_while_it_was_used_is_cold() {
    let folder = in_memory();
    let (path, copy) = (folder.path().join("arena"), folder.path().join("copy"));
    let cache = builder(&path).background(true).open().expect("opens");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for number in 0..30_000_u64 {
                let _ = cache.insert(number.to_le_bytes(), [number as u8; 100]);
            }
        });
        for _ in 0..5 {
            let _ = std::fs::remove_file(&copy);
            std::fs::copy(&path, &copy).expect("copies");
            let copied = builder(&copy).open().expect("opens");
            assert!(
                matches!(copied.recovery(), Recovery::Cold { reason: ColdReason::Copied { .. } }),
                "{}",
                copied.recovery()
            );
            copied.insert("k", "v").expect("works");
        }
        writing.join().expect("writes");
    });
}

#[test]
fn an_extended_file_is_warm() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", false);
    let mut bytes = sample.bytes.clone();
    bytes.extend([0xee; 123_457]);
    sample.write(&bytes);
    let cache = builder(&sample.path).open().expect("opens");
    assert!(matches!(cache.recovery(), Recovery::Warm { .. }), "{}", cache.recovery());
    let found = check(&cache, &sample.content);
    assert!(found as usize * 10 > sample.content.len() * 9, "{found} of {}\n{}", sample.content.len(), cache.stats());
    assert!(!sample.sealed);
}

#[test]
fn too_little_memory_is_an_error_before_anything_is_taken() {
    let folder = in_memory();
    let path = folder.path().join("arena");
    let huge = Cache::builder().capacity(also_cache::limits::CAPACITY_MAX).file(&path).open();
    match huge {
        Err(OpenError::NotEnoughMemory { needed, available, .. }) => assert!(needed > available),
        Err(other) => panic!("{other}"),
        Ok(_) => println!("SKIPPED: this machine has 256 GiB to spare"),
    }
}

/// A small tmpfs, unmounted on drop; `None` where mounting is not permitted.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, options: &str) -> Option<Self> {
        let path = folder.join("mount");
        std::fs::create_dir_all(&path).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_file_system_is_an_error_and_no_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mount) = Mount::new(folder.path(), "size=1m") else {
        println!("SKIPPED: no tmpfs can be mounted here");
        return;
    };
    let path = mount.0.join("arena");
    let refused = Cache::builder().capacity(CAPACITY).file(&path).open().map(|cache| cache.recovery().clone());
    assert!(refused.is_err(), "{refused:?}");
    // The next attempt meets what the failed one left, and a fitting size works.
    let fits = Cache::builder().capacity(1 << 20).file(&path).open();
    match fits {
        Ok(cache) => drop(cache.insert("k", "v")),
        Err(error) => println!("1 MiB in 1 MiB: {error}"),
    }
}

#[test]
fn a_read_only_mount_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mount) = Mount::new(folder.path(), "size=8m") else {
        println!("SKIPPED: no tmpfs can be mounted here");
        return;
    };
    let path = mount.0.join("arena");
    drop(builder(&path).open().expect("opens"));
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&mount.0).status();
    if !remounted.is_ok_and(|status| status.success()) {
        println!("SKIPPED: the mount can not be made read-only");
        return;
    }
    let message = builder(&path).open().expect_err("read-only").to_string();
    assert!(message.contains("can not be opened"), "{message}");
}
