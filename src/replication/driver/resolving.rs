//! Looking names up, on a thread of its own: it may take as long as it likes.
//!
//! ```text
//!   seeds --- addresses ------------------------------------------> the driver, at once
//!         --- names -> also-cache-dns: Resolver, again and again -> the driver, whenever they stand for others
//! ```
//!
//! The thread is told to stop and not waited for: a look-up under way can not be ended. It holds nothing of the cache.

#![forbid(unsafe_code)]

use crate::replication::driver::counters::Counter;
use crate::replication::driver::shared::{Command, Shared};
use crate::replication::membership::{Resolver, Resolving};
use crate::sync::Arc;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

/// The running thread, if there are names. Dropping it tells it to stop.
#[derive(Debug)]
pub(super) struct ResolvingThread {
    _stop: Option<Sender<()>>,
}

impl ResolvingThread {
    /// Starts looking up.
    pub(super) fn start(seeds: &[String], resolver: Box<dyn Resolver>, shared: Arc<Shared>) -> io::Result<Self> {
        let began = Instant::now();
        let now_us = move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let resolving = Resolving::new(seeds.iter().map(String::as_str), now_us());
        if resolving.poll_timeout().is_none() {
            return Ok(Self { _stop: None });
        }
        let (stop, stopped) = channel();
        std::thread::Builder::new().name("also-cache-dns".to_owned()).spawn(move || {
            let counting = Counting { resolver, shared: shared.clone() };
            resolving.run(&counting, &stopped, now_us, |addresses| {
                // Refused once the node has left: then this is about to be told to stop.
                let _ = shared.ask(Command::Seeds(addresses.to_vec()));
            });
        })?;
        Ok(Self { _stop: Some(stop) })
    }
}

/// The addresses among the seeds.
pub(super) fn addresses(seeds: &[String]) -> Vec<SocketAddr> {
    Resolving::new(seeds.iter().map(String::as_str), 0).addresses()
}

/// Counts what it is asked, and says what led to nothing.
struct Counting {
    resolver: Box<dyn Resolver>,
    shared: Arc<Shared>,
}

impl Resolver for Counting {
    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let answer = self.resolver.resolve(name);
        self.shared.counters.add(Counter::Resolves, 1);
        let reason = match &answer {
            Ok(addresses) if !addresses.is_empty() => return answer,
            Ok(_) => "no address".to_owned(),
            Err(error) => error.to_string(),
        };
        self.shared.counters.add(Counter::ResolvesFailed, 1);
        // Refused once the node has left.
        let _ = self.shared.ask(Command::Unresolved { seed: name.to_owned(), reason });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::driver::wake::Alarm;

    #[derive(Debug)]
    struct Always(Vec<SocketAddr>);

    impl Resolver for Always {
        fn resolve(&self, _name: &str) -> io::Result<Vec<SocketAddr>> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn names_reach_the_driver_and_wake_it() {
        let mut poll = mio::Poll::new().expect("a poller");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        let shared = Arc::new(Shared::new(Alarm::new(waker)));
        let [fixed, found] = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], 7400)));
        let seeds = [fixed.to_string(), "users.svc:7400".to_owned()];
        assert_eq!(addresses(&seeds), [fixed]);
        let thread = ResolvingThread::start(&seeds, Box::new(Always(vec![found])), shared.clone());
        let _thread = thread.expect("a thread");
        let mut told = Vec::new();
        while told.len() < 2 {
            poll.poll(&mut mio::Events::with_capacity(1), None).expect("it wakes");
            shared.alarm.listen();
            while let Some(Command::Seeds(seeds)) = shared.next_command() {
                told = seeds;
            }
        }
        assert_eq!(told, [fixed, found]);
        assert_eq!(shared.counters.get(Counter::Resolves), 1);
    }
}
