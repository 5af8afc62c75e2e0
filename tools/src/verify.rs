//! `verify`: every index word, slot and checksum of an arena's file; fails with a list of what is wrong.

use crate::failure::{Failure, Result};
use crate::inspect::json;
use also_cache::inspect::Inspection;
use std::path::PathBuf;

/// What to check.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  also-cache verify /dev/shm/users.arena\n  also-cache verify --json FILE")]
pub(crate) struct VerifyOptions {
    /// The arena's file. It is only read. While a process uses it, mismatches are counted as in motion.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints each problem; an error if there is one.
pub(crate) fn run(options: &VerifyOptions) -> Result<()> {
    let found = Inspection::of(&options.file).map_err(|error| Failure::Wrong(error.to_string()))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&json(&found))?);
    } else {
        for problem in &found.problems {
            println!("{:#014x}  {}", problem.offset, problem.what);
        }
        let more = found.problems_found - found.problems.len() as u64;
        if more > 0 {
            println!("and {more} more");
        }
        println!(
            "{} words, {} entries with the right checksum, {} slots without a name, {} in motion",
            found.index.words, found.entries, found.orphans, found.in_motion
        );
    }
    match found.problems_found {
        0 => Ok(()),
        count => Err(Failure::Wrong(format!("{count} problems in {}", options.file.display()))),
    }
}
