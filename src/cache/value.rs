//! What reads return: bytes in the arena, kept by an epoch guard or by a counted pin.

#![forbid(unsafe_code)]

use crate::cache::calls::Handle;
use crate::engine::Engine;
use crate::engine::counters::Counter;
use crate::engine::get::Hit;
use crate::sync::epoch::Guard;
use crate::types::version::Version;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// A value in the arena, read in place.
///
/// It holds an epoch guard: short-lived, not `Send`, never to be kept across an await. While it lives no slot that was
/// retired meanwhile is reused. For longer use take a [`PinnedValue`].
pub struct Value<'c> {
    pub(super) handle: &'c Arc<Handle>,
    pub(super) guard: Guard,
    pub(super) hit: Hit,
}

impl Value<'_> {
    fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// The version that the entry was written under.
    pub fn version(&self) -> Version {
        self.engine().version(&self.hit)
    }

    /// How long the entry is still visible; `None` if it does not expire.
    pub fn expires_in(&self) -> Option<Duration> {
        self.engine().expires_in(&self.hit)
    }

    /// A handle on the same bytes that may be kept, sent and held across an await.
    ///
    /// Pins the slot, which stalls nothing else; where the pin budget is spent the bytes are copied, and that is
    /// counted (`Stats::pins_refused`).
    pub fn pin(&self) -> PinnedValue {
        PinnedValue::of(self.handle, &self.guard, &self.hit)
    }
}

impl Deref for Value<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.handle.engine.value(&self.guard, &self.hit)
    }
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes, {})", self.len(), self.version())
    }
}

/// A value that may be kept: `Send`, `Sync`, `'static`; it keeps its cache mapped.
///
/// Pinned in the arena, or owned bytes where the pin budget was spent or a loaded value could not be cached.
pub struct PinnedValue(Kept);

enum Kept {
    Pinned { handle: Arc<Handle>, hit: Hit },
    Owned { bytes: Arc<[u8]>, version: Option<Version> },
}

impl PinnedValue {
    pub(super) fn of(handle: &Arc<Handle>, guard: &Guard, hit: &Hit) -> Self {
        let engine = &handle.engine;
        if engine.pin_entry(guard, hit) {
            return Self(Kept::Pinned { handle: handle.clone(), hit: *hit });
        }
        engine.counters().add(Counter::PinsRefused);
        Self(Kept::Owned { bytes: engine.value(guard, hit).into(), version: Some(engine.version(hit)) })
    }

    /// What could not be cached.
    pub(super) fn owned(bytes: Arc<[u8]>) -> Self {
        Self(Kept::Owned { bytes, version: None })
    }

    /// The version that the entry was written under; `None` for a loaded value that could not be cached.
    pub fn version(&self) -> Option<Version> {
        match &self.0 {
            Kept::Pinned { handle, hit } => Some(handle.engine.version(hit)),
            Kept::Owned { version, .. } => *version,
        }
    }

    /// Whether the bytes lie in the arena; else they were copied.
    pub fn is_pinned(&self) -> bool {
        matches!(self.0, Kept::Pinned { .. })
    }
}

impl Deref for PinnedValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Pinned { handle, hit } => handle.engine.pinned_value(hit),
            Kept::Owned { bytes, .. } => bytes,
        }
    }
}

impl AsRef<[u8]> for PinnedValue {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for PinnedValue {
    fn drop(&mut self) {
        if let Kept::Pinned { handle, hit } = &self.0 {
            handle.engine.unpin_entry(hit);
        }
    }
}

impl fmt::Debug for PinnedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = if self.is_pinned() { "pinned" } else { "owned" };
        match self.version() {
            Some(version) => write!(f, "PinnedValue({kept}, {} bytes, {version})", self.len()),
            None => write!(f, "PinnedValue({kept}, {} bytes, not cached)", self.len()),
        }
    }
}
