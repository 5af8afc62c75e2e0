//! Doors for models of loads: a guard for a fill, and the flights of a key.

use super::Model;
use crate::engine::fill::{Fills, Ticket, Unfilled, Wish};
use crate::engine::flights::{Bounds, Caller, Flights, Joined, Lease};
use crate::eviction::expiry::TimeToLive;
use crate::sync::Arc;
use crate::types::key::{Key, KeyspaceId};
use std::time::{Duration, Instant};

/// A load under way.
pub struct Loading(Ticket);

/// The flights of an arena, each of which comes to a number.
pub struct Flying(Arc<Flights<u64>>);

/// The right to load a key; dropped, it is given up.
pub struct Right(Lease<u64>);

impl Right {
    /// Ends the flight.
    pub fn land(self, loaded: u64) {
        self.0.land(|| loaded);
    }
}

/// What joining a flight came to.
pub enum Flown {
    /// To be loaded.
    First(Right),
    /// Somebody else has loaded it.
    Loaded(u64),
    /// Who loaded it has given up.
    Abandoned,
    /// Nobody may load or wait any more.
    Alone,
}

impl Model {
    /// The same arena, where loads are noted.
    pub fn loading(self) -> Self {
        let Ok(mut engine) = Arc::try_unwrap(self.engine) else { panic!("nobody else has the arena") };
        engine.fills = Fills::with_cells(1);
        engine.set_clock_error(2_000_000);
        Self { engine: Arc::new(engine) }
    }

    /// Takes the guard of a load; to be ended by `fill`.
    pub fn begin_load(&self, key: u8) -> Loading {
        Loading(self.engine.begin_fill(self.hash(&[key])))
    }

    /// Caches what was read, and ends the load. Whether it is cached; `None` without a slot.
    pub fn fill(&self, loading: Loading, key: u8, value: u64) -> Option<bool> {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let wish = Wish { ttl: TimeToLive::NEVER, cost: 0, row: None };
        let filled = self.engine.fill(&loading.0, &self.engine.seek(key), Some(&value.to_le_bytes()), &wish);
        self.engine.end_fill(&loading.0);
        match filled {
            Ok(_) => Some(true),
            Err(Unfilled::Voided) => Some(false),
            Err(_) => None,
        }
    }

    /// Nobody loads yet.
    pub fn flights(&self) -> Flying {
        Flying(Arc::new(Flights::new(Bounds { loads: 2, waiters: 2, wait: Duration::from_secs(1 << 20) })))
    }

    /// Joins the flight of a key, and waits for it where somebody else is first.
    pub fn join(&self, flying: &Flying, key: u8) -> Flown {
        let bytes = [key];
        let key = Key { keyspace: KeyspaceId::RAW, bytes: &bytes };
        let by = Caller { deadline: Instant::now() + Duration::from_secs(1 << 20), thread: None, is_loading: false };
        match Flights::join(&flying.0, &self.engine, key, self.engine.hash(key), by, None) {
            Joined::First(lease) => Flown::First(Right(lease)),
            Joined::Waits(answer) => match answer.wait(Duration::MAX) {
                Ok(Some(loaded)) => Flown::Loaded(loaded),
                Ok(None) => Flown::Abandoned,
                Err(_) => unreachable!("nobody is late here"),
            },
            Joined::Queued(_) | Joined::Alone => Flown::Alone,
        }
    }
}

impl Clone for Flying {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
