//! The last events, for any number of readers, each at its own pace.
//!
//! ```text
//!   number:   first                                  next
//!             | event | event | event | ... | event |          EVENTS_MAX at most; with more the oldest goes
//!                        ^ a reader's place                    behind `first`: it goes on there, and counts what it missed
//!
//!   write -> readers that sleep on the condition are woken, and the wakers of those that were polled
//! ```
//!
//! One log for all readers: memory is bounded whoever reads or does not.

#![forbid(unsafe_code)]

use crate::sync::{Mutex, lock};
use crate::types::limits::EVENTS_MAX;
use std::collections::VecDeque;
use std::sync::Condvar;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Events and who waits for them.
#[derive(Debug)]
pub(crate) struct Log<E> {
    state: Mutex<State<E>>,
    written: Condvar,
}

#[derive(Debug)]
struct State<E> {
    events: VecDeque<E>,
    /// The number of the oldest event.
    first: u64,
    ended: bool,
    /// By reader, so that one that is polled again replaces its own.
    wakers: Vec<(u64, Waker)>,
    readers: u64,
}

/// A reader's place.
#[derive(Debug)]
pub(crate) struct Reader {
    next: u64,
    missed: u64,
    id: u64,
}

impl Reader {
    /// Events that were gone before this reader came to them.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }
}

impl<E> Default for Log<E> {
    fn default() -> Self {
        let state = State { events: VecDeque::new(), first: 0, ended: false, wakers: Vec::new(), readers: 0 };
        Self { state: Mutex::new(state), written: Condvar::new() }
    }
}

impl<E: Clone> Log<E> {
    /// Writes one event. Nothing may be written after the end.
    pub(crate) fn write(&self, event: E) {
        let mut state = lock(&self.state);
        if state.events.len() >= EVENTS_MAX {
            state.events.pop_front();
            state.first += 1;
        }
        state.events.push_back(event);
        self.tell(state);
    }

    /// Says that there will be no more.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        self.tell(state);
    }

    fn tell(&self, mut state: crate::sync::MutexGuard<'_, State<E>>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.written.notify_all();
        // Outside of the lock: a waker may run whatever it likes.
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// A reader that begins at the oldest event that is kept.
    pub(crate) fn reader(&self) -> Reader {
        let mut state = lock(&self.state);
        state.readers += 1;
        Reader { next: state.first, missed: 0, id: state.readers }
    }

    /// The next event for a reader; `None` if there is none now.
    pub(crate) fn read(&self, reader: &mut Reader) -> Option<E> {
        lock(&self.state).read(reader)
    }

    /// As `read`, but waits. `None` after the time, or at the end.
    pub(crate) fn read_within(&self, reader: &mut Reader, timeout: Duration) -> Option<E> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = lock(&self.state);
        loop {
            let event = state.read(reader);
            let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if event.is_some() || state.ended || left.is_zero() {
                return event;
            }
            state = match self.written.wait_timeout(state, left.min(LONGEST_SLEEP)) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// As `read`, for a task: `Ready(None)` only at the end.
    pub(crate) fn poll(&self, reader: &mut Reader, context: &mut Context<'_>) -> Poll<Option<E>> {
        let mut state = lock(&self.state);
        if let Some(event) = state.read(reader) {
            return Poll::Ready(Some(event));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        match state.wakers.iter_mut().find(|(id, _)| *id == reader.id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.wakers.push((reader.id, context.waker().clone())),
        }
        Poll::Pending
    }

    /// Takes a reader's waker back.
    pub(crate) fn leave(&self, reader: &Reader) {
        lock(&self.state).wakers.retain(|(id, _)| *id != reader.id);
    }
}

/// What the system's wait takes without trouble.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

impl<E: Clone> State<E> {
    fn read(&self, reader: &mut Reader) -> Option<E> {
        if reader.next < self.first {
            reader.missed += self.first - reader.next;
            reader.next = self.first;
        }
        let event = self.events.get((reader.next - self.first) as usize)?.clone();
        reader.next += 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_has_its_own_place() {
        let log = Log::default();
        log.write(1);
        let (mut early, mut late) = (log.reader(), log.reader());
        assert_eq!(log.read(&mut early), Some(1));
        log.write(2);
        assert_eq!((log.read(&mut early), log.read(&mut early)), (Some(2), None));
        assert_eq!((log.read(&mut late), log.read(&mut late)), (Some(1), Some(2)));
    }

    #[test]
    fn a_late_reader_is_told_how_many_it_missed() {
        let log = Log::default();
        let mut reader = log.reader();
        for event in 0..EVENTS_MAX + 5 {
            log.write(event);
        }
        assert_eq!(log.read(&mut reader), Some(5));
        assert_eq!(reader.missed(), 5);
        let rest = std::iter::from_fn(|| log.read(&mut reader)).count();
        assert_eq!((rest, reader.missed()), (EVENTS_MAX - 1, 5));
    }

    #[test]
    fn sleepers_and_tasks_are_woken_by_a_write_and_by_the_end() {
        let log = Log::default();
        let (mut sleeper, mut task) = (log.reader(), log.reader());
        let mut context = Context::from_waker(Waker::noop());
        assert!(log.poll(&mut task, &mut context).is_pending());
        std::thread::scope(|scope| {
            let slept = scope.spawn(|| {
                let event = log.read_within(&mut sleeper, Duration::MAX);
                (event, log.read_within(&mut sleeper, Duration::MAX))
            });
            log.write('a');
            log.end();
            assert_eq!(slept.join().expect("no panic inside"), (Some('a'), None));
        });
        assert_eq!(log.poll(&mut task, &mut context), Poll::Ready(Some('a')));
        assert_eq!(log.poll(&mut task, &mut context), Poll::Ready(None));
        assert!(lock(&log.state).wakers.is_empty());
    }
}
