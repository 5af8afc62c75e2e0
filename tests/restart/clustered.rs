//! Kills at the steps of the ring of own changes: in a node, beside another one that lives on.
//!
//! ```text
//!   child    node "a": an arena, 3 writers    <=== TCP, UDP ===>    node "b", in the parent, through all of a's lives
//!              |  SIGKILL at ring.*, or at a step between a claim and its end; b may be away all that life
//!   parent   opens a's arena: warm, its ring settled; a and b meet
//!            each key: the same on both, value and version; what was acknowledged or in flight; no removed key back
//! ```

use crate::lives::{SIGKILL, child_command, in_memory, wait_for_death};
use crate::scenario::{ARMED, Scenario, write};
use crate::support::Random;
use crate::support::ledger::{ACKNOWLEDGED, Ledger, Mark, key_bytes, may_be, sequence_of};
use also_cache::inspect::Inspection;
use also_cache::{Cache, Cluster, ClusterStats, MemberState, Readiness, Recovery, Version, failpoint};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Acknowledged writes before a kill: fewer than the ring has room for.
const WRITES: u64 = 2_000;
/// At each step of the ring.
const KILLS: u64 = 4;
/// Steps of a write between the claim of its record and the end of it.
const BETWEEN: [&str; 4] = ["insert.written", "insert.linked", "replace.swapped", "retire.marked"];
const SCENARIO: Scenario = Scenario::Clustered;
const PATIENCE: Duration = Duration::from_secs(30);

/// What settling found, over all lives.
#[derive(Default, Debug)]
struct Found {
    changes: u64,
    taken_as_made: u64,
    voided: u64,
    passed: u64,
    replays: u64,
    in_flight: u64,
    present: u64,
    missing: u64,
}

pub(crate) fn start(cache: &Cache, name: &str, seed: Option<String>) -> Cluster {
    let builder = Cluster::builder(cache).name(name).cluster("restart").listen("127.0.0.1:0").insecure_plaintext();
    builder.seeds(seed).start().expect("a node on loopback starts")
}

