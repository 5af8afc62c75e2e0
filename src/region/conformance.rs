//! One suite over every kind of region: what holds for all, then what holds for files, then what each refuses.
//!
//! Kinds: heap, anonymous, file on tmpfs (`/dev/shm`), file on disk (a folder below the current one). What a machine
//! does not offer (no `/dev/shm`, no right to mount) is said aloud and left out.

use super::kind::{HUGE_PAGE, PAGE};
use super::*;
use crate::sync::Ordering::Relaxed;
use std::fs;
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

/// A probe that presents a machine with so many bytes left, and the folder it reads.
fn probe_of(available: u64) -> (TempDir, MemoryProbe) {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("proc")).expect("a folder");
    let text = format!("MemAvailable: {} kB\n", available / 1024);
    fs::write(root.path().join("proc/meminfo"), text).expect("a file");
    let probe = MemoryProbe::below(root.path());
    (root, probe)
}

fn panics(call: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err()
}

#[test]
fn bytes_are_zero_at_birth_and_as_many_as_wanted() {
    for (name, region, _folder) in every_kind() {
        assert_eq!(region.len(), LEN, "{name}");
        assert_eq!(region.address_range().len() as u64, LEN, "{name}");
        assert!(region.address_range().start.is_multiple_of(PAGE as usize), "{name}");
        for offset in (0..LEN).step_by(8) {
            assert_eq!(region.word(offset).load(Relaxed), 0, "{name} at {offset:#x}");
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
                    region.word(thread * PAGE).store(thread + 1, Relaxed);
                    region.control(thread * PAGE + 8).store(thread as u32 + 11, Relaxed);
                    region.byte(thread * PAGE + 13).store(thread as u8 + 21, Relaxed);
                    region.word(LEN - 8).fetch_add(1, Relaxed);
                    region.prefetch(u64::MAX);
                });
            }
        });
        for thread in 0..4_u64 {
            assert_eq!(region.word(thread * PAGE).load(Relaxed), thread + 1, "{name}");
            assert_eq!(region.control(thread * PAGE + 8).load(Relaxed), thread as u32 + 11, "{name}");
            assert_eq!(region.byte(thread * PAGE + 13).load(Relaxed), thread as u8 + 21, "{name}");
        }
        assert_eq!(region.word(LEN - 8).load(Relaxed), 4, "{name}");
    }
}

#[test]
fn a_payload_reads_as_written_and_lies_in_the_address_range() {
    for (name, region, _folder) in every_kind() {
        // SAFETY: this thread alone accesses the region.
        let bytes = unsafe { region.payload_mut(PAGE, 16, 5) };
        bytes.copy_from_slice(b"value");
        // SAFETY: written above, and by nobody since.
        let read = unsafe { region.payload(PAGE, 16, 5) };
        assert_eq!(read, b"value", "{name}");
        let (range, slice) = (region.address_range(), read.as_ptr_range());
        assert!(range.contains(&(slice.start as usize)) && slice.end as usize <= range.end, "{name}");
        assert_eq!(slice.start as usize - range.start, (PAGE + 16) as usize, "{name}");
    }
}

#[test]
fn access_outside_panics_and_touches_nothing() {
    for (name, region, _folder) in every_kind() {
        assert!(panics(|| _ = region.word(LEN)), "{name}");
        assert!(panics(|| _ = region.control(LEN)), "{name}");
        assert!(panics(|| _ = region.byte(LEN)), "{name}");
        assert!(panics(|| _ = region.byte(u64::MAX)), "{name}");
        let payload = || {
            // SAFETY: this thread alone accesses the region; the range is refused before any access.
            let bytes = unsafe { region.payload(LEN - 8, 0, 9) };
            assert_eq!(bytes.len(), 9);
        };
        assert!(panics(payload), "{name}");
        assert_eq!(region.byte(LEN - 1).load(Relaxed), 0, "{name}");
    }
}

#[test]
fn released_pages_read_as_zero_and_the_others_stay() {
    for (name, region, _folder) in every_kind() {
        for page in 0..4 {
            region.word(page * PAGE).store(7, Relaxed);
        }
        // SAFETY: this thread alone accesses the region.
        let released = unsafe { region.release(PAGE..3 * PAGE) };
        released.expect(name);
        region.populate(PAGE..3 * PAGE).expect(name);
        let words: Vec<u64> = (0..4).map(|page| region.word(page * PAGE).load(Relaxed)).collect();
        assert_eq!(words, [7, 0, 0, 7], "{name}");
    }
}

