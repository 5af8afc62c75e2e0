//! A node as a process: does what its parent says over standard input, one line each, and answers with one line.

use crate::load::{Loads, Reader};
use crate::support::ledger::{self, Ledger, Mark, Next, key_bytes, may_be, sequence_of};
use crate::support::mix;
use also_cache::{Acks, Cache, Cluster, Event, MemberState, Resolver};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// What every answer begins with, so that the words of the test harness are told apart.
pub(crate) const ANSWER: &str = "> ";

/// What a child is told in environment variables, each `NODE_` and the name.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) arena: PathBuf,
    pub(crate) capacity: u64,
    pub(crate) ledger: PathBuf,
    pub(crate) keys: u64,
    pub(crate) listen: String,
    pub(crate) advertise: Option<SocketAddr>,
    /// Addresses, or names that stand for the lines of the file `names`.
    pub(crate) seeds: Vec<String>,
    pub(crate) names: Option<PathBuf>,
    /// None: plaintext.
    pub(crate) secrets: Vec<String>,
    /// A cache alone, without a node.
    pub(crate) alone: bool,
}

const NAMES: [&str; 12] = [
    "NODE_NAME",
    "NODE_CLUSTER",
    "NODE_ARENA",
    "NODE_CAPACITY",
    "NODE_LEDGER",
    "NODE_KEYS",
    "NODE_LISTEN",
    "NODE_ADVERTISE",
    "NODE_SEEDS",
    "NODE_NAMES",
    "NODE_SECRETS",
    "NODE_ALONE",
];

impl Orders {
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let path = |path: &PathBuf| path.display().to_string();
        let values = [
            self.name.clone(),
            self.cluster.clone(),
            path(&self.arena),
            self.capacity.to_string(),
            path(&self.ledger),
            self.keys.to_string(),
            self.listen.clone(),
            self.advertise.map_or(String::new(), |address| address.to_string()),
            self.seeds.join(","),
            self.names.as_ref().map_or(String::new(), path),
            self.secrets.join(","),
            u8::from(self.alone).to_string(),
        ];
        NAMES.into_iter().zip(values).collect()
    }

    pub(crate) fn from_environment() -> Option<Self> {
        let text = |name: &str| std::env::var(name).ok();
        let list = |name: &str| {
            let text = text(name).unwrap_or_default();
            text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        Some(Self {
            name: text("NODE_NAME")?,
            cluster: text("NODE_CLUSTER")?,
            arena: text("NODE_ARENA")?.into(),
            capacity: text("NODE_CAPACITY")?.parse().ok()?,
            ledger: text("NODE_LEDGER")?.into(),
            keys: text("NODE_KEYS")?.parse().ok()?,
            listen: text("NODE_LISTEN")?,
            advertise: text("NODE_ADVERTISE")?.parse().ok(),
            seeds: list("NODE_SEEDS"),
            names: text("NODE_NAMES").filter(|path| !path.is_empty()).map(PathBuf::from),
            secrets: list("NODE_SECRETS"),
            alone: text("NODE_ALONE")? == "1",
        })
    }
}

/// A name service: every name stands for the addresses that are the lines of a file.
struct Lines(PathBuf);

impl Resolver for Lines {
    fn resolve(&self, _name: &str) -> std::io::Result<Vec<SocketAddr>> {
        Ok(std::fs::read_to_string(&self.0)?.lines().filter_map(|line| line.parse().ok()).collect())
    }
}

