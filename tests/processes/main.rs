//! Nodes as processes, real sockets, and what happens to both: kills, stops, bad networks, strangers, replacements.
//!
//! ```text
//!   the test (parent)  -- pipes: insert, remove, load, audit, members, leave ... -->  child "a", "b", "c" ...: one node each
//!        |                                                                               each: writers, a reader that checks all
//!        | fabric: a proxy in front of each node, TCP and UDP; each way between two      ledger: begun and done of each key,
//!        | nodes may be cut, slow, lossy, or spoil bytes                                 one file that all of them map
//! ```
//!
//! Values say of which key and which write they are, so nothing wrong is served unseen: each child reads on and on, and dies
//! loudly if a value is torn, foreign, from nowhere, or older than one that it has shown. After each scenario the nodes have
//! met, hold the same, what the ledger says, and no more heap than they may.
//!
//! `deaths` kills, stops   `busy` no processor to spare   `networks` partitions, loss, a slow peer   `hostile` spoilt bytes, secrets, strangers
//! `arenas` that come from elsewhere   `rolling` replacement   `namespaces` the same over veth, where those can be made

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses its part")]
mod support;

mod arenas;
mod busy;
mod child;
mod deaths;
mod fabric;
mod group;
mod hostile;
mod load;
mod namespaces;
mod networks;
mod node;
mod rolling;

use std::time::Duration;

/// Longer than anything here takes, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// The entry of a child; in a parent's run it has nothing to do.
#[test]
fn child() {
    if let Some(orders) = child::Orders::from_environment() {
        child::run(&orders);
    }
}

/// Waits until something is so; says what was wanted if it never is.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not so after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}
