//! The figures of a node as metrics of the `metrics` facade.

#![forbid(unsafe_code)]

use crate::cache::publish::publish;
use crate::cluster::stats::ClusterStats;

impl ClusterStats {
    /// Hands all figures to the recorder of the `metrics` facade, as `also_cache_cluster_dialled` and so on, with the label
    /// `node`; what the protocol counted and why something was refused as `also_cache_cluster_counted`, with the label `what`.
    ///
    /// Exists with the feature `metrics`.
    ///
    /// # Complexity
    ///
    /// Some 130 look-ups at the recorder, which may allocate; nothing without one. Neither blocks nor pins anything here.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cluster.stats().publish(cluster.name());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish(&self, node: &str) {
        publish! { self, "also_cache_cluster_", "node" = node;
            counters dialled dials_failed dials_forbidden accepted turned_away turned_away_wrong turned_away_many
                networks_shared accepts_failed secured wrong_secret rejected forged timed_out lost bytes_in bytes_out rounds
                batches batches_cut datagrams_in datagrams_out datagrams_refused datagrams_lost datagrams_malformed
                datagrams_crowded datagrams_unsent resolves resolves_failed overslept membership_missed taken_for_dead
                namesakes former_changes former_taken_as_made former_voided former_passed;
            gauges heap_bytes
        }
        metrics::gauge!("also_cache_cluster_clock_bound_seconds", "node" => node.to_owned())
            .set(self.clock_bound.as_secs_f64());
        for (what, count) in self.protocol.iter().chain(&self.refusals) {
            metrics::counter!("also_cache_cluster_counted", "node" => node.to_owned(), "what" => *what)
                .absolute(*count);
        }
    }
}
