//! Updates of distinct keys that arrive per second: written as fast as the peer takes them, until it has confirmed the last.
//!
//! ```text
//!   also-cache   this process: inserts, its network thread ---> a node: stored
//!   Valkey       this process: SETs in a pipeline ---> primary ---> replica: WAIT
//!   TCP          this process: writev of a head and a value ---> a thread that reads
//! ```
//!
//! A key that was written again before it went out has gone once: what was stored is counted on the peer.

use super::node::{self, Answer, Birth, Order};
use super::peer::Peer;
use super::server::Servers;
use super::tcp;
use super::workload::{Contestant, Figures, figure};
use crate::failure::{Failure, Result};
use crate::{interrupt, machine, value};
use also_cache::{Acks, Cache, Cluster};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// 64 B.
pub(super) fn small(contestant: Contestant, quick: bool) -> Result<Figures> {
    let count = if quick { 200_000 } else { 1_000_000 };
    if contestant == Contestant::Server {
        let spent = Servers::start()?.replicate(count, SMALL_BYTES)?;
        return Ok(vec![
            figure("k updates/s", count as f64 / spent.took.as_secs_f64() / 1e3),
            figure("CPU of the peer per update, ns", spent.peer_ns as f64 / count as f64),
            figure("CPU of all per update, ns", spent.all_ns as f64 / count as f64),
        ]);
    }
    let (mut stored, mut took, mut cpu, mut all) = (0, Duration::ZERO, 0, 0);
    let run =
        Run { contestant, capacity: 1 << 30, value_bytes: SMALL_BYTES, keys: count, passes: 2, ahead: AHEAD_CELLS };
    run.measure(&mut |pass| {
        // The first pass has touched all pages.
        if pass.number == 1 {
            (stored, took, cpu, all) = (pass.stored, pass.took, pass.cpu_ns, pass.all_ns);
        }
    })?;
    Ok(vec![
        figure("k updates/s", stored as f64 / took.as_secs_f64() / 1e3),
        figure("conflated, %", 100.0 * (count - stored.min(count)) as f64 / count as f64),
        figure("CPU of the peer per update, ns", cpu as f64 / stored.max(1) as f64),
        figure("CPU of all per update, ns", all as f64 / stored.max(1) as f64),
    ])
}

/// The changes of a running node, beside a join: entries a second.
pub(super) fn changes(quick: bool, keys: u64, value_bytes: usize) -> Result<Figures> {
    let mut rate = 0.0;
    let keys = if quick { keys / 5 } else { keys };
    let run = Run { contestant: Contestant::Ours, capacity: 1 << 30, value_bytes, keys, passes: 2, ahead: AHEAD_CELLS };
    // The first pass has touched all pages; the second is what counts.
    run.measure(&mut |pass| rate = pass.stored as f64 / pass.took.as_secs_f64())?;
    Ok(vec![figure("k entries/s", rate / 1e3)])
}

/// 64 KiB.
pub(super) fn large(contestant: Contestant, quick: bool) -> Result<Figures> {
    let keys = if quick { 1024 } else { 4096 };
    let megabytes = |count: u64, took: Duration| (count * LARGE_BYTES as u64) as f64 / took.as_secs_f64() / 1e6;
    if contestant == Contestant::Tcp {
        let took = tcp::stream(4 * keys, LARGE_BYTES)?;
        return Ok(vec![figure("MB/s", megabytes(4 * keys, took))]);
    }
    let (mut stored, mut took) = (0, Duration::ZERO);
    let run = Run { contestant, capacity: 1 << 30, value_bytes: LARGE_BYTES, keys, passes: 6, ahead: keys / 4 };
    run.measure(&mut |pass| {
        if pass.number >= 2 {
            (stored, took) = (stored + pass.stored, took + pass.took);
        }
    })?;
    let all = 4 * keys;
    Ok(vec![
        figure("MB/s", megabytes(stored, took)),
        figure("conflated, %", 100.0 * (all - stored.min(all)) as f64 / all as f64),
    ])
}

