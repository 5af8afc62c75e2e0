//! `inspect`: what is in the file of an arena, read-only, also of a live or a broken one.

use crate::failure::{Failure, Result};
use also_cache::inspect::Inspection;
use std::path::PathBuf;

/// What to look at.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  also-cache inspect /dev/shm/users.arena\n  also-cache inspect --json FILE")]
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
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    let end = match (found.live, found.sealed) {
        (true, _) => "in use by a process",
        (false, true) => "closed",
        (false, false) => "not closed",
    };
    let boot = if found.same_boot { "this boot" } else { "another boot" };
    println!(
        "arena     {:.1} MiB of {:.1}, layout version {}",
        mib(found.file_bytes),
        mib(found.capacity),
        found.layout_version
    );
    println!("life      run {}, {end}, in {boot}, after {} short ones", found.run, found.short_lives);
    println!("pages     {} of {} KiB, at most {}", found.pages, found.page_bytes >> 10, found.pages_max);
    println!("          {}", row(&found.pages_by_kind));
    println!(
        "entries   {}, {} when last noted; {} slots without a name",
        found.entries, found.entries_noted, found.orphans
    );
    let index = &found.index;
    println!(
        "index     {} buckets on {} pages, load {:.2}, {} splits under way",
        index.buckets,
        index.pages,
        index.load(),
        index.splits
    );
    println!("          chains by overflow buckets: {:?}", index.chains);
    println!("age       {}", row(&found.ages));
    println!("to live   {}", row(&found.times_to_live));
    println!("   class   pages     slots      live  occupied     bytes used");
    for class in &found.classes {
        let slots = (class.slots * class.slot_bytes).max(1);
        println!(
            "{:>8} {:>7} {:>9} {:>9}  {:>6.1} %  {:>13}{}",
            class.slot_bytes,
            class.pages,
            class.slots,
            class.live,
            100.0 * class.used_bytes as f64 / slots as f64,
            class.used_bytes,
            if class.is_large { "  blocks" } else { "" }
        );
    }
    if found.live {
        println!("in motion {} mismatches, as is usual while a process writes", found.in_motion);
    } else if found.problems_found > 0 {
        println!("problems  {}: `also-cache verify` lists them", found.problems_found);
    }
}

fn row(rows: &[(&str, u64)]) -> String {
    rows.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}
