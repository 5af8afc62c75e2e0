//! What the calls of [`Membership`] share: the own name, room for others, words outside of foca's rounds, and news.

#![forbid(unsafe_code)]

use super::codec::Said;
use super::identity::Identity;
use super::namesake::Verdict;
use super::{Member, MemberEvent, Membership};
use crate::sync::bite;
use crate::types::limits::{EVENTS_MAX, MEMBERS_KNOWN_MAX};
use foca::{Header, Member as Update, Message, OwnedNotification, State, Timer};
use std::collections::BTreeSet;
use std::net::SocketAddr;

impl Membership {
    /// Takes over what foca wants after a call.
    pub(super) fn settle(&mut self, now_us: u64) {
        for (after, timer) in self.outputs.timers.drain(..) {
            self.timers.set(now_us, after, timer);
        }
        for news in std::mem::take(&mut self.outputs.news) {
            self.report(news);
        }
    }

    fn report(&mut self, news: OwnedNotification<Identity>) {
        let event = match news {
            OwnedNotification::MemberUp(identity) => identity.member().map(MemberEvent::Up),
            OwnedNotification::MemberDown(identity) if identity.leaving => identity.member().map(MemberEvent::Left),
            OwnedNotification::MemberDown(identity) => identity.member().map(MemberEvent::Down),
            OwnedNotification::Rename(former, identity) => replaced(former.member(), identity.member()),
            OwnedNotification::Rejoin(_) => {
                self.counters.renewed += 1;
                self.rejoining.begin();
                Some(MemberEvent::Renewed)
            }
            OwnedNotification::Active => {
                self.rejoining.end();
                None
            }
            OwnedNotification::Idle | OwnedNotification::Defunct => None,
        };
        event.into_iter().for_each(|event| self.tell_caller(event));
    }

    /// Keeps an event; with too many, the oldest goes.
    fn tell_caller(&mut self, event: MemberEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.counters.missed_events += 1;
        }
        self.events.push_back(event);
    }

    /// What gossip says of this node's own name, but of another identity, is not for foca: it would have that one declared
    /// dead, and be declared dead in turn.
    pub(super) fn take_out_own_name(&mut self, now_us: u64, updates: &mut Vec<Update<Identity>>) {
        let own = self.foca.identity().clone();
        let mut call = None;
        updates.retain(|update| {
            let other = update.id().name == own.name && *update.id() != own && !bite("membership.own-name-to-foca");
            if other {
                call = call.or(self.namesakes.heard(now_us, &own, update));
            }
            !other
        });
        call.into_iter().for_each(|address| self.call(address));
    }

    /// A datagram whose sender has this node's own name.
    pub(super) fn met_namesake(&mut self, now_us: u64, other: &Identity, from: SocketAddr) {
        let verdict = self.namesakes.met(self.foca.identity(), other);
        if verdict == Verdict::Itself || bite("membership.namesake-ignored") {
            return;
        }
        self.counters.namesakes += 1;
        let (incarnation, address) = (other.incarnation, other.address.unwrap_or(from));
        match verdict {
            Verdict::Newer => {
                self.tell_caller(MemberEvent::Superseded { incarnation, address });
                self.outputs.datagrams.clear();
                // The last word: the newer one should know that there was another.
                self.call(address);
                self.fall_silent();
            }
            Verdict::Older { report } => {
                if report {
                    self.tell_caller(MemberEvent::Namesake { incarnation, address });
                }
                if self.namesakes.may_call(now_us) {
                    self.call(address);
                }
            }
            Verdict::Itself => {}
        }
    }

    /// Whether all names of a datagram can be remembered. Makes room by forgetting who has been down longest.
    pub(super) fn has_room(&mut self, said: &Said) -> bool {
        let known = self.foca.iter_membership_state().len();
        if known + 1 + said.updates.len() <= MEMBERS_KNOWN_MAX {
            return true;
        }
        let mut names: BTreeSet<&str> = said.updates.iter().map(|update| &*update.id().name).collect();
        names.insert(&said.header.src.name);
        for member in self.foca.iter_membership_state() {
            names.remove(&*member.id().name);
        }
        let missing = (known + names.len()).saturating_sub(MEMBERS_KNOWN_MAX);
        (0..missing).all(|_| {
            let forgetting = self.timers.take_forgetting();
            forgetting.is_some_and(|timer| self.foca.handle_timer(timer, &mut self.outputs).is_ok())
        })
    }

    /// Tells a sender that its name is known with a higher rank: it may be a copy, or its clock may have gone back.
    pub(super) fn correct(&mut self, src: &Identity) {
        let outranks =
            |known: &&Update<Identity>| known.id().name == src.name && known.id().standing() > src.standing();
        let known = self.foca.iter_membership_state().find(outranks).cloned();
        known.into_iter().for_each(|known| self.tell(src, known));
    }

    /// One piece of gossip outside of foca's rounds.
    pub(super) fn tell(&mut self, to: &Identity, update: Update<Identity>) {
        let (src, dst) = (self.foca.identity().clone(), to.clone());
        // 0 refutations claim nothing: a receiver that knows of more keeps them.
        let header = Header { src, src_incarnation: 0, dst, message: Message::Gossip };
        let said = Said { header, updates: vec![update] };
        if let Some(address) = to.address.filter(|_| said.write(&mut self.scratch).is_ok()) {
            self.outputs.send(address, &self.scratch);
        }
    }

    /// Calls whoever lives at an address.
    pub(super) fn call(&mut self, address: SocketAddr) {
        let announced = self.foca.announce(Identity::anybody_at(address), &mut self.outputs);
        debug_assert!(announced.is_ok(), "an announcement always fits");
    }

    /// Goes on as another identity of the same name, and says so.
    pub(super) fn become_identity(&mut self, identity: Identity) {
        self.rejoining.begin();
        let changed = self.foca.change_identity(identity, &mut self.outputs);
        debug_assert!(changed.is_ok(), "a higher rank is another identity");
    }

    /// foca tells three members of a new identity, once, and then waits for their answer. All are called until one comes.
    pub(super) fn rejoin(&mut self, now_us: u64) {
        if self.rejoining.is_due(now_us) {
            let members: Vec<SocketAddr> = self.members().map(|member| member.address).collect();
            if members.is_empty() || bite("membership.new-identity-said-once") {
                // Nobody is left to be told; seeds are called as ever.
                self.rejoining.end();
            }
            members.into_iter().for_each(|address| self.call(address));
        }
    }

    /// Whether a suspicion still stands. foca asks that too, but tells a member that it is dead before it has looked.
    pub(super) fn is_void(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return false };
        let stands = |member: &Update<Identity>| {
            member.id() == member_id && member.incarnation() == *incarnation && member.state() == State::Suspect
        };
        !self.foca.iter_membership_state().any(stands) && !bite("membership.void-suspicion-kept")
    }

    pub(super) fn fall_silent(&mut self) {
        self.silent = true;
        self.timers.clear();
    }
}

/// Another life or another address; a rank alone is no news.
fn replaced(former: Option<Member>, member: Option<Member>) -> Option<MemberEvent> {
    let (former, member) = (former?, member?);
    if former == member { None } else { Some(MemberEvent::Replaced { former, member }) }
}

/// Whether others can reach an address at all.
pub(super) fn is_reachable(address: &SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}
