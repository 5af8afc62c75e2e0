//! The goals, by topic, each with the figure that it is about, and what each topic means.

use super::judge::{Goal, PEERS, Wish};
use super::measure::ALLOCATIONS;

/// A group of goals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Reads,
    Writes,
    Latency,
    Memory,
    HitRatio,
    Restart,
    Cluster,
}

impl Topic {
    pub(super) const ALL: [Self; 7] =
        [Self::Reads, Self::Writes, Self::Latency, Self::Memory, Self::HitRatio, Self::Restart, Self::Cluster];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Reads => "Reads that hit",
            Self::Writes => "Cache-aside and churn",
            Self::Latency => "Latency",
            Self::Memory => "Memory",
            Self::HitRatio => "Hit ratio",
            Self::Restart => "After SIGKILL",
            Self::Cluster => "Cluster",
        }
    }

    /// What the rows mean.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Reads => {
                "Millions of reads a second, all threads together. Every key is resident; keys of 20 bytes are drawn by zipf\n\
                 0.99, spread over the key numbers; the first and the last eight bytes of each value are read. `4Mx64` is four\n\
                 million entries of 64 bytes. `get_many` hands over sixteen keys at a time and is held against the peer's\n\
                 single reads, because no peer has such a call."
            }
            Self::Writes => {
                "Millions of operations a second on a full cache of 400,000 entries of 256 bytes. `aside/95-5`: 95 % reads of\n\
                 ten times as many keys as fit, each miss followed by an insert, and 5 % plain writes; `50-50` likewise.\n\
                 `churn` inserts keys never seen. Refused are inserts that find no slot though nobody holds one."
            }
            Self::Latency => {
                "Microseconds of single calls on two threads of `aside/95-5`, in a pass of its own. The clock is read twice\n\
                 around each call, and is part of the figure."
            }
            Self::Memory => {
                "Overhead is resident memory over entries, less key and value; the padding of a key to 8 bytes and what a\n\
                 size class leaves unused stand apart. Unused slot bytes are those of slots with an entry. Drift writes three\n\
                 capacities of 64-256 B, then 300-900 B, 2-6 KiB, and 64 B-6 KiB values through 256 MiB; keys and values are\n\
                 what is resident at the end of a phase."
            }
            Self::HitRatio => {
                "Mean hit ratio in percent over access traces, cache-aside, at 0.1, 1, 5 and 10 % of their keys and at least\n\
                 100 entries, values of 64 bytes, each hit checked byte by byte. A hit ratio counts only where no more entries\n\
                 are held than allowed. `16 MiB` is the same over values of 64 B to 4 KiB, spread evenly by their logarithm,\n\
                 under 16 MiB: all included for ours, while the capacity of each peer is lowered until its resident memory is\n\
                 16 MiB; `by weight` lets the peers count keys and values alone, and take what they take."
            }
            Self::Restart => {
                "A process fills 4 GiB in /dev/shm with eight million entries and is killed while it overwrites them; the next\n\
                 opens the same file. Milliseconds from before the process is started to after its first hit. Entries kept are\n\
                 those that the next life reads and finds right. The p99 of reads in the second after the first hit is divided\n\
                 by that of a second in which everything has been looked at."
            }
            Self::Cluster => {
                "Nodes on loopback, each in a process of its own, in plaintext unless sealed (Noise) is said. `insert`: processor\n\
                 time of an insert of 256 B on the thread that makes it, 20,000 a second, with three peers of which one is\n\
                 stopped, beside the same without a cluster. Updates of 64 B and 64 KiB: distinct keys, from the first insert\n\
                 until the peer has confirmed the last; beside them SETs in a pipeline until a replica has confirmed the last,\n\
                 and a loop of writev over a socket. Visible: from an insert to a read on the peer that finds it, one a\n\
                 millisecond, beside round trips of 64 B between two threads. Restart: a node of a million entries is killed,\n\
                 1 % change meanwhile; from the start of its process until it is confirmed and serves. Join: from the start of\n\
                 an empty node until nothing is missing, beside the change stream of the same entries, and beside the socket.\n\
                 Missed: from SIGKILL, or SIGSTOP, to the event on another node. Healed: two nodes, one writes 5,000 a second,\n\
                 all between them is lost for a minute; from its end until the other one has all that was written before. Of the\n\
                 cut, and of 40 deaths each, there is one round."
            }
        }
    }
}

