//! Some nodes of one cluster, their ledger, and the check that all is well again.

use crate::child::Orders;
use crate::fabric::Fabric;
use crate::node::{Audit, Node};
use crate::support::ledger::Ledger;
use crate::until;
use std::path::Path;

/// What a group is made of.
pub(crate) struct Plan {
    pub(crate) what: &'static str,
    pub(crate) count: usize,
    pub(crate) keys: u64,
    pub(crate) is_sealed: bool,
    /// All that goes between two of them goes through proxies.
    pub(crate) has_fabric: bool,
    /// They find each other behind one name, not by their addresses.
    pub(crate) is_named: bool,
    /// The network namespace of each, where they are apart; each has the address `10.99.0.1` and so on.
    pub(crate) namespaces: Vec<String>,
}

impl Plan {
    /// Three nodes with a secret on loopback.
    pub(crate) fn new(what: &'static str, keys: u64) -> Self {
        Self { what, count: 3, keys, is_sealed: true, has_fabric: false, is_named: false, namespaces: Vec::new() }
    }
}

/// Nodes, the network between them, and what they have written.
pub(crate) struct Group {
    plan: Plan,
    folder: tempfile::TempDir,
    pub(crate) ledger: Ledger,
    pub(crate) nodes: Vec<Node>,
    pub(crate) fabric: Option<Fabric>,
    /// KiB of heap of each node when all was calm.
    calm: Vec<u64>,
}

pub(crate) const SECRET: &str = "a secret of the tests";
/// Bytes of each arena: nothing is evicted.
pub(crate) const CAPACITY: u64 = 16 << 20;
/// KiB that the heap of a node may grow by beyond what it was in calm: relayed changes, batches and buffers, all bounded.
const GROWTH_KIB_MAX: u64 = 24 << 10;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

