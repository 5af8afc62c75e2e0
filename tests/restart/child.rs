//! The process that is killed: writers, one thread each for a share of the keys, until it dies.

use crate::clustered;
use crate::scenario::{ARMED, EVICTIONS, MOVES, Scenario, write};
use crate::support::Random;
use crate::support::ledger::{ACKNOWLEDGED, Ledger, key_bytes, may_be, sequence_of};
use also_cache::Cache;
use also_cache::failpoint::{self, Action};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

const WRITERS: u64 = 3;

/// What the parent asks of it, in environment variables.
pub(crate) struct Orders {
    pub(crate) folder: PathBuf,
    pub(crate) scenario: Scenario,
    /// A failpoint and its passage, armed after `writes`; or before the open.
    pub(crate) failpoint: Option<(String, u64)>,
    pub(crate) writes: u64,
    pub(crate) seed: u64,
    /// To be a node: where another one listens, or an empty text if there is none.
    pub(crate) peer: Option<String>,
}

impl Orders {
    pub(crate) fn from_environment() -> Option<Self> {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let failpoint = std::env::var("RESTART_FAILPOINT").ok();
        Some(Self {
            folder: std::env::var_os("RESTART_FOLDER")?.into(),
            scenario: Scenario::of(&std::env::var("RESTART_SCENARIO").ok()?),
            failpoint: failpoint.map(|name| (name, number("RESTART_PASSAGE").unwrap_or(1))),
            writes: number("RESTART_WRITES").unwrap_or(0),
            seed: number("RESTART_SEED").unwrap_or(1),
            peer: std::env::var("RESTART_PEER").ok(),
        })
    }
}

pub(crate) fn run(orders: &Orders) -> ! {
    failpoint::arm_from_environment();
    let ledger = orders.scenario.ledger(&orders.folder);
    let cache = orders.scenario.builder(&orders.folder).open().expect("the arena opens");
    let _node = orders.peer.as_ref().map(|peer| {
        let cluster = clustered::start(&cache, "a", Some(peer.clone()).filter(|peer| !peer.is_empty()));
        if !peer.is_empty() {
            clustered::wait_for_peer(&cluster, "the child");
        }
        cluster
    });
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (cache, ledger) = (&cache, &ledger);
            scope.spawn(move || write_for_ever(cache, ledger, orders, writer));
        }
        watch(&cache, &ledger, orders);
    });
    unreachable!("writers end only with the process")
}

fn write_for_ever(cache: &Cache, ledger: &Ledger, orders: &Orders, writer: u64) {
    let mut random = Random(orders.seed.wrapping_mul(31) + writer);
    let keys = orders.scenario.keys() / WRITERS;
    let mut open = true;
    for written in 0_u64.. {
        // More and more keys, so that the index grows while it is used.
        let reach = keys.min(300 + ledger.word(ACKNOWLEDGED).load(Ordering::Relaxed) / 4);
        let key = random.next() % reach * WRITERS + writer;
        if random.next().is_multiple_of(5)
            && let Some(found) = cache.get(key_bytes(key))
        {
            let sequence = sequence_of(key, &found).unwrap_or_else(|wrong| die(&wrong));
            may_be(ledger, key, sequence).unwrap_or_else(|wrong| die(&wrong));
        }
        open = open && write(cache, ledger, orders.scenario, key, &mut random, written * WRITERS);
    }
}

/// The parent reads it from standard error.
fn die(wrong: &str) -> ! {
    eprintln!("while running: {wrong}");
    std::process::exit(3)
}

/// Keeps the figures fresh, and arms the failpoint when it is time.
fn watch(cache: &Cache, ledger: &Ledger, orders: &Orders) {
    let mut armed = false;
    loop {
        let stats = cache.stats();
        let evicted = stats.evicted_main + stats.evicted_probation + stats.evicted_page;
        ledger.word(EVICTIONS).store(evicted, Ordering::SeqCst);
        ledger.word(MOVES).store(stats.pages_moved, Ordering::SeqCst);
        if !armed && ledger.word(ACKNOWLEDGED).load(Ordering::SeqCst) >= orders.writes {
            armed = true;
            if let Some((name, passage)) = &orders.failpoint {
                failpoint::arm(name, Action::Kill(*passage));
            }
            ledger.word(ARMED).store(1, Ordering::SeqCst);
            if orders.failpoint.as_ref().is_some_and(|(name, _)| name == "close.sealing") {
                cache.clone().close().expect("closes");
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
