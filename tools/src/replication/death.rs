//! How soon a node that is gone is missed: killed, so that its host says so at once; or stopped, so that nobody does, as
//! when a host loses its power.

use super::node::{self, Birth};
use super::peer::Peer;
use super::workload::{Figures, figure};
use crate::failure::Result;
use crate::{interrupt, machine};
use also_cache::Event;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a node ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Killed,
    Stopped,
}

/// Time after time, a few at a time.
pub(super) fn measure(end: End, quick: bool) -> Result<Figures> {
    let batches = if quick { 1 } else { 5 };
    let cache = node::open(CAPACITY, None)?;
    let cluster = node::start(&cache, &Birth { name: "origin".to_owned(), ..Birth::default() })?;
    let mut events = cluster.events();
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3).expect("bounds that it allows");
    for batch in 0..batches {
        interrupt::check()?;
        let birth = |number| Birth {
            name: format!("peer-{batch}-{number}"),
            capacity: CAPACITY,
            seeds: vec![cluster.local_address()],
            wait: true,
            ..Birth::default()
        };
        let peers: Vec<Peer> = (0..AT_ONCE).map(|number| Peer::start(birth(number))).collect::<Result<_>>()?;
        for peer in &peers {
            let joined = |event| matches!(event, Event::MemberJoined { name, .. } if name == peer.name()).then_some(());
            node::await_event(&mut cluster.events(), joined)?;
        }
        let mut ended = BTreeMap::new();
        for peer in &peers {
            // Not in step with the heartbeats.
            std::thread::sleep(Duration::from_millis(37));
            ended.insert(peer.name().to_owned(), machine::monotonic_ns());
            if end == End::Killed { peer.kill()? } else { peer.stop()? }
        }
        while !ended.is_empty() {
            let name = node::await_event(&mut events, |event| match event {
                Event::MemberLost { name } => Some(name),
                _ => None,
            })?;
            if let Some(ended) = ended.remove(&name) {
                histogram.saturating_record(machine::monotonic_ns().saturating_sub(ended) / 1_000);
            }
        }
    }
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    let (p50, p99) = (at(0.5), at(0.99));
    Ok(vec![
        figure("missed after, p50, ms", p50),
        figure("missed after, p99, ms", p99),
        figure("deaths", histogram.len() as f64),
    ])
}

const CAPACITY: u64 = 4 << 20;
const AT_ONCE: u64 = 8;
