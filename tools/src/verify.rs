//! `verify`: every index word, slot and checksum of an arena's file; fails with a list of what is wrong.

use crate::failure::{Failure, Result};
use crate::inspect::json;
use crate::size;
use also_cache::inspect::Inspection;
use std::path::PathBuf;

/// What to check.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
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
            println!("and {} more", size::count(more));
        }
        let figures = [found.index.words, found.entries, found.orphans, found.in_motion];
        let [words, entries, orphans, in_motion] = figures.map(size::count);
        println!("{words} words, {entries} entries with the right checksum, {orphans} LIVE slots without a name");
        if found.live {
            println!(
                "{in_motion} mismatches in motion, as is usual while a process writes: look again when it has ended"
            );
        }
    }
    match found.problems_found {
        0 => Ok(()),
        1 => Err(Failure::Wrong(format!("1 problem in {}", options.file.display()))),
        count => Err(Failure::Wrong(format!("{} problems in {}", size::count(count), options.file.display()))),
    }
}

const EXAMPLES: &str = "\
Examples:
  also-cache verify /dev/shm/users.arena
  also-cache verify --json FILE

The exit status is 1 if something is wrong, or if the file can not be read or is no arena of this version.";
