//! Reads, of all kinds, and pins.

use super::{Machine, Outcome, Pin};
use crate::operation::How;
use crate::support::{bytes, key};
use also_cache::{Place, Version};
use std::time::Duration;

impl Machine<'_> {
    pub(super) fn read(&mut self, name: u64, how: How) -> Outcome {
        let cache = self.cache();
        let name_bytes = key(name);
        let expected = self.visible(name).map(|entry| (entry.seed, entry.len, entry.version, entry.deadline_us));
        let hit = |value: &[u8]| match expected {
            None => Err(format!("key {name}: {} bytes that should be gone ({how:?})", value.len())),
            Some((seed, len, ..)) if value != bytes(seed, len) => {
                Err(format!("key {name}: {} bytes that are not the {len} of the last write ({how:?})", value.len()))
            }
            Some(_) => Ok(()),
        };
        let is_version = |version: Version| match expected {
            Some((.., wanted, _)) if wanted != version => Err(format!("key {name}: version {version}, not {wanted}")),
            _ => Ok(()),
        };
        let now_us = self.now_us;
        let is_left = |left: Option<Duration>| match expected {
            Some((.., at)) if at.map(|at| Duration::from_micros(at - now_us)) != left => {
                Err(format!("key {name}: expires in {left:?}, deadline {at:?}, now {now_us}"))
            }
            _ => Ok(()),
        };
        let found = match how {
            How::Get => match cache.get(&name_bytes) {
                Some(value) => {
                    hit(&value)?;
                    is_version(value.version())?;
                    is_left(value.expires_in())?;
                    true
                }
                None => false,
            },
            How::Read => cache.read(&name_bytes, hit).transpose()?.is_some(),
            How::Reader => cache.reader().get(&name_bytes).map(hit).transpose()?.is_some(),
            How::Pinned => match cache.get_pinned(&name_bytes) {
                Some(value) => {
                    hit(&value)?;
                    is_version(value.version().expect("it is stored"))?;
                    true
                }
                None => false,
            },
            How::Contains => {
                let found = cache.contains(&name_bytes);
                ensure!(!found || expected.is_some(), "key {name} is contained, but should be gone");
                found
            }
            How::Explain => {
                let told = cache.explain(&name_bytes).map_err(|error| error.to_string())?;
                let found = matches!(told.place, Place::Main | Place::Probation | Place::Inherited);
                ensure!(!found || expected.is_some(), "key {name} should be gone, but is {told}");
                if found {
                    is_version(told.version.ok_or("a place without a version")?)?;
                    is_left(told.expires_in)?;
                }
                found
            }
        };
        self.note(name, found, expected.is_some())
    }

    /// A miss of what should be there is an eviction, and final.
    pub(super) fn note(&mut self, name: u64, found: bool, expected: bool) -> Outcome {
        if found {
            self.count("hits");
        } else if expected {
            ensure!(!self.shape.roomy, "key {name} is gone, although everything fits\n{}", self.cache().stats());
            self.map.remove(&name);
            self.count("misses by eviction");
        } else {
            if self.map.get(&name).is_some_and(|entry| entry.version.stamp() > self.cleared) {
                self.count("misses by expiry");
            }
            self.map.remove(&name);
            self.count("misses");
        }
        Ok(())
    }

    pub(super) fn get_many(&mut self, first: u64, count: u64) -> Outcome {
        let names: Vec<u64> = (first..first + count).collect();
        let keys: Vec<Vec<u8>> = names.iter().map(|name| key(*name)).collect();
        let mut seen = Vec::new();
        let mut wrong = None;
        self.cache().get_many(&keys, |at, value| {
            let expected = self.visible(names[at]).map(|entry| bytes(entry.seed, entry.len));
            if value.is_some() && value != expected {
                wrong = Some(names[at]);
            }
            seen.push((names[at], value.is_some(), expected.is_some()));
        });
        ensure!(wrong.is_none(), "get_many of key {wrong:?} gave a wrong value");
        ensure!(seen.iter().map(|it| it.0).eq(names.iter().copied()), "get_many visits in another order");
        seen.into_iter().try_for_each(|(name, found, expected)| self.note(name, found, expected))
    }

    pub(super) fn pin(&mut self, name: u64) -> Outcome {
        if self.pins.len() >= 24 {
            return Ok(());
        }
        if let (Some(value), Some(entry)) = (self.cache().get_pinned(key(name)), self.visible(name)) {
            let (seed, len, version) = (entry.seed, entry.len, entry.version);
            self.count(if value.is_pinned() { "values pinned" } else { "values owned" });
            self.pins.push(Pin { value, seed, len, version });
        }
        Ok(())
    }

    pub(super) fn unpin(&mut self, at: usize) -> Outcome {
        if self.pins.is_empty() {
            return Ok(());
        }
        let pin = self.pins.swap_remove(at % self.pins.len());
        ensure!(*pin.value == *bytes(pin.seed, pin.len), "a pinned value of {} bytes has changed", pin.len);
        ensure!(pin.value.version() == Some(pin.version), "a pinned value's version has changed");
        Ok(())
    }
}
