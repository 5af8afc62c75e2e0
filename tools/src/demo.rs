//! `demo`: the main job in half a minute, with a SIGKILL in the middle of it.
//!
//! ```text
//!   this process                          the child
//!   ------------                          ---------
//!   place.rs   arena in /dev/shm
//!   victim.rs  start  ------------------> child.rs     several threads: read, write, remove
//!   ledger.rs  note what was acknowledged <--pipe-- protocol.rs
//!   victim.rs  SIGKILL -----------------> x
//!   demo.rs    open the same arena, first hit
//!   survey.rs  look up every key, check every byte
//!   workload.rs go on, warm
//!   report.rs  text | JSON
//! ```
//!
//! The arena is large enough for all keys, so that nothing has to be evicted and the survivors can be held against what
//! was acknowledged, key by key.

mod child;
mod ledger;
mod protocol;
mod report;
mod survey;
mod victim;
mod workload;

pub(crate) use child::{ChildOptions, serve};

use crate::failure::{Failure, Result};
use crate::place::Place;
use crate::{interrupt, machine, progress, size, value};
use also_cache::limits::CAPACITY_MAX;
use also_cache::{Cache, Recovery};
use clap::Args;
use report::{Opened, Report, Served, Warm};
use std::time::{Duration, Instant};
use victim::Victim;
use workload::{Silent, Workload};

/// Options of `demo`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoOptions {
    /// Size of the arena, everything included, from 8MiB.
    #[arg(long, default_value = "256MiB", value_name = "BYTES", value_parser = parse_capacity)]
    capacity: u64,
    /// Threads that serve. [default: as many as processors, 2 to 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Seconds of serving before the kill.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Keep the arena file afterwards.
    #[arg(long)]
    keep: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  also-cache demo                                   about ten seconds, 256 MiB
  also-cache demo --capacity 4GiB --seconds 30
  also-cache demo --threads 8 --keep --json

The exit status is 1 if the arena did not open warm, a value was wrong, or less than 99.9 % came back.";

/// Serves, kills, reopens, checks, goes on, reports.
pub(crate) fn run(options: &DemoOptions) -> Result<()> {
    interrupt::catch();
    let place = Place::find(options.capacity, options.keep)?;
    let workload = Workload::fitting(options.capacity, threads(options));
    report::title(options.json, &place, &workload);

    let served = serve_and_kill(options, &place, &workload)?;
    let (cache, opened) = open(options, &place)?;
    let survey = survey::survey(&cache, &served.ledger, options.json)?;
    let warm = go_on(&cache, &workload, options.json)?;
    drop(cache.close());

    let report = Report::new(options.capacity, &workload, &place, &served, opened, survey, warm);
    report.print(options.json, options.keep)?;
    match report.wrong() {
        None => Ok(()),
        Some(reason) => Err(Failure::Wrong(reason)),
    }
}

fn threads(options: &DemoOptions) -> u16 {
    options.threads.unwrap_or_else(|| machine::processors().clamp(2, 4) as u16)
}

fn serve_and_kill(options: &DemoOptions, place: &Place, workload: &Workload) -> Result<Served> {
    let mut victim = Victim::start(&place.file("demo"), options.capacity, workload)?;
    let filling = progress::bar(workload.keys, "fill", options.json);
    while !victim.progress().is_filled() {
        victim.check_alive()?;
        filling.set_position(victim.progress().entries());
        pause()?;
    }
    filling.finish_and_clear();

    let wanted = Duration::from_secs(options.seconds);
    let serving = progress::bar(wanted.as_millis() as u64, "serve", options.json);
    let started = Instant::now();
    while started.elapsed() < wanted {
        victim.check_alive()?;
        serving.set_position(started.elapsed().as_millis() as u64);
        serving.set_message(format!("{} operations", size::rough(victim.progress().operations() as f64)));
        pause()?;
    }
    let took = started.elapsed();
    serving.finish_and_clear();
    Ok(Served { took, ledger: victim.kill()? })
}

fn open(options: &DemoOptions, place: &Place) -> Result<(Cache, Opened)> {
    let started = Instant::now();
    let cache = Cache::builder().capacity(options.capacity).file(place.file("demo")).open()?;
    let took = started.elapsed();
    let keys = workload::key_count(options.capacity);
    let hit = (0..keys).any(|number| cache.contains(value::key(number)));
    let first_hit = hit.then(|| started.elapsed());
    let warm = matches!(cache.recovery(), Recovery::Warm { .. });
    let recovery = cache.recovery().to_string();
    Ok((cache, Opened { took, first_hit, warm, recovery }))
}

fn go_on(cache: &Cache, workload: &Workload, quiet: bool) -> Result<Warm> {
    let bar = progress::bar(WARM_SECONDS * 1000, "go on warm", quiet);
    let started = Instant::now();
    let tally = workload.run(cache, workload::SEQUENCE_AFTER_RESTART, |_| Silent, &|| {
        bar.set_position(started.elapsed().as_millis() as u64);
        started.elapsed() >= Duration::from_secs(WARM_SECONDS) || interrupt::requested()
    });
    bar.finish_and_clear();
    interrupt::check()?;
    Ok(Warm { took: started.elapsed(), tally })
}

fn pause() -> Result<()> {
    std::thread::sleep(Duration::from_millis(20));
    interrupt::check()
}

fn parse_capacity(text: &str) -> std::result::Result<u64, String> {
    size::within(size::parse_bytes(text)?, CAPACITY_MIN, CAPACITY_MAX)
}

const CAPACITY_MIN: u64 = 8 << 20;
const WARM_SECONDS: u64 = 2;