/// All of them.
pub(super) fn goals() -> Vec<Goal> {
    [reads(), writes(), latency(), memory(), hit_ratio(), restart(), cluster()].into_iter().flatten().collect()
}

fn reads() -> Vec<Goal> {
    let mut goals = Vec::new();
    for (case, factors) in [("10kx64", [1.0, 2.0]), ("1Mx256", [1.3, 1.3]), ("4Mx64", [1.6, 1.6])] {
        for ((threads, figure), factor) in GETS.into_iter().zip(factors) {
            let what = format!("get hit, {case}, {threads}");
            goals.push(goal(Topic::Reads, what, &format!("hit/{case}"), figure, Wish::Times(factor)));
        }
    }
    for (case, factor) in [("1Mx256", 3.0), ("4Mx64", 4.0)] {
        let workload = format!("get_hit/{case}/zipf/1t");
        let batch = goal(Topic::Reads, format!("get_many by 16, {case}"), &workload, "criterion", Wish::Times(factor));
        goals.push(Goal { ours: "also-cache get_many 16", ..batch });
    }
    goals
}

fn writes() -> Vec<Goal> {
    let mut goals = Vec::new();
    for workload in ["aside/95-5", "aside/50-50", "churn"] {
        for (threads, figure) in OPERATIONS {
            goals.push(goal(Topic::Writes, format!("{workload}, {threads}"), workload, figure, Wish::Times(1.2)));
        }
        let what = format!("{workload}, refused in 10,000");
        goals.push(goal(Topic::Writes, what, workload, "refused per 10,000", Wish::AtMost(1.0)));
    }
    goals
}

fn latency() -> Vec<Goal> {
    let row = |what: &str, figure, wish| goal(Topic::Latency, what, "aside/95-5", figure, wish);
    vec![
        row("get p99.9, us", "get p99.9, us", Wish::NotAbovePeers),
        row("insert p99.9, us", "insert p99.9, us", Wish::AtMost(2.0)),
        row("get p99.99, us", "get p99.99, us", Wish::NotAbovePeers),
        row("insert p99.99, us", "insert p99.99, us", Wish::NotAbovePeers),
    ]
}

fn memory() -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut row = |what: String, workload: &str, figure, wish| {
        goals.push(goal(Topic::Memory, what, workload, figure, wish));
    };
    for bytes in [64, 256] {
        let (what, workload) = (format!("bytes per entry beyond {bytes} B"), format!("overhead/{bytes}"));
        row(what.clone(), &workload, "overhead without these", Wish::AtMost(56.0));
        row(format!("{what}, all included"), &workload, "overhead, bytes per entry", Wish::NotAbovePeers);
    }
    for sizes in ["4KiB in 256MiB", "1MiB in 256MiB", "1MiB in 1GiB"] {
        let what = format!("slot bytes unused, %, 64 B to {sizes}");
        row(what, &format!("waste/{sizes}"), "slot bytes unused, %", Wish::AtMost(7.0));
    }
    row("resident / capacity, drift".to_owned(), "drift", "RSS / capacity, most", Wish::AtMost(1.02));
    for (phase, data, live) in PHASES {
        row(format!("{data}, drift"), "drift", data, Wish::AtLeast(phase));
        row(format!("{live}, drift"), "drift", live, Wish::AtLeast(92.0));
    }
    goals
}

fn hit_ratio() -> Vec<Goal> {
    let row = |what: &str, workload, figure, wish| goal(Topic::HitRatio, what, workload, figure, wish);
    let mean = "mean hit %";
    vec![
        row("traces, beside S3-FIFO", "replay", mean, Wish::Plus(0.4, &["s3fifo"])),
        row("traces, beside all peers", "replay", mean, Wish::Plus(0.0, PEERS)),
        row("traces, entries held / allowed", "replay", "entries / allowed, most", Wish::AtMost(1.01)),
        row("traces, 4 threads, points apart", "replay-4-threads", "points from one thread", Wish::AtMost(0.3)),
        row("16 MiB, equal resident memory", "replay-16MiB", mean, Wish::Plus(0.0, PEERS)),
        row("16 MiB, peers by weight", "replay-16MiB", mean, Wish::Plus(0.0, BY_WEIGHT)),
    ]
}

