//! `cluster`: nodes as processes of this machine, load on them, faults at chosen times, and a verdict.
//!
//! ```text
//!   schedule.rs   what is done to whom, and when         network.rs   proxies between the nodes, only where they are cut
//!   process.rs    a node as a child process              run.rs       the journey: start, load, faults, rest
//!   done.rs       what came of a fault                   board.rs     what is known of each node
//!                                                        screen.rs    a live table | lines | JSON
//!                                                        verdict.rs   whether all hold the same
//! ```

mod board;
mod done;
mod network;
mod process;
mod run;
mod schedule;
mod screen;
mod verdict;

use crate::failure::{Failure, Result};
use crate::node::{parse_rate, parse_span, parse_value};
use crate::place::Place;
use crate::{interrupt, size};
use clap::Args;
use run::Run;
use schedule::{NODES_MAX, Planned, Schedule, parse_cut, parse_kill, parse_pause};
use screen::Screen;
use std::time::Duration;

/// Options of `cluster`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClusterOptions {
    /// Nodes, named a, b, c and so on.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=NODES_MAX as i64))]
    nodes: u8,
    /// Seconds under load, from when all nodes are complete.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Operations a second on each node: reads, and writes of the same keys.
    #[arg(long, default_value = "2000/s", value_name = "N/s", value_parser = parse_rate)]
    load: u64,
    /// Keys; the first are asked for most, by zipf.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    keys: u64,
    /// Bytes of a value, from 24.
    #[arg(long, default_value = "256", value_name = "BYTES", value_parser = parse_value)]
    value: u64,
    /// Writes in percent of all operations; a tenth of them are removes.
    #[arg(long, default_value_t = 20, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    writes: u64,
    /// Size of each cache, everything included.
    #[arg(long, default_value = "32MiB", value_name = "BYTES", value_parser = size::parse_capacity)]
    capacity: u64,
    /// Kill a node with SIGKILL, and start it again on its arena 1.5 s later, or as much as is said.
    #[arg(long, value_name = "NODE@SECONDS[:FOR]", value_parser = parse_kill)]
    kill: Vec<Planned>,
    /// Stop a node with SIGSTOP, and let it go on.
    #[arg(long, value_name = "NODE@SECONDS:FOR", value_parser = parse_pause)]
    pause: Vec<Planned>,
    /// Cut the network between two nodes; with '>' instead of the comma in one direction only.
    #[arg(long, value_name = "A,B@SECONDS:FOR", value_parser = parse_cut)]
    partition: Vec<Planned>,
    /// Encrypt between the nodes, with a secret made for this run.
    #[arg(long)]
    sealed: bool,
    /// Time between two lines of figures where standard output is no terminal.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = parse_span)]
    interval: Duration,
    /// How long the nodes may take until they hold the same, once the load has stopped.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_span)]
    patience: Duration,
    /// Print a line of JSON for everything, the verdict last.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  also-cache cluster --nodes 3                                 20 seconds of load, a live table, the verdict
  also-cache cluster --seconds 10 --kill b@3                   SIGKILL one of three, which comes back warm
  also-cache cluster --nodes 5 --pause c@2:5 --partition a,b@4:3 --partition 'd>e@4:3'
  also-cache cluster --seconds 60 --load 20k/s --keys 100000 --capacity 128MiB --json

The verdict compares all entries of all nodes, keys, values and versions, once the load has stopped. The exit status
is 1 if they do not come to hold the same, if a value was wrong, or if a killed node did not come back warm.";

/// Starts the nodes, does what is asked for, says how it ended.
pub(crate) fn run(options: &ClusterOptions) -> Result<()> {
    interrupt::catch();
    let faults = [&options.kill, &options.pause, &options.partition].into_iter().flatten().copied().collect();
    let schedule = Schedule::new(faults, usize::from(options.nodes), Duration::from_secs(options.seconds))?;
    let place = Place::find(options.capacity * u64::from(options.nodes), false)?;
    let mut screen = Screen::new(options.json, options.interval);
    let mut run = Run::new(options, &place, schedule)?;
    let verdict = run.journey(&mut screen)?;
    screen.verdict(&verdict)?;
    run.leave()?;
    match verdict.problem() {
        None => Ok(()),
        Some(problem) => Err(Failure::Wrong(problem)),
    }
}
