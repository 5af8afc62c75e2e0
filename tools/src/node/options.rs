//! The flags of `node`, and what of them is wrong.

use super::load::Shape;
use crate::failure::{Failure, Result};
use crate::size;
use crate::value::VALUE_BYTES_MIN;
use also_cache::limits::{LISTEN_DEFAULT, SECRETS_MAX, VALUE_BYTES_DEFAULT};
use also_cache::{Cache, Cluster, ClusterBuilder, OnIsolated, OnOriginLost};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options of `node`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NodeOptions {
    /// The node's name: another one on each node, the same one after a restart. [default: the host's]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The cluster's name, the same one on all nodes.
    #[arg(long, default_value = "also-cache", value_name = "NAME")]
    pub(super) cluster: String,
    /// What to listen on, TCP and UDP; port 0 takes a free one. [default: 0.0.0.0:7400, in plaintext 127.0.0.1:7400]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where others reach this node. [default: what is listened on, or the address of the first connection]
    #[arg(long, value_name = "ADDRESS:PORT")]
    advertise: Option<SocketAddr>,
    /// Where to look for others: names or addresses, once or several times, or with commas. A name may stand for many.
    #[arg(long = "seed", alias = "seeds", value_name = "HOST:PORT", value_delimiter = ',')]
    seeds: Vec<String>,
    /// A file with the cluster's secret, 16 bytes or more; during a change two, a line each, the one in use first.
    /// [default: the environment's ALSO_CACHE_SECRET]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure_plaintext")]
    secret_file: Option<PathBuf>,
    /// No secret: nothing is encrypted and everybody is let in. On loopback addresses only.
    #[arg(long)]
    insecure_plaintext: bool,
    /// The arena's file, which a restart finds warm. [default: memory that ends with the process]
    #[arg(long, value_name = "FILE")]
    pub(super) arena: Option<PathBuf>,
    /// Size of the cache, everything included.
    #[arg(long, default_value = "64MiB", value_name = "BYTES", value_parser = size::parse_capacity)]
    pub(super) capacity: u64,
    /// What reads do while no other node is heard.
    #[arg(long, value_enum, default_value = "serve", value_name = "POLICY")]
    on_isolated: Isolated,
    /// What becomes of entries when another node is gone without a goodbye.
    #[arg(long, value_enum, default_value = "keep", value_name = "POLICY")]
    on_origin_lost: Lost,
    /// Serve the entries of an earlier life at once, before others have confirmed them.
    #[arg(long)]
    serve_unconfirmed: bool,
    /// Operations a second that the node puts on itself, as a service would: 2000, or 2000/s.
    #[arg(long, default_value = "0", value_name = "N/s", value_parser = parse_rate)]
    load: u64,
    /// Keys of that load; the first are asked for most, by zipf.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    keys: u64,
    /// Bytes of a value of that load, from 24.
    #[arg(long, default_value = "256", value_name = "BYTES", value_parser = parse_value)]
    value: u64,
    /// Writes of that load, in percent; a tenth of them are removes.
    #[arg(long, default_value_t = 20, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    writes: u64,
    /// Time between two lines of figures: 500ms, 1s.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = parse_span)]
    pub(super) interval: Duration,
    /// How long to wait at the end until others have confirmed everything.
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_span)]
    pub(super) leave_within: Duration,
    /// Leave after so many seconds. [default: at Ctrl-C or SIGTERM]
    #[arg(long, value_name = "N")]
    pub(super) seconds: Option<u64>,
    /// Print a line of JSON for everything.
    #[arg(long)]
    pub(super) json: bool,
    /// Take commands on standard input: load on, load off, digest, sample KEYS STEP, explain KEY, leave. Its end is a leave.
    #[arg(long)]
    pub(super) commands: bool,
    /// Open warm however often it was cut down young.
    #[arg(long)]
    pub(super) no_crash_loop_guard: bool,
}

/// What reads do while no other node is heard.
#[derive(Clone, Copy, ValueEnum)]
enum Isolated {
    /// They go on, with what was known last.
    Serve,
    /// They miss, until what was missed has come.
    Miss,
    /// Reads of entries of before miss; what is written since is read.
    Revalidate,
}

/// What becomes of entries when another node is gone without a goodbye.
#[derive(Clone, Copy, ValueEnum)]
enum Lost {
    /// They stay.
    Keep,
    /// They go, each at its own moment within 30 s.
    Revalidate,
}

/// The variable of the environment with the secret.
pub(crate) const SECRET_VARIABLE: &str = "ALSO_CACHE_SECRET";

const EXAMPLES: &str = "\
Examples:
  Three nodes on this machine, each in a terminal of its own, the first with load:
    also-cache node --insecure-plaintext --name a --load 2000/s
    also-cache node --insecure-plaintext --name b --listen 127.0.0.1:7402 --seed 127.0.0.1:7400
    also-cache node --insecure-plaintext --name c --listen 127.0.0.1:7403 --seed 127.0.0.1:7400

  On many machines, behind one DNS name, with a warm restart:
    also-cache node --cluster users --seed users.internal:7400 --secret-file /run/secrets/users \\
        --arena /dev/shm/users.arena --capacity 1GiB

  For a program: lines of JSON, commands on standard input
    also-cache node --listen 127.0.0.1:0 --insecure-plaintext --json --commands

Ctrl-C and SIGTERM send what is unsent, say goodbye, tell what was left, and close the arena. The exit status is 2 if
an option is wrong.";

