//! Waiting for what other nodes do: that they have applied something, or that this one has.
//!
//! ```text
//!   writer's node    insert -> version -> wait_replicated(version, acks)     so many others have it
//!                    insert -> token() ----+
//!                                          | a cookie, a header
//!   reader's node    get_after(key, token) <--- waits until all that the token covers is here, then reads
//! ```
//!
//! Waits are for positions in the ring of changes: what was written before the call has a lower one. So a wait may cover
//! what other threads wrote at the same time, and never less than what was asked for.

#![forbid(unsafe_code)]

use crate::cache::{PinnedValue, Value};
use crate::cluster::error::WaitError;
use crate::cluster::handle::{Cluster, GRACE};
use crate::cluster::token::Token;
use crate::replication::driver::promise::Answer;
use crate::replication::driver::shared::Refused;
use crate::replication::driver::waits::{Acks, Goal, Waited};
use crate::types::limits::WAITS_MAX;
use crate::types::version::Version;
use std::future::Future;
use std::time::Duration;

impl Cluster {
    /// Waits until other nodes have applied a write of this node, and all that it wrote before.
    ///
    /// # Errors
    ///
    /// [`WaitError`]. What was written stays written, and goes on its way.
    ///
    /// ```
    /// # use also_cache::{Acks, Cache, Cluster, WaitError};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).name("a").listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// let version = cache.insert("k", "v")?;
    /// cluster.wait_replicated(version, Acks::All, Duration::from_secs(1))?; // of nobody: met
    /// let one = cluster.wait_replicated(version, Acks::One, Duration::ZERO);
    /// assert!(matches!(one, Err(WaitError::NotReplicated { confirmed: 0, wanted: 1, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_replicated(&self, version: Version, acks: Acks, timeout: Duration) -> Result<(), WaitError> {
        self.check_own(version)?;
        self.flush(acks, timeout)
    }

    /// As [`Cluster::wait_replicated`], on any runtime.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_replicated`].
    pub fn wait_replicated_async(
        &self,
        version: Version,
        acks: Acks,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        let own = self.check_own(version);
        let waited = self.flush_async(acks, timeout);
        async move {
            own?;
            waited.await
        }
    }

    /// Waits until other nodes have applied all that this node wrote so far.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_replicated`].
    pub fn flush(&self, acks: Acks, timeout: Duration) -> Result<(), WaitError> {
        let goal = self.replicated(acks);
        self.wait(goal, timeout)
    }

    /// As [`Cluster::flush`], on any runtime.
    ///
    /// # Errors
    ///
    /// As [`Cluster::wait_replicated`].
    pub fn flush_async(
        &self,
        acks: Acks,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + use<> {
        let goal = self.replicated(acks);
        let answer = self.running.shared().wait(goal, timeout);
        conclude_async(answer, goal, timeout)
    }

    /// A token for all that this node has written so far: what carries it to another node reads it there.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, Token};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).name("a").listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cache.insert("k", "v")?;
    /// let cookie = cluster.token().to_string();
    ///
    /// let token: Token = cookie.parse()?;
    /// let value = cluster.get_after("k", token, Duration::from_millis(20))?;
    /// assert_eq!(value.as_deref(), Some(b"v".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn token(&self) -> Token {
        Token { stream: self.running.store.stream(), position: self.running.store.end() }
    }

    /// Reads a key once all that a token covers has been applied here.
    ///
    /// # Errors
    ///
    /// [`WaitError::NotApplied`] if it has not come in time: read from the database then. A token of a node's former life
    /// is met only while some node still has those changes.
    pub fn get_after(
        &self,
        key: impl AsRef<[u8]>,
        token: Token,
        timeout: Duration,
    ) -> Result<Option<Value<'_>>, WaitError> {
        if !self.has_applied(token) {
            self.wait(applied(token), timeout)?;
        }
        Ok(self.running.cache.get(key))
    }

    /// As [`Cluster::get_after`], on any runtime.
    ///
    /// # Errors
    ///
    /// As [`Cluster::get_after`].
    pub fn get_after_async(
        &self,
        key: impl AsRef<[u8]> + Send,
        token: Token,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<PinnedValue>, WaitError>> + Send {
        let goal = applied(token);
        let answer = (!self.has_applied(token)).then(|| self.running.shared().wait(goal, timeout));
        let cache = self.running.cache.clone();
        async move {
            if let Some(answer) = answer {
                conclude_async(answer, goal, timeout).await?;
            }
            Ok(cache.get_pinned(key))
        }
    }

    fn replicated(&self, acks: Acks) -> Goal {
        Goal::Replicated { position: self.running.store.end(), acks }
    }

    /// Own changes were applied when they were made.
    fn has_applied(&self, token: Token) -> bool {
        let store = &self.running.store;
        let is_own = token.stream == store.stream() && token.position <= store.end();
        is_own || self.running.shared().applied.get(token.stream).is_some_and(|reached| reached >= token.position)
    }

    fn check_own(&self, version: Version) -> Result<(), WaitError> {
        let is_own = version.origin() == self.running.store.stream().origin.0;
        if is_own { Ok(()) } else { Err(WaitError::NotOwn { version }) }
    }

    fn wait(&self, goal: Goal, timeout: Duration) -> Result<(), WaitError> {
        let answer = self.running.shared().wait(goal, timeout).map_err(refused)?;
        match answer.wait(timeout.saturating_add(GRACE)) {
            Ok(outcome) => conclude(outcome, goal, timeout),
            // The thread is too busy to say what is missing.
            Err(_) => conclude(Some(Waited::TimedOut { confirmed: 0, wanted: wanted(goal) }), goal, timeout),
        }
    }
}

fn applied(token: Token) -> Goal {
    Goal::Applied { stream: token.stream, position: token.position }
}

/// How many nodes a wait was for at least, where nobody has counted.
fn wanted(goal: Goal) -> usize {
    if let Goal::Replicated { acks: Acks::Count(count), .. } = goal { count } else { 1 }
}

fn conclude_async(
    answer: Result<Answer<Waited>, Refused>,
    goal: Goal,
    timeout: Duration,
) -> impl Future<Output = Result<(), WaitError>> + Send {
    async move {
        let answer = answer.map_err(refused)?;
        conclude(answer.await, goal, timeout)
    }
}

fn conclude(outcome: Option<Waited>, goal: Goal, waited: Duration) -> Result<(), WaitError> {
    match (outcome, goal) {
        (Some(Waited::Met), _) => Ok(()),
        (Some(Waited::TimedOut { confirmed, wanted }), Goal::Replicated { .. }) => {
            Err(WaitError::NotReplicated { waited, confirmed, wanted })
        }
        (Some(Waited::TimedOut { .. }), Goal::Applied { .. }) => Err(WaitError::NotApplied { waited }),
        (Some(Waited::TooMany), _) => Err(refused(Refused::Full)),
        (None, _) => Err(refused(Refused::Ended)),
    }
}

fn refused(refused: Refused) -> WaitError {
    match refused {
        Refused::Full => WaitError::TooManyWaits { max: WAITS_MAX },
        Refused::Ended => WaitError::Left,
    }
}
