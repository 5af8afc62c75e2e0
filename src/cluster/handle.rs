//! The running node: what all handles share, what they see, and the end.
//!
//! ```text
//!   Cluster --+
//!   Cluster --+--> Running { Driver, Store, Cache }      last handle gone -> leave at once -> thread ends
//!   Cluster --+
//!
//!   readiness, members, lag, stats   <- what the thread last said, at most some ten milliseconds ago
//!   leave                            -> all is sent and confirmed, or time is over -> goodbye
//! ```

#![forbid(unsafe_code)]

use crate::cache::Cache;
use crate::cache::InCluster;
use crate::cluster::builder::ClusterBuilder;
use crate::cluster::error::LeaveError;
use crate::cluster::events::Events;
use crate::cluster::member::{Lag, Member, Readiness};
use crate::cluster::stats::ClusterStats;
use crate::replication::driver::Driver;
use crate::replication::driver::shared::Shared;
use crate::replication::node::api::Departure;
use crate::replication::store::Store;
use crate::sync::Arc;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

/// How much longer than asked for a caller waits for the thread's answer, which says what is missing.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// A node of a cluster: cheap to clone, `Send` and `Sync`; all clones are one node.
///
/// Every change of the cache goes to the other nodes, and theirs come here; reads are the cache's own. Dropping the last
/// handle leaves at once; [`Cluster::leave`] first sees to it that everything has arrived.
///
/// ```
/// use also_cache::{Acks, Cache, Cluster};
/// use std::time::Duration;
///
/// let (one, two) = (Cache::builder().capacity(4 << 20).open()?, Cache::builder().capacity(4 << 20).open()?);
/// let start = |cache: &Cache, name: &str| Cluster::builder(cache).name(name).listen("127.0.0.1:0").insecure_plaintext();
/// let first = start(&one, "pod-1").start()?;
/// let second = start(&two, "pod-2").seeds([first.local_address().to_string()]).start()?;
///
/// let version = one.insert("user:1", "Ada")?;
/// first.wait_replicated(version, Acks::One, Duration::from_secs(30))?;
/// assert_eq!(two.get("user:1").as_deref(), Some(b"Ada".as_slice()));
/// # drop(second);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cluster {
    pub(super) running: Arc<Running>,
}

/// What all clones share. The driver ends before the cache may enter a cluster again.
pub(super) struct Running {
    pub(super) driver: Driver,
    pub(super) store: Store,
    pub(super) cache: Cache,
    name: String,
    _in_cluster: InCluster,
}

impl Running {
    pub(super) fn new(driver: Driver, store: Store, cache: Cache, name: String, in_cluster: InCluster) -> Self {
        Self { driver, store, cache, name, _in_cluster: in_cluster }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.driver.shared()
    }
}

impl Cluster {
    /// Settings for a new node around a cache.
    ///
    /// ```
    /// use also_cache::{Cache, Cluster};
    ///
    /// let cache = Cache::builder().capacity(4 << 20).open()?;
    /// let cluster = Cluster::builder(&cache).name("pod-1").listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// assert_eq!(cluster.name(), "pod-1");
    /// assert!(cluster.members().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(cache: &Cache) -> ClusterBuilder {
        ClusterBuilder::new(cache)
    }

    pub(super) fn new(running: Running) -> Self {
        Self { running: Arc::new(running) }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.running.name
    }

    /// What is listened on, with the port that was found.
    pub fn local_address(&self) -> SocketAddr {
        self.running.driver.address()
    }

    /// Where the others are told to find this node; `None` while that is not known.
    pub fn advertised_address(&self) -> Option<SocketAddr> {
        self.running.shared().status().advertised
    }

    /// How far this node has come. A readiness probe asks for [`Readiness::Serving`] or more.
    pub fn readiness(&self) -> Readiness {
        self.running.shared().status().readiness.into()
    }

    /// The other nodes, by name: those that are connected, and those that only gossip tells of.
    pub fn members(&self) -> Vec<Member> {
        let status = self.running.shared().status();
        let connected = status.connected.iter().map(Member::from);
        let mut members: Vec<Member> = connected.chain(status.known.iter().map(Member::from)).collect();
        members.sort_by(|one, other| one.name.cmp(&other.name));
        members
    }

    /// How far the connected node that is furthest behind is behind this node's changes.
    pub fn lag(&self) -> Lag {
        let status = self.running.shared().status();
        status.connected.iter().map(|member| Lag::from(member.behind)).fold(Lag::default(), Lag::max)
    }

    /// A reader of what happens, from the oldest event that is kept.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).name("a").listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// for event in std::iter::from_fn({
    ///     let mut events = cluster.events();
    ///     move || events.try_next()
    /// }) {
    ///     println!("{event:?}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn events(&self) -> Events {
        Events::new(self.running.shared())
    }

    /// Figures: what the network has done so far, and what the protocol has counted.
    pub fn stats(&self) -> ClusterStats {
        ClusterStats::of(self.running.shared())
    }

    /// Leaves: sends what is unsent, waits until the others have confirmed it, at most so long, and says goodbye. The cache
    /// goes on without a cluster; what it writes from now on reaches nobody, until it is started again under the same name.
    ///
    /// # Errors
    ///
    /// [`LeaveError::Unconfirmed`] says what the time was too short for; [`LeaveError::Left`], that it had left before.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).name("a").listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cluster.leave(Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leave(&self, timeout: Duration) -> Result<(), LeaveError> {
        let answer = self.running.shared().leave(timeout).map_err(|_| LeaveError::Left)?;
        let departure = answer.wait(timeout.saturating_add(GRACE)).ok().flatten();
        outcome(departure, timeout)
    }

    /// As [`Cluster::leave`], on any runtime. Dropping the future does not keep the node from leaving.
    ///
    /// # Errors
    ///
    /// As [`Cluster::leave`].
    pub fn leave_async(&self, timeout: Duration) -> impl Future<Output = Result<(), LeaveError>> + Send + use<> {
        let answer = self.running.shared().leave(timeout);
        async move {
            let answer = answer.map_err(|_| LeaveError::Left)?;
            outcome(answer.await, timeout)
        }
    }
}

fn outcome(departure: Option<Departure>, waited: Duration) -> Result<(), LeaveError> {
    let unconfirmed = departure.ok_or(LeaveError::Left)?.unacknowledged;
    let Some(cells) = unconfirmed.iter().map(|(_, cells)| *cells).max() else { return Ok(()) };
    Err(LeaveError::Unconfirmed { waited, left: Lag::of_cells(cells), members: unconfirmed.len() })
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name())
            .field("address", &self.local_address())
            .field("readiness", &self.readiness())
            .finish_non_exhaustive()
    }
}
