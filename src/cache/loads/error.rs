//! Why nothing was loaded.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A load that failed: what the loader said. The cache itself fails none.
///
/// Nothing is cached. Everyone who waited for this load at that moment gets the same error; the next call loads again.
#[derive(Debug)]
pub struct LoadError<E>(Arc<E>);

impl<E> LoadError<E> {
    pub(super) fn new(error: Arc<E>) -> Self {
        Self(error)
    }

    /// What the loader said.
    pub fn get(&self) -> &E {
        &self.0
    }

    /// The loader's error itself; `Err` gives this back if others got it too.
    ///
    /// # Errors
    ///
    /// This error, while another call that waited for the same load still has it.
    pub fn into_inner(self) -> Result<E, Self> {
        Arc::try_unwrap(self.0).map_err(Self)
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value could not be loaded: {}", self.0)
    }
}

impl<E: Error + 'static> Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
