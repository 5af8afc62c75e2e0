//! `inspect`: what is in the file of an arena, read-only, also of a live or a broken one.

use crate::failure::{Failure, Result};
use crate::size;
use crate::table::Table;
use also_cache::inspect::Inspection;
use std::path::PathBuf;

/// What to look at.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectOptions {
    /// The arena's file. It is only read; a process may be using it.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what is found.
pub(crate) fn run(options: &InspectOptions) -> Result<()> {
    let found = Inspection::of(&options.file).map_err(|error| Failure::Wrong(error.to_string()))?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&json(&found))?);
    } else {
        print(&found);
    }
    Ok(())
}

/// The same as `inspect` prints, for programs.
pub(crate) fn json(found: &Inspection) -> serde_json::Value {
    let classes = found.classes.iter().map(|class| {
        serde_json::json!({
            "slot_bytes": class.slot_bytes, "large": class.is_large, "pages": class.pages, "slots": class.slots,
            "live": class.live, "used_bytes": class.used_bytes, "writing": class.writing, "retired": class.retired,
        })
    });
    let problems =
        found.problems.iter().map(|problem| serde_json::json!({"offset": problem.offset, "what": problem.what}));
    let rows = |rows: &[(&str, u64)]| {
        serde_json::Map::from_iter(rows.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())))
    };
    serde_json::json!({
        "file_bytes": found.file_bytes, "capacity": found.capacity, "layout_version": found.layout_version,
        "page_bytes": found.page_bytes, "pages": found.pages, "pages_max": found.pages_max,
        "run": found.run, "sealed": found.sealed, "same_boot": found.same_boot, "short_lives": found.short_lives,
        "live": found.live, "pages_by_kind": rows(&found.pages_by_kind), "classes": classes.collect::<Vec<_>>(),
        "entries": found.entries, "entries_noted": found.entries_noted,
        "index": {
            "buckets": found.index.buckets, "pages": found.index.pages, "words": found.index.words,
            "load": found.index.load(), "chains": found.index.chains, "splits": found.index.splits,
        },
        "ages": rows(&found.ages), "times_to_live": rows(&found.times_to_live), "orphans": found.orphans,
        "in_motion": found.in_motion, "problems_found": found.problems_found, "problems": problems.collect::<Vec<_>>(),
    })
}

fn print(found: &Inspection) {
    let end = match (found.live, found.sealed) {
        (true, _) => "in use by a process",
        (false, true) => "closed",
        (false, false) => "not closed",
    };
    let boot = if found.same_boot { "this boot" } else { "another boot" };
    let (length, capacity) = (size::bytes(found.file_bytes), size::bytes(found.capacity));
    println!("  arena     {length}, capacity {capacity}, layout version {}", found.layout_version);
    println!("  life      run {}, {end}, in {boot}, after {} short ones", found.run, found.short_lives);
    println!(
        "  pages     {} of {}, at most {}",
        found.pages,
        size::bytes(found.page_bytes),
        size::count(found.pages_max.into())
    );
    println!("            {}", row(&found.pages_by_kind));
    let (entries, noted, orphans) = (found.entries, found.entries_noted, found.orphans);
    println!("  entries   {}, {} when last noted", size::count(entries), size::count(noted));
    println!("            {} LIVE slots without a name", size::count(orphans));
    let index = &found.index;
    println!(
        "  index     {} buckets on {} pages, load {:.2}, {} splits under way",
        size::count(index.buckets),
        index.pages,
        index.load(),
        index.splits
    );
    println!("            {}", row(&chains(&index.chains)));
    println!("  age       {}", row(&found.ages));
    println!("  to live   {}", row(&found.times_to_live));
    if !found.classes.is_empty() {
        println!("\n{}", classes(found));
    }
    if found.live {
        println!("  {} mismatches in motion, as is usual while a process writes", size::count(found.in_motion));
    } else if found.problems_found > 0 {
        println!("  problems  {}: `also-cache verify` lists them", size::count(found.problems_found));
    }
}

fn classes(found: &Inspection) -> Table {
    let mut table = Table::new(["slot", "pages", "slots", "live", "used bytes", "occupied"]);
    for class in &found.classes {
        let slots = (class.slots * class.slot_bytes).max(1);
        let kind = if class.is_large { "blocks of " } else { "" };
        table.row(vec![
            format!("{kind}{} B", size::count(class.slot_bytes)),
            size::count(class.pages),
            size::count(class.slots),
            size::count(class.live),
            size::bytes(class.used_bytes),
            format!("{:.1} %", 100.0 * class.used_bytes as f64 / slots as f64),
        ]);
    }
    table
}

/// Chains by the number of their overflow buckets, in words.
fn chains(counts: &[u64]) -> Vec<(&'static str, u64)> {
    const NAMES: [&str; 4] = ["without overflow bucket", "with one", "with two", "with three"];
    NAMES.into_iter().zip(counts.iter().copied()).collect()
}

/// What there is of it, side by side.
fn row(rows: &[(&str, u64)]) -> String {
    let there = rows.iter().filter(|(_, count)| *count > 0);
    let text = there.map(|(name, count)| format!("{} {name}", size::count(*count))).collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}

const EXAMPLES: &str = "\
Examples:
  also-cache inspect /dev/shm/users.arena
  also-cache inspect --json FILE

The exit status is 1 if the file can not be read or is no arena of this version; a damaged arena is shown as far as it can be
read.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_is_shown() {
        assert_eq!(row(&[("young", 1_200), ("old", 0), ("older", 3)]), "1,200 young, 3 older");
        assert_eq!(row(&[("young", 0)]), "none");
        assert_eq!(row(&chains(&[5, 0, 2])), "5 without overflow bucket, 2 with two");
    }
}
