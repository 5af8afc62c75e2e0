//! The times of membership, tuned for a LAN: a death is known in about two seconds.
//!
//! ```text
//!   0      70 ms               250 ms                              1,250 ms
//!   |-------|--------------------|------------------------------------|-------> gossip: 0.1 s
//!   ping    three others         suspect: gossip says so,             down
//!           are asked to ping    and it may say that it lives
//! ```
//!
//! Which member is probed next is chosen at random, each once a round; so a death waits for its first ping on top of that,
//! up to two rounds of each node, but each node probes, and the first one tells the others.

#![forbid(unsafe_code)]

use crate::replication::security::DATAGRAM_BODY_MAX;
use foca::PeriodicParams;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

/// How often, and how long.
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
    /// Between two calls to seeds that are no members: the shortest, and the longest.
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

impl MembershipSettings {
    /// As foca takes them.
    pub(super) fn of_foca(&self) -> foca::Config {
        let every = |frequency| Some(PeriodicParams { frequency, num_members: FANOUT });
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_answer,
            num_indirect_probes: FANOUT,
            max_transmissions: TRANSMISSIONS,
            suspect_to_down_after: self.suspicion,
            remove_down_after: Some(self.memory),
            max_packet_size: PACKET_BYTES,
            notify_down_members: true,
            periodic_announce: Some(PeriodicParams { frequency: self.announce_last, num_members: NonZeroUsize::MIN }),
            periodic_announce_to_down_members: every(self.revival_period),
            periodic_gossip: every(self.gossip_period),
        }
    }
}

/// Members that are asked, told or called at one time.
const FANOUT: NonZeroUsize = NonZeroUsize::new(3).expect("three");
/// How often one piece of news is told.
const TRANSMISSIONS: NonZeroU8 = NonZeroU8::new(10).expect("ten");
const PACKET_BYTES: NonZeroUsize = NonZeroUsize::new(DATAGRAM_BODY_MAX).expect("more than the seal");
