//! The README's example: open, read, fill on a miss, look at the figures. Run it twice to see it come up warm.
//!
//! ```text
//!   cargo run --example embed [FILE]        FILE: default, users.arena in the temporary folder
//! ```

use also_cache::{Cache, InsertError, InsertOptions};
use std::path::PathBuf;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("users.arena"), PathBuf::from);
    let cache = Cache::builder()
        .capacity(64 << 20) // bytes, what lives on the heap beside the arena included
        .file(&file) // leave out for a cache that ends with its process
        .time_to_live(Duration::from_secs(600))
        .open()?;
    println!("{}: {}", file.display(), cache.recovery());

    if cache.get("user:1").is_none() {
        // A miss: ask the database, then store. A refused write leaves the key absent, never old.
        match cache.insert("user:1", "Ada") {
            Ok(version) => println!("stored as {version}"),
            Err(InsertError::Busy { bytes }) => {
                println!("no slot for {bytes} bytes just now; the answer is served all the same")
            }
            Err(error) => return Err(error.into()),
        }
    }
    let row_version = 7;
    match cache.insert_with("user:2", "Grace", InsertOptions::new().version(row_version)) {
        Ok(_) => {}
        Err(InsertError::Superseded { current }) => println!("a newer row is cached: {current}"),
        Err(error) => return Err(error.into()),
    }
    cache.read("user:1", |name: &[u8]| println!("user:1 is {} bytes, read in place", name.len()));
    println!("{}", cache.stats());
    Ok(())
}
