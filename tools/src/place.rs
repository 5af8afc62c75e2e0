//! Where arenas lie: in shared memory if there is room, else in a temporary folder. They are removed on every way out.

use crate::failure::{Failure, Result};
use crate::{machine, size};
use std::path::{Path, PathBuf};

/// A folder of this process for its arenas, removed when this is dropped unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    keep: bool,
}

impl Place {
    /// Finds a file system with room for arenas of so many bytes together and an eighth to spare, and makes the folder.
    pub(crate) fn find(capacity: u64, keep: bool) -> Result<Self> {
        let needed = capacity + capacity / 8;
        let above = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
        let room = |folder: &&PathBuf| folder.is_dir() && machine::free_bytes(folder).is_none_or(|free| free >= needed);
        let Some(found) = above.iter().find(room) else {
            return Err(Failure::Option {
                option: "capacity",
                met: format!("{} in all", size::bytes(capacity)),
                bound: format!("neither /dev/shm nor {} has {} free", above[1].display(), size::bytes(needed)),
            });
        };
        let folder = found.join(format!("also-cache-{}", std::process::id()));
        // One of an earlier process with this number, which was killed: usually there is none.
        let _ = std::fs::remove_dir_all(&folder);
        let made = std::fs::create_dir(&folder);
        made.map_err(|error| Failure::File { path: folder.clone(), doing: "making the folder", error })?;
        Ok(Self { folder, keep })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of one arena.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.arena"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // It may be gone already; there is nobody to tell otherwise.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
