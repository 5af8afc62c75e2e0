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
    Owned(Arc<[u8]>),
}

impl<'c> Loaded<'c> {
    #[inline]
    pub(super) fn cached(value: Value<'c>) -> Self {
        Self(Place::Cached(value))
    }

    pub(super) fn owned(bytes: Arc<[u8]>) -> Self {
        Self(Place::Owned(bytes))
    }

    /// Whether the bytes lie in the cache.
    pub fn is_cached(&self) -> bool {
        matches!(self.0, Place::Cached(_))
    }

    /// The version of the entry; `None` if it is not cached.
    pub fn version(&self) -> Option<Version> {
        match &self.0 {
            Place::Cached(value) => Some(value.version()),
            Place::Owned(_) => None,
        }
    }

    /// The value in the cache, if it is there.
    pub fn into_cached(self) -> Option<Value<'c>> {
        match self.0 {
            Place::Cached(value) => Some(value),
            Place::Owned(_) => None,
        }
    }

    /// A handle on the same bytes that may be kept, sent and held across an await.
    pub fn pin(&self) -> PinnedValue {
        match &self.0 {
            Place::Cached(value) => value.pin(),
            Place::Owned(bytes) => PinnedValue::owned(bytes.clone()),
        }
    }
}

impl Deref for Loaded<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Cached(value) => value,
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
