//! Who is there: membership by probes and gossip, without a socket, a clock or a thread.

#![forbid(unsafe_code)]

mod event;
mod settings;

use crate::types::stream::Incarnation;
pub(crate) use event::{Member, MemberEvent, MembershipCounters};
pub(crate) use settings::MembershipSettings;
use std::net::SocketAddr;

/// One node's view of the others.
///
/// After each `handle_*`, `announce`, `set_address` or `leave`: fetch datagrams and events until there are none, then sleep until
/// [`poll_timeout`](Self::poll_timeout). All times are microseconds of one clock that never goes back.
#[derive(Debug)]
pub(crate) struct Membership {
    own: Own,
}

#[derive(Debug)]
struct Own;

/// Who this node is.
#[derive(Clone, Debug)]
pub(crate) struct OwnIdentity<'a> {
    /// 1 to 64 bytes.
    pub(crate) name: &'a str,
    pub(crate) incarnation: Incarnation,
    /// Where others reach it; without, others take the address from which its datagrams come.
    pub(crate) address: Option<SocketAddr>,
}

#[expect(unused_variables, reason = "signatures")]
impl Membership {
    /// `seed` decides whom it probes when.
    pub(crate) fn new(settings: MembershipSettings, own: OwnIdentity<'_>, seed: u64, now_us: u64) -> Self {
        Self { own: Own }
    }
    /// The body of a datagram that was opened.
    pub(crate) fn handle_datagram(&mut self, now_us: u64, from: SocketAddr, body: &[u8]) {}
    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_us: u64) {}
    /// The seeds from now on: called at once, and again as long as they are no members.
    pub(crate) fn announce(&mut self, now_us: u64, seeds: &[SocketAddr]) {}
    /// This node's address is known now, or is another one.
    pub(crate) fn set_address(&mut self, now_us: u64, address: SocketAddr) {}
    /// Says goodbye to all. Nothing is heard or said afterwards.
    pub(crate) fn leave(&mut self, now_us: u64) {}
    /// The next body to be sealed and sent, and where to.
    pub(crate) fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        None
    }
    /// When `handle_timeout` is due.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        None
    }
    /// The next thing that happened.
    pub(crate) fn poll_event(&mut self) -> Option<MemberEvent> {
        None
    }
    /// All that are up, without this node.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member> + '_ {
        std::iter::empty()
    }
    pub(crate) fn counters(&self) -> MembershipCounters {
        MembershipCounters::default()
    }
}
