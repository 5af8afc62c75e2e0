//! The S3-FIFO reference behind a lock: hit ratios only, its throughput says nothing.

use super::{Capacity, Contestant};
use crate::failure::{Failure, Result};
use crate::replay::reference::Reference;
use crate::value::key_number;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The simulated policy.
pub(super) struct S3Fifo(Mutex<Reference>);

impl S3Fifo {
    pub(super) fn open(capacity: Capacity) -> Result<Self> {
        match capacity {
            Capacity::Entries { entries, .. } | Capacity::Population { entries, .. } => {
                Ok(Self(Mutex::new(Reference::new(entries as usize))))
            }
            Capacity::Bytes { bytes, .. } => Err(Failure::Option {
                option: "capacity-bytes",
                met: bytes.to_string(),
                bound: "the S3-FIFO simulation counts entries only; use --capacity-entries".to_owned(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reference> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contestant for S3Fifo {
    const STORES_VALUES: bool = false;

    fn get(&self, key: &[u8], _read: impl FnOnce(&[u8])) -> bool {
        key_number(key).is_some_and(|number| self.lock().touch(number))
    }

    fn fill(&self, key: &[u8], _value: &[u8]) -> bool {
        let number = key_number(key);
        number.into_iter().for_each(|number| self.lock().admit(number));
        number.is_some()
    }

    fn holds(&self, key: &[u8]) -> bool {
        key_number(key).is_some_and(|number| self.lock().holds(number))
    }

    fn entries(&self) -> u64 {
        self.lock().len() as u64
    }
}
