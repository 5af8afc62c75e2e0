//! Real nodes in one process: real sockets on loopback, real threads, the public calls.
//!
//! ```text
//!   cache -- node "a" <===== TCP, UDP on 127.0.0.1 =====> node "b" -- cache
//!
//!   pairs   what is written on one is read on the other       waits   tokens, deadlines, tasks, leaving
//!   knocking   strangers at the ports              proxied   a bad network
//!   start   what is refused before anything is listened on    trust   secrets: wrong, rotated
//! ```
//!
//! Nothing sleeps for a guessed time: each step waits for what it needs, and a watchdog ends what hangs.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

mod knocking;
mod pairs;
mod proxied;
mod start;
mod trust;
mod waits;

use also_cache::{Cache, Cluster, ClusterBuilder, MemberState, Readiness};
use std::time::Duration;
use support::Watchdog;

/// Longer than anything here takes, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what no event tells of.
const LOOK: Duration = Duration::from_millis(5);

fn watched(what: &str) -> Watchdog {
    Watchdog::new(what, 90)
}

fn cache() -> Cache {
    Cache::builder().capacity(32 << 20).open().expect("an anonymous cache opens")
}

fn builder(cache: &Cache, name: &str) -> ClusterBuilder {
    Cluster::builder(cache).name(name).cluster("tests").listen("127.0.0.1:0")
}

/// A node that listens in plaintext, and looks for another one.
fn plain(cache: &Cache, name: &str, seed: Option<&Cluster>) -> Cluster {
    let seeds = seed.map(|seed| seed.local_address().to_string());
    builder(cache, name).insecure_plaintext().seeds(seeds).start().expect("a node on loopback starts")
}

/// A node with secrets.
fn sealed(cache: &Cache, name: &str, secrets: &[&str], seed: Option<&Cluster>) -> Cluster {
    let seeds = seed.map(|seed| seed.local_address().to_string());
    builder(cache, name).secrets(secrets).seeds(seeds).start().expect("a node on loopback starts")
}

/// Waits until something is so.
fn until(cluster: &Cluster, what: &str, mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    let mut events = cluster.events();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not so after {PATIENCE:?}; {cluster:?} {:?}", cluster.members());
        events.next_timeout(LOOK);
    }
}

/// Waits until two nodes have all that the other one has.
fn meet(one: &Cluster, other: &Cluster) {
    for (this, that) in [(one, other), (other, one)] {
        until(this, "connected and complete", || {
            let members = this.members();
            let is_there =
                |name: &str| members.iter().any(|member| member.name == name && member.state == MemberState::Connected);
            is_there(that.name()) && this.readiness() == Readiness::Complete
        });
    }
}