/// Waits until a node is connected and has all that the other one has.
pub(crate) fn wait_for_peer(cluster: &Cluster, story: &str) {
    let start = Instant::now();
    let is_there = || {
        let connected = cluster.members().iter().any(|member| member.state == MemberState::Connected);
        connected && cluster.readiness() == Readiness::Complete
    };
    while !is_there() {
        assert!(start.elapsed() < PATIENCE, "{story}: {cluster:?} meets nobody: {:?}", cluster.members());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_changes_of_a_killed_node_reach_the_others() {
    let folder = in_memory();
    let ledger = SCENARIO.ledger(folder.path());
    let peer = Cache::builder().capacity(SCENARIO.capacity()).open().expect("opens");
    fill(folder.path(), &ledger, &peer);
    let of_ring = || failpoint::NAMES.iter().copied().filter(|name| name.starts_with("ring."));
    let steps: Vec<&str> = BETWEEN.into_iter().chain((0..KILLS).flat_map(|_| of_ring())).collect();
    let (mut reached, mut found) = (BTreeMap::new(), Found::default());
    let mut random = Random(crate::support::seed(1));
    for (number, step) in (0_u64..).zip(&steps) {
        // Beside a peer that is away nothing of that life is sent.
        let is_away = number / 2 % 2 == 1;
        let story = format!("kill {number} at {step}, the peer {}", if is_away { "away" } else { "there" });
        ledger.word(ACKNOWLEDGED).store(0, Ordering::SeqCst);
        ledger.word(ARMED).store(0, Ordering::SeqCst);
        let other = (!is_away).then(|| start(&peer, "b", None));
        let mut command = child_command(folder.path(), SCENARIO);
        command.env("RESTART_SEED", random.next().to_string()).env("RESTART_WRITES", WRITES.to_string());
        command.env("RESTART_FAILPOINT", step).env("RESTART_PASSAGE", (1 + random.next() % 3).to_string());
        command.env("RESTART_PEER", other.as_ref().map_or(String::new(), |other| other.local_address().to_string()));
        let status = wait_for_death(&mut command.spawn().expect("the child starts"), folder.path(), &story);
        assert_eq!(status.signal(), Some(SIGKILL), "{story}: {status}");
        *reached.entry(*step).or_insert(0_u64) += 1;
        let other = other.unwrap_or_else(|| start(&peer, "b", None));
        reopen(folder.path(), &ledger, &other, &mut found, &story);
    }
    println!("kills by step {reached:?}\n{found:?}");
    assert!(of_ring().count() >= 3 && of_ring().all(|name| reached.get(name) == Some(&KILLS)), "{reached:?}");
    assert!(found.changes > 0 && found.taken_as_made > 0 && found.voided > 0 && found.passed > 0, "{found:?}");
    assert!(found.replays > 0 && found.in_flight > 0 && found.present > 0, "{found:?}");
}

/// Writes most keys once, so that the index hardly grows later: while it does a full bucket may evict one.
fn fill(folder: &std::path::Path, ledger: &Ledger, peer: &Cache) {
    let cache = SCENARIO.builder(folder).open().expect("opens");
    let other = start(peer, "b", None);
    let node = start(&cache, "a", Some(other.local_address().to_string()));
    wait_for_peer(&node, "the first of a's lives");
    let mut random = Random(2);
    for key in (0..SCENARIO.keys()).filter(|key| key % 7 != 0) {
        assert!(write(&cache, ledger, SCENARIO, key, &mut random, 0), "the cache is open");
        if key % 100 == 1 {
            for cache in [&cache, peer] {
                cache.maintain(Duration::from_millis(1));
            }
        }
    }
    node.leave(PATIENCE).expect("b has all of it");
}

/// Opens what a kill left, lets it meet the other node, and compares the two.
fn reopen(folder: &std::path::Path, ledger: &Ledger, other: &Cluster, found: &mut Found, story: &str) {
    let inspection = Inspection::of(SCENARIO.arena(folder)).expect("an arena");
    assert_eq!(inspection.problems_found, 0, "{story}: {:#?}", inspection.problems);
    let cache = SCENARIO.builder(folder).open().expect("opens");
    assert!(matches!(cache.recovery(), Recovery::Warm { .. }), "{story}: {}", cache.recovery());
    let node = start(&cache, "a", Some(other.local_address().to_string()));
    wait_for_peer(&node, story);
    wait_for_peer(other, story);
    let stats = node.stats();
    check_settled(&stats, story);
    found.changes += stats.former_changes;
    found.taken_as_made += stats.former_taken_as_made;
    found.voided += stats.former_voided;
    found.passed += stats.former_passed;
    found.replays += stats.counted("former_life_replays");
    let start = Instant::now();
    // That the other one is behind a former life it learns a moment after it has met the new one.
    while !(0..SCENARIO.keys()).all(|key| is_alike(&cache, other.cache(), ledger, key)) {
        std::thread::sleep(Duration::from_millis(10));
        if start.elapsed() > PATIENCE {
            let differs = |key: &u64| !is_alike(&cache, other.cache(), ledger, *key);
            let keys: Vec<u64> = (0..SCENARIO.keys()).filter(differs).collect();
            panic!("{story}: keys {keys:?} differ\na: {}\nb: {}", node.stats(), other.stats());
        }
    }
    let (before, present) = (found.missing, found.present);
    for key in 0..SCENARIO.keys() {
        check(&cache, other.cache(), ledger, key, found, story);
        if ledger.begun(key) != ledger.done(key) {
            // Here as it was before, elsewhere gone, perhaps: for the next life it is gone everywhere.
            let sequence = ledger.begun(key).sequence.max(ledger.done(key).sequence);
            cache.remove(key_bytes(key)).expect("the cache is open");
            ledger.settle(key, Mark { sequence, absent: true });
        }
    }
    let (missing, present) = (found.missing - before, found.present - present);
    let told = || format!("{}\na: {}\nb: {}", cache.stats(), node.stats(), other.stats());
    assert!(missing * 1000 <= present, "{story}: {missing} of {present} are gone\n{}", told());
    node.leave(PATIENCE).unwrap_or_else(|error| panic!("{story}: {error}"));
}

/// What the step that a process died at has left in its ring.
fn check_settled(stats: &ClusterStats, story: &str) {
    assert!(stats.former_changes > 0, "{story}: no change of the life before is left\n{stats}");
    assert!(stats.former_taken_as_made <= stats.former_changes, "{story}: {stats}");
    if story.contains("ring.written") {
        assert!(stats.former_taken_as_made > 0, "{story}: an announced change counts as made\n{stats}");
    }
}

fn read(cache: &Cache, key: u64) -> Option<(Version, Vec<u8>)> {
    cache.get(key_bytes(key)).map(|value| (value.version(), value.to_vec()))
}

/// Whether a key is the same on both nodes, or gone from one of them.
fn is_alike(one: &Cache, other: &Cache, ledger: &Ledger, key: u64) -> bool {
    match (read(one, key), read(other, key)) {
        (Some(here), Some(there)) => here == there,
        (None, None) => true,
        // An announced change that was not made is told as one: what it would have replaced goes elsewhere.
        (Some(_), None) => ledger.begun(key) != ledger.done(key),
        // Of a full bucket one entry is evicted, with room or without.
        (None, Some(_)) => true,
    }
}

/// One key, where both nodes are alike.
fn check(one: &Cache, other: &Cache, ledger: &Ledger, key: u64, found: &mut Found, story: &str) {
    let (begun, done) = (ledger.begun(key), ledger.done(key));
    found.in_flight += u64::from(begun != done);
    let everywhere = [read(one, key), read(other, key)];
    for (_, bytes) in everywhere.iter().flatten() {
        let sequence = sequence_of(key, bytes).unwrap_or_else(|wrong| panic!("{story}: {wrong}"));
        may_be(ledger, key, sequence).unwrap_or_else(|wrong| panic!("{story}: {wrong}"));
    }
    let is_whole = everywhere.iter().all(Option::is_some);
    found.present += u64::from(is_whole);
    found.missing += u64::from(!is_whole && !done.absent && begun == done);
}
