//! Clocks that are further apart than one follows the other.

#![forbid(unsafe_code)]

use super::*;

/// Lets time pass for two hosts that have a clock each.
fn pass_both(one: &mut Host, other: &mut Host, id: ConnectionId, by: Duration) {
    for _ in 0..by.as_millis() / 10 {
        other.clock.advance(Duration::from_millis(10));
        pass(one, other, id, Duration::from_millis(10));
    }
}

#[test]
fn a_write_behind_one_that_was_too_far_ahead_leaves_no_two_values() {
    let (clock, fast) = (ManualClock::new(), ManualClock::new());
    fast.advance(Duration::from_secs(2));
    let (mut ahead, mut behind) = (Host::new("ahead", 1, &fast), Host::new("behind", 2, &clock));
    let id = connect(&mut ahead, &mut behind, 1);
    pass_both(&mut ahead, &mut behind, id, Duration::from_secs(1));
    assert_eq!(behind.node.readiness(), Readiness::Complete);
    ahead.insert(b"k");
    exchange(&mut ahead, &mut behind, id);
    assert_eq!((behind.node.counters().stamps_ahead, behind.version_of(b"k")), (1, None));
    let is_stored = behind.writes(b"k");
    exchange(&mut ahead, &mut behind, id);
    let (of_ahead, of_behind) = (ahead.version_of(b"k"), behind.version_of(b"k"));
    assert!(of_behind.is_none() || of_ahead == of_behind, "{of_ahead:?} {of_behind:?}");
    assert!(!is_stored, "it would have lost to the one that is ahead, there alone");
    // Two seconds later its clock has passed that one.
    pass_both(&mut ahead, &mut behind, id, Duration::from_secs(3));
    assert!(behind.writes(b"k"));
    exchange(&mut ahead, &mut behind, id);
    assert_eq!(ahead.version_of(b"k"), behind.version_of(b"k"));
}

#[test]
fn a_clock_that_is_hours_ahead_refuses_no_writes_for_hours() {
    let (clock, fast) = (ManualClock::new(), ManualClock::new());
    fast.advance(Duration::from_secs(7200));
    let (mut ahead, mut behind) = (Host::new("ahead", 1, &fast), Host::new("behind", 2, &clock));
    let id = connect(&mut ahead, &mut behind, 1);
    pass_both(&mut ahead, &mut behind, id, Duration::from_secs(1));
    behind.insert(b"k");
    ahead.insert(b"k");
    exchange(&mut ahead, &mut behind, id);
    assert_eq!((behind.node.counters().stamps_ahead, behind.version_of(b"k")), (1, None));
    assert!(behind.writes(b"k"));
}

#[test]
fn what_is_written_in_a_join_goes_where_a_floor_of_the_donor_is_ahead() {
    let (clock, fast) = (ManualClock::new(), ManualClock::new());
    fast.advance(Duration::from_secs(2));
    let (mut ahead, mut donor) = (Host::new("ahead", 1, &fast), Host::new("donor", 2, &clock));
    let between = connect(&mut ahead, &mut donor, 1);
    pass_both(&mut ahead, &mut donor, between, Duration::from_secs(1));
    ahead.insert(b"k");
    exchange(&mut ahead, &mut donor, between);
    assert_eq!((donor.node.counters().stamps_ahead, donor.version_of(b"k")), (1, None));
    let mut joiner = Host::new("joiner", 3, &clock);
    let id = connect(&mut joiner, &mut donor, 2);
    while joiner.node.join_stamp().is_none() {
        let said = donor.said(id);
        joiner.hears(id, &said);
        if joiner.node.join_stamp().is_none() {
            let said = joiner.said(id);
            donor.hears(id, &said);
        }
    }
    // Nothing is held yet, so nothing would be asked about.
    let said = joiner.said(id);
    joiner.insert(b"k");
    donor.hears(id, &said);
    exchange(&mut joiner, &mut donor, id);
    assert_eq!(joiner.node.readiness(), Readiness::Complete);
    assert_eq!(joiner.version_of(b"k"), None, "it is older than what is known where the clock is ahead");
}
