//! Loads of missing keys: once for all who ask, cached only if nobody wrote meanwhile, and never in anybody's way.

mod tasks;
mod threads;
mod voids;

use also_cache::{Builder, Cache};
use std::time::Duration;

/// A small cache whose loads wait for long.
fn cache() -> Cache {
    builder().open().expect("opens")
}

fn builder() -> Builder {
    Cache::builder().capacity(4 << 20).load_wait(Duration::from_secs(60))
}

/// A loader's error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Down(u32);

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the database is down, {}", self.0)
    }
}

impl std::error::Error for Down {}
