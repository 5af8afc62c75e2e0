//! A rolling replacement: three nodes give way to three new ones, one by one, under load.
//!
//! ```text
//!   one name ->  a b c  |  a b c d  |  b c d  |  b c d e  |  c d e  |  c d e f  |  d e f
//!                         d: empty arena, new address; complete -> it takes over a's writes, a leaves
//! ```
//!
//! Meanwhile every read is answered by whoever is ready, no key is lost (each is on some node, and a node misses one in a
//! thousand at the most), and who is ready hits as often as before.

use crate::group::{Group, Plan};
use crate::node::Node;
use crate::support::{Random, Watchdog};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const KEYS: u64 = 6_000;
const RATE: u64 = 500;
const BYTES_MAX: u64 = 300;
/// Reads of one node that a ratio is taken from.
const READS: u64 = 5_000;

/// A user of the service: reads keys from nodes that say that they are complete, and insists on an answer.
struct User {
    random: Random,
    reads: u64,
    hits: u64,
}

impl User {
    fn read(&mut self, group: &mut Group) {
        let at = self.random.below(group.nodes.len() as u64) as usize;
        let node = &mut group.nodes[at];
        if node.ask("readiness") != "complete" {
            return;
        }
        let shown = node.ask(&format!("get {}", self.random.below(KEYS / 2)));
        assert!(shown == "absent" || shown.parse::<u64>().is_ok(), "{} shows {shown}", node.name());
        self.reads += 1;
        self.hits += u64::from(shown != "absent");
    }
}

/// Hits among the reads of a node while it was complete, and the reads.
fn hits(node: &mut Node) -> (u64, u64) {
    let text = node.ask("hits");
    let mut numbers = text.split(' ').map(|word| word.parse::<u64>().expect("a number"));
    let reads = numbers.next().expect("two numbers");
    (numbers.next().expect("two numbers"), reads)
}

/// The ratio of each node, in per mille, over the next reads of it.
fn ratios(group: &mut Group, user: &mut User) -> Vec<u64> {
    let mut sums = vec![(0, 0); group.nodes.len()];
    group.nodes.iter_mut().for_each(|node| _ = hits(node));
    let began = Instant::now();
    while sums.iter().any(|(_, reads)| *reads < READS) {
        assert!(began.elapsed() < crate::PATIENCE, "too few reads: {sums:?}");
        user.read(group);
        for (sum, node) in sums.iter_mut().zip(&mut group.nodes) {
            let (hits, reads) = hits(node);
            *sum = (sum.0 + hits, sum.1 + reads);
        }
    }
    sums.iter().map(|(hits, reads)| hits * 1000 / reads).collect()
}

#[test]
fn three_nodes_are_replaced_one_by_one_and_nobody_notices() {
    let _watchdog = Watchdog::new("a rolling replacement", 80);
    let mut group = Group::new(Plan { is_named: true, ..Plan::new("a rolling replacement", KEYS) });
    let mut user = User { random: Random(7), reads: 0, hits: 0 };
    // Each key once, so that a miss has only one reason.
    for at in 0..3_u64 {
        let first = at * group.share();
        (first..first + group.share()).for_each(|key| _ = group.nodes[at as usize].ask(&format!("insert {key} 100")));
    }
    group.load(RATE, BYTES_MAX);
    group.wait_for_writes(500);
    let steady = ratios(&mut group, &mut user).into_iter().min().expect("three nodes");
    let (mut lowest, mut longest) = (u64::MAX, Duration::ZERO);
    for turn in 0..3 {
        let orders = group.orders(3 + turn);
        let began = Instant::now();
        group.start(orders);
        while !group.nodes.last_mut().expect("the new one").is_complete(3) {
            assert!(began.elapsed() < crate::PATIENCE, "the new one never is complete");
            user.read(&mut group);
        }
        longest = longest.max(began.elapsed());
        lowest = lowest.min(ratios(&mut group, &mut user).into_iter().min().expect("four nodes"));
        group.nodes[0].ask("rest");
        let (first, count) = (turn as u64 * group.share(), group.share());
        group.nodes[3].ask(&format!("load {first} {count} {RATE} {BYTES_MAX}"));
        assert_eq!(group.nodes[0].ask("leave 10000"), "ok", "it leaves nothing behind");
        drop(group.nodes.remove(0));
        group.name_all();
        lowest = lowest.min(ratios(&mut group, &mut user).into_iter().min().expect("three nodes"));
    }
    let names: Vec<&str> = group.nodes.iter().map(Node::name).collect();
    assert_eq!(names, ["d", "e", "f"]);
    let writes = group.converge();
    let gone = group.nodes.iter_mut().map(|node| node.ask("gone"));
    let gone: Vec<BTreeSet<String>> = gone.map(|keys| keys.split_whitespace().map(str::to_owned).collect()).collect();
    let lost = gone.iter().skip(1).fold(gone[0].clone(), |lost, gone| &lost & gone);
    assert!(lost.is_empty(), "nobody has {lost:?} any more");
    println!(
        "replaced: hits of ready nodes {steady} per mille before, {lowest} at the least since; complete after {longest:.1?} at \
         the most; {} reads of a user, all answered, {} hits; {writes} writes, no key lost",
        user.reads, user.hits
    );
    assert!(user.reads > 0 && user.hits > 0 && lowest * 100 >= steady * 95, "{lowest} of {steady}");
}
