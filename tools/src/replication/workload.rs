//! What is measured and on whom, and the way into each.

use super::{death, insert, partition, rejoin, server, stream, visible};
use crate::compare::Sample;
use crate::failure::Result;
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Workload {
    Insert,
    Small,
    Large,
    Visible,
    Restart,
    JoinSmall,
    JoinLarge,
    Killed,
    Silent,
    Partition,
}

impl Workload {
    pub(crate) const ALL: [Self; 10] = [
        Self::Insert,
        Self::Small,
        Self::Large,
        Self::Visible,
        Self::Restart,
        Self::JoinSmall,
        Self::JoinLarge,
        Self::Killed,
        Self::Silent,
        Self::Partition,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Insert => "cluster/insert",
            Self::Small => "cluster/64B",
            Self::Large => "cluster/64KiB",
            Self::Visible => "cluster/visible",
            Self::Restart => "cluster/restart",
            Self::JoinSmall => "cluster/join-64B",
            Self::JoinLarge => "cluster/join-64KiB",
            Self::Killed => "cluster/killed",
            Self::Silent => "cluster/silent",
            Self::Partition => "cluster/partition",
        }
    }

    /// Who runs it, in this order in each round.
    pub(crate) fn contestants(self) -> &'static [Contestant] {
        match self {
            Self::Insert => &[Contestant::Ours, Contestant::Alone],
            Self::Small => &[Contestant::Ours, Contestant::Sealed, Contestant::Server],
            Self::Large | Self::Visible => &[Contestant::Ours, Contestant::Sealed, Contestant::Tcp],
            Self::JoinSmall => &[Contestant::Ours, Contestant::Stream],
            Self::JoinLarge => &[Contestant::Ours, Contestant::Tcp],
            Self::Restart | Self::Killed | Self::Silent | Self::Partition => &[Contestant::Ours],
        }
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Contestant {
    /// Nodes that talk in plaintext.
    Ours,
    /// Nodes with a secret.
    Sealed,
    /// The same cache without a cluster.
    Alone,
    /// The changes of a node that runs, beside a join.
    Stream,
    /// Valkey, or Redis where that is what there is.
    Server,
    /// Sockets alone.
    Tcp,
}

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "also-cache",
            Self::Sealed => "also-cache sealed",
            Self::Alone => "no cluster",
            Self::Stream => "change stream",
            Self::Server => server::name(),
            Self::Tcp => "TCP",
        }
    }

    /// Why it can not be measured here.
    pub(crate) fn missing(self) -> Option<String> {
        (self == Self::Server).then(server::missing).flatten()
    }

    pub(super) fn secret(self) -> Option<String> {
        (self == Self::Sealed).then(|| "a secret of this measurement".to_owned())
    }
}

/// What the cell is about.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(super) workload: Workload,
    pub(super) contestant: Contestant,
    pub(super) quick: bool,
    pub(super) round: u16,
}

/// Figures by name.
pub(super) type Figures = Vec<(String, f64)>;

/// Measures in this process, and in those that it starts.
pub(crate) fn measure(question: &Question) -> Result<Sample> {
    let Question { workload, contestant, quick, round } = *question;
    let figures = match workload {
        Workload::Insert => insert::measure(contestant, quick)?,
        Workload::Small => stream::small(contestant, quick)?,
        Workload::Large => stream::large(contestant, quick)?,
        Workload::Visible => visible::measure(contestant, quick)?,
        Workload::Restart => rejoin::warm(quick)?,
        Workload::JoinSmall => rejoin::cold_small(contestant, quick)?,
        Workload::JoinLarge => rejoin::cold_large(contestant, quick)?,
        Workload::Killed => death::measure(death::End::Killed, quick)?,
        Workload::Silent => death::measure(death::End::Stopped, quick)?,
        Workload::Partition => partition::measure(quick)?,
    };
    Ok(Sample { workload: workload.name().to_owned(), contestant: contestant.name().to_owned(), round, figures })
}

/// A figure.
pub(super) fn figure(name: &str, value: f64) -> (String, f64) {
    (name.to_owned(), value)
}
