//! One suite over every kind of region: what holds for all, then what holds for files, then what each refuses.
//!
//! Kinds: heap, anonymous, file on tmpfs (`/dev/shm`), file on disk (a folder below the current one). What a machine
//! does not offer (no `/dev/shm`, no right to mount) is said aloud and left out.

mod files;
mod huge_pages;
mod refusals;

use super::kind::{HUGE_PAGE, PAGE};
use super::*;
use crate::sync::Ordering::Relaxed;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const LEN: u64 = 64 * PAGE;

/// A name, a region of `LEN` bytes, and the folder that holds its file.
type Case = (&'static str, Region, Option<TempDir>);

fn every_kind() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![
        ("heap", Region::heap(LEN), None),
        ("anonymous", Region::anonymous(LEN, PAGE).expect("memory"), None),
        ("anonymous, aligned", Region::anonymous(LEN, HUGE_PAGE).expect("memory"), None),
    ];
    for (name, folder) in file_folders() {
        let path = folder.path().join("arena");
        cases.push((name, mapped(&path, LEN), Some(folder)));
    }
    cases
}

fn file_folders() -> Vec<(&'static str, TempDir)> {
    let mut folders = vec![("file on disk", tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder"))];
    match tempfile::tempdir_in("/dev/shm") {
        Ok(folder) => folders.push(("file on tmpfs", folder)),
        Err(error) => eprintln!("SKIPPED: files on tmpfs: {error}"),
    }
    folders
}

fn opened(path: &Path) -> OpenedFile {
    OpenedFile::open(path).expect("a lockable file")
}

fn mapped(path: &Path, len: u64) -> Region {
    opened(path).map(len, &[]).expect("a region")
}

fn panics(call: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err()
}

#[test]
fn bytes_are_zero_at_birth_and_as_many_as_wanted() {
    for (name, region, _folder) in every_kind() {
        assert_eq!(region.view().len(), LEN, "{name}");
        assert_eq!(region.address_range().len() as u64, LEN, "{name}");
        assert!(region.address_range().start.is_multiple_of(PAGE as usize), "{name}");
        for offset in (0..LEN).step_by(8) {
            assert_eq!(region.view().word(offset).load(Relaxed), 0, "{name} at {offset:#x}");
        }
    }
}

#[test]
fn stores_of_other_threads_are_seen_through_words_controls_and_bytes() {
    for (name, region, _folder) in every_kind() {
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let region = &region;
                scope.spawn(move || {
                    region.view().word(thread * PAGE).store(thread + 1, Relaxed);
                    region.view().control(thread * PAGE + 8).store(thread as u32 + 11, Relaxed);
                    region.view().byte(thread * PAGE + 13).store(thread as u8 + 21, Relaxed);
                    region.view().word(LEN - 8).fetch_add(1, Relaxed);
                    region.view().prefetch(u64::MAX);
                });
            }
        });
        for thread in 0..4_u64 {
            assert_eq!(region.view().word(thread * PAGE).load(Relaxed), thread + 1, "{name}");
            assert_eq!(region.view().control(thread * PAGE + 8).load(Relaxed), thread as u32 + 11, "{name}");
            assert_eq!(region.view().byte(thread * PAGE + 13).load(Relaxed), thread as u8 + 21, "{name}");
        }
        assert_eq!(region.view().word(LEN - 8).load(Relaxed), 4, "{name}");
    }
}

#[test]
fn a_payload_reads_as_written_and_lies_in_the_address_range() {
    for (name, region, _folder) in every_kind() {
        // SAFETY: this thread alone accesses the region.
        let bytes = unsafe { region.view().payload_mut(PAGE, 16, 5) };
        bytes.copy_from_slice(b"value");
        // SAFETY: written above, and by nobody since.
        let read = unsafe { region.view().payload(PAGE, 16, 5) };
        assert_eq!(read, b"value", "{name}");
        let (range, slice) = (region.address_range(), read.as_ptr_range());
        assert!(range.contains(&(slice.start as usize)) && slice.end as usize <= range.end, "{name}");
        assert_eq!(slice.start as usize - range.start, (PAGE + 16) as usize, "{name}");
    }
}

#[test]
fn access_outside_panics_and_touches_nothing() {
    for (name, region, _folder) in every_kind() {
        assert!(panics(|| _ = region.view().word(LEN)), "{name}");
        assert!(panics(|| _ = region.view().control(LEN)), "{name}");
        assert!(panics(|| _ = region.view().byte(LEN)), "{name}");
        assert!(panics(|| _ = region.view().byte(u64::MAX)), "{name}");
        let payload = || {
            // SAFETY: this thread alone accesses the region; the range is refused before any access.
            let bytes = unsafe { region.view().payload(LEN - 8, 0, 9) };
            assert_eq!(bytes.len(), 9);
        };
        assert!(panics(payload), "{name}");
        assert_eq!(region.view().byte(LEN - 1).load(Relaxed), 0, "{name}");
    }
}

#[test]
fn released_pages_read_as_zero_and_the_others_stay() {
    for (name, region, _folder) in every_kind() {
        for page in 0..4 {
            region.view().word(page * PAGE).store(7, Relaxed);
        }
        // SAFETY: this thread alone accesses the region.
        let released = unsafe { region.release(PAGE..3 * PAGE) };
        released.expect(name);
        region.populate(PAGE..3 * PAGE).expect(name);
        let words: Vec<u64> = (0..4).map(|page| region.view().word(page * PAGE).load(Relaxed)).collect();
        assert_eq!(words, [7, 0, 0, 7], "{name}");
    }
}

#[test]
fn ranges_that_are_outside_or_no_whole_pages_are_refused() {
    for (name, region, _folder) in every_kind() {
        let outside = u64::MAX - PAGE + 1;
        for (start, end) in [(0, LEN + PAGE), (1, PAGE), (0, PAGE + 1), (2 * PAGE, PAGE), (outside, u64::MAX)] {
            let range = start..end;
            let refused = region.populate(range.clone());
            assert!(matches!(refused, Err(RegionError::Range { .. })), "{name} {range:?} {refused:?}");
        }
        assert!(region.collapse(0..PAGE).is_err(), "{name}");
        region.sync_all().expect(name);
    }
}

#[test]
fn a_protected_region_can_be_read_and_written_again_later() {
    for (name, region, _folder) in every_kind() {
        region.view().word(0).store(1, Relaxed);
        if region.kind() == RegionKind::Heap {
            assert!(matches!(region.protect_read_only(), Err(RegionError::Unsupported { .. })));
            continue;
        }
        region.protect_read_only().expect(name);
        assert_eq!(region.view().word(0).load(Relaxed), 1, "{name}");
        region.protect_read_write().expect(name);
        region.view().word(0).store(2, Relaxed);
    }
}

#[test]
fn mapped_regions_stay_out_of_core_dumps() {
    for (name, region, _folder) in every_kind() {
        if region.kind() != RegionKind::Heap {
            let text = smaps::read().expect("smaps");
            assert!(smaps::all_flagged(&text, &region.address_range(), "dd"), "{name}");
        }
    }
}

/// A mount that ends with the test.
struct Mount(PathBuf);

impl Mount {
    /// None, said aloud, where this process may not mount.
    fn new(folder: &Path, file_system: &str, options: &str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", file_system, "-o", options, "none"]).arg(folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("SKIPPED: {file_system} with {options}: this process may not mount");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
