//! A node in a process of its own: does what it is told on standard input, until that ends or somebody kills it.
//!
//! ```text
//!   fill     write every key, wait until all others have it         serve SEQUENCE   the workload, until stop
//!   laps     single writes, each waited for                         stop             and wait until all others have it
//!   survey   tell what is there of every key
//! ```

use super::protocol::{Record, Sender};
use super::workload::{Journal, Tally, Workload};
use crate::failure::Result;
use crate::{machine, value};
use also_cache::{Acks, Cache, Cluster, Event, MemberState, Readiness, Recovery};
use clap::Args;
use std::fs::File;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Options of the hidden `demo-child`.
#[derive(Args)]
pub(crate) struct ChildOptions {
    /// The arena.
    #[arg(long)]
    file: PathBuf,
    /// Its size in bytes.
    #[arg(long)]
    capacity: u64,
    /// The node's name.
    #[arg(long)]
    name: String,
    /// Its place among the nodes.
    #[arg(long)]
    node: u16,
    /// Where each node listens, in their order.
    #[arg(long, value_delimiter = ',')]
    addresses: Vec<SocketAddr>,
    /// Keys.
    #[arg(long)]
    keys: u64,
    /// Threads that serve.
    #[arg(long)]
    threads: u16,
    /// Operations a second.
    #[arg(long)]
    load: u64,
    /// The monotonic clock when this process was about to be started.
    #[arg(long)]
    started_ns: u64,
}

/// Runs the node; records go to standard output.
pub(crate) fn serve(options: &ChildOptions) -> Result<()> {
    let opening = Instant::now();
    // It is killed on purpose, and young.
    let cache = Cache::builder().capacity(options.capacity).file(&options.file).crash_loop_guard(false).open()?;
    let opened = opening.elapsed();
    let pipe = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let warm = matches!(cache.recovery(), Recovery::Warm { .. });
    tell(&pipe, Record::Opened { warm, ns: nanoseconds(opened) });
    if let Recovery::Cold { reason } = cache.recovery() {
        eprintln!("also-cache: node {} started cold: {reason}", options.name);
    }
    let others = options.addresses.iter().enumerate().filter(|(node, _)| *node != usize::from(options.node));
    let cluster = Cluster::builder(&cache)
        .name(&options.name)
        .cluster("demo")
        .listen(options.addresses[usize::from(options.node)].to_string())
        .seeds(others.map(|(_, address)| address.to_string()))
        .insecure_plaintext()
        .start()?;
    let workload = Workload {
        keys: options.keys,
        threads: options.threads,
        node: options.node,
        nodes: options.addresses.len() as u16,
        load: options.load,
    };
    let watcher = Watcher { cluster: cluster.clone(), workload, warm, started_ns: options.started_ns };
    let sender = sender(&pipe);
    std::thread::Builder::new().name("watcher".to_owned()).spawn(move || watcher.watch(sender))?;
    obey(&cluster, &workload, &pipe)?;
    // Its own end is no loss: the parent has seen all that it wanted to see.
    let _ = cluster.leave(LEAVES_WITHIN);
    Ok(())
}

fn obey(cluster: &Cluster, workload: &Workload, pipe: &File) -> Result<()> {
    let stop = AtomicBool::new(false);
    let cache = cluster.cache();
    std::thread::scope(|scope| -> Result<()> {
        let mut serving = None;
        for line in std::io::stdin().lock().lines() {
            match line?.split_once(' ').unwrap_or_default() {
                ("fill", _) => {
                    workload.fill(cache, |_| sender(pipe));
                    tell(pipe, Record::Filled { ns: flush(cluster) });
                }
                ("laps", _) => {
                    let wait = |version| {
                        let began = Instant::now();
                        cluster
                            .wait_replicated(version, Acks::All, FLUSHES_WITHIN)
                            .ok()
                            .map(|()| nanoseconds(began.elapsed()))
                    };
                    workload.laps(cache, sender(pipe), wait);
                }
                ("serve", sequence) => {
                    let (stop, sequence) = (&stop, sequence.trim().parse().unwrap_or(0));
                    let run = move || workload.run(cache, sequence, |_| sender(pipe), &|| stop.load(Ordering::Relaxed));
                    serving = Some(scope.spawn(run));
                }
                ("stop", _) => {
                    stop.store(true, Ordering::Relaxed);
                    let tally = serving.take().map_or_else(Tally::default, |run| run.join().unwrap_or_default());
                    flush(cluster);
                    tell(pipe, Record::Stopped { reads: tally.reads, hits: tally.hits });
                }
                ("survey", _) => survey(cluster, workload, pipe),
                _ => {}
            }
        }
        stop.store(true, Ordering::Relaxed);
        Ok(())
    })
}

