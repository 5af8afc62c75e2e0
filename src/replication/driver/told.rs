//! Events that a stranger or a name server could cause without end: one a minute of each source, and of few sources.

#![forbid(unsafe_code)]

use crate::replication::session::time::Micros;
use crate::types::limits::{EVENT_SOURCE_INTERVAL_MS, EVENT_SOURCES_MAX};
use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Sources that were told of lately, and until when they are not again.
#[derive(Debug)]
pub(super) struct Told<S>(BTreeMap<S, Micros>);

impl<S> Default for Told<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Ord> Told<S> {
    /// Whether an event of this source may be told now; it counts as told then.
    pub(super) fn may_tell<Q>(&mut self, now: Micros, source: &Q) -> bool
    where
        S: Borrow<Q>,
        Q: Ord + ToOwned<Owned = S> + ?Sized,
    {
        self.0.retain(|_, until| *until > now);
        let may = self.0.len() < EVENT_SOURCES_MAX && !self.0.contains_key(source);
        if may {
            self.0.insert(source.to_owned(), now.plus(EVENT_SOURCE_INTERVAL_MS * 1_000));
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_of_once_a_minute_and_of_many_only_some() {
        let mut told = Told::<String>::default();
        assert!(told.may_tell(Micros(5), "a") && !told.may_tell(Micros(5), "a"));
        assert!(!told.may_tell(Micros(60_000_004), "a") && told.may_tell(Micros(60_000_005), "a"));
        let others = (0..2 * EVENT_SOURCES_MAX).filter(|number| told.may_tell(Micros(60_000_005), &number.to_string()));
        assert_eq!(others.count(), EVENT_SOURCES_MAX - 1);
        assert!(told.may_tell(Micros(120_000_005), "late"), "the table empties itself");
    }
}
