//! An open loop: so many operations a second, whatever each of them takes; of a pause a tenth of a second is made up for.

use std::time::{Duration, Instant};

/// Says how many operations are due.
pub(crate) struct Pace {
    per_s: u64,
    began: Instant,
    done: u64,
}

impl Pace {
    /// So many a second, from now on.
    pub(crate) fn new(per_s: u64) -> Self {
        Self { per_s, began: Instant::now(), done: 0 }
    }

    /// Waits a moment, then says how many operations are due.
    pub(crate) fn wait(&mut self) -> u64 {
        std::thread::sleep(TICK);
        self.due(Instant::now())
    }

    /// Operations that are due since the last call.
    fn due(&mut self, now: Instant) -> u64 {
        let wanted = (now.duration_since(self.began).as_secs_f64() * self.per_s as f64) as u64;
        let due = wanted.saturating_sub(self.done);
        self.done = wanted;
        due.min(self.per_s.div_ceil(DEBT_DIVISOR))
    }
}

const TICK: Duration = Duration::from_millis(1);
/// A tenth of a second is made up for.
const DEBT_DIVISOR: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_made_up_for_in_part() {
        let mut pace = Pace::new(1000);
        let after = |ms| pace.began + Duration::from_millis(ms);
        let moments = [after(10), after(10), after(50), after(5000), after(5001)];
        assert_eq!(moments.map(|moment| pace.due(moment)), [10, 0, 40, 100, 1]);
    }
}
