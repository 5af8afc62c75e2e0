//! `demo`: the main job in half a minute: three nodes, and a SIGKILL of one of them in the middle of it.
//!
//! ```text
//!   this process                              three children: a, b, c, a node each
//!   ------------                              -----------------------------------
//!   place      arenas in /dev/shm
//!   process.rs start, tell  ---------------->  child.rs    fill, serve, survey      workload.rs
//!   ledger.rs  what was acknowledged  <-pipe-- protocol.rs
//!   process.rs SIGKILL      ---------------->  x  b
//!   process.rs start it again  ------------->  b, warm: it catches up, and goes on
//!   survey.rs  every key on every node, held against what was acknowledged
//!   report.rs  text | JSON
//! ```
//!
//! The arenas are large enough for all keys, so that nothing has to be evicted and every node can be held against what was
//! acknowledged, key by key.

mod child;
mod ledger;
mod process;
mod protocol;
mod report;
mod survey;
mod workload;

pub(crate) use child::{ChildOptions, serve};

use crate::failure::{Failure, Result};
use crate::loopback::free_address;
use crate::node::parse_rate;
use crate::place::Place;
use crate::{interrupt, machine, progress, size};
use also_cache::limits::CAPACITY_MAX;
use clap::Args;
use ledger::Ledger;
use process::Process;
use report::{Caught, Report, Wrote};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use survey::Survey;
use workload::{LAPS, SEQUENCE_AFTER_RESTART, SEQUENCE_OF_SERVING, Workload};

/// Options of `demo`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoOptions {
    /// Size of each of the three arenas, everything included, from 8MiB.
    #[arg(long, default_value = "64MiB", value_name = "BYTES", value_parser = parse_capacity)]
    capacity: u64,
    /// Operations a second on each node.
    #[arg(long, default_value = "10k/s", value_name = "N/s", value_parser = parse_rate)]
    load: u64,
    /// Threads that serve on each node. [default: as many as processors, 1 to 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Seconds of serving before the kill.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Keep the arenas' files afterwards.
    #[arg(long)]
    keep: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  also-cache demo                                   about fifteen seconds, three nodes of 64 MiB
  also-cache demo --capacity 1GiB --seconds 30 --load 30k/s
  also-cache demo --threads 8 --keep --json

The exit status is 1 if the killed node did not come back warm, if a value was wrong anywhere, if an acknowledged write
was lost, or if a node misses a key without having counted why.";

/// Starts three nodes, writes, reads, serves, kills one, restarts it, checks all, reports.
pub(crate) fn run(options: &DemoOptions) -> Result<()> {
    interrupt::catch();
    let place = Place::find(options.capacity * NODES.len() as u64, options.keep)?;
    let mut demo = Demo::new(options, &place)?;
    report::title(options.json, &place, &demo.workload(0));

    let started = demo.start_all()?;
    let wrote = demo.write_and_read()?;
    let served = demo.serve()?;
    let (mut ledger, down) = demo.kill()?;
    let caught = demo.restart()?;
    let warm = demo.go_on()?;
    let (surveys, lost) = demo.check(&mut ledger)?;

    let report = Report {
        folder: place.folder().to_owned(),
        capacity_bytes: options.capacity,
        keys: demo.keys,
        load_per_s: options.load,
        start_seconds: started.as_secs_f64(),
        wrote,
        serve_seconds: served.as_secs_f64(),
        operations: ledger.operations,
        writes_acknowledged: ledger.writes,
        removals_acknowledged: ledger.removals,
        writes_refused: ledger.refused,
        wrong_while_serving: ledger.wrong,
        down_seconds: down.as_secs_f64(),
        caught,
        warm_seconds: warm.0.as_secs_f64(),
        warm_reads: warm.1.0,
        warm_hits: warm.1.1,
        surveys,
        lost_everywhere: lost,
    };
    report.print(options.json, options.keep)?;
    match report.wrong() {
        None => Ok(()),
        Some(reason) => Err(Failure::Wrong(reason)),
    }
}

