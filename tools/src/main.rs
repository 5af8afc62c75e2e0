//! The `also-cache` command: try the cache, replay real traces through it, compare it with others.
//!
//! ```text
//!   demo      three nodes: write on one, read on the others, kill -9 one, warm restart, check every value
//!   node      one node of a cluster, from flags
//!   cluster   nodes as processes of this machine, load, faults, a verdict
//!   replay    access traces through the real cache, beside quick_cache, moka and S3-FIFO
//!   compare   throughput, latency and memory beside quick_cache and moka
//!   reopen    kill -9 and reopen a large arena: time to the first hit, what is left
//!   replication   changes a second and how soon, restarts, deaths, cuts: beside a Redis replica and plain TCP
//!   inspect   what is in the file of an arena             verify    what is wrong with it
//!
//!   machine  failure  interrupt  place  loopback  progress  table       what every subcommand uses
//!   random   value   pace                                    keys and values that can be checked
//!   contestant/                                        one trait, one file per cache
//!   cell                                               one measurement in a process of its own
//! ```

#![forbid(unsafe_code)]

mod cell;
mod cluster;
mod compare;
mod contestant;
mod demo;
mod failure;
mod inspect;
mod interrupt;
mod loopback;
mod machine;
mod node;
mod pace;
mod place;
mod progress;
mod random;
mod reopen;
mod replay;
mod replication;
mod size;
mod table;
mod value;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// An embedded cache that survives kill -9 warm: try it, measure it.
#[derive(Parser)]
#[command(name = "also-cache", version, about, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Three nodes: write on one, read on the others, kill -9 one under load, restart it warm, check every value.
    Demo(demo::DemoOptions),
    /// Run several nodes on this machine under load, with faults at chosen times, and compare them at the end.
    Cluster(cluster::ClusterOptions),
    /// Run one node of a cluster, with its events and figures.
    Node(node::NodeOptions),
    /// Replay access traces through the real cache, beside other caches.
    Replay(replay::ReplayOptions),
    /// Throughput, latency and memory beside other caches.
    Compare(compare::CompareOptions),
    /// Kill a large cache and reopen it: time to the first hit, entries kept, reads of the first second.
    Reopen(reopen::ReopenOptions),
    /// Nodes of a cluster beside a Redis replica and plain TCP: rates, delays, restarts, deaths, cuts.
    Replication(replication::ReplicationOptions),
    /// What is in the file of an arena, also of a live or a broken one.
    Inspect(inspect::InspectOptions),
    /// Every index word, slot and checksum of an arena's file.
    Verify(verify::VerifyOptions),
    /// A node of `demo`.
    #[command(hide = true)]
    DemoChild(demo::ChildOptions),
    /// The process that `reopen` kills.
    #[command(hide = true)]
    ReopenChild(reopen::ChildOptions),
    /// One measurement of `replay`, described in JSON on standard input.
    #[command(hide = true)]
    ReplayCell,
    /// One measurement of `compare`, described in JSON on standard input.
    #[command(hide = true)]
    CompareCell,
    /// One measurement of `replication`, described in JSON on standard input.
    #[command(hide = true)]
    ReplicationCell,
    /// A node that `replication` tells what to do.
    #[command(hide = true)]
    ReplicationNode,
}

fn main() -> ExitCode {
    // Whoever reads only the beginning of what is printed ends it.
    sigpipe::reset();
    let outcome = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Cluster(options) => cluster::run(&options),
        Command::Node(options) => node::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Reopen(options) => reopen::run(&options),
        Command::ReopenChild(options) => reopen::live(&options),
        Command::Inspect(options) => inspect::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::DemoChild(options) => demo::serve(&options),
        Command::ReplayCell => cell::answer(|cell, trace| replay::measure(&cell, trace)),
        Command::CompareCell => cell::answer(|cell, _| compare::measure(&cell)),
        Command::Replication(options) => replication::run(&options),
        Command::ReplicationCell => cell::answer(|cell, _| replication::measure(&cell)),
        Command::ReplicationNode => replication::live(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("also-cache: {failure}");
            failure.exit_code()
        }
    }
}
