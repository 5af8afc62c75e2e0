//! Who is there: membership by probes and gossip, without a socket, a clock or a thread.
//!
//! ```text
//!    opened datagrams      seeds           time               events: Up, Down, Left, Replaced, ...
//!          |                 |               |                         ^
//!   +------v-----------------v---------------v-------------------------+------+
//!   |  Said: read, checked,  Seeds: called   Timers: late ones      Member    |
//!   |  own name taken out    for ever        make no verdicts                 |
//!   |  +---------------------------------------------------------------+      |
//!   |  | foca: SWIM with suspicion, rejoin, gossip (MPL-2.0)           |      |
//!   |  +---------------------------------------------------------------+      |
//!   +------+------------------------------------------------------------------+
//!          v
//!    datagrams to be sealed and sent
//! ```
//!
//! No safety rests on any of it: a verdict picks whom to dial and starts clean-up that may be done twice.
//!
//! Sources: Das, Gupta, Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol"
//! (2002); the crate `foca`.

#![forbid(unsafe_code)]

mod codec;
mod event;
#[cfg(fuzzing)]
pub mod fuzzing;
mod identity;
mod namesake;
mod outputs;
mod resolve;
mod seeds;
mod settings;
mod timers;
mod upkeep;

use crate::sync::bite;
use crate::types::limits::NODE_NAME_BYTES_MAX;
use crate::types::stream::Incarnation;
use codec::{Codec, Said};
use foca::{Foca, Member as Update, NoCustomBroadcast};
use identity::Identity;
use namesake::Namesakes;
use outputs::Outputs;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use seeds::{Rejoining, Seeds};
use std::collections::VecDeque;
use std::net::SocketAddr;
use timers::Timers;
use upkeep::is_reachable;

pub(crate) use event::{Member, MemberEvent, MembershipCounters};
pub(crate) use resolve::{Resolving, SystemResolver};
pub(crate) use settings::MembershipSettings;

pub use resolve::Resolver;

/// One node's view of the others.
///
/// After each call with `now_us`: fetch datagrams and events until there are none, then sleep until
/// [`poll_timeout`](Self::poll_timeout). All times are microseconds of one clock that never goes back.
pub(crate) struct Membership {
    foca: Foca<Identity, Codec, SmallRng, NoCustomBroadcast>,
    outputs: Outputs,
    timers: Timers,
    seeds: Seeds,
    rejoining: Rejoining,
    namesakes: Namesakes,
    random: SmallRng,
    events: VecDeque<MemberEvent>,
    counters: MembershipCounters,
    /// It has left, or a newer process has its name.
    silent: bool,
    scratch: Vec<u8>,
}

/// Who this node is.
#[derive(Clone, Debug)]
pub(crate) struct OwnIdentity<'a> {
    /// 1 to 64 bytes.
    pub(crate) name: &'a str,
    pub(crate) incarnation: Incarnation,
    /// Where others reach it. Without one, others take the address from which its datagrams come.
    pub(crate) address: Option<SocketAddr>,
}

impl Membership {
    /// A node that knows nobody. `seed` decides whom it probes when.
    ///
    /// # Panics
    ///
    /// If the name is empty or too long.
    pub(crate) fn new(settings: &MembershipSettings, own: &OwnIdentity<'_>, seed: u64) -> Self {
        let bytes = own.name.len();
        assert!((1..=NODE_NAME_BYTES_MAX).contains(&bytes), "a name of {bytes} bytes");
        let identity = Identity {
            name: own.name.into(),
            rank: own.incarnation.0,
            incarnation: own.incarnation,
            address: own.address.filter(is_reachable),
            leaving: false,
        };
        let mut random = SmallRng::seed_from_u64(seed);
        Self {
            foca: Foca::new(identity, settings.of_foca(), SmallRng::from_rng(&mut random), Codec),
            outputs: Outputs::default(),
            timers: Timers::new(settings.probe_period, settings.suspicion),
            seeds: Seeds::new(settings),
            rejoining: Rejoining::default(),
            namesakes: Namesakes::default(),
            random,
            events: VecDeque::new(),
            counters: MembershipCounters::default(),
            silent: false,
            scratch: Vec::new(),
        }
    }

