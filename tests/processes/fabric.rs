//! The network between the nodes: a proxy in front of each, TCP and UDP, and what happens on each way from one to another.
//!
//! ```text
//!   node i --- dials what j advertises ---> [proxy j] ---> node j          way i -> j: what i says        rules[i][j]
//!          <-------------------------------           <---                 way j -> i: what j answers     rules[j][i]
//!
//!   who dialled?   the process that holds the other end: /proc/net/tcp names its inode, /proc/<id>/fd who holds that
//!   who sent?      a node's datagrams come from where it listens
//! ```
//!
//! What is cut goes nowhere and is not lost, as with TCP over a dead link; datagrams are.

use crate::LOOK;
use crate::support::Random;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What happens on the way from one node to another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Rule {
    /// Nothing goes.
    pub(crate) is_cut: bool,
    pub(crate) datagrams_lost_percent: u64,
    /// 0: as many as come.
    pub(crate) bytes_per_second: u64,
    pub(crate) delay: Duration,
    /// Every datagram goes twice, and every fourth with another bit.
    pub(crate) spoils_datagrams: bool,
    /// What happens once to a piece of a stream that is long enough.
    pub(crate) spoil: Option<Spoil>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Spoil {
    /// One bit of a byte.
    Flip,
    /// The second half is lost, and the connection with it.
    Truncate,
    /// All of it goes twice.
    Replay,
    /// A part that does not begin where a frame does goes twice.
    ReplayPart,
}

/// Nothing happens.
pub(crate) const CLEAR: Rule = Rule {
    is_cut: false,
    datagrams_lost_percent: 0,
    bytes_per_second: 0,
    delay: Duration::ZERO,
    spoils_datagrams: false,
    spoil: None,
};

/// 1 Mbit/s.
pub(crate) const SLOW: u64 = 125_000;
/// Bytes that pass at one time.
const PIECE: usize = 4 << 10;
/// A piece that is worth spoiling.
const SPOILT_MIN: usize = 24;

pub(crate) struct Fabric {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Vec<Rule>>>,
    /// Where each node listens, and its process.
    nodes: Mutex<Vec<Option<(SocketAddr, u32)>>>,
    spoilt: AtomicU64,
    lost: AtomicU64,
    passed: AtomicU64,
}

impl Shared {
    /// Where a node listens, and its process, while it lives.
    fn node(&self, at: usize) -> Option<(SocketAddr, u32)> {
        lock(&self.nodes)[at]
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Fabric {
    /// Proxies for so many nodes.
    pub(crate) fn new(count: usize) -> Self {
        let shared = Arc::new(Shared {
            rules: Mutex::new(vec![vec![CLEAR; count]; count]),
            nodes: Mutex::new(vec![None; count]),
            ..Shared::default()
        });
        let addresses = (0..count).map(|at| proxy(&shared, at)).collect();
        Self { shared, addresses }
    }

    /// What a node is to advertise.
    pub(crate) fn address(&self, at: usize) -> SocketAddr {
        self.addresses[at]
    }

    pub(crate) fn attach(&self, at: usize, address: SocketAddr, process: u32) {
        lock(&self.shared.nodes)[at] = Some((address, process));
    }

    pub(crate) fn detach(&self, at: usize) {
        lock(&self.shared.nodes)[at] = None;
    }

    /// Sets the rule of one way.
    pub(crate) fn set(&self, from: usize, to: usize, rule: Rule) {
        lock(&self.shared.rules)[from][to] = rule;
    }

    /// Sets the rule of all ways.
    pub(crate) fn set_all(&self, rule: Rule) {
        lock(&self.shared.rules).iter_mut().flatten().for_each(|way| *way = rule);
    }

    /// Whether something is still to be spoilt.
    pub(crate) fn is_spoiling(&self) -> bool {
        lock(&self.shared.rules).iter().flatten().any(|rule| rule.spoil.is_some())
    }

    /// Pieces that were spoilt, datagrams that were lost, bytes that passed.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.shared.spoilt), read(&self.shared.lost), read(&self.shared.passed))
    }
}

/// Listens in front of a node, on a TCP and a UDP port that are the same.
fn proxy(shared: &Arc<Shared>, at: usize) -> SocketAddr {
    let (listener, socket) = std::iter::repeat_with(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        UdpSocket::bind(address).ok().map(|socket| (listener, socket))
    })
    .flatten()
    .next()
    .expect("a port that is free for both");
    let address = listener.local_addr().expect("it is bound");
    let (of_tcp, of_udp) = (Arc::downgrade(shared), Arc::downgrade(shared));
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Some(shared) = of_tcp.upgrade() else { return };
            std::thread::spawn(move || carry(&shared, near, at));
        }
    });
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        let mut random = Random(at as u64 + 1);
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            let Some(shared) = of_udp.upgrade() else { return };
            let nodes = lock(&shared.nodes).clone();
            let sender = nodes.iter().position(|node| node.is_some_and(|(address, _)| address == from));
            let (Some(sender), Some((target, _))) = (sender, nodes[at]) else { continue };
            let rule = lock(&shared.rules)[sender][at];
            if rule.is_cut || random.chance(rule.datagrams_lost_percent) {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if rule.spoils_datagrams && random.chance(25) && count > 0 {
                bytes[random.below(count as u64) as usize] ^= 0x10;
            }
            for _ in 0..=u8::from(rule.spoils_datagrams) {
                let _ = socket.send_to(&bytes[..count], target);
            }
        }
    });
    address
}

