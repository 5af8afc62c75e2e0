//! Syncs: they come to their end, in steps that are never long.

#![forbid(unsafe_code)]

use super::*;

#[test]
fn a_donor_with_nothing_to_send_leaves_the_thread_to_others() {
    const ENTRIES: usize = 20_000;
    let clock = ManualClock::new();
    let made = Made { capacity: 8 << 20, ..Made::default() };
    let (mut donor, mut joiner) = (Host::made("a", 1, &clock, &made), Host::new("b", 2, &clock));
    // The donor has nobody to join: it begins the cluster.
    clock.advance(Duration::from_secs(3));
    donor.tick();
    assert_eq!(donor.node.readiness(), Readiness::Complete);
    for number in 0..ENTRIES {
        donor.insert(format!("key {number}").as_bytes());
    }
    let id = connect(&mut joiner, &mut donor, 1);
    let mut batches = 0;
    let mut transmit = Transmit::default();
    let mut longest = 0;
    while joiner.node.readiness() != Readiness::Complete {
        let said = joiner.said(id);
        donor.hears(id, &said);
        // All is older than what the joiner asks for, but the passes over the index are made.
        if let Some(donor) = donor.node.links.get_mut(&id).and_then(|link| link.donor.as_mut()) {
            donor.since = Stamp(u64::MAX);
        }
        while donor.node.wants_to_send(id) && donor.node.poll_transmit(donor.now(), id, &mut transmit) {
            let bytes: Vec<u8> = transmit.slices().flatten().copied().collect();
            transmit.clear();
            joiner.hears(id, &bytes);
            longest = longest.max(bytes.len());
            batches += 1;
        }
        assert!(batches < 10_000, "it comes to its end");
    }
    // Four passes, of so many entries per batch at most.
    assert!(batches >= 4 * ENTRIES / (16 * 300), "{batches} batches");
}
