//! The samples, byte for byte, in `tests/golden`: what is written there is what nodes in the field send.
//!
//! `ALSO_CACHE_GOLDEN=write cargo test --lib golden` writes the files anew, for a protocol of a new version alone.

#![forbid(unsafe_code)]

use super::{VERSION, decode, samples};
use crate::replication::wire::{Message, echo};
use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

#[test]
fn samples_are_encoded_as_they_always_were() {
    let write = std::env::var("ALSO_CACHE_GOLDEN").is_ok_and(|value| value == "write");
    for sample in samples::all() {
        let path = folder().join(sample.name).with_extension("bin");
        if write {
            std::fs::write(&path, &sample.frame).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(golden == sample.frame, "{}: {} is encoded otherwise now", path.display(), sample.name);
    }
}

#[test]
fn every_file_is_a_sample_and_is_decoded() {
    let samples: BTreeSet<String> = samples::all().iter().map(|sample| format!("{}.bin", sample.name)).collect();
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|file| file.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, samples);
    for file in files {
        let golden = std::fs::read(folder().join(&file)).expect("readable");
        decode(&golden, |message| {
            let message = message.expect("a right frame").expect("a whole frame");
            let mut again = Vec::new();
            if echo::encode(&message, VERSION, &mut again) {
                assert!(again == golden, "{file} is decoded to {message:?}");
            }
        });
    }
}

#[test]
fn the_samples_have_every_kind() {
    let mut kinds = BTreeSet::new();
    for sample in samples::all() {
        decode(&sample.frame, |message| {
            if !matches!(message, Ok(Some(Message::Skipped))) {
                kinds.insert(sample.frame[3]);
            }
        });
    }
    assert!(kinds.into_iter().eq(1..=17));
}