impl Group {
    /// Nodes that have met.
    pub(crate) fn new(plan: Plan) -> Self {
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let ledger = Ledger::open(&folder.path().join("ledger"), plan.keys);
        let fabric = plan.has_fabric.then(|| Fabric::new(NAMES.len()));
        let mut group = Self { plan, folder, ledger, nodes: Vec::new(), fabric, calm: Vec::new() };
        for at in 0..group.plan.count {
            let orders = group.orders(at);
            group.start(orders);
        }
        group.meet();
        group.calm = group.nodes.iter_mut().map(|node| node.memory().0).collect();
        group
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// What a node of this group is told.
    pub(crate) fn orders(&self, at: usize) -> Orders {
        let seed = |node: &Node| node.orders.advertise.or(node.address).map(|address| address.to_string());
        let mut seeds: Vec<String> = self.nodes.iter().filter_map(seed).collect();
        if self.plan.is_named {
            seeds = vec!["nodes.test:7400".to_owned()];
        }
        let apart = !self.plan.namespaces.is_empty();
        Orders {
            name: NAMES[at].to_owned(),
            cluster: "processes".to_owned(),
            arena: self.path(&format!("{}.arena", NAMES[at])),
            capacity: CAPACITY,
            ledger: self.path("ledger"),
            keys: self.plan.keys,
            listen: if apart { format!("10.99.0.{}:7400", at + 1) } else { "127.0.0.1:0".to_owned() },
            advertise: self.fabric.as_ref().map(|fabric| fabric.address(at)),
            seeds,
            names: self.plan.is_named.then(|| self.path("names")),
            secrets: self.plan.is_sealed.then(|| SECRET.to_owned()).into_iter().collect(),
            alone: false,
        }
    }

    /// Starts a node, at the place that its name has.
    pub(crate) fn start(&mut self, orders: Orders) {
        let at = NAMES.iter().position(|name| *name == orders.name).expect("one of our names");
        let around = self.plan.namespaces.get(at).map(|name| ["ip", "netns", "exec", name]);
        let node = Node::start(orders, around.as_ref().map_or(&[], |words| &words[..]));
        if let (Some(fabric), Some(address)) = (&self.fabric, node.address) {
            fabric.attach(at, address, node.id());
        }
        self.nodes.insert(at.min(self.nodes.len()), node);
        self.name_all();
    }

    /// The one name stands for all that live.
    pub(crate) fn name_all(&self) {
        let lines = self.nodes.iter().filter_map(|node| node.address).map(|address| format!("{address}\n"));
        std::fs::write(self.path("new names"), lines.collect::<String>()).expect("the folder is ours");
        std::fs::rename(self.path("new names"), self.path("names")).expect("the folder is ours");
    }

    /// Kills a node; it can be started again with what this returns.
    pub(crate) fn kill(&mut self, at: usize) -> Orders {
        let node = self.nodes.remove(at);
        if let Some(fabric) = &self.fabric {
            fabric.detach(at);
        }
        let mut orders = node.kill();
        orders.seeds = self.orders(at).seeds;
        orders
    }

    /// Waits until each is connected to all others and misses nothing.
    pub(crate) fn meet(&mut self) {
        let (began, others) = (std::time::Instant::now(), self.nodes.len() - 1);
        while !self.nodes.iter_mut().all(|node| node.is_complete(others)) {
            self.assert_in_time(began, "they do not meet");
            std::thread::sleep(crate::LOOK);
        }
    }

    /// Tells all that is known once it has taken too long.
    fn assert_in_time(&mut self, began: std::time::Instant, story: &str) {
        if began.elapsed() > crate::PATIENCE {
            let mut told = format!("{}: {story}", self.plan.what);
            for node in &mut self.nodes {
                for question in ["readiness", "members", "events", "stats", "audit"] {
                    let answer = node.ask(question);
                    told += &format!("\n{} {question}: {answer}", node.name());
                }
            }
            panic!("{told}");
        }
    }

    /// Keys of each node's range.
    pub(crate) fn share(&self) -> u64 {
        self.plan.keys / NAMES.len() as u64
    }

    /// Each node writes a range of keys of its own, so many a second.
    pub(crate) fn load(&mut self, rate: u64, bytes_max: u64) {
        let share = self.share();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            node.ask(&format!("load {} {share} {rate} {bytes_max}", at as u64 * share));
        }
    }

    /// Waits until each of the nodes under load has written so much more.
    pub(crate) fn wait_for_writes(&mut self, more: u64) {
        let what = self.plan.what;
        for node in &mut self.nodes {
            let wrote = |node: &mut Node| node.ask("wrote").parse::<u64>().expect("a number");
            let wanted = wrote(node) + more;
            until(&format!("{what}: {} writes", node.name()), || wrote(node) >= wanted);
        }
    }

    /// All is well: the writers rest, all have met, hold the same, which is what the ledger says, and no more memory than
    /// they may. Returns the writes since the load began.
    pub(crate) fn converge(&mut self) -> u64 {
        let writes = self.nodes.iter_mut().map(|node| first_number(&node.ask("rest"))).sum();
        self.meet();
        let began = std::time::Instant::now();
        let audits = loop {
            let audits: Vec<_> = self.nodes.iter_mut().map(Node::audit).collect();
            let is_same = audits.windows(2).all(|two| two[0] == two[1]);
            let is_right = |audit: &Audit| audit.wrong.is_empty() && audit.missing == 0;
            if is_same && audits.iter().all(is_right) {
                break audits;
            }
            self.assert_in_time(began, "they do not hold the same");
            std::thread::sleep(crate::LOOK);
        };
        let what = self.plan.what;
        assert!(audits[0].present > 0, "{what}: nothing was written");
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let (heap, shared) = node.memory();
            let calm = self.calm.get(at).copied().unwrap_or(heap);
            assert!(heap <= calm + GROWTH_KIB_MAX, "{what}: {} KiB of heap, {calm} before", heap);
            assert!(shared <= (CAPACITY + (4 << 20)) >> 10, "{what}: {shared} KiB of shared memory");
        }
        writes
    }
}

pub(crate) fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}
