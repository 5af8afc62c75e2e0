//! Figures of a node at each interval, and the rates since the last one.

use super::line::{Distance, Figures, Peer};
use super::load::Load;
use crate::machine;
use also_cache::{Cluster, Lag};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Looks at a node again and again.
pub(super) struct Watch<'a> {
    cluster: &'a Cluster,
    load: &'a Load,
    last: Figures,
    looked: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(cluster: &'a Cluster, load: &'a Load) -> Self {
        Self { cluster, load, last: Figures::default(), looked: Instant::now() }
    }

    /// The figures of now.
    pub(super) fn look(&mut self) -> Figures {
        let mut figures = self.figures();
        let seconds = self.looked.elapsed().as_secs_f64().max(1e-3);
        let last = &self.last;
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let (reads, hits) = (figures.reads - last.reads, figures.hits - last.hits);
        figures.reads_per_s = rate(figures.reads, last.reads);
        figures.hit_percent = (reads > 0).then(|| (100.0 * hits as f64 / reads as f64).min(100.0));
        figures.writes_per_s = rate(figures.writes + figures.removes, last.writes + last.removes);
        figures.applied_per_s = rate(figures.applied, last.applied);
        figures.bytes_out_per_s = rate(figures.bytes_out, last.bytes_out);
        self.looked = Instant::now();
        self.last = figures.clone();
        figures
    }

    fn figures(&self) -> Figures {
        let (cache, network, tally) = (self.cluster.cache().stats(), self.cluster.stats(), self.load.tally());
        let members = self.cluster.members();
        let most = |lag: fn(&also_cache::Member) -> Lag| {
            members.iter().map(|member| Distance::from(lag(member))).fold(Distance::default(), Distance::max)
        };
        Figures {
            readiness: self.cluster.readiness().to_string(),
            lag: most(|member| member.lag),
            behind: most(|member| member.behind),
            members: members.iter().map(Peer::from).collect(),
            entries: cache.entries,
            evicted: cache.evicted_probation + cache.evicted_main + cache.evicted_bucket + cache.evicted_page,
            // Hits first: a read counts itself before its hit.
            hits: tally.hits.load(Ordering::Relaxed),
            reads: tally.reads.load(Ordering::Relaxed),
            writes: tally.writes.load(Ordering::Relaxed),
            removes: tally.removes.load(Ordering::Relaxed),
            refused: tally.refused.load(Ordering::Relaxed),
            wrong: tally.wrong.load(Ordering::Relaxed),
            applied: network.counted("changes_applied"),
            left_out: LEFT_OUT.iter().map(|name| network.counted(name)).sum(),
            bytes_in: network.bytes_in,
            bytes_out: network.bytes_out,
            strangers: network.wrong_secret + network.rejected + network.counted("refused_cluster"),
            datagrams_lost: network.datagrams_lost,
            capacity_bytes: cache.capacity,
            arena_bytes: cache.file_bytes,
            heap_bytes: cache.heap_bytes + network.heap_bytes as u64,
            resident_bytes: machine::resident().now,
            protocol: network.protocol.iter().filter(|(_, count)| *count > 0).map(named).collect(),
            ..Figures::default()
        }
    }
}

fn named((name, count): &(&'static str, u64)) -> (String, u64) {
    ((*name).to_owned(), *count)
}

/// Counters of changes that were not stored though nothing newer is there: the key is absent then.
const LEFT_OUT: [&str; 4] = ["floor_refusals", "unordered", "refused", "stamps_ahead"];