/// The parts of a child, as its commands need them.
struct Parts {
    cache: Cache,
    cluster: Option<Cluster>,
    ledger: Arc<Ledger>,
    keys: u64,
    loads: Loads,
    reader: Reader,
    events: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

pub(crate) fn run(orders: &Orders) -> ! {
    let ledger = Arc::new(Ledger::open(&orders.ledger, orders.keys));
    let builder = Cache::builder().capacity(orders.capacity).file(&orders.arena).crash_loop_guard(false);
    let cache = builder.open().expect("the arena opens");
    let cluster = (!orders.alone).then(|| start(&cache, orders));
    let events = cluster.as_ref().map(count_events).unwrap_or_default();
    let reader = Reader::start(&cache, &ledger, orders.keys, cluster.as_ref());
    let address = cluster.as_ref().map_or(String::new(), |cluster| cluster.local_address().to_string());
    let recovery = cache.recovery().to_string();
    let (loads, keys) = (Loads::new(&cache, &ledger), orders.keys);
    let mut parts = Parts { cache, cluster, ledger, keys, loads, reader, events };
    answer(&format!("{address} {recovery}"));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = parts.obey(&words).unwrap_or_else(|| panic!("the command {line:?}"));
        answer(&text);
    }
    // The parent is gone, or wants no more: as abrupt as any end.
    std::process::exit(0)
}

fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ANSWER}{text}").and_then(|()| out.flush()).expect("the parent listens");
}

fn start(cache: &Cache, orders: &Orders) -> Cluster {
    let mut builder = Cluster::builder(cache).name(&orders.name).cluster(&orders.cluster).listen(&orders.listen);
    builder = builder.seeds(&orders.seeds);
    if let Some(address) = orders.advertise {
        builder = builder.advertise(address);
    }
    if let Some(names) = &orders.names {
        builder = builder.resolver(Lines(names.clone()));
    }
    builder = if orders.secrets.is_empty() { builder.insecure_plaintext() } else { builder.secrets(&orders.secrets) };
    builder.start().expect("the node starts")
}

fn count_events(cluster: &Cluster) -> Arc<Mutex<BTreeMap<&'static str, u64>>> {
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let (mut events, shared) = (cluster.events(), counts.clone());
    std::thread::spawn(move || {
        loop {
            let Some(event) = events.next_timeout(Duration::from_secs(3_600)) else { return };
            let name = match event {
                Event::MemberJoined { .. } => "joined",
                Event::MemberLost { .. } => "lost",
                Event::MemberLeft { .. } => "left",
                Event::Refused { .. } => "refused",
                Event::Isolated { .. } => "isolated",
                Event::SyncEnded { .. } => "synced",
                Event::Confirmed { .. } => "confirmed",
                Event::StartedOver { .. } => "started-over",
                Event::Namesake { .. } => "namesake",
                _ => "other",
            };
            *shared.lock().expect("no panic inside").entry(name).or_insert(0) += 1;
        }
    });
    counts
}

