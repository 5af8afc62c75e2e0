//! From an insert to the moment at which a read on the peer finds it, while nothing else happens; both nodes in this process.
//!
//! Whoever inserts looks at the other cache again and again: no message says that it is there, as none would to a reader.

use super::node::{self, Birth};
use super::tcp;
use super::workload::{Contestant, Figures, figure};
use crate::failure::{Failure, Result};
use crate::{interrupt, value};
use also_cache::Event;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Measures.
pub(super) fn measure(contestant: Contestant, quick: bool) -> Result<Figures> {
    let count = if quick { 500 } else { 4_000 };
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that it allows");
    let each = |took: Duration| histogram.saturating_record(took.as_nanos() as u64);
    match contestant {
        Contestant::Tcp => tcp::ping_pong(count, REST, each)?,
        _ => inserts(contestant, count, each)?,
    }
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Ok(vec![figure("p50, us", at(0.5)), figure("p99, us", at(0.99))])
}

fn inserts(contestant: Contestant, count: u64, mut each: impl FnMut(Duration)) -> Result<()> {
    let (near, far) = (node::open(CAPACITY, None)?, node::open(CAPACITY, None)?);
    let birth =
        |name: &str, seeds| Birth { name: name.to_owned(), seeds, secret: contestant.secret(), ..Birth::default() };
    let first = node::start(&near, &birth("near", Vec::new()))?;
    let second = node::start(&far, &birth("far", vec![first.local_address()]))?;
    node::await_event(&mut second.events(), |event| {
        matches!(event, Event::Readiness(also_cache::Readiness::Complete)).then_some(())
    })?;
    for number in 0..count {
        interrupt::check()?;
        std::thread::sleep(REST);
        let key = value::key(number);
        let started = Instant::now();
        near.insert(key, [7; 64]).map_err(|error| Failure::Wrong(error.to_string()))?;
        let took = loop {
            let took = started.elapsed();
            if far.contains(key) {
                break took;
            }
            if took > node::PATIENCE {
                return Err(Failure::Wrong(format!("insert {number} was not seen on the peer")));
            }
            // The threads of both nodes and this one share two processors.
            std::thread::yield_now();
        };
        each(took);
    }
    Ok(())
}

const CAPACITY: u64 = 16 << 20;
const REST: Duration = Duration::from_millis(1);
