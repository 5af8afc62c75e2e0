//! From names of seeds to addresses, again and again, on a thread that may wait for a name server.
//!
//! ```text
//!   "10.0.0.7:7400"              an address: nothing to ask
//!   "cache.prod.svc:7400"        asked --answer--> all its addresses; again in 5 s
//!                                      --failure or no address--> the former ones stay; again in 1 s, 2 s, 4 s, 5 s ...
//!
//!   run:   due(now) -> resolve(name), which blocks -> answered(now, ..) -> changed? tell -> sleep until the next
//! ```
//!
//! Every address of an answer counts: behind one name of a headless service are all pods. Bounds: [`SEEDS_MAX`] names,
//! [`SEED_ADDRESSES_MAX`] addresses in all, evenly from each name.

#![forbid(unsafe_code)]

use crate::types::limits::{SEED_ADDRESSES_MAX, SEEDS_MAX};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Finds the addresses that the name of a seed stands for. May block: it is called on a thread of its own.
///
/// A name is asked for again every 5 seconds, sooner while it stands for nothing. An error, or no address, leaves what
/// it stood for before. At most 64 addresses of all names together are tried.
///
/// ```
/// use also_cache::Resolver;
/// use std::net::SocketAddr;
///
/// /// Finds the other nodes in a file that an operator writes.
/// struct FromFile(std::path::PathBuf);
///
/// impl Resolver for FromFile {
///     fn resolve(&self, _name: &str) -> std::io::Result<Vec<SocketAddr>> {
///         let text = std::fs::read_to_string(&self.0)?;
///         Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
///     }
/// }
/// # let path = std::env::temp_dir().join(format!("seeds-{}", std::process::id()));
/// # std::fs::write(&path, "10.0.0.7:7400\nnonsense\n")?;
/// # let found = FromFile(path.clone()).resolve("users.svc:7400");
/// # std::fs::remove_file(path)?;
/// # assert_eq!(found?, ["10.0.0.7:7400".parse::<SocketAddr>()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Resolver: Send + 'static {
    /// All addresses of a name, which is `host:port` as it was given.
    ///
    /// # Errors
    ///
    /// Whatever was met; it is counted, and told by `Event::SeedUnresolved`.
    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(name.to_socket_addrs()?.collect())
    }
}

/// Names, what is known of them, and which to ask for next.
#[derive(Debug)]
pub(crate) struct Resolving {
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    name: String,
    addresses: Vec<SocketAddr>,
    /// `None`: it is an address itself.
    due_us: Option<u64>,
    wait_us: u64,
}

impl Resolving {
    /// The first [`SEEDS_MAX`] of these; each is due at once, or an address.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>, now_us: u64) -> Self {
        let name = |name: &str| {
            let address = name.parse::<SocketAddr>().ok();
            let due_us = if address.is_some() { None } else { Some(now_us) };
            Name { name: name.to_owned(), addresses: address.into_iter().collect(), due_us, wait_us: FIRST_US }
        };
        Self { names: names.into_iter().take(SEEDS_MAX).map(name).collect() }
    }

    /// The next name to ask for, if one is due.
    pub(crate) fn due(&self, now_us: u64) -> Option<&str> {
        self.next().filter(|(due_us, _)| *due_us <= now_us).map(|(_, name)| &*self.names[name].name)
    }

    /// When to ask for [`due`](Self::due) again; `None` if all seeds are addresses.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.next().map(|(due_us, _)| due_us)
    }

    /// What became of the name that was due. `true` if the addresses are others now.
    pub(crate) fn answered(&mut self, now_us: u64, answer: io::Result<Vec<SocketAddr>>) -> bool {
        let Some((_, at)) = self.next() else { return false };
        let name = &mut self.names[at];
        let mut addresses = answer.unwrap_or_default();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(SEED_ADDRESSES_MAX);
        if addresses.is_empty() {
            name.due_us = Some(now_us + name.wait_us);
            name.wait_us = (name.wait_us * 2).min(LAST_US);
            return false;
        }
        name.due_us = Some(now_us + LAST_US);
        name.wait_us = FIRST_US;
        let changed = name.addresses != addresses;
        name.addresses = addresses;
        changed
    }

    /// The addresses of all names, without doubles: the first of each name, then the second of each, and so on.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let longest = self.names.iter().map(|name| name.addresses.len()).max().unwrap_or(0);
        let mut all = Vec::new();
        for round in 0..longest {
            for address in self.names.iter().filter_map(|name| name.addresses.get(round)) {
                if !all.contains(address) {
                    all.push(*address);
                }
            }
        }
        all.truncate(SEED_ADDRESSES_MAX);
        all
    }

    fn next(&self) -> Option<(u64, usize)> {
        self.names.iter().enumerate().filter_map(|(at, name)| Some((name.due_us?, at))).min()
    }

    /// The life of the resolving thread: tells all addresses at the start and after each change, until `stop` says so or
    /// its other end is gone.
    pub(crate) fn run(
        mut self,
        resolver: &dyn Resolver,
        stop: &Receiver<()>,
        now_us: impl Fn() -> u64,
        mut tell: impl FnMut(&[SocketAddr]),
    ) {
        let addresses = self.addresses();
        tell(&addresses);
        while let Some(due_us) = self.poll_timeout() {
            let wait_us = due_us.saturating_sub(now_us());
            match stop.recv_timeout(Duration::from_micros(wait_us)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(name) = self.due(now_us()) else { continue };
            let answer = resolver.resolve(name);
            if self.answered(now_us(), answer) {
                let addresses = self.addresses();
                tell(&addresses);
            }
        }
    }
}

