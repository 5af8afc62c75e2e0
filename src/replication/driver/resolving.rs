//! Looking names up, on a thread of its own: it may take as long as it likes.
//!
//! ```text
//!   names of seeds -> Resolver -> all their addresses -> the driver          again and again, for as long as the node lives
//!                     every RESOLVE_INTERVAL_MS; sooner while a name stands for nothing
//! ```
//!
//! The thread is told to stop and not waited for: a look-up under way can not be ended. It holds nothing of the cache.

#![forbid(unsafe_code)]

use crate::replication::driver::counters::Counter;
use crate::replication::driver::shared::{Command, Shared};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::types::limits::{RESOLVE_INTERVAL_MS, RESOLVE_SOON_MS, SEED_ADDRESSES_MAX};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Looks up what the name of a seed stands for.
///
/// Called on a thread of its own, again and again; it may block. All addresses that it returns are tried, at most 64 of
/// each name. An error, or no address, is no failure of the node: it is counted, and asked again.
///
/// ```
/// use also_cache::Resolver;
/// use std::net::SocketAddr;
///
/// /// Finds the other nodes in a file that an operator writes.
/// #[derive(Debug)]
/// struct FromFile(std::path::PathBuf);
///
/// impl Resolver for FromFile {
///     fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
///         let text = std::fs::read_to_string(&self.0)?;
///         Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
///     }
/// }
/// # let path = std::env::temp_dir().join(format!("seeds-{}", std::process::id()));
/// # std::fs::write(&path, "10.0.0.7:7400\nnonsense\n")?;
/// # let found = FromFile(path.clone()).resolve("users.svc", 7400);
/// # std::fs::remove_file(path)?;
/// # assert_eq!(found?, ["10.0.0.7:7400".parse::<SocketAddr>()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// All addresses that a name stands for now.
    ///
    /// # Errors
    ///
    /// Whatever was met; it is logged.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs()?.collect())
    }
}

/// The running thread. Dropping it tells it to stop.
#[derive(Debug)]
pub(super) struct Resolving {
    stop: Arc<AtomicBool>,
    thread: std::thread::Thread,
}

impl Resolving {
    /// Starts looking up.
    pub(super) fn start(
        resolver: Arc<dyn Resolver>,
        names: Vec<(String, u16)>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("also-cache-dns".to_owned()).spawn(move || {
            let mut names: Vec<Name> = names.into_iter().map(Name::new).collect();
            // Acquire: pairs with the Release in `drop`.
            while !stopped.load(Ordering::Acquire) {
                let mut interval = RESOLVE_INTERVAL_MS;
                for name in &mut names {
                    if !name.look_up(&*resolver, &shared) {
                        interval = RESOLVE_SOON_MS;
                    }
                }
                let found = names.iter().flat_map(|name| name.addresses.iter().copied()).collect();
                if shared.ask(Command::Resolved(found)).is_err() {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(interval));
            }
        })?;
        Ok(Self { stop, thread: thread.thread().clone() })
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the thread.
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// A name, and what it last stood for.
struct Name {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
}

impl Name {
    fn new((host, port): (String, u16)) -> Self {
        Self { host, port, addresses: Vec::new() }
    }

    /// `false` if it stands for nothing. An error leaves what it stood for before.
    fn look_up(&mut self, resolver: &dyn Resolver, shared: &Shared) -> bool {
        match resolver.resolve(&self.host, self.port) {
            Ok(mut addresses) => {
                shared.counters.add(Counter::Resolved, 1);
                let left_out = addresses.len().saturating_sub(SEED_ADDRESSES_MAX);
                shared.counters.add(Counter::AddressesLeftOut, left_out as u64);
                addresses.truncate(SEED_ADDRESSES_MAX);
                self.addresses = addresses;
            }
            Err(error) => {
                shared.counters.add(Counter::ResolvesFailed, 1);
                tracing::debug!(%error, host = self.host, "a seed stands for nothing");
            }
        }
        !self.addresses.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::driver::wake::Alarm;
    use crate::sync::{Mutex, lock};

    /// Says what is next in a list, then an error for ever.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<io::Result<Vec<SocketAddr>>>>);

    impl Resolver for Scripted {
        fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
            lock(&self.0).pop().unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
        }
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 7400))
    }

    #[test]
    fn an_error_leaves_what_a_name_stood_for() {
        let poll = mio::Poll::new().expect("a poller");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        let shared = Shared::new(Alarm::new(waker));
        let many = (0..=255).map(address).collect();
        let script = vec![Ok(many), Err(io::ErrorKind::TimedOut.into()), Ok(vec![address(1)]), Ok(vec![])];
        let resolver = Scripted(Mutex::new(script));
        let mut name = Name::new(("users.svc".to_owned(), 7400));
        assert!(!name.look_up(&resolver, &shared));
        assert!(name.look_up(&resolver, &shared));
        assert!(name.look_up(&resolver, &shared), "it failed, and still stands for the same");
        assert_eq!(name.addresses, [address(1)]);
        assert!(name.look_up(&resolver, &shared));
        assert_eq!(name.addresses.len(), SEED_ADDRESSES_MAX);
        assert_eq!(shared.counters.get(Counter::AddressesLeftOut), 256 - SEED_ADDRESSES_MAX as u64);
        assert_eq!(shared.counters.get(Counter::ResolvesFailed), 1);
    }
}
