//! Waking the thread: many callers, one system call.
//!
//! ```text
//!   caller   queue a command -> wake: asked = true?   it was false: write to the poller's descriptor
//!                                                     it was true:  somebody's write is on its way
//!   thread   ... poll ... -> listen: asked = false -> look at the queues -> work -> poll ...
//! ```
//!
//! Invariant: the thread takes the question back before it looks at the queues, so what is queued before a `wake` is seen
//! by the round that this `wake` begins, or by an earlier one.

#![forbid(unsafe_code)]

use crate::sync::{AtomicBool, Ordering};

/// The way into a sleeping thread.
#[derive(Debug)]
pub(super) struct Alarm {
    waker: mio::Waker,
    asked: AtomicBool,
}

impl Alarm {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Self { waker, asked: AtomicBool::new(false) }
    }

    /// Makes the thread run one more round. Cheap while one is asked for already.
    pub(super) fn wake(&self) {
        // AcqRel: pairs with the exchange in `listen`. What was queued before is visible to the round that follows.
        if !self.asked.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            // The thread wakes for the next heartbeat at the latest.
            tracing::warn!(%error, "the network thread could not be woken");
        }
    }

    /// For the thread itself, before it looks at its queues.
    pub(super) fn listen(&self) {
        // AcqRel: pairs with the exchange in `wake`.
        self.asked.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_serves_all_who_ask_before_it() {
        let mut poll = mio::Poll::new().expect("a poller");
        let alarm = Alarm::new(mio::Waker::new(poll.registry(), mio::Token(1)).expect("a waker"));
        let mut events = mio::Events::with_capacity(4);
        for _ in 0..3 {
            alarm.wake();
            alarm.wake();
            poll.poll(&mut events, None).expect("it wakes");
            assert_eq!(events.iter().count(), 1);
            alarm.listen();
        }
        poll.poll(&mut events, Some(std::time::Duration::ZERO)).expect("it returns");
        assert!(events.is_empty(), "nobody has asked since");
    }
}