/// The nodes, and what they are to do.
struct Demo<'a> {
    options: &'a DemoOptions,
    place: &'a Place,
    addresses: Vec<SocketAddr>,
    keys: u64,
    nodes: Vec<Process>,
}

impl<'a> Demo<'a> {
    fn new(options: &'a DemoOptions, place: &'a Place) -> Result<Self> {
        let addresses = NODES.iter().map(|_| free_address()).collect::<std::io::Result<_>>()?;
        Ok(Self { options, place, addresses, keys: workload::key_count(options.capacity), nodes: Vec::new() })
    }

    fn workload(&self, node: usize) -> Workload {
        let threads = self.options.threads.unwrap_or_else(|| machine::processors().clamp(1, 4) as u16);
        Workload { keys: self.keys, threads, node: node as u16, nodes: NODES.len() as u16, load: self.options.load }
    }

    fn start(&self, node: usize) -> Result<Process> {
        let file = self.place.file(NODES[node]);
        Process::start(NODES[node], (&file, self.options.capacity), &self.addresses, &self.workload(node))
    }

    fn start_all(&mut self) -> Result<Duration> {
        let began = Instant::now();
        for node in 0..NODES.len() {
            self.nodes.push(self.start(node)?);
        }
        self.nodes.iter_mut().try_for_each(|node| node.until("ready", |told| told.ready.is_some()))?;
        Ok(began.elapsed())
    }

    /// Writes all keys on `a`, reads them on the others; then single writes, each waited for.
    fn write_and_read(&mut self) -> Result<Wrote> {
        let keys = self.keys;
        let bar = progress::bar(keys, "write", self.options.json);
        let began = Instant::now();
        self.nodes[0].ask("fill");
        self.nodes[0].until("full", |told| {
            bar.set_position(told.ledger.writes);
            if told.ledger.writes == keys {
                bar.set_message("until b and c have them all");
            }
            told.filled_ns.is_some()
        })?;
        let write_seconds = began.elapsed().as_secs_f64();
        bar.finish_and_clear();
        let written = self.nodes[0].told().ledger.writes;
        let began = Instant::now();
        let mut surveys = Vec::new();
        for node in [1, 2] {
            let (copies, reasons) = self.nodes[node].survey()?;
            surveys.push(Survey::of(NODES[node], &self.nodes[0].told().ledger, &copies, reasons));
        }
        // Asked for last: what could not be sent is known once everything was.
        self.nodes[0].survey()?;
        surveys.iter_mut().for_each(|survey| survey.withheld = self.withheld(survey.node));
        let read_seconds = began.elapsed().as_secs_f64();
        self.nodes[0].ask("laps");
        self.nodes[0].until("through with its single writes", |told| told.laps_ns.len() == LAPS as usize)?;
        let told = self.nodes[0].told();
        let mut laps = told.laps_ns.clone();
        laps.sort_unstable();
        let microseconds = |percent: usize| laps[(laps.len() - 1) * percent / 100] as f64 / 1e3;
        Ok(Wrote {
            write_seconds,
            written,
            confirmed_after_ms: told.filled_ns.unwrap_or_default() as f64 / 1e6,
            read_seconds,
            surveys,
            single_p50_us: microseconds(50),
            single_p99_us: microseconds(99),
        })
    }

    /// Values that the other nodes could not send.
    fn withheld(&self, receiver: &str) -> u64 {
        let others = NODES.iter().zip(&self.nodes).filter(|(name, _)| **name != receiver);
        others.map(|(_, node)| node.told().withheld).sum()
    }

    fn serve(&mut self) -> Result<Duration> {
        self.nodes.iter_mut().for_each(|node| node.ask(&format!("serve {SEQUENCE_OF_SERVING}")));
        self.watch("serve", Duration::from_secs(self.options.seconds))
    }

