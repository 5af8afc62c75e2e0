//! An identity: a name, one of its lives, and how to reach it.
//!
//! ```text
//!   name         whose it is; foca keeps one identity of each name
//!   rank         which of several identities of a name holds: the higher one
//!                begins as the incarnation; raised when others take the node for dead, or believe in another one
//!   incarnation  which life of the node: what streams are numbered by; decides between equal ranks
//!   -- what follows says nothing about who it is --
//!   address      where to reach it; unknown at first if nobody configured it: whoever gets a datagram writes in where from
//!   leaving      it said goodbye itself
//! ```
//!
//! So a restart beats the life before it wherever it comes up, and a node that was taken for dead comes back without
//! another incarnation: its streams go on.

#![forbid(unsafe_code)]

use super::event::Member;
use crate::sync::Arc;
use crate::types::stream::Incarnation;
use std::net::SocketAddr;

/// A node in one of its lives, as foca sees it.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Empty where only the address is known: a seed.
    pub(super) name: Arc<str>,
    pub(super) rank: u64,
    pub(super) incarnation: Incarnation,
    pub(super) address: Option<SocketAddr>,
    pub(super) leaving: bool,
}

impl Identity {
    /// Whoever lives at an address.
    pub(super) fn anybody_at(address: SocketAddr) -> Self {
        let (name, incarnation) = (Arc::from(""), Incarnation::default());
        Self { name, rank: 0, incarnation, address: Some(address), leaving: false }
    }

    /// The same one, above a rank.
    pub(super) fn above(&self, rank: u64) -> Self {
        Self { rank: self.rank.max(rank).saturating_add(1), ..self.clone() }
    }

    /// As the rest of the library knows it; `None` without an address.
    pub(super) fn member(&self) -> Option<Member> {
        Some(Member { name: self.name.clone(), incarnation: self.incarnation, address: self.address? })
    }

    /// What decides between two of one name.
    pub(super) fn standing(&self) -> (u64, Incarnation) {
        (self.rank, self.incarnation)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.standing() == other.standing() && self.name == other.name
    }
}

impl Eq for Identity {}

impl foca::Identity for Identity {
    type Addr = Arc<str>;

    fn renew(&self) -> Option<Self> {
        Some(self.above(self.rank))
    }

    fn addr(&self) -> Self::Addr {
        self.name.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.standing() > adversary.standing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foca::Identity as _;

    #[test]
    fn the_later_life_wins_and_a_renewed_one_is_the_same_life() {
        let first =
            Identity { incarnation: Incarnation(7), rank: 7, ..Identity::anybody_at(([127, 0, 0, 1], 1).into()) };
        let second = Identity { incarnation: Incarnation(9), rank: 9, ..first.clone() };
        assert!(second.win_addr_conflict(&first) && !first.win_addr_conflict(&second));
        let renewed = first.renew().expect("always");
        assert!(renewed.win_addr_conflict(&first) && renewed != first && renewed.incarnation == first.incarnation);
        let elsewhere = Identity { address: None, leaving: true, ..first.clone() };
        assert_eq!(elsewhere, first, "where it is does not say who it is");
    }
}
