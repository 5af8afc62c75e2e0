//! What a load returns.

#![forbid(unsafe_code)]

use crate::cache::value::{PinnedValue, Value};
use crate::types::version::Version;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A value that was in the cache or was loaded: in place, or owned bytes where it could not be cached.
///
/// In place it holds an epoch guard, as a [`Value`]: short-lived, not `Send`.
pub struct Loaded<'c>(Place<'c>);

enum Place<'c> {
    Cached(Value<'c>),
    Pinned(PinnedValue),
    Owned(Arc<[u8]>),
}

impl<'c> Loaded<'c> {
    #[inline]
    pub(super) fn cached(value: Value<'c>) -> Self {
        Self(Place::Cached(value))
    }

    /// The same, kept by no guard.
    pub(super) fn pinned(value: PinnedValue) -> Self {
        Self(Place::Pinned(value))
    }

    pub(super) fn owned(bytes: Arc<[u8]>) -> Self {
        Self(Place::Owned(bytes))
    }

    /// Whether the value is cached.
    pub fn is_cached(&self) -> bool {
        !matches!(self.0, Place::Owned(_))
    }

    /// The version of the entry; `None` if it is not cached.
    pub fn version(&self) -> Option<Version> {
        match &self.0 {
            Place::Cached(value) => Some(value.version()),
            Place::Pinned(value) => value.version(),
            Place::Owned(_) => None,
        }
    }

    /// The value in place, if it is read so: not one of several, nor one that is not cached.
    pub fn into_cached(self) -> Option<Value<'c>> {
        match self.0 {
            Place::Cached(value) => Some(value),
            Place::Pinned(_) | Place::Owned(_) => None,
        }
    }

    /// A handle on the same bytes that may be kept, sent and held across an await.
    pub fn pin(self) -> PinnedValue {
        match self.0 {
            Place::Cached(value) => value.pin(),
            Place::Pinned(value) => value,
            Place::Owned(bytes) => PinnedValue::owned(bytes),
        }
    }
}

impl Deref for Loaded<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Cached(value) => value,
            Place::Pinned(value) => value,
            Place::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Loaded<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Loaded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version() {
            Some(version) => write!(f, "Loaded({} bytes, {version})", self.len()),
            None => write!(f, "Loaded({} bytes, not cached)", self.len()),
        }
    }
}