fn restart() -> Vec<Goal> {
    let row = |what: &str, figure, wish| goal(Topic::Restart, what, "reopen", figure, wish);
    vec![
        row("start to first hit, ms", "first hit, ms", Wish::AtMost(10.0)),
        row("entries kept, %", "entries kept, %", Wish::AtLeast(99.9)),
        row("read p99, first second / steady", "read p99, first second / steady", Wish::AtMost(3.0)),
        row("capacity, MiB", "capacity, MiB", Wish::AtLeast(4096.0)),
    ]
}

fn cluster() -> Vec<Goal> {
    let row = |what: &str, workload: &str, figure, wish| goal(Topic::Cluster, what, workload, figure, wish);
    let sealed = |goal| Goal { ours: "also-cache sealed", ..goal };
    let (updates, bytes) = ("k updates/s", "MB/s");
    vec![
        row("insert, CPU, ns", "cluster/insert", "CPU of an insert, ns", Wish::WithinTimesOf(1.2, &["no cluster"])),
        row("allocations per 1,000 inserts", ALLOCATIONS, "per 1,000 inserts", Wish::AtMost(1.0)),
        row("of them overwrites", ALLOCATIONS, "per 1,000 overwrites", Wish::WithinTimesOf(1.1, &["no cluster"])),
        row("updates of 64 B, thousands/s", "cluster/64B", updates, Wish::TimesOf(3.0, SERVERS)),
        sealed(row("the same, sealed", "cluster/64B", updates, Wish::Said(SERVERS))),
        row("conflated of them, %", "cluster/64B", "conflated, %", Wish::Said(&[])),
        row("updates of 64 KiB, MB/s", "cluster/64KiB", bytes, Wish::TimesOf(0.6, TCP)),
        sealed(row("the same, sealed", "cluster/64KiB", bytes, Wish::Said(TCP))),
        row("visible on the peer, p50, us", "cluster/visible", "p50, us", Wish::WithinTimesOf(2.0, TCP)),
        row("visible on the peer, p99, us", "cluster/visible", "p99, us", Wish::WithinTimesOf(4.0, TCP)),
        sealed(row("the same p50, sealed", "cluster/visible", "p50, us", Wish::Said(TCP))),
        row("warm restart, ms", "cluster/restart", "start to serving, ms", Wish::AtMost(300.0)),
        row("its entries, % of the origin's", "cluster/restart", "entries, % of the origin's", Wish::AtLeast(100.0)),
        row("join, 64 B, thousands/s", "cluster/join-64B", "k entries/s", Wish::TimesOf(0.5, &["change stream"])),
        row("join, 64 KiB, MB/s", "cluster/join-64KiB", bytes, Wish::TimesOf(0.5, TCP)),
        row("killed, missed after, p99, ms", "cluster/killed", "missed after, p99, ms", Wish::AtMost(3_000.0)),
        row("stopped, missed after, p99, ms", "cluster/silent", "missed after, p99, ms", Wish::AtMost(3_000.0)),
        row("missing after a cut, of 1,000", "cluster/partition", "missing of 1,000", Wish::AtMost(1.0)),
        row("cut for 60 s, healed after, ms", "cluster/partition", "healed after, ms", Wish::AtMost(2_000.0)),
    ]
}

fn goal(topic: Topic, what: impl Into<String>, workload: &str, figure: &'static str, wish: Wish) -> Goal {
    Goal { topic, what: what.into(), workload: workload.to_owned(), figure, ours: "also-cache", wish }
}

const SERVERS: &[&str] = &["valkey", "redis"];
const TCP: &[&str] = &["TCP"];
const BY_WEIGHT: &[&str] =
    &["quick_cache by weight", "moka by weight", "foyer by weight", "tinyufo by weight", "segcache by weight"];
const GETS: [(&str, &str); 2] = [("1 thread", "M gets/s, 1 thread"), ("2 threads", "M gets/s, 2 threads")];
const OPERATIONS: [(&str, &str); 2] = [("1 thread", "M ops/s, 1 thread"), ("2 threads", "M ops/s, 2 threads")];
const PHASES: [(f64, &str, &str); 3] = [
    (67.0, "keys + values, % of capacity, phase 1", "live slots, % of data pages, phase 1"),
    (82.0, "keys + values, % of capacity, phase 2", "live slots, % of data pages, phase 2"),
    (88.0, "keys + values, % of capacity, phase 3", "live slots, % of data pages, phase 3"),
];