/// So many keys, each written once a pass.
struct Run {
    contestant: Contestant,
    capacity: u64,
    value_bytes: usize,
    keys: u64,
    passes: u64,
    /// Changes by which the writer is ahead of the peer at most.
    ahead: u64,
}

/// What came of one pass.
struct Pass {
    number: u64,
    stored: u64,
    took: Duration,
    cpu_ns: u64,
    /// With that of this process.
    all_ns: u64,
}

impl Run {
    fn measure(&self, each: &mut dyn FnMut(Pass)) -> Result<()> {
        let cache = node::open(self.capacity, None)?;
        let secret = self.contestant.secret();
        let origin = Birth { name: "origin".to_owned(), secret: secret.clone(), ..Birth::default() };
        let cluster = node::start(&cache, &origin)?;
        let seeds = vec![cluster.local_address()];
        let birth = Birth { name: "peer".to_owned(), capacity: self.capacity, seeds, secret, wait: true, ..origin };
        let mut peer = Peer::start(birth)?;
        let mut values = Vec::new();
        value::write(&mut values, 0, 0, self.value_bytes);
        for number in 0..self.passes {
            let before = peer.tell(&Order::Count)?;
            let (started, own_ns) = (Instant::now(), machine::process_cpu_ns());
            self.write(&cache, &cluster, number, &mut values)?;
            cluster.flush(Acks::All, node::PATIENCE).map_err(|error| Failure::Wrong(error.to_string()))?;
            let (took, own_ns) = (started.elapsed(), machine::process_cpu_ns() - own_ns);
            // Counts are up to 50 ms old.
            std::thread::sleep(Duration::from_millis(100));
            let after = peer.tell(&Order::Count)?;
            let counted = |of: fn(&Answer) -> u64| of(&after) - of(&before);
            let cpu_ns = counted(|one| one.cpu_ns);
            each(Pass { number, stored: counted(|one| one.stored), took, cpu_ns, all_ns: own_ns + cpu_ns });
        }
        self.check(&cluster, &mut peer)
    }

    fn write(&self, cache: &Cache, cluster: &Cluster, sequence: u64, buffer: &mut [u8]) -> Result<()> {
        let mut confirmations = VecDeque::new();
        for number in 0..self.keys {
            if number.is_multiple_of(self.ahead / WINDOWS) {
                interrupt::check()?;
                // No faster than the peer: what it has not got yet must still be in the ring.
                confirmations.push_back(Box::pin(cluster.flush_async(Acks::All, node::PATIENCE)));
                if confirmations.len() as u64 >= WINDOWS
                    && let Some(oldest) = confirmations.pop_front()
                {
                    pollster::block_on(oldest).map_err(|error| Failure::Wrong(error.to_string()))?;
                }
            }
            // The rest of the value is what it was: making it is not what is measured.
            buffer[..8].copy_from_slice(&number.to_le_bytes());
            buffer[8..16].copy_from_slice(&sequence.to_le_bytes());
            cache.insert(value::key(number), &*buffer).map_err(|error| Failure::Wrong(error.to_string()))?;
        }
        Ok(())
    }

    /// Nothing but the stream was measured, and all of it has arrived.
    fn check(&self, cluster: &Cluster, peer: &mut Peer) -> Result<()> {
        let overtaken = cluster.stats().counted("overtaken");
        if overtaken > 0 {
            return Err(Failure::Wrong(format!("the peer was overtaken {overtaken} times")));
        }
        let there = peer.tell(&Order::Survey { count: self.keys })?;
        if there.found + there.wrong != self.keys {
            return Err(Failure::Wrong(format!("{} of {} keys are on the peer", there.found + there.wrong, self.keys)));
        }
        Ok(())
    }
}

const SMALL_BYTES: usize = 64;
const LARGE_BYTES: usize = 64 << 10;
/// The ring of changes has 131,072 cells.
const AHEAD_CELLS: u64 = 64 << 10;
/// Parts of what the writer is ahead by, each confirmed by itself.
const WINDOWS: u64 = 8;
