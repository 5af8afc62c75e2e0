//! A value written in place: room first, bytes then, published by `commit`.

#![forbid(unsafe_code)]

use crate::arena::frame::FrameKind;
use crate::cache::calls::Handle;
use crate::cache::error::InsertError;
use crate::cache::options::InsertOptions;
use crate::engine::changes::Ordering;
use crate::engine::insert::{Draft, Entry, Refusal, Source};
use crate::eviction::expiry::TimeToLive;
use crate::types::key::{Key, KeyspaceId};
use crate::types::version::Version;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Room for a value: fill it in place, then [`Reservation::commit`]. Dropping it leaves no trace.
///
/// Holds no guard, so it may be kept while bytes arrive; it starts as zeros.
pub struct Reservation<'c> {
    handle: &'c Arc<Handle>,
    key: Box<[u8]>,
    keyspace: KeyspaceId,
    ordering: Ordering,
    ttl: TimeToLive,
    options: InsertOptions,
    draft: Option<Draft>,
}

impl<'c> Reservation<'c> {
    pub(super) fn new(
        handle: &'c Arc<Handle>,
        key: &[u8],
        keyspace: KeyspaceId,
        ordering: Ordering,
        ttl: TimeToLive,
        options: InsertOptions,
        draft: Draft,
    ) -> Self {
        let mut reservation = Self { handle, key: key.into(), keyspace, ordering, ttl, options, draft: Some(draft) };
        reservation.fill(0);
        reservation
    }

    /// Stamps, checksums and publishes the value now.
    ///
    /// # Errors
    ///
    /// As [`crate::Cache::insert_with`]; the room is given back.
    pub fn commit(mut self) -> Result<Version, InsertError> {
        let engine = &self.handle.engine;
        let (Some(draft), Some(key)) = (self.draft.take(), Key::new(self.keyspace, &self.key)) else {
            return Err(InsertError::Closed);
        };
        let Some((_writing, guard)) = engine.begin_write() else {
            engine.abandon(&draft);
            return Err(InsertError::Closed);
        };
        let version = engine.next_version(&self.ordering);
        let entry =
            Entry { version, ttl: self.ttl, kind: FrameKind::Value, cost: self.options.cost, source: Source::Local };
        let hash = engine.hash(key);
        let bytes = engine.draft_bytes(&draft).len() as u64;
        let published = engine.publish(&guard, key, hash, &draft, &entry);
        drop(guard);
        match published {
            Ok(_) => Ok(version),
            Err(refusal) => {
                engine.refused(key, hash, &refusal, &entry);
                self.handle.explain_refusal(refusal, key, version, bytes, &self.ordering)
            }
        }
    }
}

impl Handle {
    /// How a refused insert ends: one that lost to a concurrent newer one has happened just before it.
    pub(super) fn explain_refusal(
        &self,
        refusal: Refusal,
        key: Key<'_>,
        version: Version,
        bytes: u64,
        ordering: &Ordering,
    ) -> Result<Version, InsertError> {
        match refusal {
            // Beside a load of the key, too: then it is loaded again.
            Refusal::Superseded(_) | Refusal::BelowFloor | Refusal::Unordered(_)
                if ordering.row.is_none() && ordering.given.is_none() =>
            {
                Ok(version)
            }
            refusal => Err(self.error_of(refusal, key, version, bytes)),
        }
    }

    /// The public error of a refusal.
    pub(super) fn error_of(&self, refusal: Refusal, key: Key<'_>, version: Version, bytes: u64) -> InsertError {
        match refusal {
            Refusal::Busy => InsertError::Busy { bytes },
            Refusal::TooLarge => {
                InsertError::ValueTooLarge { bytes, limit: self.engine.value_bytes_limit(key, &version) }
            }
            Refusal::Superseded(current) => InsertError::Superseded { current },
            Refusal::BelowFloor => InsertError::BelowFloor { given: version },
            Refusal::Unordered(current) => InsertError::Unordered { given: version, current },
        }
    }
}

impl Deref for Reservation<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.draft.as_ref().map_or(&[], |draft| self.handle.engine.draft_bytes(draft))
    }
}

impl DerefMut for Reservation<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.draft {
            Some(draft) => self.handle.engine.draft_bytes_mut(draft),
            None => &mut [],
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.handle.engine.abandon(&draft);
        }
    }
}

impl fmt::Debug for Reservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({} bytes)", self.len())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cache::calls::Cache;

    #[test]
    fn an_order_that_nobody_knows_is_told_with_both_versions() {
        let cache = Cache::builder().capacity(1 << 20).background(false).open().expect("opens");
        let current = cache.insert("k", "ours").expect("fits");
        // A second of a database's operation, in the middle of which ours was written.
        let given = Version {
            stamp: crate::types::version::Stamp(current.stamp() + (500_000 << 14)),
            span: crate::types::version::Span::of_write(1_000_000),
            order: crate::types::version::Order::Database,
            ..current
        };
        let refused = cache.insert_with("k", "theirs", InsertOptions::new().version(given));
        assert_eq!(refused, Err(InsertError::Unordered { given, current }));
        let text = refused.expect_err("just compared").to_string();
        assert!(text.contains(&given.to_string()) && text.contains(&current.to_string()), "{text}");
        assert!(cache.get("k").is_none(), "neither is known to be right");
        assert_eq!(cache.stats().refused_unordered, 1);
    }
}
