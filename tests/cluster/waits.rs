//! Tokens, deadlines, tasks, and leaving.

use crate::{PATIENCE, cache, meet, plain, until, watched};
use also_cache::{Acks, Cluster, LeaveError, Readiness, Token, WaitError};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest runtime: this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_session_reads_its_own_writes_wherever_it_comes() {
    let _watchdog = watched("tokens");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    for number in 0..200_u64 {
        one.insert("session", number.to_le_bytes()).expect("there is room");
        let token: Token = first.token().to_string().parse().expect("a token is read back");
        let value = second.get_after(&token, "session", PATIENCE).expect("it comes");
        let value = value.map(|value| u64::from_le_bytes((*value).try_into().expect("eight bytes")));
        assert_eq!(value, Some(number));
        assert!(first.get_after(&token, "session", Duration::ZERO).expect("its own").is_some());
    }
    let nothing = second.token();
    first.wait_applied(&nothing, Duration::ZERO).expect("there is nothing to wait for");
    other.insert("session", "from b").expect("there is room");
    let value = block_on(first.get_after_async(&second.token(), "session", PATIENCE)).expect("it comes");
    assert!(value.is_some());
}

#[test]
fn what_does_not_come_ends_in_time() {
    let _watchdog = watched("deadlines");
    let cache = cache();
    let alone = plain(&cache, "a", None);
    let version = cache.insert("k", "v").expect("there is room");
    let short = Duration::from_millis(20);
    let nobody = WaitError::NotReplicated { waited: short, confirmed: 0, wanted: 2 };
    assert_eq!(alone.wait_replicated(version, Acks::Count(2), short), Err(nobody.clone()));
    assert_eq!(block_on(alone.wait_replicated_async(version, Acks::Count(2), short)), Err(nobody));
    let elsewhere: Token = "a3f1-18c2e5a0b1c2d-2af0".parse().expect("a token");
    let never = alone.get_after(&elsewhere, "k", short);
    assert!(matches!(never, Err(WaitError::NotApplied { waited }) if waited == short));
    let never = block_on(alone.wait_applied_async(&elsewhere, short));
    assert_eq!(never, Err(WaitError::NotApplied { waited: short }));
}

#[test]
fn only_own_versions_are_waited_for() {
    let _watchdog = watched("versions");
    let (one, other) = (cache(), cache());
    let before = one.insert("before", "v").expect("there is room");
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    let version = one.insert("k", "v").expect("there is room");
    block_on(first.wait_replicated_async(version, Acks::One, PATIENCE)).expect("b has it");
    for (node, version) in [(&first, before), (&second, version)] {
        let refused = node.wait_replicated(version, Acks::One, PATIENCE);
        assert_eq!(refused, Err(WaitError::NotOwn { version }));
    }
}

#[test]
fn who_leaves_has_sent_everything() {
    let _watchdog = watched("leaving");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    for number in 0..3_000 {
        one.insert(format!("key:{number}"), "v").expect("there is room");
    }
    block_on(first.leave_async(PATIENCE)).expect("b has confirmed everything");
    assert_eq!((0..3_000).filter(|number| !other.contains(format!("key:{number}"))).count(), 0);
    until(&second, "a is gone", || second.members().is_empty());
    let version = one.insert("k", "v").expect("the cache goes on");
    drop(first.clone());
    until(&first, "the thread has ended", || first.leave(Duration::ZERO) == Err(LeaveError::Left));
    assert_eq!(first.wait_replicated(version, Acks::One, PATIENCE), Err(WaitError::Left));
    let mut events = second.events();
    let told = std::iter::from_fn(|| events.try_next());
    assert!(told.into_iter().any(|event| matches!(event, also_cache::Event::MemberLeft { name } if name == "a")));
}

#[test]
fn a_dropped_cluster_leaves_and_the_cache_goes_on() {
    let _watchdog = watched("dropping");
    let (one, other) = (cache(), cache());
    let first = plain(&one, "a", None);
    let second = plain(&other, "b", Some(&first));
    meet(&first, &second);
    drop(second);
    until(&first, "b is gone", || first.members().is_empty());
    assert!(other.insert("k", "v").is_ok() && other.contains("k"));
    let again = plain(&other, "b", Some(&first));
    meet(&first, &again);
    until(&first, "what was written alone is offered by the next node of that name", || one.contains("k"));
}

/// A waker that does what none should, on the thread that calls it.
struct Rogue<F>(F);

impl<F: Fn() + Send + Sync> Wake for Rogue<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Lets the network thread of a node call something.
fn on_its_thread(cluster: &Cluster, act: impl Fn() + Send + Sync + 'static) {
    let version = cluster.cache().insert("k", "v").expect("there is room");
    let mut wait = Box::pin(cluster.wait_replicated_async(version, Acks::Count(9), Duration::from_millis(1)));
    let waker = Waker::from(Arc::new(Rogue(act)));
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // The waker is called although nobody polls any more.
    std::mem::forget(wait);
}

#[test]
fn a_thread_that_has_died_has_no_members() {
    let _watchdog = watched("a panic");
    let (one, other) = (cache(), cache());
    let (first, second) = (plain(&one, "a", None), plain(&other, "b", None));
    let third = plain(&cache(), "c", Some(&first));
    meet(&first, &third);
    on_its_thread(&first, || panic!("a waker of the tests"));
    until(&first, "the thread has ended", || first.leave(Duration::ZERO) == Err(LeaveError::Left));
    assert!(first.members().is_empty() && first.readiness() == Readiness::Serving);
    assert!(one.contains("k") && second.leave(PATIENCE).is_ok());
    assert!(second.members().is_empty() && second.readiness() == Readiness::Serving);
}

#[test]
fn a_thread_that_does_not_answer_has_not_left() {
    let _watchdog = watched("a thread that is held up");
    let one = cache();
    let first = plain(&one, "a", None);
    let (is_held, held) = mpsc::channel();
    let (goes_on, go_on) = mpsc::channel::<()>();
    let go_on = Mutex::new(go_on);
    on_its_thread(&first, move || {
        is_held.send(()).expect("the test waits for it");
        let _ = go_on.lock().expect("one thread").recv();
    });
    held.recv_timeout(PATIENCE).expect("the waker is called");
    let outcome = first.leave(Duration::ZERO);
    assert!(matches!(outcome, Err(LeaveError::NoAnswer { .. })), "{outcome:?}");
    drop(goes_on);
    until(&first, "it leaves all the same", || first.leave(Duration::ZERO) == Err(LeaveError::Left));
}
