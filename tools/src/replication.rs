//! `replication`: what a node of a cluster does per second and how soon, beside a Redis replica and plain TCP, in
//! interleaved rounds.
//!
//! ```text
//!   workload.rs    what is measured, on whom
//!   insert.rs      an insert's CPU time with three peers, one of them stopped
//!   stream.rs      updates that arrive: 64 B beside Valkey or Redis, 64 KiB beside TCP
//!   visible.rs     from an insert to a read on the peer, beside a TCP ping-pong
//!   rejoin.rs      a warm restart, and a join with nothing
//!   death.rs       how soon a node that is gone is missed
//!   partition.rs   how soon two halves are one again
//!
//!   node.rs  peer.rs      a node in a process of its own, and how it is told what to do
//!   server.rs  tcp.rs     what stands beside it: a primary and its replica, bare sockets
//!   proxy.rs              a network that can be cut
//! ```
//!
//! A round runs every contestant once per workload, each in a process of its own, as `compare` does.

mod death;
mod insert;
mod node;
mod partition;
mod peer;
mod proxy;
mod rejoin;
mod server;
mod stream;
mod tcp;
mod visible;
mod workload;

pub(crate) use node::live;
pub(crate) use workload::measure;

use crate::compare::{Sample, print};
use crate::failure::{Failure, Result};
use crate::{cell, interrupt, progress};
use clap::Args;
use serde::Serialize;
use workload::{Question, Workload};

/// Options of `replication`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplicationOptions {
    /// Small sizes and short runs: minutes become seconds, and the figures rough.
    #[arg(long)]
    quick: bool,
    /// Only workloads whose name contains one of these.
    #[arg(long, value_delimiter = ',', value_name = "TEXT")]
    only: Vec<String>,
    /// Rounds over everything.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Print every sample as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  also-cache replication --quick                          a first impression in about two minutes
  also-cache replication --only cluster/64B,cluster/64KiB
  also-cache replication --only cluster/partition --rounds 1
  also-cache replication --json > replication.json

Workloads: cluster/insert, cluster/64B, cluster/64KiB, cluster/visible, cluster/restart, cluster/join-64B,
cluster/join-64KiB, cluster/killed, cluster/silent, cluster/partition.
All nodes are on loopback. `cluster/64B` needs valkey-server or redis-server; without one it says so.
Figures are comparable within one run on a quiet machine, not between runs.";

/// Somebody who could not be measured, and why.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Absent {
    workload: String,
    contestant: String,
    reason: String,
}

/// Runs all rounds and prints the medians.
pub(crate) fn run(options: &ReplicationOptions) -> Result<()> {
    interrupt::catch();
    let workloads = workloads(options)?;
    let cells = workloads.iter().map(|workload| workload.contestants().len()).sum::<usize>();
    let bar = progress::bar(cells as u64 * u64::from(options.rounds), "replication", options.json);
    let (mut samples, mut absent): (Vec<Sample>, Vec<Absent>) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        for workload in &workloads {
            for contestant in workload.contestants() {
                interrupt::check()?;
                let title = format!("round {round}: {}: {}", workload.name(), contestant.name());
                bar.set_message(title.clone());
                match contestant.missing() {
                    Some(reason) if round == 1 => {
                        let (workload, contestant) = (workload.name().to_owned(), contestant.name().to_owned());
                        absent.push(Absent { workload, contestant, reason });
                    }
                    Some(_) => {}
                    None => {
                        let question =
                            Question { workload: *workload, contestant: *contestant, quick: options.quick, round };
                        samples.push(cell::ask("replication-cell", &title, &question, &[])?);
                    }
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    print(&samples, &absent, options.json)?;
    absent.iter().for_each(|one| eprintln!("also-cache: {}: {}: {}", one.workload, one.contestant, one.reason));
    Ok(())
}

fn workloads(options: &ReplicationOptions) -> Result<Vec<Workload>> {
    let is_wanted = |workload: &Workload| {
        options.only.is_empty() || options.only.iter().any(|text| workload.name().contains(text.as_str()))
    };
    let chosen: Vec<Workload> = Workload::ALL.into_iter().filter(is_wanted).collect();
    if chosen.is_empty() {
        let bound =
            format!("no workload has that in its name; there are {}", Workload::ALL.map(Workload::name).join(", "));
        return Err(Failure::Option { option: "only", met: options.only.join(","), bound });
    }
    Ok(chosen)
}
