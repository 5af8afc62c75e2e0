//! What a cluster needs of a cache: its engine, and that there is one cluster at a time.

#![forbid(unsafe_code)]

use crate::cache::calls::Cache;
use crate::engine::Engine;
use crate::sync::{Arc, Ordering};

/// Says that a cache is in a cluster, until it is dropped.
#[derive(Debug)]
pub(crate) struct InCluster(Cache);

impl Cache {
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