/// Carries what goes over a connection to a node, both ways.
fn carry(shared: &Arc<Shared>, near: TcpStream, to: usize) {
    let nodes = lock(&shared.nodes).clone();
    let dialler = near.peer_addr().ok().and_then(|address| holder(address, &nodes));
    let target = nodes[to].map(|(address, _)| address);
    let (Some(from), Some(far)) = (dialler, target.and_then(|target| TcpStream::connect(target).ok())) else { return };
    for stream in [&near, &far] {
        let _ = rustix::net::sockopt::set_tcp_nodelay(stream, true);
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(stream, 16 << 10);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(stream, 16 << 10);
    }
    let (Ok(near_again), Ok(far_again)) = (near.try_clone(), far.try_clone()) else { return };
    let back = shared.clone();
    std::thread::spawn(move || pass(&back, far_again, near_again, to, from));
    pass(shared, near, far, from, to);
}

/// Passes bytes one way, as long as both ends live.
fn pass(shared: &Shared, mut from: TcpStream, mut to: TcpStream, sender: usize, receiver: usize) -> Option<()> {
    let mut bytes = [0; PIECE];
    let ended = || -> Option<()> {
        loop {
            let count = from.read(&mut bytes).ok().filter(|count| *count > 0)?;
            let piece = &mut bytes[..count];
            let rule = loop {
                let rule = lock(&shared.rules)[sender][receiver];
                if !rule.is_cut {
                    break rule;
                }
                // A node that was killed meanwhile has sent nothing.
                let (one, other) = (shared.node(sender), shared.node(receiver));
                one.and(other)?;
                std::thread::sleep(LOOK);
            };
            let pause = count as u64 * 1_000_000_000;
            std::thread::sleep(
                rule.delay + Duration::from_nanos(pause.checked_div(rule.bytes_per_second).unwrap_or(0)),
            );
            shared.passed.fetch_add(count as u64, Ordering::Relaxed);
            match take_spoil(shared, sender, receiver, count) {
                None => {}
                Some(Spoil::Flip) => piece[count / 2] ^= 0x10,
                Some(Spoil::Truncate) => {
                    to.write_all(&piece[..count / 2]).ok()?;
                    return None;
                }
                Some(Spoil::Replay) => to.write_all(piece).ok()?,
                Some(Spoil::ReplayPart) => {
                    to.write_all(piece).ok()?;
                    to.write_all(&piece[7..]).ok()?;
                    continue;
                }
            }
            to.write_all(piece).ok()?;
        }
    }();
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    ended
}

/// What is to be spoilt of a piece: it happens once.
fn take_spoil(shared: &Shared, sender: usize, receiver: usize, count: usize) -> Option<Spoil> {
    let mut rules = lock(&shared.rules);
    let spoil = rules[sender][receiver].spoil.take_if(|_| count >= SPOILT_MIN)?;
    shared.spoilt.fetch_add(1, Ordering::Relaxed);
    Some(spoil)
}

/// Which of the nodes holds the end of a connection that has this address.
fn holder(end: SocketAddr, nodes: &[Option<(SocketAddr, u32)>]) -> Option<usize> {
    let SocketAddr::V4(end) = end else { return None };
    let text = format!("{:08X}:{:04X}", u32::from_le_bytes(end.ip().octets()), end.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let row = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&text))?;
    let name = format!("socket:[{}]", row.split_whitespace().nth(9)?);
    nodes.iter().position(|node| node.is_some_and(|(_, process)| holds(process, &name)))
}

fn holds(process: u32, name: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|link| link.as_os_str() == name)
}