    /// Lets all go on for a while; fails if one of them ends.
    fn watch(&mut self, title: &'static str, wanted: Duration) -> Result<Duration> {
        let bar = progress::bar(wanted.as_millis() as u64, title, self.options.json);
        let began = Instant::now();
        while began.elapsed() < wanted {
            self.nodes.iter_mut().try_for_each(Process::check_alive)?;
            bar.set_position(began.elapsed().as_millis() as u64);
            let operations: u64 = self.nodes.iter().map(|node| node.told().ledger.operations).sum();
            bar.set_message(format!("{} operations", size::rough(operations as f64)));
            std::thread::sleep(Duration::from_millis(20));
            interrupt::check()?;
        }
        bar.finish_and_clear();
        Ok(began.elapsed())
    }

    /// Kills `b` under load, while the others go on for a while.
    fn kill(&mut self) -> Result<(Ledger, Duration)> {
        let ledger = self.nodes.remove(VICTIM).kill()?;
        Ok((ledger, self.watch("without b", DOWN)?))
    }

    /// Starts `b` again on its arena.
    fn restart(&mut self) -> Result<Caught> {
        let mut back = self.start(VICTIM)?;
        back.until("ready again", |told| told.ready.is_some())?;
        back.ask(&format!("serve {SEQUENCE_AFTER_RESTART}"));
        let caught = {
            let told = back.told();
            let (warm, open_ns) = told.opened.unwrap_or_default();
            let (changes, ready_ns) = told.ready.unwrap_or_default();
            let ms = |ns: u64| ns as f64 / 1e6;
            Caught {
                warm,
                open_ms: ms(open_ns),
                first_hit_ms: told.first_hit_ns.map(ms),
                confirmed_ms: told.confirmed_ns.map(ms),
                complete_ms: ms(ready_ns),
                changes,
            }
        };
        self.nodes.insert(VICTIM, back);
        Ok(caught)
    }

    /// All three again; then rest. Reads and hits of `b`.
    fn go_on(&mut self) -> Result<(Duration, (u64, u64))> {
        let took = self.watch("go on", WARM)?;
        self.nodes.iter_mut().for_each(|node| node.ask("stop"));
        self.nodes.iter_mut().try_for_each(|node| node.until("at rest", |told| told.stopped.is_some()))?;
        let tally = self.nodes[VICTIM].told().stopped;
        Ok((took, tally.unwrap_or_default()))
    }

    /// Every key on every node. What the killed process had acknowledged comes in, and all of it goes out.
    fn check(&mut self, killed: &mut Ledger) -> Result<(Vec<Survey>, u64)> {
        let surveyed = self.nodes.iter_mut().map(Process::survey).collect::<Result<Vec<_>>>()?;
        // First what `a` wrote for all, then what each wrote of its own; the second life of `b` after the first.
        let mut ledger = Ledger::new(self.keys);
        ledger.overlay(&self.nodes[0].told().ledger);
        ledger.overlay(killed);
        self.nodes[1..].iter().for_each(|node| ledger.overlay(&node.told().ledger));
        let mut surveys = Vec::new();
        for (name, (copies, reasons)) in NODES.iter().zip(&surveyed) {
            let withheld = self.withheld(name);
            surveys.push(Survey { withheld, ..Survey::of(name, &ledger, copies, *reasons) });
        }
        let copies: Vec<_> = surveyed.into_iter().map(|(copies, _)| copies).collect();
        let lost = survey::lost(&ledger, &copies);
        *killed = ledger;
        Ok((surveys, lost))
    }
}

fn parse_capacity(text: &str) -> std::result::Result<u64, String> {
    size::within(size::parse_bytes(text)?, CAPACITY_MIN, CAPACITY_MAX)
}

const NODES: [&str; 3] = ["a", "b", "c"];
/// `b`.
const VICTIM: usize = 1;
const CAPACITY_MIN: u64 = 8 << 20;
const DOWN: Duration = Duration::from_secs(1);
const WARM: Duration = Duration::from_secs(2);