#[test]
fn ranges_that_are_outside_or_no_whole_pages_are_refused() {
    for (name, region, _folder) in every_kind() {
        for range in [0..LEN + PAGE, 1..PAGE, 0..PAGE + 1, 2 * PAGE..PAGE, u64::MAX - PAGE + 1..u64::MAX] {
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
        region.word(0).store(1, Relaxed);
        if region.kind() == RegionKind::Heap {
            assert!(matches!(region.protect_read_only(), Err(RegionError::Unsupported { .. })));
            continue;
        }
        region.protect_read_only().expect(name);
        assert_eq!(region.word(0).load(Relaxed), 1, "{name}");
        region.protect_read_write().expect(name);
        region.word(0).store(2, Relaxed);
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

#[test]
fn a_file_is_new_once_private_and_keeps_its_content() {
    use std::os::unix::fs::MetadataExt;
    for (name, folder) in file_folders() {
        let path = folder.path().join("arena");
        let first = opened(&path);
        assert!(first.is_new(), "{name}");
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600, "{name}");
        let identity = first.identity();
        let region = first.map(LEN, &[]).expect(name);
        region.word(LEN - 8).store(42, Relaxed);
        assert_eq!(region.identity(), Some(identity), "{name}");
        assert_eq!(region.on_disk(), name == "file on disk", "{name}");
        drop(region);

        let again = opened(&path);
        assert!(!again.is_new(), "{name}");
        assert_eq!((again.identity(), again.file_system().on_disk()), (identity, name == "file on disk"), "{name}");
        let mut end = [0; 16];
        assert_eq!(again.read_at(LEN - 8, &mut end).expect(name), 8, "{name}");
        assert_eq!(u64::from_ne_bytes(end[..8].try_into().expect("eight bytes")), 42, "{name}");
        assert_eq!(again.read_at(u64::MAX, &mut end).map_or(0, |bytes| bytes), 0, "{name}");
        assert_eq!(again.map(LEN, &[]).expect(name).word(LEN - 8).load(Relaxed), 42, "{name}");
    }
}

#[test]
fn the_lock_is_held_from_opening_to_the_end_of_the_region() {
    for (name, folder) in file_folders() {
        let path = folder.path().join("arena");
        let locked = |name| assert!(matches!(OpenedFile::open(&path), Err(RegionError::Locked { .. })), "{name}");
        let first = opened(&path);
        locked(name);
        let region = first.map(LEN, &[]).expect(name);
        locked(name);
        drop(region);
        drop(opened(&path));
        assert!(opened(&path).map(PAGE + 1, &[]).is_err(), "{name}: an odd length");
        drop(opened(&path));
    }
}

#[test]
fn growth_keeps_content_and_a_shorter_mapping_keeps_the_length() {
    for (name, folder) in file_folders() {
        let path = folder.path().join("arena");
        mapped(&path, LEN).word(8).store(5, Relaxed);
        let grown = mapped(&path, 4 * LEN);
        assert_eq!((grown.word(8).load(Relaxed), grown.word(4 * LEN - 8).load(Relaxed)), (5, 0), "{name}");
        grown.word(4 * LEN - 8).store(6, Relaxed);
        drop(grown);
        assert_eq!(mapped(&path, LEN).len(), LEN, "{name}");
        assert_eq!(mapped(&path, 4 * LEN).word(4 * LEN - 8).load(Relaxed), 6, "{name}");
        let file = opened(&path);
        file.truncate(PAGE).expect(name);
        let again = file.map(LEN, &[]).expect(name);
        let state = again.file_state().expect(name).expect("a file");
        assert_eq!((again.word(8).load(Relaxed), state.length, state.links), (5, LEN, 1), "{name}");
    }
}

#[test]
#[expect(clippy::single_range_in_vec_init, reason = "one hole is what is meant")]
fn everything_but_the_holes_is_backed_and_backed_again_when_it_is_not() {
    for (name, folder) in file_folders() {
        let path = folder.path().join("arena");
        let holes = [PAGE..33 * PAGE];
        let solid = LEN - 32 * PAGE;
        let region = opened(&path).map(LEN, &holes).expect(name);
        let backed = |region: &Region| region.file_state().expect("fstat").expect("a file").backed;
        assert_eq!(backed(&region), solid, "{name}");
        region.populate(2 * PAGE..4 * PAGE).expect(name);
        region.word(2 * PAGE).store(9, Relaxed);
        // SAFETY: this thread alone accesses the region.
        let released = unsafe { region.release(40 * PAGE..42 * PAGE) };
        released.expect(name);
        region.sync_all().expect(name);
        drop(region);

        let again = opened(&path).map(LEN, &holes).expect(name);
        // A disk file system counts a block of its own where the extents are many.
        let own = if again.on_disk() { backed(&again) % (solid + 2 * PAGE) } else { 0 };
        assert!(own <= PAGE, "{name}");
        assert_eq!(backed(&again), solid + 2 * PAGE + own, "{name}");
        assert_eq!(again.word(2 * PAGE).load(Relaxed), 9, "{name}");
    }
}

#[test]
fn a_machine_without_enough_memory_is_refused_before_anything_is_taken() {
    let (_root, probe) = probe_of(LEN / 2);
    let refused = Region::anonymous_within(LEN, PAGE, &probe);
    assert!(
        matches!(refused, Err(RegionError::NotEnoughMemory { needed: LEN, available, .. }) if available == LEN / 2)
    );
    for (name, folder) in file_folders() {
        let path = folder.path().join("arena");
        let refused = opened(&path).map_within(LEN, &[], &probe);
        assert!(matches!(refused, Err(RegionError::NotEnoughMemory { needed: LEN, .. })), "{name} {refused:?}");
        assert!(opened(&path).is_new(), "{name}");
        drop(mapped(&path, LEN));
        let (_root, nothing) = probe_of(0);
        assert!(opened(&path).map_within(LEN, &[], &nothing).is_ok(), "{name}: backed bytes are not needed again");
        let refused = opened(&path).map_within(2 * LEN, &[], &nothing);
        assert!(matches!(refused, Err(RegionError::NotEnoughMemory { needed: LEN, .. })), "{name} {refused:?}");
    }
}

#[test]
fn what_is_no_file_of_ours_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name);
    fs::create_dir(inside("folder")).expect("a folder");
    let _socket = std::os::unix::net::UnixListener::bind(inside("socket")).expect("a socket");
    let made = Command::new("mkfifo").arg(inside("pipe")).status();
    let mut cases = vec![(inside("folder"), "a directory"), (inside("socket"), "a socket")];
    cases.push((PathBuf::from("/dev/null"), "a character device"));
    if made.is_ok_and(|status| status.success()) {
        cases.push((inside("pipe"), "a named pipe"));
    }
    for (path, expected) in cases {
        let refused = OpenedFile::open(&path);
        assert!(
            matches!(&refused, Err(RegionError::NotAFile { found, .. }) if *found == expected),
            "{path:?} {refused:?}"
        );
    }
    let refused = OpenedFile::open(&inside("absent/arena"));
    assert!(matches!(refused, Err(RegionError::Open { .. })), "{refused:?}");
    let refused = OpenedFile::open(Path::new("/proc/self/status")).and_then(|file| file.map(LEN, &[]));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn a_file_that_may_not_be_written_can_not_be_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("arena");
    fs::write(&path, "not an arena").expect("a file");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).expect("a mode");
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: file modes: root may write everything");
    } else {
        assert!(matches!(OpenedFile::open(&path), Err(RegionError::Open { .. })));
    }
    assert_eq!(fs::read(&path).expect("a file"), b"not an arena");
    let Some(_mount) = Mount::tmpfs(folder.path(), "ro") else { return };
    let refused = OpenedFile::open(&path);
    assert!(matches!(refused, Err(RegionError::Open { .. })), "{refused:?}");
}

