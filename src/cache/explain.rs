//! What the cache knows about one key, in words.

#![forbid(unsafe_code)]

use crate::cache::calls::{Cache, check_key};
use crate::cache::error::InsertError;
use crate::engine::explain::{Seen, Standing};
use crate::types::version::Version;
use std::fmt;
use std::time::Duration;

/// Where a key stands and why. Made by [`Cache::explain`]; a snapshot.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// Where it stands.
    pub place: Place,
    /// Its hash in this cache.
    pub hash: u64,
    /// Its bucket in the index, and how many there are.
    pub bucket: (u32, u32),
    /// The version, if an entry is stored.
    pub version: Option<Version>,
    /// How long it is still visible, if it expires.
    pub expires_in: Option<Duration>,
    /// Bytes of its slot, if an entry is stored.
    pub slot_bytes: Option<u64>,
    /// Its hits as eviction sees them, 0 to 3.
    pub frequency: Option<u8>,
    /// Pins that hold its slot.
    pub pins: Option<u32>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// No entry.
    Absent,
    /// An entry on probation: it has to be read before it leaves the ring, or it goes.
    Probation,
    /// An entry that has proven itself.
    Main,
    /// An entry whose time is over; reads miss it.
    Expired,
    /// An entry from before a clear; reads miss it.
    Cleared,
    /// An entry of an earlier life that nobody has read in this one.
    Inherited,
    /// No entry: the key was removed, and in a cluster a tombstone keeps older versions away.
    Removed,
    /// An entry of an earlier life in a cluster that is not confirmed yet, or of a node that hears no other one; reads miss
    /// it.
    Held,
    /// An entry from before another node was lost, which may have changed it; reads miss it.
    Doubted,
}

impl Cache {
    /// Tells what the cache knows about a key, without counting as a read.
    ///
    /// # Errors
    ///
    /// [`InsertError::Key`] for a key that can not be stored.
    ///
    /// ```
    /// # use also_cache::{Cache, Place};
    /// # let cache = Cache::builder().capacity(1 << 20).open()?;
    /// cache.insert("k", "v")?;
    /// assert_eq!(cache.explain("k")?.place, Place::Main);
    /// assert_eq!(cache.explain("other")?.place, Place::Absent);
    /// println!("{}", cache.explain("k")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, key: impl AsRef<[u8]>) -> Result<Explanation, InsertError> {
        let key = check_key(key.as_ref())?;
        let hash = self.engine().hash(key);
        let guard = self.engine().pin();
        let bucket = self.engine().bucket_of(hash);
        let seen = self.engine().explain(&guard, key, hash);
        let place = match seen.as_ref().map(|seen| seen.standing) {
            None => Place::Absent,
            Some(Standing::Probation) => Place::Probation,
            Some(Standing::Main) => Place::Main,
            Some(Standing::Expired) => Place::Expired,
            Some(Standing::Cleared) => Place::Cleared,
            Some(Standing::Inherited) => Place::Inherited,
            Some(Standing::Tombstone) => Place::Removed,
            Some(Standing::Held) => Place::Held,
            Some(Standing::Doubted) => Place::Doubted,
        };
        let field = |get: fn(&Seen) -> u64| seen.as_ref().map(get);
        Ok(Explanation {
            place,
            hash: hash.bits(),
            bucket,
            version: seen.as_ref().map(|seen| seen.version),
            expires_in: seen.as_ref().and_then(|seen| seen.expires_in),
            slot_bytes: field(|seen| seen.slot_bytes),
            frequency: field(|seen| u64::from(seen.frequency)).map(|n| n as u8),
            pins: field(|seen| u64::from(seen.pins)).map(|n| n as u32),
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Absent => f.write_str("absent")?,
            Place::Probation => f.write_str("present, on probation: goes unless it is read before its turn")?,
            Place::Main => f.write_str("present, in the main part")?,
            Place::Expired => f.write_str("expired: reads miss it, its slot is reused before any other")?,
            Place::Cleared => f.write_str("cleared: reads miss it, its slot is reused before any other")?,
            Place::Inherited => f.write_str("present, from an earlier life: checked at its first read")?,
            Place::Removed => f.write_str("removed: a tombstone keeps older versions away")?,
            Place::Held => f.write_str("held: reads miss it until the cluster has confirmed it")?,
            Place::Doubted => f.write_str("doubted: a lost node may have changed it, so reads miss it")?,
        }
        if let Some(version) = self.version {
            write!(f, "; version {version}")?;
        }
        if let Some(expires_in) = self.expires_in {
            write!(f, "; expires in {expires_in:?}")?;
        }
        if let (Some(bytes), Some(frequency), Some(pins)) = (self.slot_bytes, self.frequency, self.pins) {
            write!(f, "; slot of {bytes} bytes, frequency {frequency} of 3, {pins} pins")?;
        }
        write!(f, "; hash {:016x}, bucket {} of {}", self.hash, self.bucket.0, self.bucket.1)
    }
}
