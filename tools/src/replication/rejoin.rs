//! Coming back and coming new.
//!
//! ```text
//!   warm   a node with a million entries is killed, 1 % of them change, it is started again on its file
//!          process start ... open ... confirmed, serving ... complete
//!   cold   a node without anything joins one that has it all:  open, then start of the node ... complete
//! ```

use super::node::{self, Birth, Order};
use super::peer::Peer;
use super::workload::{Contestant, Figures, figure};
use super::{stream, tcp};
use crate::failure::{Failure, Result};
use crate::place::Place;
use crate::{machine, value};
use also_cache::{Cache, Cluster, Event, Readiness};
use std::time::Duration;

/// A warm restart.
pub(super) fn warm(quick: bool) -> Result<Figures> {
    let entries: u64 = if quick { 100_000 } else { 1_000_000 };
    let (cache, cluster) = origin(entries, 64)?;
    let place = Place::find(CAPACITY, false)?;
    let seeds = vec![cluster.local_address()];
    let birth = Birth {
        name: "peer".to_owned(),
        capacity: CAPACITY,
        file: Some(place.file("peer")),
        seeds,
        wait: true,
        ..Birth::default()
    };
    let mut first = Peer::start(birth.clone())?;
    let there = first.tell(&Order::Survey { count: entries })?;
    if there.found + there.gave_way < node::survey(&cache, entries).0 || there.wrong > 0 {
        let counted = first.tell(&Order::Count)?.counted;
        return Err(Failure::Wrong(format!(
            "{} of {entries} entries came, {} wrong: {counted:?}",
            there.found, there.wrong
        )));
    }
    // What it has applied is noted in its file by then.
    std::thread::sleep(Duration::from_millis(500));
    drop(first);
    fill(&cache, 0..entries / 100, 1, 64)?;
    let mut second = Peer::start(birth)?;
    let born = second.born.clone();
    let token = cluster.token().to_string();
    second.tell(&Order::Reach { token })?;
    let there = second.tell(&Order::Survey { count: entries })?;
    let here = node::survey(&cache, entries);
    // What gave way is missing in the sum of the sequences, which are 0 and 1.
    let is_same = there.sequences <= here.2
        && there.sequences + there.gave_way >= here.2
        && there.found + there.gave_way >= here.0;
    if !born.confirmed || !is_same || there.wrong > 0 {
        let counted = second.tell(&Order::Count)?.counted;
        return Err(Failure::Wrong(format!(
            "the arena did not come back right: {born:?} {there:?} {here:?} {counted:?}"
        )));
    }
    Ok(vec![
        figure("start to serving, ms", born.serving_ms.unwrap_or(f64::NAN)),
        figure("start to complete, ms", born.complete_ms.unwrap_or(f64::NAN)),
        figure("syncs", born.syncs as f64),
        figure("entries, % of the origin's", 100.0 * there.found as f64 / here.0.max(1) as f64),
    ])
}

/// A join of a million small entries, or the changes that make as many.
pub(super) fn cold_small(contestant: Contestant, quick: bool) -> Result<Figures> {
    if contestant == Contestant::Stream {
        return stream::changes(quick, 1_000_000, 64);
    }
    let entries = if quick { 200_000 } else { 1_000_000 };
    let joined = cold(entries, 64)?;
    Ok(vec![
        figure("k entries/s", joined.rate / 1e3),
        figure("before the sync, ms", joined.began_ms),
        figure("CPU of both per entry, ns", joined.cpu_ns),
    ])
}

/// A join of large entries, or as many bytes over a socket.
pub(super) fn cold_large(contestant: Contestant, quick: bool) -> Result<Figures> {
    let entries: u64 = if quick { 2_048 } else { 8_192 };
    let bytes = 64 << 10;
    if contestant == Contestant::Tcp {
        let cpu_ns = machine::process_cpu_ns();
        let took = tcp::stream(entries, bytes)?;
        return Ok(vec![
            figure("MB/s", (entries * bytes as u64) as f64 / took.as_secs_f64() / 1e6),
            figure("CPU of both per entry, ns", (machine::process_cpu_ns() - cpu_ns) as f64 / entries as f64),
        ]);
    }
    let joined = cold(entries, bytes)?;
    Ok(vec![
        figure("MB/s", joined.rate * bytes as f64 / 1e6),
        figure("before the sync, ms", joined.began_ms),
        figure("CPU of both per entry, ns", joined.cpu_ns),
    ])
}

/// A join, from the start of the node until nothing is missing.
struct Joined {
    /// Entries a second.
    rate: f64,
    /// Until the sync began.
    began_ms: f64,
    /// Processor time of both nodes for an entry.
    cpu_ns: f64,
}

fn cold(entries: u64, value_bytes: usize) -> Result<Joined> {
    let (cache, cluster) = origin(entries, value_bytes)?;
    // The open backs a file with memory, so that the join does not have to.
    let place = Place::find(CAPACITY, false)?;
    let birth = Birth {
        name: "peer".to_owned(),
        capacity: CAPACITY,
        file: Some(place.file("peer")),
        seeds: vec![cluster.local_address()],
        wait: true,
        ..Birth::default()
    };
    let own_ns = machine::process_cpu_ns();
    let mut peer = Peer::start(birth)?;
    let own_ns = machine::process_cpu_ns() - own_ns;
    let there = peer.tell(&Order::Survey { count: entries })?;
    let here = node::survey(&cache, entries);
    if there.found + there.gave_way < here.0 || there.wrong > 0 {
        return Err(Failure::Wrong(format!("{} of {} entries came, {} wrong", there.found, here.0, there.wrong)));
    }
    Ok(Joined {
        rate: there.found as f64 / peer.born.joined_in_ms.unwrap_or(f64::NAN) * 1e3,
        began_ms: peer.born.sync_after_ms.unwrap_or(f64::NAN),
        cpu_ns: (own_ns + peer.born.joined_cpu_ns) as f64 / there.found as f64,
    })
}

/// A node that has it all.
fn origin(entries: u64, value_bytes: usize) -> Result<(Cache, Cluster)> {
    let cache = node::open(CAPACITY, None)?;
    let cluster = node::start(&cache, &Birth { name: "origin".to_owned(), ..Birth::default() })?;
    fill(&cache, 0..entries, 0, value_bytes)?;
    // It knows that it is the first one: until then it can give nobody anything.
    let complete = |event| matches!(event, Event::Readiness(Readiness::Complete)).then_some(());
    node::await_event(&mut cluster.events(), complete)?;
    Ok((cache, cluster))
}

fn fill(cache: &Cache, numbers: std::ops::Range<u64>, sequence: u64, value_bytes: usize) -> Result<()> {
    let mut buffer = Vec::new();
    for number in numbers {
        value::write(&mut buffer, number, sequence, value_bytes);
        cache.insert(value::key(number), &buffer).map_err(|error| Failure::Wrong(error.to_string()))?;
    }
    Ok(())
}

const CAPACITY: u64 = 1 << 30;
