//! What is refused, and that the file is afterwards as it was before.

use super::*;
use std::fs;

/// A probe that presents a machine with so many bytes left, and the folder it reads.
fn probe_of(available: u64) -> (TempDir, MemoryProbe) {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("proc")).expect("a folder");
    let text = format!("MemAvailable: {} kB\n", available / 1024);
    fs::write(root.path().join("proc/meminfo"), text).expect("a file");
    let probe = MemoryProbe::below(root.path());
    (root, probe)
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
    let Some(_mount) = Mount::new(folder.path(), "tmpfs", "ro") else { return };
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
    let Some(_mount) = Mount::new(folder.path(), "tmpfs", "size=1m") else { return };
    let path = folder.path().join("arena");
    let refused = opened(&path).map(4 << 20, &[]);
    let by_mount = matches!(&refused, Err(RegionError::NotEnoughMemory { limited_by: MemoryLimit::Mount(met), .. }) if *met == path);
    assert!(by_mount, "{refused:?}");

    let unasked = MemoryProbe::below(Path::new("/nowhere"));
    mapped(&path, 512 << 10).view().word(0).store(3, Relaxed);
    let refused = opened(&path).map_within(4 << 20, &[], &unasked);
    assert!(matches!(refused, Err(RegionError::NoSpace { .. })), "{refused:?}");
    assert_eq!(opened(&path).state().expect("fstat").length, 512 << 10);
    assert_eq!(mapped(&path, 512 << 10).view().word(0).load(Relaxed), 3);

    let all = std::slice::from_ref(&(0..4 << 20));
    let sparse = opened(&path).map_within(4 << 20, all, &unasked).expect("holes need no space");
    let refused = sparse.populate(0..4 << 20);
    assert!(matches!(refused, Err(RegionError::NoSpace { .. })), "{refused:?}");
}
