//! Settings of a node, checked once, and the start that follows.

#![forbid(unsafe_code)]

use crate::cache::Cache;
use crate::cluster::error::StartError;
use crate::cluster::handle::{Cluster, Handle};
use crate::cluster::policy::{OnIsolated, OnOriginLost};
use crate::cluster::seed::Seed;
use crate::engine::enlist::EnlistFailure;
use crate::replication::driver::{self, Driver, Settings};
use crate::replication::membership::{Resolver, SystemResolver};
use crate::replication::node::api::{NodeConfig, Timings};
use crate::replication::security::{Secret, Secrets};
use crate::replication::store::Store;
use crate::replication::wire::PROTOCOL;
use crate::types::limits::{LISTEN_DEFAULT, NODE_NAME_BYTES_MAX, RELAY_BYTES, SEEDS_MAX};
use std::fmt;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// Settings of a node of a cluster. Made by [`Cluster::builder`]. Nothing is checked before [`ClusterBuilder::start`], and
/// nothing is done: a setting costs its copy.
///
/// ```
/// use also_cache::{Cache, Cluster, OnIsolated, OnOriginLost, Resolver};
/// use std::net::SocketAddr;
///
/// /// Looks names up where the deployment keeps them.
/// struct Registry;
///
/// impl Resolver for Registry {
///     fn resolve(&self, _name: &str) -> std::io::Result<Vec<SocketAddr>> {
///         Ok(vec![SocketAddr::from(([127, 0, 0, 1], 7400))])
///     }
/// }
///
/// let cache = Cache::builder().capacity(4 << 20).open()?;
/// let cluster = Cluster::builder(&cache)
///     .name("pod-3")                                       // default: the host's name
///     .cluster("users")                                    // the same on all nodes
///     .listen("127.0.0.1:0")                               // TCP and UDP
///     .advertise(SocketAddr::from(([127, 0, 0, 1], 7401))) // behind a mapped port, for example
///     .seeds(["users.svc:7400", "10.0.0.7:7400"])          // names and addresses, looked up for ever
///     .secrets(["the new secret, 16 bytes at least", "the old secret, until all have the new one"])
///     .serve_unconfirmed(false)
///     .on_isolated(OnIsolated::Serve)
///     .on_origin_lost(OnOriginLost::Keep)
///     .resolver(Registry)
///     .start()?;
/// assert_eq!(cluster.name(), "pod-3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ClusterBuilder {
    cache: Cache,
    name: Option<String>,
    cluster: String,
    listen: String,
    advertise: Option<SocketAddr>,
    seeds: Vec<String>,
    secrets: Vec<Zeroizing<Vec<u8>>>,
    plaintext: bool,
    serve_unconfirmed: bool,
    on_isolated: OnIsolated,
    on_origin_lost: OnOriginLost,
    resolver: Box<dyn Resolver>,
}