#[test]
fn lengths_that_can_not_be_mapped_are_errors() {
    let path = tempfile::tempdir().expect("a folder");
    for len in [0, 1, PAGE + 1, u64::MAX, 1 << 63, u64::MAX - PAGE + 1] {
        assert!(matches!(Region::anonymous(len, PAGE), Err(RegionError::Length { .. })), "{len}");
        let refused = opened(&path.path().join("arena")).map(len, &[]);
        assert!(matches!(refused, Err(RegionError::Length { .. })), "{len} {refused:?}");
    }
    let nothing_known = MemoryProbe::below(Path::new("/nowhere"));
    let refused = Region::anonymous_within(1 << 60, PAGE, &nothing_known);
    assert!(matches!(refused, Err(RegionError::Map { .. })), "{refused:?}");
    let refused = opened(&path.path().join("arena")).map_within(1 << 60, &[], &nothing_known);
    assert!(refused.is_err(), "{refused:?}");
    assert!(opened(&path.path().join("arena")).is_new());
}

#[test]
fn a_full_file_system_is_an_error_and_the_file_is_as_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_mount) = Mount::tmpfs(folder.path(), "size=1m") else { return };
    let path = folder.path().join("arena");
    let refused = opened(&path).map(4 << 20, &[]);
    let by_mount = matches!(&refused, Err(RegionError::NotEnoughMemory { limited_by: MemoryLimit::Mount(met), .. }) if *met == path);
    assert!(by_mount, "{refused:?}");

    let unasked = MemoryProbe::below(Path::new("/nowhere"));
    mapped(&path, 512 << 10).word(0).store(3, Relaxed);
    let refused = opened(&path).map_within(4 << 20, &[], &unasked);
    assert!(matches!(refused, Err(RegionError::NoSpace { .. })), "{refused:?}");
    assert_eq!(opened(&path).state().expect("fstat").length, 512 << 10);
    assert_eq!(mapped(&path, 512 << 10).word(0).load(Relaxed), 3);

    let all = [0..4 << 20];
    let sparse = opened(&path).map_within(4 << 20, &all, &unasked).expect("holes need no space");
    let refused = sparse.populate(0..4 << 20);
    assert!(matches!(refused, Err(RegionError::NoSpace { .. })), "{refused:?}");
}

