//! What foca wants to be reminded of, and whether this process can be trusted to judge others.
//!
//! ```text
//!   due: (at, number) -> timer             in order of time, then as set
//!
//!   a timer that comes LATE: we slept, so answers may lie unread, and a silence may have been our own
//!     probe verdict         waits one more period, while answers are read
//!     suspect -> down       waits one more suspicion
//!     score 0..8            rises with each oversleep, falls with each undisturbed probe;
//!                           a suspicion lasts (1 + score) times as long
//! ```
//!
//! Source: Dadgar, Phillips, Currey, "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (2018). There
//! the score rises with missed answers too; here only with what this process knows of itself.

#![forbid(unsafe_code)]

use super::identity::Identity;
use crate::sync::{Arc, bite};
use foca::Timer;
use std::collections::BTreeMap;
use std::time::Duration;

type Key = (u64, u64);

/// Timers by time, and the local health that decides whether they may act.
#[derive(Debug)]
pub(super) struct Timers {
    due: BTreeMap<Key, Entry>,
    /// The timer that forgets a name. One a name: a node that comes and goes does not pile them up.
    forgetting: BTreeMap<Arc<str>, Key>,
    number: u64,
    probe_period_us: u64,
    suspicion_us: u64,
    score: u64,
    /// Something was late since the last probe began.
    disturbed: bool,
}

#[derive(Debug)]
struct Entry {
    timer: Timer<Identity>,
    set_us: u64,
    deferred: u32,
}

impl Timers {
    pub(super) fn new(probe_period: Duration, suspicion: Duration) -> Self {
        let (due, forgetting) = (BTreeMap::new(), BTreeMap::new());
        let (probe_period_us, suspicion_us) = (micros(probe_period), micros(suspicion));
        Self { due, forgetting, number: 0, probe_period_us, suspicion_us, score: 0, disturbed: false }
    }

    pub(super) fn set(&mut self, now_us: u64, after: Duration, timer: Timer<Identity>) {
        let stretch = if matches!(timer, Timer::ChangeSuspectToDown { .. }) { 1 + self.score } else { 1 };
        let at_us = now_us.saturating_add(micros(after).saturating_mul(stretch));
        self.insert(at_us, Entry { timer, set_us: now_us, deferred: 0 });
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.first_key_value().map(|((at_us, _), _)| *at_us)
    }

    /// Says how late this process is, before anything that is due is done. `true` if it overslept.
    pub(super) fn woken(&mut self, now_us: u64) -> bool {
        let late_us = self.next().map_or(0, |at_us| now_us.saturating_sub(at_us));
        if late_us <= LATE_US {
            return false;
        }
        self.disturbed = true;
        self.score = (self.score + 1 + late_us / self.probe_period_us.max(1)).min(SCORE_MAX);
        true
    }

    /// The next one that is due and may act.
    pub(super) fn take(&mut self, now_us: u64) -> Option<Timer<Identity>> {
        loop {
            let first = self.due.first_entry().filter(|first| first.key().0 <= now_us)?;
            let (key, entry) = first.remove_entry();
            match self.deferral_us(now_us, &entry) {
                Some(until_us) if entry.deferred < DEFERRALS_MAX => {
                    self.insert(until_us, Entry { deferred: entry.deferred + 1, ..entry });
                }
                _ => {
                    self.taken(key, &entry.timer);
                    return Some(entry.timer);
                }
            }
        }
    }

    /// Takes the timer that would forget a name first, before its time.
    pub(super) fn take_forgetting(&mut self) -> Option<Timer<Identity>> {
        let key = *self.forgetting.values().min()?;
        let entry = self.due.remove(&key)?;
        self.taken(key, &entry.timer);
        Some(entry.timer)
    }

    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.forgetting.clear();
    }

    /// Until when a verdict has to wait, if this process is in no state to make it.
    fn deferral_us(&self, now_us: u64, entry: &Entry) -> Option<u64> {
        match entry.timer {
            _ if bite("membership.oversleep-ignored") => None,
            Timer::ProbeRandomMember(_) if self.disturbed && entry.deferred == 0 => Some(now_us + self.probe_period_us),
            Timer::ChangeSuspectToDown { .. } if self.disturbed => Some(now_us + self.suspicion_us),
            Timer::ChangeSuspectToDown { .. } => {
                let until_us = entry.set_us.saturating_add(self.suspicion_us.saturating_mul(1 + self.score));
                (until_us > now_us).then_some(until_us)
            }
            _ => None,
        }
    }

    fn taken(&mut self, key: Key, timer: &Timer<Identity>) {
        match timer {
            Timer::ProbeRandomMember(_) => {
                self.score -= u64::from(!self.disturbed && self.score > 0);
                self.disturbed = false;
            }
            Timer::RemoveDown(identity) if self.forgetting.get(&identity.name) == Some(&key) => {
                self.forgetting.remove(&identity.name);
            }
            _ => {}
        }
    }

    fn insert(&mut self, at_us: u64, entry: Entry) {
        let key = (at_us, self.number);
        self.number += 1;
        if let Timer::RemoveDown(identity) = &entry.timer
            && let Some(former) = self.forgetting.insert(identity.name.clone(), key)
        {
            self.due.remove(&former);
        }
        self.due.insert(key, entry);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A timer that comes this much after its time says that this process overslept. Microseconds.
const LATE_US: u64 = 50_000;
const SCORE_MAX: u64 = 8;
/// One verdict is put off no more often, however this process sleeps.
const DEFERRALS_MAX: u32 = 8;
