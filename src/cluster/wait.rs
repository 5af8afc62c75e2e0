//! Waiting for other nodes, each call with a deadline and a twin for tasks.
//!
//! ```text
//!   wait_replicated(version)   this node's changes, up to now, applied elsewhere: so many, or all, confirm it
//!   flush                      the same, for removes and clears too
//!   wait_applied(token)        another node's changes, up to the token, applied here
//!   get_after(token, key)      then read
//!
//!   already met?  -> no thread is asked           else -> the network thread answers, at the deadline at the latest
//! ```
//!
//! Tasks are woken by the network thread and by nothing else: no runtime is needed, and none is assumed.

#![forbid(unsafe_code)]

use crate::cache::{PinnedValue, Value};
use crate::cluster::error::WaitError;
use crate::cluster::handle::{Cluster, GRACE};
use crate::replication::driver::shared::Refused;
use crate::replication::driver::waits::{Acks, Goal, Waited};
use crate::sync::promise::Answer;
use crate::types::limits::WAITS_MAX;
use crate::types::stream::Position;
use crate::types::token::Token;
use crate::types::version::Version;
use std::future::Future;
use std::time::Duration;

impl Cluster {
    /// Waits until other nodes have applied a write of this one, at most so long.
    ///
    /// All that this node has written before the call is waited for with it: changes go out in order.
    ///
    /// # Errors
    ///
    /// [`WaitError::NotReplicated`] after that time, with how many have it; the write stays, and goes on its way.
    /// [`WaitError::NotOwn`] for a version of another node, or of an earlier life of this one. [`WaitError::TooManyWaits`] beside
    /// 4,096 others, [`WaitError::Left`] once this node has left.
    ///
    /// # Complexity
    ///
    /// One message each way if the others are idle, some 100 us on one network; blocks the calling thread, for the timeout and a
    /// second more at most, and no other. Allocates what the answer comes by; pins nothing.
    ///
    /// ```
    /// # use also_cache::{Acks, Cache, Cluster, WaitError};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// let version = cache.insert("k", "v")?;
    /// // Alone: there is nobody who would have to have it, and nobody who could.
    /// assert_eq!(cluster.wait_replicated(version, Acks::All, Duration::from_secs(1)), Ok(()));
    /// let nobody = cluster.wait_replicated(version, Acks::One, Duration::from_millis(1));
    /// assert!(matches!(nobody, Err(WaitError::NotReplicated { confirmed: 0, wanted: 1, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_replicated(&self, version: Version, acks: Acks, timeout: Duration) -> Result<(), WaitError> {
        self.check_own(version)?;
        self.flush(acks, timeout)
    }

    /// As [`Cluster::wait_replicated`], for any runtime. It begins with the call, not with the first poll; the network thread
    /// wakes the task. Blocks nobody.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_replicated`].
    ///
    /// ```
    /// # use also_cache::{Acks, Cache, Cluster, WaitError};
    /// # use std::time::Duration;
    /// # fn run<T>(task: impl std::future::Future<Output = T>) -> T {
    /// #     let (mut task, waker) = (std::pin::pin!(task), std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(done) = task.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
    /// #             return done;
    /// #         }
    /// #         std::thread::yield_now();
    /// #     }
    /// # }
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// let version = cache.insert("k", "v")?;
    /// # run(async {
    /// cluster.wait_replicated_async(version, Acks::All, Duration::from_millis(20)).await?;
    /// # Ok::<(), WaitError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_replicated_async(
        &self,
        version: Version,
        acks: Acks,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        let waiting = self.check_own(version).and_then(|()| self.begin(self.replicated(acks), timeout));
        async move { waiting?.finish().await }
    }

    /// Waits until other nodes have applied all that this one has written since it was started, removes and clears included.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_replicated`].
    ///
    /// # Complexity
    ///
    /// As [`Cluster::wait_replicated`].
    ///
    /// ```
    /// # use also_cache::{Acks, Cache, Cluster};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cache.remove("k")?;
    /// cluster.flush(Acks::All, Duration::from_secs(1))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush(&self, acks: Acks, timeout: Duration) -> Result<(), WaitError> {
        self.begin(self.replicated(acks), timeout)?.block()
    }

    /// As [`Cluster::flush`], for any runtime. It begins with the call, not with the first poll. Blocks nobody.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_replicated`].
    ///
    /// ```
    /// # use also_cache::{Acks, Cache, Cluster, WaitError};
    /// # use std::time::Duration;
    /// # fn run<T>(task: impl std::future::Future<Output = T>) -> T {
    /// #     let (mut task, waker) = (std::pin::pin!(task), std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(done) = task.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
    /// #             return done;
    /// #         }
    /// #         std::thread::yield_now();
    /// #     }
    /// # }
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cache.remove("k")?;
    /// # run(async {
    /// cluster.flush_async(Acks::All, Duration::from_millis(20)).await?;
    /// # Ok::<(), WaitError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush_async(
        &self,
        acks: Acks,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        let waiting = self.begin(self.replicated(acks), timeout);
        async move { waiting?.finish().await }
    }

    /// As [`Cache::token`](crate::Cache::token): all that this node has written since it was started, as a token, 24 bytes or a
    /// text of at most 38. Whoever takes it to another node can wait there until that one has applied it.
    ///
    /// # Complexity
    ///
    /// Reads a few words of the arena, without a lock; allocates a list of its lives, eight at most. Waits for nobody.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, Token};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cache.insert("k", "v")?;
    /// let header = cluster.token().to_string();
    /// let token: Token = header.parse()?;
    /// let value = cluster.get_after(&token, "k", Duration::from_millis(5))?;
    /// assert_eq!(value.as_deref(), Some(b"v".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn token(&self) -> Token {
        self.cache().token()
    }

    /// Waits until this node has applied what a token covers, at most so long.
    ///
    /// # Errors
    ///
    /// [`WaitError::NotApplied`] after that time: read from the database. So it is, too, if the node that made the token
    /// has died since with changes that no other node has. [`WaitError::TooManyWaits`] beside 4,096 others, [`WaitError::Left`]
    /// once this node has left.
    ///
    /// # Complexity
    ///
    /// A look into a table of 128 rows, without a lock and without an allocation, if it is there already. Else it blocks the
    /// calling thread, for the timeout and a second more at most, and no other.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, Token, WaitError};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cluster.wait_applied(&cluster.token(), Duration::ZERO)?; // its own: it is there
    /// let of_another: Token = "a3f1-18c2e5a0b1c2d-2af0".parse()?;
    /// let waited = Duration::from_millis(5);
    /// assert_eq!(cluster.wait_applied(&of_another, waited), Err(WaitError::NotApplied { waited }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_applied(&self, token: &Token, timeout: Duration) -> Result<(), WaitError> {
        self.begin(applied(token), timeout)?.block()
    }

    /// As [`Cluster::wait_applied`], for any runtime. It begins with the call, not with the first poll. Blocks nobody.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_applied`].
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, WaitError};
    /// # use std::time::Duration;
    /// # fn run<T>(task: impl std::future::Future<Output = T>) -> T {
    /// #     let (mut task, waker) = (std::pin::pin!(task), std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(done) = task.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
    /// #             return done;
    /// #         }
    /// #         std::thread::yield_now();
    /// #     }
    /// # }
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// # run(async {
    /// cluster.wait_applied_async(&cluster.token(), Duration::from_millis(5)).await?;
    /// # Ok::<(), WaitError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_applied_async(
        &self,
        token: &Token,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        let waiting = self.begin(applied(token), timeout);
        async move { waiting?.finish().await }
    }

    /// Reads a key once this node has applied what a token covers: a session reads its own writes, wherever it comes to.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_applied`]. `Ok(None)` is a miss, as of [`Cache::get`](crate::Cache::get).
    ///
    /// # Complexity
    ///
    /// As [`Cluster::wait_applied`], then one get. No guard is held while it waits; the [`Value`] holds one.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cache.insert("k", "v")?;
    /// let token = cluster.token(); // of any node, as text in a cookie or a header
    /// let value = cluster.get_after(&token, "k", Duration::from_millis(5))?;
    /// assert_eq!(value.as_deref(), Some(b"v".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_after(
        &self,
        token: &Token,
        key: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<Option<Value<'_>>, WaitError> {
        self.wait_applied(token, timeout)?;
        Ok(self.cache().get(key))
    }

    /// As [`Cluster::get_after`], for any runtime. It begins with the call, not with the first poll. Blocks nobody; copies the
    /// key, and pins the entry that it finds, as [`Cache::get_pinned`](crate::Cache::get_pinned).
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_applied`].
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, WaitError};
    /// # use std::time::Duration;
    /// # fn run<T>(task: impl std::future::Future<Output = T>) -> T {
    /// #     let (mut task, waker) = (std::pin::pin!(task), std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(done) = task.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
    /// #             return done;
    /// #         }
    /// #         std::thread::yield_now();
    /// #     }
    /// # }
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cache.insert("k", "v")?;
    /// # run(async {
    /// let value = cluster.get_after_async(&cluster.token(), "k", Duration::from_millis(5)).await?;
    /// assert_eq!(value.as_deref(), Some(b"v".as_slice()));
    /// # Ok::<(), WaitError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_after_async<K: AsRef<[u8]>>(
        &self,
        token: &Token,
        key: K,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<PinnedValue>, WaitError>> + Send + use<K> {
        let (waiting, cache, key) = (self.begin(applied(token), timeout), self.cache().clone(), key.as_ref().to_vec());
        async move {
            waiting?.finish().await?;
            Ok(cache.get_pinned(key))
        }
    }

    fn check_own(&self, version: Version) -> Result<(), WaitError> {
        let is_own = version.origin() == self.store().stream().origin.0 && self.store().is_of_this_life(&version);
        if is_own { Ok(()) } else { Err(WaitError::NotOwn { version }) }
    }

    fn replicated(&self, acks: Acks) -> Goal {
        Goal::Replicated { position: self.store().end(), acks }
    }

    fn begin(&self, goal: Goal, timeout: Duration) -> Result<Waiting, WaitError> {
        let answer = if self.is_met(&goal) { None } else { Some(self.shared().wait(goal, timeout)) };
        let answer = answer.transpose().map_err(|refused| match refused {
            Refused::Full => WaitError::TooManyWaits { max: WAITS_MAX },
            Refused::Ended => WaitError::Left,
        })?;
        Ok(Waiting { goal, timeout, answer })
    }

    /// What can be told without asking the thread.
    fn is_met(&self, goal: &Goal) -> bool {
        let Goal::Applied { stream, position } = *goal else { return false };
        if position == Position::default() {
            return true;
        }
        if stream.origin == self.store().stream().origin {
            let own = self.store().streams().into_iter().find(|own| own.stream == stream);
            return own.is_some_and(|own| own.end >= position);
        }
        self.shared().applied.get(stream).is_some_and(|reached| reached >= position)
    }
}

fn applied(token: &Token) -> Goal {
    Goal::Applied { stream: token.stream, position: token.position }
}

/// A wait that has begun. Without an answer to come it is met.
struct Waiting {
    goal: Goal,
    timeout: Duration,
    answer: Option<Answer<Waited>>,
}

impl Waiting {
    fn block(self) -> Result<(), WaitError> {
        let Some(answer) = self.answer else { return Ok(()) };
        let late = Some(Waited::TimedOut { confirmed: 0, wanted: 0 });
        let waited = answer.wait(self.timeout.saturating_add(GRACE)).unwrap_or(late);
        outcome(&self.goal, self.timeout, waited)
    }

    async fn finish(self) -> Result<(), WaitError> {
        match self.answer {
            None => Ok(()),
            Some(answer) => outcome(&self.goal, self.timeout, answer.await),
        }
    }
}

fn outcome(goal: &Goal, waited: Duration, outcome: Option<Waited>) -> Result<(), WaitError> {
    match (outcome, goal) {
        (Some(Waited::Met), _) => Ok(()),
        (Some(Waited::TimedOut { confirmed, wanted }), Goal::Replicated { .. }) => {
            Err(WaitError::NotReplicated { waited, confirmed, wanted })
        }
        (Some(Waited::TimedOut { .. }), Goal::Applied { .. }) => Err(WaitError::NotApplied { waited }),
        (Some(Waited::TooMany), _) => Err(WaitError::TooManyWaits { max: WAITS_MAX }),
        (None, _) => Err(WaitError::Left),
    }
}
