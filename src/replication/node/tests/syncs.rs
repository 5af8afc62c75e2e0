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

#[test]
fn nothing_of_a_stream_is_taken_between_two_syncs() {
    let clock = ManualClock::new();
    let [mut donor, mut origin, mut joiner] =
        [("a", 1), ("b", 2), ("c", 3)].map(|(name, at)| Host::new(name, at, &clock));
    clock.advance(Duration::from_secs(3));
    donor.tick();
    let between = connect(&mut origin, &mut donor, 1);
    pass(&mut origin, &mut donor, between, Duration::from_secs(1));
    let to_donor = connect(&mut joiner, &mut donor, 2);
    for _ in 0..2 {
        let said = donor.said(to_donor);
        joiner.hears(to_donor, &said);
        if joiner.node.join_stamp().is_none() {
            let said = joiner.said(to_donor);
            donor.hears(to_donor, &said);
        }
    }
    assert!(joiner.node.join_stamp().is_some() && !joiner.node.standing.is_joined());
    let to_origin = connect(&mut joiner, &mut origin, 3);
    exchange(&mut joiner, &mut origin, to_origin);
    let stream = origin.store.stream();
    assert_eq!(joiner.node.streams.rows[&stream].source, Some(to_origin));
    origin.insert(b"k");
    let late = origin.said(to_origin);
    joiner.node.handle_closed(joiner.now(), to_donor, ClosedBy::Error);
    let before = joiner.node.streams.rows[&stream].position;
    joiner.hears(to_origin, &late);
    let row = &joiner.node.streams.rows[&stream];
    assert_eq!((row.source, row.position, joiner.node.counters().stray_frames), (None, before, 1));
    pass(&mut joiner, &mut origin, to_origin, Duration::from_secs(1));
    assert!(joiner.node.readiness() == Readiness::Complete && joiner.has(b"k"));
}

#[test]
fn a_life_that_its_own_node_forgets_before_the_sync_is_missed_by_nobody() {
    let (clock, directory) = (ManualClock::new(), tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("arena");
    let made = Made { file: Some(&file), ..Made::default() };
    let alone = |host: &mut Host| {
        clock.advance(Duration::from_secs(3));
        host.tick();
        assert_eq!(host.node.readiness(), Readiness::Complete);
    };
    let mut former = Host::made("donor", 1, &clock, &made);
    alone(&mut former);
    former.insert(b"of the former life");
    drop(former);
    let mut donor = Host::made("donor", 1, &clock, &made);
    alone(&mut donor);
    assert_eq!(donor.store.streams().len(), 2);
    let mut joiner = Host::new("joiner", 2, &clock);
    let id = connect(&mut joiner, &mut donor, 1);
    // The joiner hears of the former life, and then the donor's ring has no place for it any more.
    let said = donor.said(id);
    joiner.hears(id, &said);
    (0..2_000).for_each(|number| _ = donor.writes(format!("key {number}").as_bytes()));
    assert_eq!(donor.store.streams().len(), 1);
    for _ in 0..200 {
        let (there, back) = (joiner.said(id), donor.said(id));
        donor.hears(id, &there);
        joiner.hears(id, &back);
    }
    assert_eq!(joiner.node.readiness(), Readiness::Complete);
    assert!(joiner.has(b"of the former life"));
    assert_eq!(donor.node.counters().syncs_given, 1);
}
