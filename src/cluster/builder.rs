//! Settings of a node, checked once, and the start that follows.

#![forbid(unsafe_code)]

use crate::cache::Cache;
use crate::cluster::error::StartError;
use crate::cluster::handle::Cluster;
use crate::cluster::policy::{OnIsolated, OnOriginLost};
use crate::cluster::seed::{self, Seed};
use crate::types::limits::{LISTEN_DEFAULT, NODE_NAME_BYTES_MAX, SEEDS_MAX};
use std::fmt;
use std::net::SocketAddr;

/// Settings of a node of a cluster. Made by [`Cluster::builder`].
#[derive(Clone)]
#[must_use]
pub struct ClusterBuilder {
    cache: Cache,
    name: Option<String>,
    cluster: String,
    listen: String,
    advertise: Option<SocketAddr>,
    seeds: Vec<String>,
    secrets: Vec<Vec<u8>>,
    plaintext: bool,
    serve_unconfirmed: bool,
    on_isolated: OnIsolated,
    on_origin_lost: OnOriginLost,
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

    /// Where to look for other nodes: `host:port` each, names or addresses, at most 64. A name may stand for many
    /// addresses; it is looked up again and again, all of them are tried, and that there are none yet is no error. The
    /// own address may be among them. Default: none, the first node of a cluster waits for others.
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// The secrets that admit a node, the same on all nodes: the first one is used, the others are accepted. To change
    /// the secret: add the new one behind the old one everywhere, put it in front everywhere, take the old one away.
    pub fn secrets<S: AsRef<[u8]>>(mut self, secrets: impl IntoIterator<Item = S>) -> Self {
        self.secrets = secrets.into_iter().map(|secret| secret.as_ref().to_vec()).collect();
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

    /// What happens to entries when a node is lost together with changes that nobody else has. Default
    /// [`OnOriginLost::Keep`].
    pub fn on_origin_lost(mut self, policy: OnOriginLost) -> Self {
        self.on_origin_lost = policy;
        self
    }