/// Waits until all others have everything; how long that took.
fn flush(cluster: &Cluster) -> u64 {
    let began = Instant::now();
    // What they have not got by then is seen missing there.
    let _ = cluster.flush(Acks::All, FLUSHES_WITHIN);
    nanoseconds(began.elapsed())
}

fn survey(cluster: &Cluster, workload: &Workload, pipe: &File) {
    let mut sender = sender(pipe);
    for number in 0..workload.keys {
        match cluster.cache().read(value::key(number), |bytes| value::check(bytes, number)) {
            Some(Ok(sequence)) => sender.send(Record::Found { number, sequence }),
            Some(Err(_)) => sender.send(Record::Damaged { number }),
            None => {}
        }
    }
    let stats = cluster.stats();
    let sum = |names: &[&str]| names.iter().map(|name| stats.counted(name)).sum();
    let left_out = sum(&LEFT_OUT);
    sender.send(Record::Withheld { values: sum(&WITHHELD) });
    sender.send(Record::Surveyed { left_out, evicted: evicted(cluster.cache()) });
    sender.flush();
}

fn evicted(cache: &Cache) -> u64 {
    let stats = cache.stats();
    stats.evicted_probation + stats.evicted_main + stats.evicted_bucket + stats.evicted_page
}

fn sender(pipe: &File) -> Sender {
    match pipe.try_clone() {
        Ok(pipe) => Sender::new(pipe),
        Err(_) => std::process::exit(1),
    }
}

fn tell(pipe: &File, record: Record) {
    let mut sender = sender(pipe);
    sender.send(record);
    sender.flush();
}

fn nanoseconds(span: Duration) -> u64 {
    span.as_nanos() as u64
}

impl Journal for Sender {
    fn note(&mut self, record: Record) {
        self.send(record);
    }

    fn flush(&mut self) {
        Sender::flush(self);
    }
}

/// Tells of the first hit, of events, of being ready, and again and again how full the cache is.
struct Watcher {
    cluster: Cluster,
    workload: Workload,
    warm: bool,
    started_ns: u64,
}

impl Watcher {
    fn watch(self, mut sender: Sender) {
        let (mut hit, mut ready) = (!self.warm, false);
        let mut events = self.cluster.events();
        loop {
            while let Some(event) = events.try_next() {
                if matches!(event, Event::Confirmed { .. }) {
                    sender.send(Record::Confirmed { ns: self.age_ns() });
                }
            }
            if !hit && self.is_hit() {
                hit = true;
                sender.send(Record::FirstHit { ns: self.age_ns() });
            }
            if !ready && self.is_ready() {
                ready = true;
                let changes = self.cluster.stats().counted("changes_applied");
                sender.send(Record::Ready { changes, ns: self.age_ns() });
            }
            let cache = self.cluster.cache();
            sender.send(Record::Status { entries: cache.len(), evicted: evicted(cache) });
            sender.flush();
            std::thread::sleep(if ready { SELDOM } else { OFTEN });
        }
    }

    fn age_ns(&self) -> u64 {
        machine::monotonic_ns().saturating_sub(self.started_ns)
    }

    fn is_hit(&self) -> bool {
        let step = (self.workload.keys / 64).max(1) as usize;
        (0..self.workload.keys).step_by(step).any(|number| self.cluster.cache().contains(value::key(number)))
    }

    fn is_ready(&self) -> bool {
        let members = self.cluster.members();
        let connected = members.iter().filter(|member| member.state == MemberState::Connected).count();
        self.cluster.readiness() == Readiness::Complete && connected + 1 == usize::from(self.workload.nodes)
    }
}

/// Counters of values that went to the others as invalidations: they were evicted before their turn, or too many bytes were
/// on their way already.
const WITHHELD: [&str; 2] = ["evicted_values", "unpinned_sent"];

/// Counters of changes that were not stored though nothing newer is there: the key is absent then.
const LEFT_OUT: [&str; 4] = ["floor_refusals", "unordered", "refused", "stamps_ahead"];
const FLUSHES_WITHIN: Duration = Duration::from_secs(20);
const LEAVES_WITHIN: Duration = Duration::from_secs(2);
const OFTEN: Duration = Duration::from_micros(200);
const SELDOM: Duration = Duration::from_millis(10);
