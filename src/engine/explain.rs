//! Explain: what is known about a key, without touching anything.

use crate::arena::frame::FrameKind;
use crate::engine::Engine;
use crate::engine::get::HasKey;
use crate::eviction::expiry::TimeToLive;
use crate::sync::epoch::Guard;
use crate::types::key::{Key, KeyHash};
use crate::types::version::Version;
use std::time::Duration;

/// How an entry stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    Probation,
    Main,
    Expired,
    Cleared,
    Inherited,
    Tombstone,
    Held,
    Doubted,
}

/// What is seen of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) standing: Standing,
    pub(crate) version: Version,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) slot_bytes: u64,
    pub(crate) frequency: u8,
    pub(crate) pins: u32,
}

impl Engine {
    /// The bucket of a hash and the number of buckets.
    pub(crate) fn bucket_of(&self, hash: KeyHash) -> (u32, u32) {
        (self.index.bucket_number(self.region.view(), hash), self.index.buckets(self.region.view()))
    }

    /// Looks at an entry without reading it.
    pub(crate) fn explain(&self, _guard: &Guard, key: Key<'_>, hash: KeyHash) -> Option<Seen> {
        let found = self.index.find(self.region.view(), hash, &HasKey { engine: self, key })?;
        let slot = self.slot(found.word.handle())?;
        let control = slot.control();
        // SAFETY: the guard was there before the search.
        let header = unsafe { slot.header() };
        let standing = if header.kind() != FrameKind::Value {
            Standing::Tombstone
        } else if !self.is_after_clear(header.keyspace(), header.stamp()) {
            Standing::Cleared
        } else if self.is_expired(header) {
            Standing::Expired
        } else if self.is_doubted_away(header.stamp()) {
            Standing::Doubted
        } else if !self.is_shown(header.keyspace(), header.stamp()) {
            Standing::Held
        } else if control.run() != self.run {
            Standing::Inherited
        } else if control.is_queued() {
            Standing::Probation
        } else {
            Standing::Main
        };
        let at = TimeToLive::from_bits(header.ttl()).deadline(header.stamp().micros());
        Some(Seen {
            standing,
            // SAFETY: the guard was there before the search.
            version: unsafe { slot.version() },
            expires_in: at.map(|at| Duration::from_micros(at.saturating_sub(self.clock.fine_us()))),
            slot_bytes: self.room(slot).unwrap_or(0),
            frequency: slot.frequency(),
            pins: if control.run() == self.run { control.pins() } else { 0 },
        })
    }
}
