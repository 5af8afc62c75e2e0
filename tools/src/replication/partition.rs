//! Two nodes with a cut between them for a minute, while one of them writes on: how soon after it the other one has it all.

use super::node::{self, Birth, Order};
use super::peer::Peer;
use super::proxy::Proxy;
use super::workload::{Figures, figure};
use crate::failure::{Failure, Result};
use crate::random::Random;
use crate::{interrupt, machine, value};
use also_cache::Cache;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Measures.
pub(super) fn measure(quick: bool) -> Result<Figures> {
    let cut = Duration::from_secs(if quick { 10 } else { 60 });
    let (near, far) = (Proxy::new()?, Proxy::new()?);
    let cache = node::open(CAPACITY, None)?;
    let birth = Birth { name: "near".to_owned(), advertise: Some(near.address()), ..Birth::default() };
    let cluster = node::start(&cache, &birth)?;
    near.lead_to(cluster.local_address());
    let birth = Birth {
        name: "far".to_owned(),
        capacity: CAPACITY,
        seeds: vec![near.address()],
        advertise: Some(far.address()),
        wait: true,
        ..Birth::default()
    };
    let mut peer = Peer::start(birth)?;
    far.lead_to(peer.born.address);
    let ended = AtomicBool::new(false);
    let healed = std::thread::scope(|scope| -> Result<f64> {
        let writer = scope.spawn(|| write(&cache, &ended));
        let healed = (|| {
            std::thread::sleep(Duration::from_secs(2));
            [&near, &far].iter().for_each(|proxy| proxy.cut(true));
            let until = Instant::now() + cut;
            while Instant::now() < until {
                interrupt::check()?;
                std::thread::sleep(Duration::from_millis(50));
            }
            let token = cluster.token().to_string();
            let began = machine::monotonic_ns();
            [&near, &far].iter().for_each(|proxy| proxy.cut(false));
            let reached = peer.tell(&Order::Reach { token })?;
            Ok(reached.done_ns.saturating_sub(began) as f64 / 1e6)
        })();
        // Relaxed: it carries no data.
        ended.store(true, Ordering::Relaxed);
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        healed
    })?;
    peer.tell(&Order::Reach { token: cluster.token().to_string() })?;
    let (there, here) = (peer.tell(&Order::List { count: KEYS })?.all, node::list(&cache, KEYS));
    // One whose order can not be known may be absent. Nothing may be old.
    let missing = there.iter().zip(&here).filter(|(there, here)| there.is_none() && here.is_some()).count();
    let old = there.iter().zip(&here).filter(|(there, here)| there.is_some() && there != here).count();
    if old > 0 || there.len() != here.len() {
        return Err(Failure::Wrong(format!(
            "{old} keys are not the same on both sides after the cut, {missing} are missing"
        )));
    }
    Ok(vec![
        figure("healed after, ms", healed),
        figure("missing of 1,000", missing as f64 * 1e3 / KEYS as f64),
        figure("cut, s", cut.as_secs_f64()),
    ])
}

/// 5,000 a second of keys drawn evenly, whatever happens to the network.
fn write(cache: &Cache, ended: &AtomicBool) -> Result<()> {
    let (mut random, mut buffer) = (Random::new(1), Vec::new());
    let started = Instant::now();
    for sequence in 0.. {
        // Relaxed: as where it is stored.
        if ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        std::thread::sleep((started + GAP * sequence).saturating_duration_since(Instant::now()));
        let number = random.below(KEYS);
        value::write(&mut buffer, number, u64::from(sequence), VALUE_BYTES);
        cache.insert(value::key(number), &buffer).map_err(|error| Failure::Wrong(error.to_string()))?;
    }
    Ok(())
}

const CAPACITY: u64 = 512 << 20;
const VALUE_BYTES: usize = 256;
const KEYS: u64 = 200_000;
const GAP: Duration = Duration::from_micros(200);