impl ClusterBuilder {
    pub(super) fn new(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
            name: None,
            cluster: "also-cache".to_owned(),
            listen: LISTEN_DEFAULT.to_owned(),
            advertise: None,
            seeds: Vec::new(),
            secrets: Vec::new(),
            plaintext: false,
            serve_unconfirmed: false,
            on_isolated: OnIsolated::default(),
            on_origin_lost: OnOriginLost::default(),
            resolver: Box::new(SystemResolver),
        }
    }

    /// The node's name, 1 to 64 bytes: another one on each node, the same one after a restart. Default: the host's.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The cluster's name, 1 to 64 bytes, the same one on all nodes. Nodes of other clusters are refused. Default
    /// `also-cache`.
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = cluster.into();
        self
    }

    /// What to listen on, TCP and UDP: an address and a port. Port 0 takes a free one, see
    /// [`Cluster::local_address`]. Default `0.0.0.0:7400`.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// The address under which others reach this node. Default: what is listened on, or, where that is every address of
    /// the host, the local address of the first connection to another node.
    pub fn advertise(mut self, address: SocketAddr) -> Self {
        self.advertise = Some(address);
        self
    }

    /// Where to look for other nodes: `host:port` each, names or addresses, at most 64, with 64 addresses in all. A name may stand for many
    /// addresses; it is looked up again and again, all of them are tried, and that there are none yet is no error. The
    /// own address may be among them. Default: none, the first node of a cluster waits for others.
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// The secrets that admit a node, the same on all nodes, 1 to 4 of 16 to 1,024 bytes: the first one is used, the others are
    /// accepted. To change
    /// the secret: add the new one behind the old one everywhere, put it in front everywhere, take the old one away.
    pub fn secrets<S: AsRef<[u8]>>(mut self, secrets: impl IntoIterator<Item = S>) -> Self {
        self.secrets = secrets.into_iter().map(|secret| Zeroizing::new(secret.as_ref().to_vec())).collect();
        self
    }

    /// Instead of secrets: nothing is encrypted and everybody is let in. For loopback addresses only.
    pub fn insecure_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Whether entries of a warm arena are served at once, before this node knows what it missed. Default `false`: reads
    /// miss until then, a few milliseconds as a rule.
    pub fn serve_unconfirmed(mut self, serve: bool) -> Self {
        self.serve_unconfirmed = serve;
        self
    }

    /// What reads do while this node hears nobody. Default [`OnIsolated::Serve`].
    pub fn on_isolated(mut self, policy: OnIsolated) -> Self {
        self.on_isolated = policy;
        self
    }

    /// What becomes of entries when another node is gone without a goodbye. Default [`OnOriginLost::Keep`].
    pub fn on_origin_lost(mut self, policy: OnOriginLost) -> Self {
        self.on_origin_lost = policy;
        self
    }

    /// Who looks the names of seeds up. Default: the operating system.
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolver = Box::new(resolver);
        self
    }

    /// Starts the node: listens, and begins to look for others. That none is found is no error.
    ///
    /// The first start on an arena makes it this node's: what it held before is dropped, since no other node could ever
    /// learn that it changed. Start right after the open.
    ///
    /// # Errors
    ///
    /// [`StartError`], which names the setting, its value and its bounds, or what was met on the way.
    ///
    /// # Complexity
    ///
    /// Independent of the entries for an arena that is this node's already; else O(entries). Starts one thread, and a
    /// second one if seeds are names. Blocks the calling thread for writes that are under way, at most a second, and for no other
    /// node. Takes pages of the arena for floors and changes, some 2 % of it, and heap beside it: see the README's limits.
    ///
    /// ```
    /// use also_cache::{Cache, Cluster};
    ///
    /// let cache = Cache::builder().capacity(4 << 20).open()?;
    /// let cluster = Cluster::builder(&cache).name("pod-3").listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// assert_ne!(cluster.local_address().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(self) -> Result<Cluster, StartError> {
        let name = self.name.clone().unwrap_or_else(host_name);
        check_name("name", &name)?;
        check_name("cluster", &self.cluster)?;
        let listen = self.check_addresses()?;
        let secrets = self.check_secrets(listen)?;
        let in_cluster = self.cache.enter_cluster().ok_or(StartError::AlreadyStarted)?;
        if self.cache.shared_engine().is_closed() {
            return Err(StartError::Closed);
        }
        let listening = driver::listen(listen)
            .map_err(|failure| StartError::Listen { address: listen, reason: failure.to_string() })?;
        let hash = xxhash_rust::xxh3::xxh3_64(self.cluster.as_bytes());
        let store = Store::enlist(self.cache.shared_engine().clone(), &name, hash).map_err(start_error)?;
        let settings = Settings {
            node: NodeConfig {
                name: name.clone(),
                cluster: hash,
                advertised: None,
                protocol: PROTOCOL,
                timings: Timings::default(),
                has_seeds: !self.seeds.is_empty(),
                serve_unconfirmed: self.serve_unconfirmed,
                on_isolated: self.on_isolated.into(),
                on_origin_lost: self.on_origin_lost.into(),
                relay_bytes: RELAY_BYTES,
                seed: 0,
            },
            advertise: self.advertise,
            seeds: self.seeds,
            secrets,
            resolver: self.resolver,
        };
        let driver = Driver::start(settings, listening, store.clone())
            .map_err(|failure| StartError::System { what: failure.what, error: failure.error })?;
        Ok(Cluster::new(Handle { driver, store, name, cache: self.cache, in_cluster }))
    }

    /// Addresses are addresses, and stay on this host where nothing is encrypted.
    fn check_addresses(&self) -> Result<SocketAddr, StartError> {
        let listen = self.listen.parse::<SocketAddr>();
        let listen = listen.map_err(|_| StartError::ListenAddress { text: self.listen.clone() })?;
        let away = |setting, address: String| Err(StartError::PlaintextAddress { setting, address });
        if self.plaintext && !is_loopback(&listen) {
            return away("listen", self.listen.clone());
        }
        if let Some(address) = self.advertise {
            if address.port() == 0 || address.ip().is_unspecified() {
                return Err(StartError::Advertise { address });
            }
            if self.plaintext && !is_loopback(&address) {
                return away("advertise", address.to_string());
            }
        }
        if self.seeds.len() > SEEDS_MAX {
            return Err(StartError::Seeds { count: self.seeds.len(), max: SEEDS_MAX });
        }
        for text in &self.seeds {
            let seed = Seed::parse(text).ok_or_else(|| StartError::Seed { text: text.clone() })?;
            if self.plaintext && !seed.is_loopback() && !crate::sync::bite("plaintext.any-seed") {
                return away("seed", text.clone());
            }
        }
        Ok(listen)
    }

    fn check_secrets(&self, listen: SocketAddr) -> Result<Option<Secrets>, StartError> {
        match (self.plaintext, self.secrets.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => return Err(StartError::SecretsAndPlaintext),
            (false, true) => return Err(StartError::NoSecret { listen }),
            (false, false) => {}
        }
        let secrets: Result<Vec<Secret>, _> = self.secrets.iter().map(Secret::new).collect();
        let secrets = secrets.and_then(|secrets| Secrets::new(&secrets, &self.cluster));
        secrets.map(Some).map_err(|error| StartError::Secrets { reason: error.to_string() })
    }
}

fn check_name(setting: &'static str, name: &str) -> Result<(), StartError> {
    let (bytes, max) = (name.len(), NODE_NAME_BYTES_MAX);
    if (1..=max).contains(&bytes) {
        return Ok(());
    }
    Err(StartError::Name { setting, text: name.chars().take(max).collect(), bytes, max })
}

/// The host's name, as far as a node's may be long.
fn host_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let end = (0..=NODE_NAME_BYTES_MAX.min(host.len())).rev().find(|at| host.is_char_boundary(*at));
    host[..end.unwrap_or(0)].to_owned()
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn start_error(failure: EnlistFailure) -> StartError {
    match failure {
        EnlistFailure::NoRoom { pages } => StartError::NoRoom { pages },
        EnlistFailure::Inside(threads) => StartError::WritesUnderWay { threads },
        #[cfg(feature = "values-on-heap")]
        EnlistFailure::ValuesOnHeap => StartError::ValuesOnHeap,
    }
}

impl fmt::Debug for ClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBuilder")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .field("seeds", &self.seeds)
            .field("secrets", &self.secrets.len())
            .field("plaintext", &self.plaintext)
            .finish_non_exhaustive()
    }
}
