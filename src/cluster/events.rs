//! Reading events: without waiting, for a while, or as a stream.
//!
//! ```text
//!   try_next()   next_timeout(..)   next().await   Stream         one place, whichever is called
//!
//!   None at the end: the node has left, and every event was read
//! ```
//!
//! `Stream` is that of `futures-core`, which has no dependencies and which every runtime's combinators take; the future of
//! `next` needs not even that.

#![forbid(unsafe_code)]

use crate::cluster::event::Event;
use crate::replication::driver::log::Reader;
use crate::replication::driver::shared::Shared;
use crate::sync::Arc;
use futures_core::Stream;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A reader of a node's events, from the oldest that is kept. Made by [`crate::Cluster::events`].
///
/// The node keeps the last 1,024 events for all readers together. Who reads later than that misses some, and is told how
/// many by [`Events::missed`]. Reading takes a short lock and copies one event; an unread reader holds nobody up.
///
/// ```
/// # use also_cache::{Cache, Cluster, Event};
/// # use std::time::Duration;
/// # let cache = Cache::builder().capacity(4 << 20).open()?;
/// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
/// let mut events = cluster.events();
/// cluster.leave(Duration::ZERO)?;
/// let mut told = Vec::new();
/// while let Some(event) = events.next_timeout(Duration::from_secs(10)) {
///     told.push(event);
/// }
/// assert!(matches!(told.last(), Some(Event::Left { .. })) && events.try_next().is_none());
/// assert_eq!(events.missed(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Events {
    shared: Arc<Shared>,
    reader: Reader,
}

impl Events {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), reader: shared.log.reader() }
    }

    /// The next event, if there is one. Waits for nothing.
    pub fn try_next(&mut self) -> Option<Event> {
        self.shared.log.read(&mut self.reader).map(Event::from)
    }

    /// The next event, waited for at most so long: blocks the calling thread, and no other. `None` after that time, or once the
    /// node has left and all was read.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Event> {
        self.shared.log.read_within(&mut self.reader, timeout).map(Event::from)
    }

    /// The next event, on any runtime. `None` once the node has left and all was read. Blocks nobody; a future that is dropped
    /// has taken no event.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, Event};
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
    /// let mut events = cluster.events();
    /// # run(async {
    /// while let Some(event) = events.next().await {
    ///     if matches!(event, Event::Readiness(_)) {
    ///         break;
    ///     }
    /// }
    /// # });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::should_implement_trait, reason = "the name that every stream's combinators have")]
    pub fn next(&mut self) -> impl Future<Output = Option<Event>> + Send + '_ {
        std::future::poll_fn(|context| self.poll(context))
    }

    /// Events that were gone before this reader came to them.
    pub fn missed(&self) -> u64 {
        self.reader.missed()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.shared.log.poll(&mut self.reader, context).map(|event| event.map(Event::from))
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.log.leave(&self.reader);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("missed", &self.missed()).finish_non_exhaustive()
    }
}
