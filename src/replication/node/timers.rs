//! Timers: a small table of what is due when.
//!
//! ```text
//!   Tick         each heartbeat: heartbeats, silence, isolation, sources, confirmation
//!   Acknowledge  10 ms after the first change that was applied and not acknowledged
//!   Dial         the next address whose time has come
//!   Alone        nobody was found
//!   Leave        the deadline of a leave
//! ```

#![forbid(unsafe_code)]

use crate::replication::session::time::Micros;

/// What can be due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    Tick,
    Acknowledge,
    Dial,
    Alone,
    Leave,
}

const TIMERS: [Timer; 5] = [Timer::Tick, Timer::Acknowledge, Timer::Dial, Timer::Alone, Timer::Leave];

/// One moment per timer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers {
    at: [Option<Micros>; TIMERS.len()],
}

impl Timers {
    /// Sets a timer, whatever it was.
    pub(super) fn set(&mut self, timer: Timer, at: Micros) {
        self.at[timer as usize] = Some(at);
    }

    /// Sets a timer if it is not set for earlier.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Micros) {
        let slot = &mut self.at[timer as usize];
        *slot = Some(slot.map_or(at, |set| set.min(at)));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize].is_some()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Micros> {
        self.at.iter().flatten().min().copied()
    }

    /// Takes one that is due, the earliest first.
    pub(super) fn take_due(&mut self, now: Micros) -> Option<Timer> {
        let due = TIMERS.into_iter().filter(|timer| self.at[*timer as usize].is_some_and(|at| at <= now));
        let timer = due.min_by_key(|timer| self.at[*timer as usize])?;
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_taken_first_and_once() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Alone, Micros(30));
        timers.set(Timer::Tick, Micros(20));
        timers.set_earlier(Timer::Tick, Micros(25));
        timers.set_earlier(Timer::Alone, Micros(10));
        assert_eq!(timers.next(), Some(Micros(10)));
        assert_eq!(timers.take_due(Micros(9)), None);
        assert_eq!(timers.take_due(Micros(20)), Some(Timer::Alone));
        assert_eq!(timers.take_due(Micros(20)), Some(Timer::Tick));
        assert_eq!(timers.take_due(Micros(90)), None);
        assert!(!timers.is_set(Timer::Tick));
    }
}
