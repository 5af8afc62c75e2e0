//! Two nodes with a bad network between them: bytes are flipped, repeated, held back; connections are cut.
//!
//! ```text
//!   a  advertises pa                         b  advertises pb
//!   a <--- pa <--- b's dials                 b <--- pb <--- a's dials         each proxy spoils what passes it
//! ```
//!
//! Whatever the network did: no wrong value is read meanwhile, and once it is good again both hold the same.

use crate::support::bytes;
use crate::waits::block_on;
use crate::{PATIENCE, builder, cache, meet, until, watched};
use also_cache::{Acks, Cache, Cluster, LeaveError};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a proxy does, once, to the bytes of one direction of one connection.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    /// One bit of the byte at an offset.
    Flip(usize),
    /// The end, behind so many bytes.
    Cut(usize),
    /// From an offset on, a piece goes twice.
    Repeat(usize),
    /// From an offset on, nothing goes for longer than a node listens to silence.
    Hold(usize),
}

struct Proxy {
    address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    target: Arc<Mutex<Option<SocketAddr>>>,
}

impl Proxy {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let proxy = Self { address, fault: Arc::new(Mutex::new(Fault::None)), target: Arc::default() };
        let (fault, target) = (proxy.fault.clone(), proxy.target.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let target = *target.lock().expect("no panic inside");
                let Some(far) = target.and_then(|target| TcpStream::connect(target).ok()) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let ends = (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"));
                    let fault = fault.clone();
                    std::thread::spawn(move || {
                        pass(ends.0, ends.1, &fault);
                    });
                }
            }
        });
        proxy
    }

    fn was_bad(&self) -> bool {
        *self.fault.lock().expect("no panic inside") == Fault::None
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no panic inside") = fault;
    }
}

/// Passes bytes on, as long as both ends live. `None` at the end.
fn pass(mut from: TcpStream, mut to: TcpStream, fault: &Mutex<Fault>) -> Option<()> {
    let (mut buffer, mut passed) = ([0; 2048], 0);
    let ended = || -> Option<()> {
        loop {
            let count = from.read(&mut buffer).ok().filter(|count| *count > 0)?;
            let (piece, at) = (&mut buffer[..count], passed);
            passed += count;
            match take(fault, at..at + count) {
                Fault::None => {}
                Fault::Flip(offset) => piece[offset - at] ^= 0x10,
                Fault::Cut(offset) => {
                    to.write_all(&piece[..offset.saturating_sub(at)]).ok()?;
                    return None;
                }
                Fault::Repeat(_) => to.write_all(piece).ok()?,
                Fault::Hold(_) => std::thread::sleep(Duration::from_secs(2)),
            }
            to.write_all(piece).ok()?;
        }
    }();
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    ended
}

/// The fault, if it concerns these bytes; it happens once.
fn take(fault: &Mutex<Fault>, bytes: Range<usize>) -> Fault {
    let mut fault = fault.lock().expect("no panic inside");
    let is_now = match *fault {
        Fault::None => false,
        Fault::Flip(offset) => bytes.contains(&offset),
        Fault::Cut(offset) | Fault::Repeat(offset) | Fault::Hold(offset) => bytes.end > offset,
    };
    if is_now { std::mem::replace(&mut *fault, Fault::None) } else { Fault::None }
}

fn start(cache: &Cache, name: &str, proxy: &Proxy, seed: Option<&Proxy>, is_sealed: bool) -> Cluster {
    let builder = builder(cache, name).advertise(proxy.address).seeds(seed.map(|seed| seed.address.to_string()));
    let builder = if is_sealed { builder.secrets(["a secret of the tests"]) } else { builder.insecure_plaintext() };
    let cluster = builder.start().expect("a node on loopback starts");
    *proxy.target.lock().expect("no panic inside") = Some(cluster.local_address());
    cluster
}

/// What is written under a key in a round: no two of them are alike.
fn value(key: usize, round: usize) -> &'static [u8] {
    let length = [10, 600, 5_000, 300_000][key % 4] + round;
    bytes((key * 1_000 + round) as u64, length)
}

// In each at most two that are nonsense: who sends some three times in a minute is not dialled for another.
const CUT_AND_FLIPPED: [Fault; 5] =
    [Fault::Cut(20), Fault::Flip(3), Fault::Cut(60), Fault::Flip(40_000), Fault::Hold(50_000)];
