//! A call's wait for the thread: kept once, waited for by a thread or by a task of any runtime.
//!
//! ```text
//!            promise()
//!           /         \
//!     Promise          Answer          the driver keeps the one, the caller the other
//!     keep(outcome) -> wait(time-out)  sleeps on a condition
//!                   -> .await          the waker of the last poll is called
//!     dropped       -> None            whoever waits is told that nobody will answer
//!     is_wanted()   <- dropped         nobody waits any more: the driver drops it too
//! ```

#![forbid(unsafe_code)]

use crate::sync::{Arc, Condvar, Mutex, lock};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Cell<T> {
    state: Mutex<State<T>>,
    kept: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Open(Option<Waker>),
    Kept(T),
    /// Nobody will keep it; or it was taken.
    Gone,
}

/// The side that answers.
#[derive(Debug)]
pub(crate) struct Promise<T>(Arc<Cell<T>>);

/// The side that waits. As a future it ends with `None` if nobody will answer.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Cell<T>>);

/// One promise and its answer.
pub(crate) fn promise<T>() -> (Promise<T>, Answer<T>) {
    let cell = Arc::new(Cell { state: Mutex::new(State::Open(None)), kept: Condvar::new() });
    (Promise(cell.clone()), Answer(cell))
}

impl<T> Promise<T> {
    /// Answers. The first answer holds.
    pub(crate) fn keep(&self, outcome: T) {
        self.0.settle(State::Kept(outcome));
    }

    /// Whether somebody still waits.
    pub(crate) fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.settle(State::Gone);
    }
}

impl<T> Cell<T> {
    /// The first one to settle decides.
    fn settle(&self, settled: State<T>) {
        let mut state = lock(&self.state);
        let State::Open(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = settled;
        drop(state);
        self.kept.notify_all();
        // Outside of the lock: a waker may run whatever it likes.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Answer<T> {
    /// Waits for the answer. `Err` gives the wait back: the time is over. `Ok(None)`: nobody will answer.
    pub(crate) fn wait(self, timeout: Duration) -> Result<Option<T>, Self> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = lock(&self.0.state);
        loop {
            if !matches!(*state, State::Open(_)) {
                return Ok(state.take());
            }
            let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                drop(state);
                return Err(self);
            }
            state = match self.0.kept.wait_timeout(state, left.min(LONGEST_SLEEP)) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// What the system's wait takes without trouble.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

impl<T> State<T> {
    fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Gone) {
            Self::Kept(outcome) => Some(outcome),
            _ => None,
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0.state);
        match &mut *state {
            State::Open(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(state.take()),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_the_answer() {
        let (promise, answer) = promise();
        let waiting = std::thread::spawn(|| answer.wait(Duration::MAX));
        promise.keep(7);
        assert_eq!(waiting.join().expect("no panic inside").expect("it was answered"), Some(7));
    }

    #[test]
    fn a_task_gets_the_answer_and_is_woken_for_it() {
        struct Count(crate::sync::GaugeU32);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, crate::sync::Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(crate::sync::GaugeU32::new(0)));
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let (promise, answer) = promise();
        let mut answer = std::pin::pin!(answer);
        assert!(answer.as_mut().poll(&mut context).is_pending());
        promise.keep("done");
        assert_eq!(count.0.load(crate::sync::Ordering::Relaxed), 1);
        assert_eq!(answer.as_mut().poll(&mut context), Poll::Ready(Some("done")));
    }

    #[test]
    fn what_nobody_will_answer_ends() {
        let (kept, answer) = promise::<u8>();
        assert!(kept.is_wanted());
        drop(kept);
        assert_eq!(answer.wait(Duration::MAX).expect("it has ended"), None);
        let (kept, answer) = promise::<u8>();
        drop(answer);
        assert!(!kept.is_wanted());
        kept.keep(1);
    }

    #[test]
    fn time_ends_a_wait_that_can_go_on() {
        let (promise, answer) = promise();
        let answer = answer.wait(Duration::ZERO).expect_err("nobody has answered");
        promise.keep(1);
        assert_eq!(answer.wait(Duration::ZERO).expect("it was answered"), Some(1));
    }
}
