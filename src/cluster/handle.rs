//! The cluster's handle: what all clones share, what they show, and the end.
//!
//! ```text
//!   Cluster, Cluster, ...  -> Handle -> Driver     the last clone makes the node leave at once, and waits for the thread
//!                                       Store      this node's stream and its end
//!                                       Cache      lives as long as its cluster
//! ```

#![forbid(unsafe_code)]

use crate::cache::{Cache, InCluster};
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
use crate::sync::promise::Answer;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

/// A node of a cluster around a cache: every change goes to the other nodes, and theirs come.
///
/// Cheap to clone, `Send` and `Sync`; all clones are one node. Dropping the last one leaves the cluster at once, which
/// is `leave(0)`; the cache goes on alone. Reads and writes go through the [`Cache`], as they do without a cluster, and
/// never wait for another node.
///
/// ```
/// use also_cache::{Acks, Cache, Cluster};
/// use std::time::Duration;
///
/// let [one, other] = [(); 2].map(|()| Cache::builder().capacity(4 << 20).open());
/// let (one, other) = (one?, other?);
/// let builder = |cache| Cluster::builder(cache).cluster("users").listen("127.0.0.1:0").insecure_plaintext();
/// let first = builder(&one).name("pod-1").start()?;
/// let second = builder(&other).name("pod-2").seeds([first.local_address().to_string()]).start()?;
///
/// let version = one.insert("user:1", "Ada")?;
/// first.wait_replicated(version, Acks::One, Duration::from_secs(10))?;
/// assert_eq!(other.get("user:1").as_deref(), Some(b"Ada".as_slice()));
///
/// second.leave(Duration::from_secs(1))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cluster {
    handle: Arc<Handle>,
}

/// What all clones share. Dropped in this order: the thread has ended before another cluster may be entered.
pub(super) struct Handle {
    pub(super) driver: Driver,
    pub(super) store: Store,
    pub(super) name: String,
    pub(super) cache: Cache,
    pub(super) in_cluster: InCluster,
}

/// How long a thread is waited for beyond the time at which it should have answered.
pub(super) const GRACE: Duration = Duration::from_secs(1);

