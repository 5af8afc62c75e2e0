//! A node in a process of its own: `also-cache replication-node`.
//!
//! ```text
//!   stdin    a Birth, then Orders, JSON, one a line          stdout    a Born, then an Answer to each Order
//! ```
//!
//! It ends with its standard input, or with the process that started it, also while it is stopped.

use crate::failure::{Failure, Result};
use crate::{machine, value};
use also_cache::{Acks, Cache, Cluster, Event, Events, Readiness};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a node is told first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Birth {
    pub(super) name: String,
    pub(super) capacity: u64,
    pub(super) file: Option<PathBuf>,
    pub(super) seeds: Vec<SocketAddr>,
    pub(super) advertise: Option<SocketAddr>,
    pub(super) secret: Option<String>,
    /// When the process was asked to be started, of the monotonic clock.
    pub(super) started_ns: u64,
    /// Answer only once everything that the others have is here.
    pub(super) wait: bool,
}

/// What a node says first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Born {
    pub(super) address: SocketAddr,
    /// How the arena came up.
    pub(super) recovery: String,
    /// From before the process was started, and from the start of the node, to reads that are answered, and to all that is
    /// missing being there; as long as that was waited for.
    pub(super) serving_ms: Option<f64>,
    pub(super) complete_ms: Option<f64>,
    pub(super) joined_in_ms: Option<f64>,
    /// Processor time for the latter.
    pub(super) joined_cpu_ns: u64,
    /// From the start of the node to the begin of its first sync, if that was seen.
    pub(super) sync_after_ms: Option<f64>,
    pub(super) confirmed: bool,
    pub(super) syncs: u64,
}

/// What a node does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Waits until it has applied what a token covers.
    Reach { token: String },
    /// Writes values and waits until they are everywhere.
    Write { from: u64, count: u64, sequence: u64, value_bytes: u64 },
    /// Reads so many keys and checks each value.
    Survey { count: u64 },
    /// The sequence of each of so many keys.
    List { count: u64 },
    /// What it has counted.
    Count,
}

/// The answer to an [`Order`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) failed: Option<String>,
    /// Of the monotonic clock.
    pub(super) done_ns: u64,
    /// Entries that are there, those with a wrong value, and the sum of their sequences.
    pub(super) found: u64,
    pub(super) wrong: u64,
    pub(super) sequences: u64,
    /// Entries that gave way in a chain of buckets that was full: a hash is drawn for each cache, and so may that.
    pub(super) gave_way: u64,
    /// The sequence of each key, `None` of one that is not there.
    pub(super) all: Vec<Option<u64>>,
    /// Changes of others, stored.
    pub(super) stored: u64,
    /// All that the protocol has counted, by name.
    pub(super) counted: Vec<(String, u64)>,
    /// Processor time of the process.
    pub(super) cpu_ns: u64,
}

/// Lives until its input ends.
pub(crate) fn live() -> Result<()> {
    // Where it can not be asked for, the end of the input is what is left.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let mut lines = std::io::stdin().lock().lines();
    let Some(line) = lines.next() else { return Ok(()) };
    let birth: Birth = serde_json::from_str(&line?)?;
    let (cache, cluster, born) = begin(&birth)?;
    say(&born)?;
    for line in lines {
        let mut answer = obey(&cache, &cluster, &serde_json::from_str(&line?)?);
        answer.done_ns = machine::monotonic_ns();
        answer.cpu_ns = machine::process_cpu_ns();
        say(&answer)?;
    }
    Ok(())
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Opens a cache for measurements.
pub(super) fn open(capacity: u64, file: Option<&PathBuf>) -> Result<Cache> {
    let mut builder = Cache::builder().capacity(capacity);
    if let Some(file) = file {
        // Lives are short and end by kills here.
        builder = builder.file(file).crash_loop_guard(false);
    }
    Ok(builder.open()?)
}

/// Starts a node as it is told.
pub(super) fn start(cache: &Cache, birth: &Birth) -> Result<Cluster> {
    let mut builder = Cluster::builder(cache).name(birth.name.clone()).cluster("measured").listen("127.0.0.1:0");
    builder = builder.seeds(birth.seeds.iter().map(SocketAddr::to_string));
    if let Some(address) = birth.advertise {
        builder = builder.advertise(address);
    }
    builder = match &birth.secret {
        Some(secret) => builder.secrets([secret]),
        None => builder.insecure_plaintext(),
    };
    builder.start().map_err(|error| failed(&birth.name, format!("did not start its node: {error}")))
}

fn begin(birth: &Birth) -> Result<(Cache, Cluster, Born)> {
    let cache = open(birth.capacity, birth.file.as_ref())?;
    let (started, cpu_ns) = (Instant::now(), machine::process_cpu_ns());
    let cluster = start(&cache, birth)?;
    let mut born = Born {
        address: cluster.local_address(),
        recovery: cache.recovery().to_string(),
        serving_ms: None,
        complete_ms: None,
        joined_in_ms: None,
        sync_after_ms: None,
        joined_cpu_ns: 0,
        confirmed: false,
        syncs: 0,
    };
    if birth.wait {
        catch_up(&cluster, birth, started, &mut born)?;
        born.joined_in_ms = Some(started.elapsed().as_secs_f64() * 1e3);
        born.joined_cpu_ns = machine::process_cpu_ns() - cpu_ns;
    }
    Ok((cache, cluster, born))
}

/// Waits until nothing is missing, and notes when what was reached.
fn catch_up(cluster: &Cluster, birth: &Birth, started: Instant, born: &mut Born) -> Result<()> {
    let mut events = cluster.events();
    let since_start = || machine::monotonic_ns().saturating_sub(birth.started_ns) as f64 / 1e6;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match events.next_timeout(deadline.saturating_duration_since(Instant::now())) {
            Some(Event::Readiness(Readiness::Serving)) => born.serving_ms = Some(since_start()),
            Some(Event::Readiness(Readiness::Complete)) => {
                born.complete_ms = Some(since_start());
                // It may come at once.
                born.serving_ms = born.serving_ms.or(born.complete_ms);
                return Ok(());
            }
            Some(Event::Confirmed { .. }) => born.confirmed = true,
            Some(Event::SyncBegan { .. }) => {
                if born.syncs == 0 {
                    born.sync_after_ms = Some(started.elapsed().as_secs_f64() * 1e3);
                }
                born.syncs += 1;
            }
            Some(_) => {}
            None => return Err(failed(&birth.name, "has not caught up".to_owned())),
        }
    }
}

