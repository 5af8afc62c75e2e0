//! Golden files: bytes that nodes in the field send, and which samples must be encoded to.
//!
//! ```text
//!   tests/golden             a frame of each kind
//!   tests/golden_datagrams   a body of each kind, and whole datagrams around one: sealed, plain
//! ```
//!
//! `ALSO_CACHE_GOLDEN=write cargo test --lib golden` writes the files anew, for a protocol of a new version alone.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::PathBuf;

/// A folder of golden files.
pub(crate) struct Golden {
    folder: PathBuf,
}

impl Golden {
    /// The frames.
    pub(crate) fn frames() -> Self {
        Self { folder: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")) }
    }

    /// The datagrams.
    pub(crate) fn datagrams() -> Self {
        Self { folder: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden_datagrams")) }
    }

    /// What a file holds.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.folder.join(name).with_extension("bin");
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether a sample is encoded to what its file holds; writes the file first, where that was asked for.
    pub(crate) fn assert_is(&self, name: &str, encoded: &[u8]) {
        let path = self.folder.join(name).with_extension("bin");
        if std::env::var("ALSO_CACHE_GOLDEN").is_ok_and(|value| value == "write") {
            std::fs::write(&path, encoded).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        assert!(self.read(name) == encoded, "{}: {name} is encoded otherwise now", path.display());
    }

    /// The names of the files, without their ending.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let files = std::fs::read_dir(&self.folder).expect("the folder is there");
        files
            .map(|file| {
                let path = file.expect("readable").path();
                assert!(path.extension().is_some_and(|ending| ending == "bin"), "{}", path.display());
                path.file_stem().expect("it has a name").to_string_lossy().into_owned()
            })
            .collect()
    }
}