    /// The body of a datagram that was opened, and the address it came from.
    pub(crate) fn handle_datagram(&mut self, now_us: u64, from: SocketAddr, body: &[u8]) {
        if self.silent {
            return;
        }
        let Ok(mut said) = Said::read(body) else {
            self.counters.malformed += 1;
            return;
        };
        said.header.src.address.get_or_insert(from);
        if said.header.src.name == self.foca.identity().name {
            self.met_namesake(now_us, &said.header.src, from);
            return self.settle(now_us);
        }
        if said.header.dst.name.is_empty() {
            said.header.dst = self.foca.identity().clone();
        }
        self.take_out_own_name(now_us, &mut said.updates);
        said.updates.retain(|update| update.id().address.is_some());
        if !self.has_room(&said) {
            self.counters.crowded += 1;
            return self.settle(now_us);
        }
        self.correct(&said.header.src);
        let written = said.write(&mut self.scratch).is_ok();
        if !written || self.foca.handle_data(&self.scratch, &mut self.outputs).is_err() {
            self.counters.malformed += 1;
        }
        self.settle(now_us);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_us: u64) {
        if self.silent {
            return;
        }
        self.counters.overslept += u64::from(self.timers.woken(now_us));
        while let Some(timer) = self.timers.take(now_us) {
            if self.is_void(&timer) {
                continue;
            }
            // What foca finds wrong here concerns one probe, which it starts anew.
            let _ = self.foca.handle_timer(timer, &mut self.outputs);
            self.settle(now_us);
        }
        let (foca, random) = (&self.foca, &mut self.random);
        let is_known = |seed: &SocketAddr| {
            let is = |identity: &Identity| identity.address == Some(*seed);
            is(foca.identity()) || foca.iter_members().any(|member| is(member.id()))
        };
        for seed in self.seeds.calls(now_us, is_known, random) {
            self.call(seed);
        }
        if let Some(rank) = self.namesakes.take_outranked(now_us) {
            let identity = self.foca.identity().above(rank);
            self.become_identity(identity);
        }
        self.rejoin(now_us);
        self.settle(now_us);
    }

    /// The seeds from now on: called at once, and again as long as they are no members.
    pub(crate) fn announce(&mut self, now_us: u64, seeds: &[SocketAddr]) {
        self.seeds.set(now_us, seeds);
        self.handle_timeout(now_us);
    }

    /// This node's address is known now, or has changed.
    pub(crate) fn set_address(&mut self, now_us: u64, address: SocketAddr) {
        let own = self.foca.identity();
        if !self.silent && is_reachable(&address) && own.address != Some(address) {
            let identity = Identity { address: Some(address), ..own.above(own.rank) };
            self.become_identity(identity);
            self.settle(now_us);
        }
    }

    /// Says goodbye to every member. Nothing is heard or said afterwards; what is queued has to be sent still.
    pub(crate) fn leave(&mut self, now_us: u64) {
        if self.silent {
            return;
        }
        let own = Identity { leaving: !bite("membership.leaves-without-a-word"), ..self.foca.identity().clone() };
        if own.leaving {
            let members: Vec<Identity> = self.foca.iter_members().map(|member| member.id().clone()).collect();
            // Twice, as a datagram may be lost.
            for member in members.iter().chain(&members) {
                self.tell(member, Update::down(own.clone()));
            }
        }
        self.settle(now_us);
        self.fall_silent();
    }

    /// The next body to be sealed and sent, and where to.
    pub(crate) fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outputs.datagrams.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let due = [self.timers.next(), self.seeds.due_us(), self.namesakes.due_us(), self.rejoining.due_us()];
        due.into_iter().flatten().min().filter(|_| !self.silent)
    }

    /// The next thing that has happened.
    pub(crate) fn poll_event(&mut self) -> Option<MemberEvent> {
        self.events.pop_front()
    }

    /// All that are up, without this node.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.foca.iter_members().filter_map(|member| member.id().member())
    }

    pub(crate) fn counters(&self) -> MembershipCounters {
        MembershipCounters { unsent: self.outputs.unsent, ..self.counters }
    }
}

#[cfg(test)]
mod tests;
