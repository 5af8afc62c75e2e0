//! Several writers and a reader that follows them, over many laps.

use super::*;
use crate::sync::yield_now;

const WRITERS: u64 = 3;
const CHANGES: u64 = if cfg!(miri) { 200 } else { 40_000 };

/// The change with a number of a writer: its key is as long as its stamp says, and made of it.
fn key(stamp: u64) -> Vec<u8> {
    let length = if stamp.is_multiple_of(97) { 1 + stamp % 1024 } else { 1 + stamp % 60 };
    (0..length).map(|at| (stamp.wrapping_mul(0x9e37_79b9) >> (at % 24)) as u8).collect()
}

fn stamp(writer: u64, number: u64) -> u64 {
    (number << 8) | writer
}

/// What a reader has found so far: in the order of each writer, and nothing that nobody wrote.
#[derive(Default)]
struct Found {
    next: [u64; WRITERS as usize],
    changes: u64,
    missed: u64,
    /// Read, and then written anew by a writer that was overtaken.
    again: u64,
}

impl Found {
    fn take(&mut self, change: &Change) {
        let stamp = change.version.stamp.0;
        assert_same(change, &set(stamp, &key(stamp)));
        let (writer, number) = ((stamp & 255) as usize, stamp >> 8);
        let next = self.next[writer];
        assert!(number + 1 >= next, "{number} of writer {writer} after {next}");
        if number < next {
            self.again += 1;
            return;
        }
        self.missed += number - next;
        self.next[writer] = number + 1;
        self.changes += 1;
    }
}

/// Lets the writers go on once the reader has ended, whichever way: else a reader that fails would never be told of.
struct LetGo<'a>(&'a AtomicU64);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX / 2, Ordering::Release);
    }
}

/// Writers write all their changes, each third one as a void and then again; `wait` is called before each with the head.
fn write_all(bed: &Bed, writer: u64, wait: impl Fn(Position)) {
    for number in 0..CHANGES {
        wait(bed.ring.end(bed.view()));
        let stamp = stamp(writer, number);
        let key = key(stamp);
        if number.is_multiple_of(3) {
            let void = bed.ring.claim(bed.view(), &set(u64::MAX, b"not made"));
            let _ = bed.ring.finish(bed.view(), void, false);
        }
        bed.ring.note(bed.view(), &set(stamp, &key));
    }
}

#[test]
fn a_reader_that_is_not_overtaken_finds_every_change_once_and_in_order() {
    let bed = Bed::new(16);
    let followed = AtomicU64::new(0);
    let found = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (bed, followed) = (&bed, &followed);
            // Writers stay within half a lap of the reader.
            let wait = |head: Position| {
                while head.0 > followed.load(Ordering::Acquire) + bed.ring.capacity() / 2 {
                    yield_now();
                }
            };
            scope.spawn(move || write_all(bed, writer, wait));
        }
        let _let_go = LetGo(&followed);
        let (mut found, mut change, mut at) = (Found::default(), Change::default(), Position(0));
        while found.changes < WRITERS * CHANGES {
            match bed.ring.read(bed.view(), at, ORIGIN, &mut change) {
                Read::Change { next } => {
                    found.take(&change);
                    at = next;
                }
                Read::Nothing { next } => at = next,
                Read::NotYet => yield_now(),
                Read::Lost => panic!("lost at {at:?} of {:?}", bed.ring.end(bed.view())),
            }
            followed.store(at.0, Ordering::Release);
        }
        found
    });
    // Again: a writer that slept for a lap behind its record.
    assert_eq!(found.missed, 0, "{} again", found.again);
    let laps = bed.ring.end(bed.view()).0 / bed.ring.capacity();
    println!("{} changes in {laps} laps", found.changes);
    assert!(laps > 10);
}

#[test]
fn a_reader_that_is_overtaken_again_and_again_never_reads_what_nobody_wrote() {
    let bed = Bed::new(1);
    let mut lost = 0;
    let found = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let bed = &bed;
                scope.spawn(move || write_all(bed, writer, |_| ()))
            })
            .collect();
        let (mut found, mut change, mut at) = (Found::default(), Change::default(), Position(0));
        loop {
            let over = writers.iter().all(|writer| writer.is_finished());
            match bed.ring.read(bed.view(), at, ORIGIN, &mut change) {
                Read::Change { next } => {
                    found.take(&change);
                    at = next;
                }
                Read::Nothing { next } => at = next,
                Read::NotYet if over => break,
                Read::NotYet => yield_now(),
                Read::Lost => {
                    lost += 1;
                    // Behind the writers again: as far back as there may be something. Where a writer that was overtaken
                    // has spoilt a later record, that is before what was read already: it is read once more.
                    let start = bed.ring.start(bed.view());
                    if start <= at {
                        found.next = [0; WRITERS as usize];
                    }
                    at = start;
                }
            }
        }
        found
    });
    println!("{} changes read, {} missed, lost {lost} times", found.changes, found.missed);
    assert!(found.changes > 0 && lost > 0);
}
