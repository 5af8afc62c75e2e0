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
/// many by [`Events::missed`].
pub struct Events {
    shared: Arc<Shared>,
    reader: Reader,
}

impl Events {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), reader: shared.log.reader() }
    }

    /// The next event, if there is one.
    pub fn try_next(&mut self) -> Option<Event> {
        self.shared.log.read(&mut self.reader).map(Event::from)
    }

    /// The next event, waited for at most so long. `None` after that time, or once the node has left and all was read.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Event> {
        self.shared.log.read_within(&mut self.reader, timeout).map(Event::from)
    }

    /// The next event, on any runtime. `None` once the node has left and all was read.
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
