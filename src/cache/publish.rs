//! The figures of a cache as metrics of the `metrics` facade.

#![forbid(unsafe_code)]

use crate::cache::stats::Stats;

/// Hands fields to the facade under their names: `counters` only rise, `gauges` come and go.
macro_rules! publish {
    ($from:expr, $prefix:literal, $label:literal = $value:expr; counters $($counter:ident)*; gauges $($gauge:ident)*) => {
        $(metrics::counter!(concat!($prefix, stringify!($counter)), $label => $value.to_owned()).absolute($from.$counter);)*
        $(metrics::gauge!(concat!($prefix, stringify!($gauge)), $label => $value.to_owned()).set($from.$gauge as f64);)*
    };
}

pub(crate) use publish;

impl Stats {
    /// Hands all figures to the recorder of the `metrics` facade, as `also_cache_hits` and so on, with the label `cache`.
    /// Call it as often as they are looked at, every ten seconds for example.
    ///
    /// Exists with the feature `metrics`. Those of size classes are left out.
    ///
    /// # Complexity
    ///
    /// Some 50 look-ups at the recorder, which may allocate; nothing without one. Neither blocks nor pins anything here.
    ///
    /// ```
    /// # use also_cache::Cache;
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.stats().publish("users");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish(&self, cache: &str) {
        publish! { self, "also_cache_", "cache" = cache;
            counters hits misses inserts replaced removed refused_busy refused_too_large refused_superseded
                refused_below_floor refused_unordered evicted_probation evicted_main evicted_bucket evicted_page expired
                damaged pages_moved relocated grace_periods pins_refused invalidated loads loads_failed loads_shared
                loads_alone loads_voided loads_refused index_splits index_splits_deferred;
            gauges retired_bytes epoch_lag_ms pinned_bytes entries tombstones index_buckets index_load index_overflow
                heap_bytes file_bytes page_bytes pages pages_free pages_index capacity
        }
        let gauge = |name, value: f64| metrics::gauge!(name, "cache" => cache.to_owned()).set(value);
        gauge("also_cache_held", f64::from(u8::from(self.held)));
        gauge("also_cache_settled", f64::from(u8::from(self.settled)));
        if let Some(bytes) = self.huge_page_bytes {
            gauge("also_cache_huge_page_bytes", bytes as f64);
        }
    }
}
