//! Writes and loads: what they must answer, and what is there afterwards.

use super::{Entry, Machine, Outcome};
use crate::operation::{How, Wish, Write};
use crate::support::{bytes, key};
use also_cache::{InsertError, InsertOptions, Version};
use std::time::Duration;

impl Machine<'_> {
    fn options(&self, write: &Write) -> (InsertOptions, Option<Wished>) {
        let mut options = InsertOptions::new().cost(write.cost);
        if let Some(ms) = write.ttl_ms {
            options = options.ttl(Duration::from_millis(ms));
        }
        match write.wish {
            Wish::Row(row) => (options.version(row), Some(Wished::Row(row))),
            Wish::Given(at) if !self.issued.is_empty() => {
                let version = self.issued[at % self.issued.len()];
                (options.version(version), Some(Wished::Given(version)))
            }
            _ => (options, None),
        }
    }

    pub(super) fn insert(&mut self, write: Write) -> Outcome {
        let (options, wished) = self.options(&write);
        let seed = self.step;
        let result = self.cache().insert_with(key(write.key), bytes(seed, write.len), options);
        self.settle_write(&write, wished, seed, result)
    }

    pub(super) fn reserve(&mut self, write: Write, commit: bool) -> Outcome {
        let (options, wished) = self.options(&write);
        let seed = self.step;
        let cache = self.cache();
        let mut room = match cache.reserve(key(write.key), write.len, options) {
            Ok(room) => room,
            Err(error) => return self.settle_write(&write, wished, seed, Err(error)),
        };
        ensure!(room.iter().all(|byte| *byte == 0), "reserved room of {} bytes is not zero", room.len());
        room.copy_from_slice(bytes(seed, write.len));
        self.read(write.key, How::Get)?;
        if !commit {
            drop(room);
            self.count("reservations dropped");
            return self.read(write.key, How::Get);
        }
        self.count("reservations committed");
        let result = room.commit();
        self.settle_write(&write, wished, seed, result)
    }

    /// What a write must have answered, and what is stored afterwards.
    fn settle_write(
        &mut self,
        write: &Write,
        wished: Option<Wished>,
        seed: u64,
        result: Result<Version, InsertError>,
    ) -> Outcome {
        let name = write.key;
        let older = self.visible(name).is_some_and(|entry| wished.is_some_and(|it| it.is_older_than(&entry.version)));
        match result {
            Ok(version) => {
                ensure!(!older || !self.shape.roomy, "key {name}: an older version replaced a newer one");
                match wished {
                    Some(Wished::Row(row)) => ensure!(version.row() == Some(row), "{version}: not row {row}"),
                    Some(Wished::Given(given)) => ensure!(version == given, "{version}: not {given}"),
                    None => ensure!(
                        self.issued.iter().all(|before| before.stamp() < version.stamp()),
                        "{version} is not above all before"
                    ),
                }
                if older {
                    // Then what was newer had been evicted.
                    self.count("misses by eviction");
                }
                let ttl_ms = write.ttl_ms.or(self.shape.ttl_ms);
                let deadline_us = ttl_ms.map(|ms| version.micros() + ms * 1_000);
                self.map.insert(name, Entry { seed, len: write.len, version, deadline_us });
                if self.issued.len() == 64 {
                    self.issued.remove(0);
                }
                self.issued.push(version);
                self.count("writes");
                self.count_size(write.len);
                Ok(())
            }
            Err(InsertError::Superseded { current }) => {
                ensure!(older, "key {name}: superseded by {current}, but nothing newer was stored");
                let stored = self.visible(name).map(|entry| entry.version);
                ensure!(stored == Some(current), "key {name}: superseded by {current}, stored was {stored:?}");
                self.count("refused: superseded");
                self.read(name, How::Get)
            }
            Err(InsertError::Busy { .. }) => {
                ensure!(!self.shape.roomy, "key {name}: busy, although everything fits\n{}", self.cache().stats());
                self.count(if self.starving { "refused: busy" } else { "refused: busy, nothing held but pins" });
                self.refused(name)
            }
            // Versions of the same microsecond: nobody knows which of the two is newer.
            Err(InsertError::Unordered { current, .. }) if matches!(wished, Some(Wished::Given(_))) => {
                ensure!(!current.width().is_zero(), "key {name}: unordered against {current}");
                self.count("refused: unordered");
                self.refused(name)
            }
            Err(error) => Err(format!("key {name}, {} bytes: {error}", write.len)),
        }
    }

    fn count_size(&mut self, len: usize) {
        let page = self.shape.capacity as usize / 512;
        let page = page.next_power_of_two().clamp(16 << 10, 2 << 20);
        if len == 0 {
            self.count("empty values");
        } else if len > page {
            self.count("values that take a run of pages");
        } else if len > page / 16 {
            self.count("values in blocks");
        }
    }

    /// After a refusal the key is absent, whatever was there before.
    pub(super) fn refused(&mut self, name: u64) -> Outcome {
        if self.visible(name).is_some() {
            self.count("refusals over an older value");
        }
        self.map.remove(&name);
        self.read(name, How::Get)
    }

    pub(super) fn too_large(&mut self, name: u64) -> Outcome {
        let limit = self.shape.value_bytes_max;
        let value = bytes(1, limit as usize + 1);
        let result = self.cache().insert(key(name), value);
        // The smaller one of what is configured and what half of the arena holds.
        let told = match &result {
            Err(InsertError::ValueTooLarge { bytes, limit: told }) if *bytes == limit + 1 => *told,
            _ => 0,
        };
        let arena = self.shape.capacity / 2;
        ensure!(told == limit || told < limit && (arena / 2..arena).contains(&told), "{result:?}");
        self.count("refused: too large");
        self.refused(name)
    }

    /// What is there is read; what is not is loaded, and there from then on, unless it is refused.
    pub(super) fn load(&mut self, write: Write) -> Outcome {
        let (name, seed, cache) = (write.key, self.step, self.cache());
        let row = if let Wish::Row(row) = write.wish { Some(row) } else { None };
        let mut called = false;
        let loaded = cache.get_or_load(key(name), |load| {
            called = true;
            if let Some(row) = row {
                load.database_version(row);
            }
            if let Some(ms) = write.ttl_ms {
                load.ttl(Duration::from_millis(ms));
            }
            load.cost(write.cost);
            Ok::<_, std::convert::Infallible>(bytes(seed, write.len))
        });
        let loaded = loaded.map_err(|error| error.to_string())?;
        let there = self.visible(name).map(|entry| (entry.seed, entry.len, entry.version));
        if !called {
            let (seed, len, version) = there.ok_or_else(|| format!("key {name}: found, but should be gone"))?;
            ensure!(*loaded == *bytes(seed, len), "key {name}: another value than that of the last write");
            ensure!(loaded.version() == Some(version), "key {name}: {:?}, not {version}", loaded.version());
            self.count("hits of loads");
            return self.note(name, true, true);
        }
        self.note(name, false, there.is_some())?;
        ensure!(*loaded == *bytes(seed, write.len), "key {name}: another value than was loaded");
        match loaded.version() {
            Some(version) => {
                ensure!(version.row() == row, "{version}: not row {row:?}");
                let ttl_ms = write.ttl_ms.or(self.shape.ttl_ms);
                let deadline_us = ttl_ms.map(|ms| version.micros() + ms * 1_000);
                self.map.insert(name, Entry { seed, len: write.len, version, deadline_us });
                self.count("loads");
                self.count_size(write.len);
            }
            // An older row than one that is expired or cleared, or no room.
            None => {
                ensure!(row.is_some() || !self.shape.roomy, "key {name}: loaded, and not cached\n{}", cache.stats());
                self.count("loads not cached");
            }
        }
        Ok(())
    }
}

/// A version that was asked for.
#[derive(Clone, Copy)]
enum Wished {
    Row(u64),
    Given(Version),
}

impl Wished {
    /// A row version decides against another; a stamp of now is younger than all else.
    fn is_older_than(self, stored: &Version) -> bool {
        match self {
            Self::Row(row) => stored.row().is_some_and(|there| row < there),
            Self::Given(version) => match (version.row(), stored.row()) {
                (Some(mine), Some(theirs)) => mine < theirs,
                _ => (version.stamp(), version.origin()) < (stored.stamp(), stored.origin()),
            },
        }
    }
}
