//! Figures as metrics: what `Stats` and `ClusterStats` print is what a recorder gets, with nothing left out.

use also_cache::{Cache, Cluster};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

type Cells = Mutex<BTreeMap<String, Arc<AtomicU64>>>;

/// Keeps what it gets, by name and labels.
#[derive(Default)]
struct Kept {
    counters: Cells,
    gauges: Cells,
}

fn cell(cells: &Cells, key: &Key) -> Arc<AtomicU64> {
    let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
    let name = key.name().to_owned() + &labels.collect::<String>();
    cells.lock().expect("no panic inside").entry(name).or_default().clone()
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(cell(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(cell(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{key} is no histogram")
    }
}

impl Kept {
    fn get(&self, name: &str) -> Option<f64> {
        let load = |cells: &Cells| Some(cells.lock().ok()?.get(name)?.load(Ordering::SeqCst));
        load(&self.counters).map(|count| count as f64).or_else(|| load(&self.gauges).map(f64::from_bits))
    }
}

/// The fields that are numbers, and truths as 0 or 1, by what a struct prints of itself.
fn numbers(debug: &str) -> Vec<(String, f64)> {
    let field = |line: &str| {
        let (name, value) = line.strip_prefix("    ")?.trim_end_matches(',').split_once(": ")?;
        let value = match value {
            "true" => 1.0,
            "false" => 0.0,
            number => number.parse().ok()?,
        };
        (!name.starts_with(' ')).then(|| (name.to_owned(), value))
    };
    debug.lines().filter_map(field).collect()
}

#[test]
fn every_figure_of_a_cache_is_published() {
    let cache = Cache::builder().capacity(4 << 20).open().expect("an anonymous cache opens");
    for number in 0..50 {
        cache.insert(format!("{number}"), "v").expect("there is room");
    }
    let hits = (0..60).filter(|number| cache.get(format!("{number}")).is_some()).count();
    let (stats, kept) = (cache.stats(), Kept::default());
    metrics::with_local_recorder(&kept, || stats.publish("users"));
    assert_eq!(kept.get("also_cache_hits cache=users"), Some(hits as f64));
    let mut looked_at = 0;
    // Whether the file lies on a disk is a fact, and no figure.
    for (name, value) in numbers(&format!("{stats:#?}")).into_iter().filter(|(name, _)| name != "on_disk") {
        assert_eq!(kept.get(&format!("also_cache_{name} cache=users")), Some(value), "{name}");
        looked_at += 1;
    }
    assert!(looked_at > 35, "{looked_at}");
}

#[test]
fn every_figure_of_a_node_is_published() {
    let cache = Cache::builder().capacity(4 << 20).open().expect("an anonymous cache opens");
    let builder = Cluster::builder(&cache).name("pod-1").listen("127.0.0.1:0").insecure_plaintext();
    let cluster = builder.start().expect("a node on loopback starts");
    while cluster.stats().protocol.is_empty() || cluster.stats().rounds == 0 {
        std::thread::yield_now();
    }
    let (stats, kept) = (cluster.stats(), Kept::default());
    metrics::with_local_recorder(&kept, || stats.publish(cluster.name()));
    assert!(kept.get("also_cache_cluster_rounds node=pod-1").is_some_and(|rounds| rounds > 0.0));
    let mut looked_at = 0;
    for (name, value) in numbers(&format!("{stats:#?}")) {
        assert_eq!(kept.get(&format!("also_cache_cluster_{name} node=pod-1")), Some(value), "{name}");
        looked_at += 1;
    }
    for (name, count) in &stats.protocol {
        let counted = kept.get(&format!("also_cache_cluster_counted node=pod-1 what={name}"));
        assert_eq!(counted, Some(*count as f64), "{name}");
        looked_at += 1;
    }
    assert!(looked_at > 100, "{looked_at}");
}