impl Parts {
    fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("this child is a node")
    }

    fn obey(&mut self, words: &[&str]) -> Option<String> {
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        Some(match *words.first()? {
            "insert" => self.write(number(1)?, Next::Insert(number(2)? as usize)),
            "remove" => self.write(number(1)?, Next::Remove),
            "get" => self.get(number(1)?),
            // Keys from, how many, writes a second (0: as many as can be), most bytes.
            "load" => self.loads.begin(number(1)?, number(2)?, number(3)?, number(4)? as usize),
            "rest" => self.loads.rest(),
            "wrote" => self.loads.wrote(),
            "audit" => self.audit(),
            // Keys that were acknowledged and are not here.
            "gone" => (0..self.keys).filter(|key| self.is_gone(*key)).map(|key| format!("{key} ")).collect(),
            "hits" => self.reader.hits(),
            "readiness" => self.cluster().readiness().to_string(),
            "members" => self.members(),
            "events" => {
                let events = self.events.lock().expect("no panic inside");
                events.iter().map(|(name, count)| format!("{name}={count} ")).collect()
            }
            "stats" => self.stats(),
            "memory" => format!("{} {}", resident("RssAnon:"), resident("RssShmem:")),
            "flush" => outcome(self.cluster().flush(Acks::All, Duration::from_millis(number(1)?))),
            "hold" => self.hold(),
            "leave" => outcome(self.cluster().leave(Duration::from_millis(number(1)?))),
            _ => return None,
        })
    }

    fn write(&self, key: u64, next: Next) -> String {
        assert!(ledger::write(&self.cache, &self.ledger, key, next), "the cache is open");
        let mark = self.ledger.done(key);
        format!("{} {}", mark.sequence, mark.absent)
    }

    fn get(&self, key: u64) -> String {
        match self.cache.get(key_bytes(key)) {
            None => "absent".to_owned(),
            Some(found) => sequence_of(key, &found).map_or_else(|wrong| wrong, |sequence| sequence.to_string()),
        }
    }

    fn is_gone(&self, key: u64) -> bool {
        is_settled(&self.ledger, key).is_some_and(|done| !done.absent) && !self.cache.contains(key_bytes(key))
    }

    /// Every key: what is wrong, how many are there, how many are missing, and a sum over keys and versions.
    fn audit(&self) -> String {
        let (mut present, mut missing, mut sum, mut wrong) = (0_u64, 0_u64, 0_u64, None);
        for key in 0..self.keys {
            let Some(found) = self.cache.get(key_bytes(key)) else {
                missing += u64::from(self.is_gone(key));
                continue;
            };
            present += 1;
            sum ^= mix(mix(key) ^ found.version().stamp());
            let right = sequence_of(key, &found).and_then(|sequence| may_be(&self.ledger, key, sequence));
            wrong = wrong.or(right.err());
        }
        let wrong = wrong.map_or(String::new(), |wrong| format!(" {wrong}"));
        format!("{present} {missing} {sum:016x}{wrong}")
    }

    fn members(&self) -> String {
        let members = self.cluster().members();
        let state = |state| if state == MemberState::Connected { "connected" } else { "away" };
        members.iter().map(|member| format!("{}={} ", member.name, state(member.state))).collect()
    }

    /// Names and figures, of the network and of the protocol.
    fn stats(&self) -> String {
        let stats = self.cluster().stats();
        let figures = [
            ("wrong_secret", stats.wrong_secret),
            ("rejected", stats.rejected),
            ("forged", stats.forged),
            ("turned_away", stats.turned_away),
            ("lost", stats.lost),
            ("dialled", stats.dialled),
            ("secured", stats.secured),
            ("timed_out", stats.timed_out),
            ("bytes_out", stats.bytes_out),
            ("datagrams_in", stats.datagrams_in),
            ("datagrams_refused", stats.datagrams_refused),
            ("taken_for_dead", stats.taken_for_dead),
            ("heap_bytes", stats.heap_bytes as u64),
            ("former_changes", stats.former_changes),
            ("lag_bytes", self.cluster().lag().bytes),
        ];
        figures.iter().chain(&stats.protocol).map(|(name, count)| format!("{name}={count} ")).collect()
    }

    /// Stops the network thread for good: a waker of a wait is called on it, and never returns.
    fn hold(&self) -> String {
        struct Hold(Mutex<std::sync::mpsc::Sender<()>>);
        impl Wake for Hold {
            fn wake(self: Arc<Self>) {
                self.0.lock().expect("no panic inside").send(()).expect("it is waited for");
                loop {
                    std::thread::park();
                }
            }
        }
        let (told, is_held) = std::sync::mpsc::channel();
        let never = Acks::Count(usize::from(u8::MAX));
        let mut wait = Box::pin(self.cluster().flush_async(never, Duration::from_millis(1)));
        let waker = Waker::from(Arc::new(Hold(Mutex::new(told))));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // The waker is called although nobody polls any more.
        std::mem::forget(wait);
        is_held.recv_timeout(crate::PATIENCE).expect("the waker is called");
        "held".to_owned()
    }
}

fn outcome<E: std::fmt::Display>(result: Result<(), E>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
}

/// KiB of memory of one kind.
fn resident(kind: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of each process");
    let line = status.lines().find_map(|line| line.strip_prefix(kind));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).expect("a number of KiB")
}

/// A key that nobody writes while it is looked at.
pub(crate) fn is_settled(ledger: &Ledger, key: u64) -> Option<Mark> {
    let done = ledger.done(key);
    (ledger.begun(key) == done).then_some(done)
}