const FIRST_US: u64 = 1_000_000;
const LAST_US: u64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::sync::mpsc::channel;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 7400))
    }

    #[test]
    fn a_name_is_asked_for_again_and_its_last_addresses_stay() {
        let mut resolving = Resolving::new(["10.0.0.9:7400", "pods:7400"], 0);
        assert_eq!((resolving.addresses(), resolving.due(0)), (vec![address(9)], Some("pods:7400")));
        assert!(resolving.answered(0, Ok(vec![address(2), address(1), address(2)])));
        assert_eq!(resolving.addresses(), [address(9), address(1), address(2)]);
        assert_eq!((resolving.due(LAST_US - 1), resolving.poll_timeout()), (None, Some(LAST_US)));
        let (mut now_us, mut waits) = (LAST_US, Vec::new());
        for failure in [Ok(Vec::new()), Err(io::ErrorKind::TimedOut.into()), Ok(Vec::new()), Ok(Vec::new())] {
            assert!(!resolving.answered(now_us, failure));
            waits.push(resolving.poll_timeout().expect("again") - now_us);
            now_us += waits[waits.len() - 1];
        }
        assert_eq!(waits, [1_000_000, 2_000_000, 4_000_000, 5_000_000]);
        assert_eq!(resolving.addresses().len(), 3, "a name server that is down takes nobody away");
        assert!(resolving.answered(now_us, Ok(vec![address(3)])));
        assert_eq!(resolving.addresses(), [address(9), address(3)], "but who is gone from an answer is gone");
        assert!(!resolving.answered(now_us, Ok(vec![address(3)])), "no change");
    }

    #[test]
    fn addresses_are_bounded_and_each_name_gets_its_share() {
        let mut resolving = Resolving::new(["many:1", "few:1"], 0);
        resolving.answered(0, Ok((0..200).map(address).collect()));
        resolving.answered(0, Ok((200..210).map(address).collect()));
        let addresses = resolving.addresses();
        assert_eq!(addresses.len(), SEED_ADDRESSES_MAX);
        assert!((200..210).all(|last| addresses.contains(&address(last))));
        assert_eq!(Resolving::new(["a:1"; SEEDS_MAX + 9], 0).names.len(), SEEDS_MAX);
    }

    struct Script(RefCell<VecDeque<io::Result<Vec<SocketAddr>>>>);

    impl Resolver for Script {
        fn resolve(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
            self.0.borrow_mut().pop_front().unwrap_or_else(|| Ok(Vec::new()))
        }
    }

    #[test]
    fn the_thread_tells_each_change_and_ends_when_nobody_listens() {
        let answers = [Ok(vec![address(1)]), Err(io::ErrorKind::NotFound.into()), Ok(vec![address(1), address(2)])];
        let (script, told) = (Script(RefCell::new(answers.into())), RefCell::new(Vec::new()));
        let (clock, (stopper, stop)) = (Cell::new(0), channel());
        let mut stopper = Some(stopper);
        // Time flies: whoever asks for it finds that all waits are over.
        let now_us = || {
            clock.set(clock.get() + 2 * LAST_US);
            clock.get()
        };
        Resolving::new(["pods:7400"], 0).run(&script, &stop, now_us, |addresses| {
            told.borrow_mut().push(addresses.len());
            if addresses.len() == 2 {
                stopper.take();
            }
        });
        assert_eq!(*told.borrow(), [0, 1, 2]);
        Resolving::new(["10.0.0.1:1"], 0).run(&script, &stop, now_us, |addresses| assert_eq!(addresses.len(), 1));
    }

    #[test]
    fn the_system_knows_addresses() {
        assert_eq!(
            SystemResolver.resolve("127.0.0.1:80").expect("an address"),
            [SocketAddr::from(([127, 0, 0, 1], 80))]
        );
        assert!(SystemResolver.resolve("no port").is_err());
    }
}
