//! Where the arena lies: shared memory if there is room, else a temporary folder. It is removed on every way out.

use crate::failure::{Failure, Result};
use crate::{machine, size};
use std::path::{Path, PathBuf};

/// The arena's file, removed when this is dropped unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Place {
    file: PathBuf,
    keep: bool,
}

impl Place {
    /// Finds a folder with room for `capacity` and an eighth to spare.
    pub(crate) fn find(capacity: u64, keep: bool) -> Result<Self> {
        let needed = capacity + capacity / 8;
        let folders = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
        let room = |folder: &&PathBuf| folder.is_dir() && machine::free_bytes(folder).is_none_or(|free| free >= needed);
        let Some(folder) = folders.iter().find(room) else {
            return Err(Failure::Option {
                option: "capacity",
                met: size::bytes(capacity),
                bound: format!("neither /dev/shm nor {} has {} free", folders[1].display(), size::bytes(needed)),
            });
        };
        Ok(Self { file: folder.join(format!("also-cache-{}.arena", std::process::id())), keep })
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            // It may never have come into being; there is nobody to tell otherwise.
            let _ = std::fs::remove_file(&self.file);
        }
    }
}
