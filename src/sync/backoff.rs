//! Waiting a little, with an end: spin, then yield, then give up.
//!
//! Nothing in this crate waits without a bound. A caller that gets `false` refuses, with a reason.

/// A bounded wait. At most [`SPINS_MAX`](Backoff::SPINS_MAX) spins and then [`YIELDS_MAX`](Backoff::YIELDS_MAX) yields.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    step: u32,
}

impl Backoff {
    #[cfg(not(loom))]
    const SPINS_MAX: u32 = 8;
    #[cfg(loom)]
    const SPINS_MAX: u32 = 0;
    #[cfg(not(loom))]
    const YIELDS_MAX: u32 = 2_000;
    #[cfg(loom)]
    const YIELDS_MAX: u32 = 4;

    /// Waits a little longer than the last time; `false` once the bound is reached.
    pub(crate) fn wait(&mut self) -> bool {
        if self.step >= Self::SPINS_MAX + Self::YIELDS_MAX {
            return false;
        }
        if self.step < Self::SPINS_MAX {
            for _ in 0..1_u32 << self.step {
                std::hint::spin_loop();
            }
        } else {
            yield_now();
        }
        self.step += 1;
        true
    }
}

#[cfg(not(loom))]
pub(crate) fn yield_now() {
    std::thread::yield_now();
}

#[cfg(loom)]
pub(crate) fn yield_now() {
    loom::thread::yield_now();
}