/// Waits for an event that `wanted` takes.
pub(super) fn await_event<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(event) = events.next_timeout(deadline.saturating_duration_since(Instant::now())) {
        if let Some(found) = wanted(event) {
            return Ok(found);
        }
    }
    Err(failed("this node", format!("has not met what it waited for within {PATIENCE:?}")))
}

fn obey(cache: &Cache, cluster: &Cluster, order: &Order) -> Answer {
    let mut answer = Answer::default();
    match order {
        Order::Reach { token } => answer.failed = reach(cluster, token).err(),
        Order::Write { from, count, sequence, value_bytes } => {
            let mut buffer = Vec::new();
            for number in *from..from + count {
                value::write(&mut buffer, number, *sequence, *value_bytes as usize);
                if let Err(error) = cache.insert(value::key(number), &buffer) {
                    answer.failed = Some(error.to_string());
                }
            }
            if let Err(error) = cluster.flush(Acks::All, PATIENCE) {
                answer.failed = Some(error.to_string());
            }
        }
        Order::Survey { count } => {
            (answer.found, answer.wrong, answer.sequences) = survey(cache, *count);
            answer.gave_way = cache.stats().evicted_bucket;
        }
        Order::List { count } => answer.all = list(cache, *count),
        Order::Count => {
            let stats = cluster.stats();
            answer.stored = stats.counted("stored");
            let counted = stats.protocol.into_iter().filter(|(_, count)| *count > 0);
            answer.counted = counted.map(|(name, count)| (name.to_owned(), count)).collect();
        }
    }
    answer
}

fn reach(cluster: &Cluster, token: &str) -> std::result::Result<(), String> {
    let token = token.parse().map_err(|error: also_cache::TokenError| error.to_string())?;
    cluster.wait_applied(&token, PATIENCE).map_err(|error| error.to_string())
}

/// The sequence of each of so many keys; `u64::MAX` of a wrong value.
pub(super) fn list(cache: &Cache, count: u64) -> Vec<Option<u64>> {
    let sequence = |number| cache.read(value::key(number), |bytes| value::check(bytes, number).unwrap_or(u64::MAX));
    (0..count).map(sequence).collect()
}

/// Entries that are there, those with a wrong value, and the sum of the sequences.
pub(super) fn survey(cache: &Cache, count: u64) -> (u64, u64, u64) {
    let (mut found, mut wrong, mut sequences) = (0, 0, 0_u64);
    for number in 0..count {
        match cache.read(value::key(number), |bytes| value::check(bytes, number)) {
            Some(Ok(sequence)) => {
                found += 1;
                sequences = sequences.wrapping_add(sequence);
            }
            Some(Err(_)) => wrong += 1,
            None => {}
        }
    }
    (found, wrong, sequences)
}

fn failed(name: &str, problem: String) -> Failure {
    Failure::Child { what: name.to_owned(), problem }
}

/// Longer than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
