//! The rule about what decides without input or output: bytes and times come as arguments, and nothing is taken elsewhere.
//!
//! ```text
//!   driver     sockets, threads, waiting                                                  mio and std
//!   the rest   node, session, wire, store, membership, security: none of WORDS            but what TAKEN names
//! ```

use crate::rules::{Verdict, words};
use crate::source::Source;

/// What tells the time, runs beside, waits, speaks to the system, or differs from run to run.
const WORDS: &[&str] = &[
    // Clocks: the standard library's and the engine's.
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "clock_gettime",
    "HybridClock",
    "TimeSource",
    "coarse_us",
    "fine_us",
    // Threads, and waiting for them.
    "thread",
    "JoinHandle",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "park",
    "sleep",
    "spawn",
    // Sockets, files, the system.
    "mio",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "rustix",
    "libc",
    "fs",
    "env",
    "process",
    // Randomness; a map of the standard library has its own.
    "rand",
    "getrandom",
    "RandomState",
    "HashMap",
    "HashSet",
];

/// Who takes something all the same, and what. The numbers of `rand` come from a seed that was handed in.
const TAKEN: &[(&str, &[&str])] = &[
    ("src/replication/membership.rs", &["rand"]),
    ("src/replication/membership/seeds.rs", &["rand"]),
    ("src/replication/membership/resolve.rs", &["mpsc", "ToSocketAddrs"]),
    ("src/replication/security/entropy.rs", &["rustix", "rand", "getrandom"]),
];

/// The exceptions that the sources have.
pub(crate) fn only_the_driver_touches_the_world(sources: &[Source]) -> Verdict {
    hold_still(sources, TAKEN)
}

/// `taken` names files and words that are let through; each has to be met.
pub(crate) fn hold_still(sources: &[Source], taken: &[(&str, &[&str])]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut met = Vec::new();
    for source in sources.iter().filter(|source| decides(&source.path)) {
        for word in WORDS {
            let is_taken = taken.iter().any(|(path, words)| *path == source.path && words.contains(word));
            let at: Vec<usize> = words(&source.shipping, word).collect();
            verdict.looked_at += 1;
            if is_taken && !at.is_empty() {
                met.push((&*source.path, *word));
            }
            for at in at.into_iter().filter(|_| !is_taken) {
                verdict.problems.push(format!("{}: {word} belongs to the driver", source.place(at)));
            }
        }
    }
    for (path, words) in taken {
        for word in words.iter().filter(|word| !met.contains(&(*path, **word))) {
            verdict.problems.push(format!("{path}: {word} is let through, and is not there"));
        }
    }
    verdict
}

/// All of replication but the driver, and what drives it in a fuzzing run.
fn decides(path: &str) -> bool {
    let is_driver = path == "src/replication/driver.rs" || path.starts_with("src/replication/driver/");
    path.starts_with("src/replication/") && !is_driver && !path.ends_with("/fuzzing.rs")
}