const CUT_AND_REPEATED: [Fault; 3] = [Fault::Repeat(0), Fault::Cut(333_333), Fault::Repeat(9_000)];

fn survive(is_sealed: bool, faults: &[Fault]) {
    let proxies = [Proxy::new(), Proxy::new()];
    let (one, other) = (cache(), cache());
    let first = start(&one, "a", &proxies[0], None, is_sealed);
    let second = start(&other, "b", &proxies[1], Some(&proxies[0]), is_sealed);
    meet(&first, &second);
    for (round, fault) in faults.iter().copied().enumerate() {
        // Connections begin anew, so that what is to happen lies ahead of them.
        let ends = || first.stats().lost + second.stats().lost;
        let before = ends();
        proxies.iter().for_each(|proxy| proxy.set(Fault::Cut(0)));
        until(&first, "the connection is cut", || ends() > before);
        proxies.iter().for_each(|proxy| proxy.set(fault));
        for key in 0..16 {
            let cache = if key % 2 == 0 { &one } else { &other };
            cache.insert(format!("key {key}"), value(key, round)).expect("there is room");
        }
        until(&first, "the network is bad", || proxies.iter().any(Proxy::was_bad));
        let _ = first.flush(Acks::One, Duration::from_millis(300));
        for key in 0..16 {
            for cache in [&one, &other] {
                if let Some(read) = cache.get(format!("key {key}")) {
                    assert!((0..=round).any(|round| *read == *value(key, round)), "{fault:?}: key {key} is wrong");
                }
            }
        }
        proxies.iter().for_each(|proxy| proxy.set(Fault::None));
        for node in [&first, &second] {
            node.flush(Acks::One, PATIENCE)
                .unwrap_or_else(|error| panic!("{fault:?}: {error}; a: {}\nb: {}", first.stats(), second.stats()));
        }
        for key in 0..16 {
            let name = format!("key {key}");
            assert!(one.get(&name).is_some_and(|read| *read == *value(key, round)), "{fault:?}: {name} on a");
            assert!(other.get(&name).is_some_and(|read| *read == *value(key, round)), "{fault:?}: {name} on b");
        }
    }
    let seen = [&first, &second].map(|node| {
        let stats = node.stats();
        let bad = stats.protocol.iter().filter(|(name, _)| name.starts_with("bad_") || *name == "checksum_mismatches");
        stats.forged + stats.wrong_secret + bad.map(|(_, count)| count).sum::<u64>()
    });
    let flips = faults.iter().filter(|fault| matches!(fault, Fault::Flip(_))).count() as u64;
    assert!(seen.iter().sum::<u64>() >= flips, "the flips were not noticed: {seen:?}");
}

#[test]
fn a_bad_network_changes_nothing_in_plaintext() {
    let _watchdog = watched("a bad network");
    survive(false, &CUT_AND_FLIPPED);
    survive(false, &CUT_AND_REPEATED);
}

#[test]
fn a_bad_network_changes_nothing_under_noise() {
    let _watchdog = watched("a bad network under Noise");
    survive(true, &CUT_AND_FLIPPED);
    survive(true, &CUT_AND_REPEATED);
}

#[test]
fn the_shortest_of_several_leaves_decides_and_says_what_is_left() {
    let _watchdog = watched("two leaves");
    let proxies = [Proxy::new(), Proxy::new()];
    let (one, other) = (cache(), cache());
    let first = start(&one, "a", &proxies[0], None, false);
    let second = start(&other, "b", &proxies[1], Some(&proxies[0]), false);
    meet(&first, &second);
    proxies.iter().for_each(|proxy| proxy.set(Fault::Hold(0)));
    until(&first, "nothing goes through", || proxies.iter().any(Proxy::was_bad));
    proxies.iter().for_each(|proxy| proxy.set(Fault::Hold(0)));
    until(&first, "in neither direction", || proxies.iter().any(Proxy::was_bad));
    one.insert("k", "v").expect("there is room");
    let patient = first.leave_async(PATIENCE * 100);
    let hasty = first.leave(Duration::from_millis(50));
    for outcome in [hasty, block_on(patient)] {
        let Err(LeaveError::Unconfirmed { left, members, .. }) = outcome else { panic!("{outcome:?}") };
        assert!(!left.is_zero() && members == 1, "{left} {members}");
    }
}