impl Cluster {
    /// Settings for a node around a cache.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, StartError};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// let refused = Cluster::builder(&cache).listen("127.0.0.1:0").start();
    /// assert!(matches!(refused, Err(StartError::NoSecret { .. })));
    /// let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").secrets(["correct horse battery"]).start()?;
    /// let again = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start();
    /// assert!(matches!(again, Err(StartError::AlreadyStarted)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(cache: &Cache) -> ClusterBuilder {
        ClusterBuilder::new(cache)
    }

    pub(super) fn new(handle: Handle) -> Self {
        Self { handle: Arc::new(handle) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.handle.driver.shared()
    }

    pub(super) fn store(&self) -> &Store {
        &self.handle.store
    }

    /// The cache that this node is around. Takes no lock and allocates nothing, as [`Cluster::name`] and
    /// [`Cluster::local_address`].
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cluster.cache().insert("k", "v")?;
    /// assert!(cache.contains("k") && !cluster.name().is_empty());
    /// assert!(cluster.local_address().ip().is_loopback());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache(&self) -> &Cache {
        &self.handle.cache
    }

    /// The node's name, 1 to 64 bytes.
    pub fn name(&self) -> &str {
        &self.handle.name
    }

    /// What is listened on, with the port that was found where port 0 was asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.handle.driver.address()
    }

    /// Where others are told to reach this node; `None` until that is known, see [`ClusterBuilder::advertise`]. As cheap as
    /// [`Cluster::readiness`].
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// let at = "127.0.0.1:7400".parse()?;
    /// let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").advertise(at).insecure_plaintext().start()?;
    /// while cluster.advertised_address().is_none() {} // the thread says so in its first round
    /// assert_eq!(cluster.advertised_address(), Some(at));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advertised_address(&self) -> Option<SocketAddr> {
        self.shared().status().advertised
    }

    /// How far this node has come. Once it has left: [`Readiness::Serving`].
    ///
    /// # Complexity
    ///
    /// Copies one pointer under a lock that is held for nothing else: it waits for no other node, allocates and pins nothing.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, Event, Readiness};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// let mut events = cluster.events();
    /// while cluster.readiness() < Readiness::Serving {
    ///     events.next_timeout(Duration::from_secs(10)).expect("a node that is alone serves soon");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn readiness(&self) -> Readiness {
        self.shared().status().readiness.into()
    }

    /// The other nodes, by name: those that are connected, then those that are away. Up to 50 ms old. None once it has left.
    ///
    /// # Complexity
    ///
    /// O(members), 64 connected ones at most; allocates the list and each name. Waits for no other node.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, MemberState};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// for member in cluster.members() {
    ///     let is_there = member.state == MemberState::Connected;
    ///     println!("{} {is_there} {} behind, {:?} away", member.name, member.lag, member.round_trip);
    /// }
    /// assert_eq!(cluster.members().len(), 0, "it is alone");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn members(&self) -> Vec<Member> {
        let status = self.shared().status();
        status.connected.iter().map(Member::from).chain(status.known.iter().map(Member::from)).collect()
    }

    /// How far the member that is furthest behind is behind this node's changes: zero when alone. Up to 50 ms old.
    ///
    /// Changes, bytes of their records without values, and the age of the oldest change that is missing, each the largest of any
    /// connected member; see [`Lag`]. A member that is away has no lag: it catches up when it is back.
    ///
    /// # Complexity
    ///
    /// O(members); allocates nothing, and waits for no other node.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// assert!(cluster.lag().is_zero() && cluster.members().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lag(&self) -> Lag {
        let status = self.shared().status();
        status.connected.iter().map(|member| Lag::from(member.behind)).fold(Lag::default(), Lag::max)
    }

    /// What happened, from the oldest event that is kept: each call is a reader of its own. The last 1,024 are kept.
    ///
    /// # Complexity
    ///
    /// O(1), under a short lock; allocates nothing. A reader that is not read holds nothing up, see [`Events::missed`].
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, Event};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// let mut events = cluster.events();
    /// cluster.leave(Duration::ZERO)?;
    /// let mut last = None;
    /// while let Some(event) = events.next_timeout(Duration::from_secs(10)) {
    ///     last = Some(event);
    /// }
    /// assert!(matches!(last, Some(Event::Left { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn events(&self) -> Events {
        Events::new(self.shared())
    }

    /// Figures: what the network has done so far, and what the protocol has counted. Up to 50 ms old.
    ///
    /// # Complexity
    ///
    /// One read of each counter; allocates lists of the named ones. Waits for no other node.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// let stats = cluster.stats();
    /// assert_eq!((stats.wrong_secret, stats.counted("gap_repairs")), (0, 0));
    /// println!("{stats}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> ClusterStats {
        ClusterStats::of(self.shared(), self.store().former_changes())
    }

    /// Leaves the cluster: sends what is unsent, waits until every connected member has confirmed it, at most so long, and
    /// says goodbye. The cache goes on alone, and serves all that it has, also what was still to be confirmed; what it writes
    /// from now on no other node learns.
    ///
    /// # Errors
    ///
    /// [`LeaveError::Unconfirmed`] says what was left when the time was over. The node has left in any case, but with
    /// [`LeaveError::NoAnswer`]: then its thread is held up, and leaves once it goes on. [`LeaveError::Left`] if it had left.
    ///
    /// # Complexity
    ///
    /// O(what is unsent); blocks the calling thread, for the timeout and a second more at most, and no other. Zero sends nothing
    /// that is unsent, but says goodbye. Entries and pins stay as they are.
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster, LeaveError};
    /// # use std::time::Duration;
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// cluster.leave(Duration::from_secs(1))?;
    /// assert_eq!(cluster.leave(Duration::from_secs(1)), Err(LeaveError::Left));
    /// assert!(cache.insert("k", "v").is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leave(&self, timeout: Duration) -> Result<(), LeaveError> {
        let answer = self.ask_to_leave(timeout)?;
        let waited = timeout.saturating_add(GRACE);
        outcome(answer.wait(waited).map_err(|_| LeaveError::NoAnswer { waited })?, timeout)
    }

    /// As [`Cluster::leave`], for any runtime. It begins with the call, not with the first poll; dropping the future does not
    /// end it. Blocks nobody; the future holds one allocation, and neither the cache nor a value.
    ///
    /// # Errors
    ///
    /// As [`Cluster::leave`].
    ///
    /// ```
    /// # use also_cache::{Cache, Cluster};
    /// # use std::time::Duration;
    /// # fn run<T>(task: impl std::future::Future<Output = T>) -> T {
    /// #     let (mut task, waker) = (std::pin::pin!(task), std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(done) = task.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
    /// #             return done;
    /// #         }
    /// #         std::thread::yield_now();
    /// #     }
    /// # }
    /// # let cache = Cache::builder().capacity(4 << 20).open()?;
    /// # let cluster = Cluster::builder(&cache).listen("127.0.0.1:0").insecure_plaintext().start()?;
    /// # run(async {
    /// cluster.leave_async(Duration::from_secs(1)).await?;
    /// # Ok::<(), also_cache::LeaveError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leave_async(&self, timeout: Duration) -> impl Future<Output = Result<(), LeaveError>> + Send + use<> {
        let answer = self.ask_to_leave(timeout);
        async move { outcome(answer?.await, timeout) }
    }

    fn ask_to_leave(&self, timeout: Duration) -> Result<Answer<Departure>, LeaveError> {
        self.shared().leave(timeout).map_err(|_| LeaveError::Left)
    }
}

fn outcome(departure: Option<Departure>, waited: Duration) -> Result<(), LeaveError> {
    // Nobody answers once another call has made the node leave.
    let departure = departure.ok_or(LeaveError::Left)?;
    let most = departure.unacknowledged.iter().map(|(_, cells)| *cells).max();
    match most {
        None => Ok(()),
        Some(cells) => {
            Err(LeaveError::Unconfirmed { waited, left: Lag::of_cells(cells), members: departure.unacknowledged.len() })
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.handle.name)
            .field("address", &self.local_address())
            .field("readiness", &self.readiness())
            .field("in_cluster", &self.handle.in_cluster)
            .finish_non_exhaustive()
    }
}
