//! The times of membership, tuned for a LAN: a death is known in about two seconds.
//!
//! ```text
//!   0        ping              250 ms: suspect            1.25 s: down      + gossip 0.1 s
//!   |--------|---- 70 ms: ask three others to ping ----|-------------------|
//! ```

#![forbid(unsafe_code)]

use std::time::Duration;

/// How often, how long, how many.
#[derive(Clone, Debug)]
pub(crate) struct MembershipSettings {
    /// Between two probes, each of another member.
    pub(crate) probe_period: Duration,
    /// After which an answer is late, and others are asked.
    pub(crate) probe_answer: Duration,
    /// How long a suspect may say that it lives.
    pub(crate) suspicion: Duration,
    /// Between two rounds of gossip, while there is news.
    pub(crate) gossip_period: Duration,
    /// Between two attempts to reach members that are down.
    pub(crate) revival_period: Duration,
    /// How long who is down is remembered.
    pub(crate) memory: Duration,
    /// Between two calls to seeds that are no members: the first, and the longest.
    pub(crate) announce_first: Duration,
    pub(crate) announce_last: Duration,
}

impl Default for MembershipSettings {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(250),
            probe_answer: Duration::from_millis(70),
            suspicion: Duration::from_secs(1),
            gossip_period: Duration::from_millis(100),
            revival_period: Duration::from_secs(2),
            memory: Duration::from_secs(24 * 60 * 60),
            announce_first: Duration::from_secs(1),
            announce_last: Duration::from_secs(5),
        }
    }
}