#[test]
fn a_large_region_is_aligned_and_gets_huge_pages_where_the_kernel_gives_any() {
    let len = 4 * HUGE_PAGE;
    let region = Region::anonymous(len, HUGE_PAGE).expect("memory");
    assert!(region.address_range().start.is_multiple_of(HUGE_PAGE as usize));
    region.populate(0..len).expect("populated");
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let huge = region.huge_page_bytes();
    if setting.contains("[always]") || setting.contains("[madvise]") {
        assert!(huge.is_some_and(|bytes| bytes > 0), "{huge:?}");
    } else {
        eprintln!("SKIPPED: huge pages are off ({})", setting.trim());
    }
}

#[test]
fn a_file_on_tmpfs_can_be_collapsed_and_keeps_its_content() {
    let len = 4 * HUGE_PAGE;
    for (name, folder) in file_folders() {
        let region = mapped(&folder.path().join("arena"), len);
        assert!(region.address_range().start.is_multiple_of(HUGE_PAGE as usize), "{name}");
        region.word(HUGE_PAGE + 8).store(77, Relaxed);
        let before = region.huge_page_bytes();
        match region.collapse(0..len) {
            Ok(()) => eprintln!("{name}: {before:?} -> {:?} bytes on huge pages", region.huge_page_bytes()),
            Err(error) => eprintln!("SKIPPED: {name}: {error:?}"),
        }
        assert_eq!(region.word(HUGE_PAGE + 8).load(Relaxed), 77, "{name}");
    }
}

#[test]
fn a_mount_with_huge_pages_gives_them_from_the_start_and_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_mount) = Mount::tmpfs(folder.path(), "size=32m,huge=advise") else { return };
    let (path, len) = (folder.path().join("arena"), 4 * HUGE_PAGE);
    let region = mapped(&path, len);
    assert_eq!(region.huge_page_bytes(), Some(len));
    region.word(0).store(1, Relaxed);
    drop(region);
    let again = mapped(&path, len);
    again.populate(0..len).expect("populated");
    assert_eq!((again.word(0).load(Relaxed), again.huge_page_bytes()), (1, Some(len)));
}

/// A mount that ends with the test.
struct Mount(PathBuf);

impl Mount {
    /// None, said aloud, where this process may not mount.
    fn tmpfs(folder: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("SKIPPED: tmpfs with {options}: this process may not mount");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
