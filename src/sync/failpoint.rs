//! Named places where a test may park a thread or kill the process; in release builds they leave no code.
//!
//! ```text
//!   failpoint!("insert.linked")  ->  not armed: one relaxed load    armed: park | kill at the nth passage | count
//! ```
//!
//! A child process arms itself from `ALSO_CACHE_FAILPOINT=name:kill:n`. The list of names is [`NAMES`]; a test asks it,
//! so that a step which gains a failpoint is killed at without anyone remembering to add it.

/// Every failpoint in the crate, in the order of the journeys.
#[cfg(all(debug_assertions, not(loom)))]
pub const NAMES: &[&str] = &[
    "insert.allocated",
    "insert.written",
    "insert.locked",
    "insert.linked",
    "replace.swapped",
    "retire.marked",
    "remove.unlinked",
    "evict.chosen",
    "evict.unlinked",
    "free.claimed",
    "split.listed",
    "split.counted",
    "split.copied",
    "split.forwarded",
    "split.moved",
    "split.settled",
    "overflow.linked",
    "page.assigned",
    "page.formatted",
    "page.draining",
    "page.drained",
    "page.freed",
    "index.page_taken",
    "open.run_half_raised",
    "open.run_raised",
    "close.sealing",
    "ring.claimed",
    "ring.written",
    "ring.finished",
];

/// Marks a place. Does nothing in release builds and under loom.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(all(debug_assertions, not(loom)))]
        $crate::sync::failpoint::pass($name);
    };
}
pub(crate) use failpoint;

#[cfg(all(debug_assertions, not(loom)))]
pub(crate) use armed::pass;
#[cfg(all(debug_assertions, not(loom)))]
pub use armed::{Action, arm, arm_from_environment, disarm, hits};

#[cfg(all(debug_assertions, not(loom)))]
mod armed {
    use super::NAMES;
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

    /// What happens at an armed failpoint.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Action {
        /// The first thread to pass waits until the point is disarmed.
        Park,
        /// The process kills itself with SIGKILL at the nth passage.
        Kill(u64),
        /// Passages are counted.
        Count,
    }

    struct Armed {
        action: Action,
        hits: u64,
    }

    static ANY: AtomicBool = AtomicBool::new(false);
    static POINTS: Mutex<Option<HashMap<&'static str, Armed>>> = Mutex::new(None);
    static CHANGED: Condvar = Condvar::new();

    fn points() -> MutexGuard<'static, Option<HashMap<&'static str, Armed>>> {
        POINTS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(name: &str) -> &'static str {
        NAMES.iter().copied().find(|known| *known == name).unwrap_or_else(|| panic!("failpoint {name} is not in NAMES"))
    }

    /// Arms a point.
    ///
    /// # Panics
    ///
    /// If the name is not in [`NAMES`].
    pub fn arm(name: &str, action: Action) {
        points().get_or_insert_default().insert(known(name), Armed { action, hits: 0 });
        ANY.store(true, Ordering::Release);
    }

    /// Disarms a point and wakes who is parked there. Returns how often it was passed.
    pub fn disarm(name: &str) -> u64 {
        let removed = points().get_or_insert_default().remove(name);
        CHANGED.notify_all();
        removed.map_or(0, |armed| armed.hits)
    }

    /// How often an armed point was passed.
    pub fn hits(name: &str) -> u64 {
        points().as_ref().and_then(|map| map.get(name)).map_or(0, |armed| armed.hits)
    }

    /// Arms what `ALSO_CACHE_FAILPOINT=name:kill:n` asks for.
    pub fn arm_from_environment() {
        let Ok(wish) = std::env::var("ALSO_CACHE_FAILPOINT") else {
            return;
        };
        let mut parts = wish.split(':');
        let name = parts.next().unwrap_or_default().to_owned();
        let kill = parts.next() == Some("kill");
        let nth = parts.next().and_then(|n| n.parse().ok()).unwrap_or(1);
        arm(&name, if kill { Action::Kill(nth) } else { Action::Count });
    }

    /// Passes a point.
    pub(crate) fn pass(name: &'static str) {
        if !ANY.load(Ordering::Relaxed) {
            return;
        }
        let mut map = points();
        let Some(armed) = map.get_or_insert_default().get_mut(name) else {
            return;
        };
        armed.hits += 1;
        match armed.action {
            Action::Count => {}
            Action::Kill(nth) if armed.hits < nth => {}
            Action::Kill(_) => {
                let process = rustix::process::getpid();
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
            Action::Park if armed.hits > 1 => {}
            Action::Park => {
                while map.as_ref().is_some_and(|map| map.contains_key(name)) {
                    map = CHANGED.wait(map).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}
