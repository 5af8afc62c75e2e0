//! What a node says: one line each, as text or as JSON, which `cluster` reads too.
//!
//! ```text
//!   started   once                 event   what happened, readiness included       stats    at each interval
//!   digest, sample, explained   on command    left    once, the last one
//! ```

use crate::size::{bytes, count, duration, rough};
use also_cache::{Lag, Member};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A line, and when it was said, in milliseconds since the process was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) at_ms: u64,
    #[serde(flatten)]
    pub(crate) line: Line,
}

/// One line. Names of fields carry their units.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Line {
    Started(Started),
    Event { event: String, text: String },
    Stats(Box<Figures>),
    Digest(Digest),
    Sample(Sample),
    Explained { key: u64, text: String },
    Left(Departure),
}

/// How it came up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) listen: SocketAddr,
    pub(crate) arena: Option<PathBuf>,
    pub(crate) recovery: String,
    pub(crate) warm: bool,
    pub(crate) open_ms: f64,
}

/// What it left behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Departure {
    /// Nodes that had not confirmed everything.
    pub(crate) unconfirmed_by: usize,
    pub(crate) unconfirmed: Distance,
    pub(crate) text: String,
}

/// A distance between two nodes: changes at most, bytes of their records, age of the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Distance {
    pub(crate) changes: u64,
    pub(crate) bytes: u64,
    pub(crate) ms: u64,
}

/// Another node, as this one sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) state: String,
    pub(crate) readiness: String,
    /// How far it is behind this node.
    pub(crate) lag: Distance,
    /// How far this node is behind it.
    pub(crate) behind: Distance,
    pub(crate) round_trip_us: u64,
}

/// Totals since the start, gauges, and rates over the last interval.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) readiness: String,
    pub(crate) members: Vec<Peer>,
    /// Of the member that is furthest behind this node.
    pub(crate) lag: Distance,
    /// Of this node behind the member that is furthest ahead of it.
    pub(crate) behind: Distance,
    pub(crate) entries: u64,
    pub(crate) evicted: u64,
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) writes: u64,
    pub(crate) removes: u64,
    pub(crate) refused: u64,
    /// Values with wrong bytes: there must be none.
    pub(crate) wrong: u64,
    /// Changes of others.
    pub(crate) applied: u64,
    /// Of them: left out, below a floor mostly; their keys are absent here, and counted.
    pub(crate) left_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) datagrams_lost: u64,
    /// Handshakes that failed, on either side: another secret, another cluster.
    pub(crate) strangers: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) arena_bytes: u64,
    /// Beside the arena, for entries and for connections.
    pub(crate) heap_bytes: u64,
    /// Of the process, by the kernel; pages of the arena that were touched included.
    pub(crate) resident_bytes: u64,
    pub(crate) reads_per_s: f64,
    /// `None` without a read in the interval.
    pub(crate) hit_percent: Option<f64>,
    /// Removes included.
    pub(crate) writes_per_s: f64,
    pub(crate) applied_per_s: f64,
    pub(crate) bytes_out_per_s: f64,
    /// What the protocol counted, by name; zeros are left out.
    pub(crate) protocol: BTreeMap<String, u64>,
}

/// All entries in one number, the same on two nodes exactly if keys, values and versions are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub(crate) entries: u64,
    pub(crate) checksum: u64,
    /// Values with wrong bytes.
    pub(crate) wrong: u64,
}

/// A number for each of some keys of the load, from its value and version; 0 where it is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) step: u64,
    pub(crate) copies: Vec<u64>,
}

impl From<Lag> for Distance {
    fn from(lag: Lag) -> Self {
        Self { changes: lag.changes, bytes: lag.bytes, ms: lag.time.as_millis() as u64 }
    }
}

impl Distance {
    /// The larger of two, figure by figure.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { changes: self.changes.max(other.changes), bytes: self.bytes.max(other.bytes), ms: self.ms.max(other.ms) }
    }
}

