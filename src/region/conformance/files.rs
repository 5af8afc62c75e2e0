//! What a file adds: it is new once, locked while it is a region, and found again with its content.

use super::*;
use std::fs;

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
        region.view().word(LEN - 8).store(42, Relaxed);
        assert_eq!(region.identity(), Some(identity), "{name}");
        assert_eq!(region.on_disk(), name == "file on disk", "{name}");
        drop(region);

        let again = opened(&path);
        assert!(!again.is_new(), "{name}");
        assert_eq!((again.identity(), again.file_system().on_disk()), (identity, name == "file on disk"), "{name}");
        let mut end = [0; 16];
        assert_eq!(again.read_at(LEN - 8, &mut end).expect(name), 8, "{name}");
        assert_eq!(end.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 42, "{name}");
        assert_eq!(again.read_at(u64::MAX, &mut end).map_or(0, |bytes| bytes), 0, "{name}");
        assert_eq!(again.map(LEN, &[]).expect(name).view().word(LEN - 8).load(Relaxed), 42, "{name}");
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
        mapped(&path, LEN).view().word(8).store(5, Relaxed);
        let grown = mapped(&path, 4 * LEN);
        assert_eq!(
            (grown.view().word(8).load(Relaxed), grown.view().word(4 * LEN - 8).load(Relaxed)),
            (5, 0),
            "{name}"
        );
        grown.view().word(4 * LEN - 8).store(6, Relaxed);
        drop(grown);
        assert_eq!(mapped(&path, LEN).view().len(), LEN, "{name}");
        assert_eq!(mapped(&path, 4 * LEN).view().word(4 * LEN - 8).load(Relaxed), 6, "{name}");
        let file = opened(&path);
        file.truncate(PAGE).expect(name);
        let again = file.map(LEN, &[]).expect(name);
        let state = again.file_state().expect(name).expect("a file");
        assert_eq!((again.view().word(8).load(Relaxed), state.length, state.links), (5, LEN, 1), "{name}");
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
        region.view().word(2 * PAGE).store(9, Relaxed);
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
        assert_eq!(again.view().word(2 * PAGE).load(Relaxed), 9, "{name}");
    }
}
