//! What `Inspection` tells of whole files, live ones, and each kind of damage.

use crate::in_memory;
use crate::support::{Sample, builder, key, value};
use also_cache::inspect::{InspectError, Inspection};

#[test]
fn a_whole_file_has_no_problems_and_all_entries() {
    let folder = in_memory();
    for seal in [false, true] {
        let sample = Sample::new(folder.path(), if seal { "sealed" } else { "unsealed" }, seal);
        let found = Inspection::of(&sample.path).expect("an arena");
        assert_eq!(found.problems, []);
        assert_eq!((found.sealed, found.live, found.same_boot, found.run), (seal, false, true, 1));
        assert!(found.entries as usize * 10 > sample.content.len() * 9, "{found:#?}");
        assert_eq!(found.index.words, found.entries);
        assert_eq!(found.classes.iter().map(|class| class.live).sum::<u64>(), found.entries);
        assert_eq!(found.ages.iter().map(|(_, count)| count).sum::<u64>(), found.entries);
        assert_eq!(found.times_to_live.last(), Some(&("for ever", found.entries)));
        assert_eq!(found.pages_by_kind.iter().map(|(_, count)| count).sum::<u64>(), u64::from(found.pages));
        assert_eq!(std::fs::read(&sample.path).expect("readable"), sample.bytes, "looking changes nothing");
    }
}

#[test]
fn a_flipped_bit_is_found_where_it_is() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", false);
    // The last byte of a value, wherever it lies.
    let (number, write) =
        sample.content.iter().find(|(number, write)| value(**number, **write).len() > 300).expect("one");
    let content = value(*number, *write);
    let at = sample.bytes.windows(content.len()).position(|window| window == content).expect("it is there");
    let mut bytes = sample.bytes.clone();
    bytes[at + content.len() - 1] ^= 4;
    sample.write(&bytes);
    let found = Inspection::of(&sample.path).expect("an arena");
    assert_eq!(found.problems_found, 1, "{:?}", found.problems);
    assert!(found.problems[0].what.contains("checksum"));
    assert!((at as u64 - found.problems[0].offset) < 1200, "{:?} at {at}", found.problems);
    // A key, an index page and a descriptor.
    let own = key(*number);
    let key_at = sample.bytes.windows(own.len()).position(|window| window == own).expect("it is there");
    let index = sample.pages_of(&[3])[0];
    for at in [key_at + 1, 8192, 8192 + 1, index + 6, index + 56] {
        let mut bytes = sample.bytes.clone();
        bytes[at] ^= 0x41;
        sample.write(&bytes);
        let found = Inspection::of(&sample.path).expect("an arena");
        let free_bucket = at >= index && sample.bytes[at] == 0;
        assert!(found.problems_found > 0 || free_bucket, "byte {at}");
    }
}

#[test]
fn a_file_that_was_cut_is_told_where_it_ends() {
    let folder = in_memory();
    let sample = Sample::new(folder.path(), "arena", true);
    for length in [8192, 20_000, sample.bytes.len() / 2, sample.bytes.len() - 1] {
        sample.write(&sample.bytes[..length]);
        let found = Inspection::of(&sample.path).expect("an arena");
        assert_eq!(found.problems[0].offset, length as u64);
        assert!(found.problems[0].what.contains("ends here"), "{:?}", found.problems[0]);
    }
}

#[test]
fn a_live_file_is_in_motion_and_has_no_problems() {
    let folder = in_memory();
    let path = folder.path().join("arena");
    let cache = builder(&path).background(true).open().expect("opens");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for number in 0..40_000_u64 {
                let _ = cache.insert(number.to_le_bytes(), [number as u8; 100]);
            }
        });
        while !writing.is_finished() {
            let found = Inspection::of(&path).expect("an arena");
            assert!(found.live);
            assert_eq!(found.problems, []);
        }
    });
}

#[test]
fn what_is_no_arena_is_said_to_be_none() {
    let folder = in_memory();
    let path = folder.path().join("file");
    assert!(matches!(Inspection::of(&path), Err(InspectError::Read { .. })));
    std::fs::write(&path, "dear diary").expect("writable");
    assert!(matches!(Inspection::of(&path), Err(InspectError::NotAnArena { .. })));
    let sample = Sample::new(folder.path(), "arena", false);
    let mut bytes = sample.bytes.clone();
    bytes[20] ^= 1;
    bytes[4096 + 20] ^= 1;
    sample.write(&bytes);
    assert!(matches!(Inspection::of(&sample.path), Err(InspectError::Unreadable { .. })));
}