impl NodeOptions {
    /// The secrets, unless none are wanted.
    pub(super) fn check(&self) -> Result<Vec<Vec<u8>>> {
        if self.insecure_plaintext {
            return Ok(Vec::new());
        }
        let secrets = match (&self.secret_file, std::env::var_os(SECRET_VARIABLE)) {
            (Some(file), _) => lines(&read(file)?),
            (None, Some(text)) => lines(text.as_encoded_bytes()),
            (None, None) => {
                let bound =
                    format!("give --secret-file FILE or {SECRET_VARIABLE}, or --insecure-plaintext on loopback");
                return Err(Failure::Option { option: "secret-file", met: "missing".to_owned(), bound });
            }
        };
        if !(1..=SECRETS_MAX).contains(&secrets.len()) {
            let place = match &self.secret_file {
                Some(file) => file.display().to_string(),
                None => SECRET_VARIABLE.to_owned(),
            };
            let met = format!("{place}, with {} lines that are not empty", secrets.len());
            return Err(Failure::Option {
                option: "secret-file",
                met,
                bound: format!("1 to {SECRETS_MAX} secrets are taken"),
            });
        }
        Ok(secrets)
    }

    /// The settings of the node.
    pub(super) fn settings(&self, cache: &Cache, secrets: Vec<Vec<u8>>) -> ClusterBuilder {
        let listen = if self.insecure_plaintext { LISTEN_PLAINTEXT } else { LISTEN_DEFAULT };
        let mut builder = Cluster::builder(cache)
            .cluster(&self.cluster)
            .listen(self.listen.as_deref().unwrap_or(listen))
            .seeds(&self.seeds)
            .serve_unconfirmed(self.serve_unconfirmed)
            .on_isolated(match self.on_isolated {
                Isolated::Serve => OnIsolated::Serve,
                Isolated::Miss => OnIsolated::Miss,
                Isolated::Revalidate => OnIsolated::Revalidate,
            })
            .on_origin_lost(match self.on_origin_lost {
                Lost::Keep => OnOriginLost::Keep,
                Lost::Revalidate => OnOriginLost::Revalidate,
            });
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        if let Some(address) = self.advertise {
            builder = builder.advertise(address);
        }
        if self.insecure_plaintext { builder.insecure_plaintext() } else { builder.secrets(secrets) }
    }

    /// The load.
    pub(super) fn shape(&self) -> Shape {
        Shape {
            operations_per_s: self.load,
            keys: self.keys,
            value_bytes: self.value as usize,
            writes_percent: self.writes,
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| Failure::File { path: file.to_owned(), doing: "reading the secret", error })
}

/// Lines without what ends them, the empty ones left out.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Reads `2000` or `2000/s`, with `k` for thousands.
pub(crate) fn parse_rate(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("{text:?} is no rate of at most 1M/s, such as 2000/s or 20k/s");
    let number = text.strip_suffix("/s").unwrap_or(text);
    let (digits, unit) = match number.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => (number, 1),
    };
    let rate = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(unit));
    rate.filter(|rate| *rate <= RATE_MAX).ok_or_else(wrong)
}

/// Reads `500ms`, `2s`, `2.5`: seconds unless it says otherwise.
pub(crate) fn parse_span(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || format!("{text:?} is no time from 1ms to 1h, such as 500ms, 2s or 2.5");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * unit;
    if (1e-3..=3600.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

/// Reads the bytes of a value, within what can be checked.
pub(crate) fn parse_value(text: &str) -> std::result::Result<u64, String> {
    size::within(size::parse_bytes(text)?, VALUE_BYTES_MIN, VALUE_BYTES_DEFAULT)
}

const LISTEN_PLAINTEXT: &str = "127.0.0.1:7400";
const RATE_MAX: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_read() {
        assert_eq!(parse_rate("2000/s"), Ok(2000));
        assert_eq!(parse_rate("20k"), Ok(20_000));
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(parse_span("3s"), Ok(Duration::from_secs(3)));
        for text in ["", "k", "-1", "2000/m", "2M/s", "99999999999999999999"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        for text in ["", "s", "-1s", "0", "2h", "NaN", "inf", "3601"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_a_line() {
        let found = lines(b"first secret here \r\n\nsecond secret here\n");
        assert_eq!(found, [b"first secret here".to_vec(), b"second secret here".to_vec()]);
        assert!(lines(b"\n \n").is_empty());
    }

    #[test]
    fn flags_that_do_not_fit_are_refused() {
        use clap::Parser;
        #[derive(Parser)]
        struct Node {
            #[command(flatten)]
            node: NodeOptions,
        }
        let parse = |flags: &str| Node::try_parse_from(format!("node {flags}").split_whitespace());
        for flags in [
            "--value 8",
            "--value 2MiB",
            "--writes 101",
            "--load fast",
            "--capacity 1",
            "--on-isolated never",
            "--on-origin-lost forget",
            "--advertise users.internal:7400",
            "--interval 0",
            "--secret-file x --insecure-plaintext",
            "--keys 0",
        ] {
            assert!(parse(flags).is_err(), "{flags}");
        }
        let options = parse("--seed a:1,b:2 --seed c:3 --load 5k/s --insecure-plaintext").expect("they fit").node;
        assert_eq!(options.seeds, ["a:1", "b:2", "c:3"]);
        assert_eq!(options.shape().operations_per_s, 5000);
    }
}