impl From<&Member> for Peer {
    fn from(member: &Member) -> Self {
        Self {
            name: member.name.clone(),
            address: member.address,
            state: member.state.to_string(),
            readiness: member.readiness.to_string(),
            lag: member.lag.into(),
            behind: member.behind.into(),
            round_trip_us: member.round_trip.as_micros() as u64,
        }
    }
}

impl Figures {
    /// Members that are connected.
    pub(crate) fn connected(&self) -> usize {
        self.members.iter().filter(|peer| peer.state == "connected").count()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.2} s  {}", self.at_ms as f64 / 1e3, self.line)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(started) => {
                let arena = started.arena.as_ref().map_or("anonymous".to_owned(), |path| path.display().to_string());
                let open = duration(Duration::from_secs_f64(started.open_ms / 1e3));
                let Started { name, cluster, listen, recovery, .. } = started;
                writeln!(f, "{name} of cluster {cluster} listens on {listen}")?;
                write!(f, "{:12}arena {arena}: {recovery}, in {open}", "")
            }
            Self::Event { text, .. } => f.write_str(text),
            Self::Stats(figures) => f.write_str(&in_words(figures)),
            Self::Digest(digest) => {
                write!(f, "{} entries, checksum {:016x}, {} wrong", digest.entries, digest.checksum, digest.wrong)
            }
            Self::Sample(sample) => write!(f, "{} copies of every {}th key", sample.copies.len(), sample.step),
            Self::Explained { key, text } => write!(f, "key {key}: {text}"),
            Self::Left(departure) => f.write_str(&departure.text),
        }
    }
}

fn in_words(figures: &Figures) -> String {
    let connected = figures.connected();
    let away = figures.members.len() - connected;
    let mut text = format!("{}, {connected} connected", figures.readiness);
    if away > 0 {
        let _ = write!(text, ", {away} away");
    }
    let Distance { changes, bytes: lag_bytes, ms } = figures.lag;
    let _ = write!(text, "; lag {} changes, {}, {ms} ms; ", count(changes), bytes(lag_bytes));
    let _ = write!(text, "{} entries; ", count(figures.entries));
    if let Some(hits) = figures.hit_percent {
        let (reads, writes) = (rough(figures.reads_per_s), rough(figures.writes_per_s));
        let _ = write!(text, "{reads} reads/s, {hits:.1} % hit, {writes} writes/s, ");
    }
    let _ = write!(text, "{} applied/s; {} resident", rough(figures.applied_per_s), bytes(figures.resident_bytes));
    if figures.strangers > 0 {
        let _ = write!(text, "; {} handshakes failed: another secret or cluster", count(figures.strangers));
    }
    if figures.wrong > 0 {
        let _ = write!(text, "; {} WRONG VALUES", figures.wrong);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_look_stands_in_the_line() {
        let figures = Figures { strangers: 3, wrong: 1, readiness: "joining".into(), ..Figures::default() };
        let text = in_words(&figures);
        assert!(text.starts_with("joining, 0 connected; lag 0 changes"), "{text}");
        assert!(text.contains("; 3 handshakes failed: another secret or cluster; 1 WRONG VALUES"), "{text}");
        assert!(!in_words(&Figures::default()).contains("handshakes"));
    }

    #[test]
    fn a_line_comes_back_from_its_json() {
        let lines = [
            Line::Event { event: "joined".into(), text: "b joined".into() },
            Line::Stats(Box::new(Figures { readiness: "complete".into(), hits: 7, ..Figures::default() })),
            Line::Digest(Digest { entries: 1, checksum: u64::MAX, wrong: 0 }),
            Line::Sample(Sample { step: 3, copies: vec![0, u64::MAX] }),
        ];
        for line in lines {
            let text = serde_json::to_string(&Said { at_ms: 12, line }).expect("it is written");
            let read: Said = serde_json::from_str(&text).expect("it is read");
            assert_eq!(serde_json::to_string(&read).expect("it is written"), text);
            assert!(text.starts_with("{\"at_ms\":12,\"line\":\""), "{text}");
        }
    }
}
