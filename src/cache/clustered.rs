//! What a cluster needs of a cache: its engine, that there is one cluster at a time, and what was written.

#![forbid(unsafe_code)]

use crate::cache::calls::Cache;
use crate::engine::Engine;
use crate::sync::{Arc, Ordering};
use crate::types::token::Token;

/// Says that a cache is in a cluster, until it is dropped.
#[derive(Debug)]
pub(crate) struct InCluster(Cache);

impl Cache {
    /// All that this node of a cluster has written since it was started, as a token: whoever takes it to another node can
    /// wait there until that one has applied it, by [`Cluster::get_after`](crate::Cluster::get_after). Without a cluster a
    /// token of nothing, which is met everywhere.
    ///
    /// # Complexity
    ///
    /// Reads a few words of the arena; allocates a list of its lives, eight at most.
    ///
    /// ```
    /// # let cache = also_cache::Cache::builder().capacity(1 << 20).open()?;
    /// assert_eq!(cache.token().to_string(), "0000-0-0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn token(&self) -> Token {
        self.engine().token()
    }

    /// Enters a cluster; `None` if it is in one.
    pub(crate) fn enter_cluster(&self) -> Option<InCluster> {
        // Acquire: pairs with the Release in `drop`; the end of the last cluster is seen.
        let was_in = self.handle.in_cluster.swap(true, Ordering::Acquire);
        (!was_in).then(|| InCluster(self.clone()))
    }

    pub(crate) fn shared_engine(&self) -> &Arc<Engine> {
        &self.handle.engine
    }
}

impl Drop for InCluster {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `enter_cluster`.
        self.0.handle.in_cluster.store(false, Ordering::Release);
    }
}
