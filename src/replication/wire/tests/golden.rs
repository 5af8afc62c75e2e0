//! The samples, byte for byte, in `tests/golden`: what is written there is what nodes in the field send.

#![forbid(unsafe_code)]

use super::{VERSION, decode, samples};
use crate::replication::golden::Golden;
use crate::replication::wire::{Message, echo};
use std::collections::BTreeSet;

#[test]
fn samples_are_encoded_as_they_always_were() {
    for sample in samples::all() {
        Golden::frames().assert_is(sample.name, &sample.frame);
    }
}

#[test]
fn every_file_is_a_sample_and_is_decoded() {
    let files = Golden::frames().names();
    assert_eq!(files, samples::all().iter().map(|sample| sample.name.to_owned()).collect());
    for file in files {
        let golden = Golden::frames().read(&file);
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
