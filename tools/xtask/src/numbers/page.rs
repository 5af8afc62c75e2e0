//! `docs/PERFORMANCE.md`: the lines and tables, where they come from, the command behind each, and at the end what people
//! wrote about it.

use super::figures::Figures;
use super::goals::Topic;
use super::judge::Line;
use super::tables;
use std::fmt::Write as _;
use std::fs::read_to_string;

/// Writes the page.
pub(super) fn write(lines: &[Line], figures: &Figures, origin: &str) -> Result<(), String> {
    let failed = |path: &str, error: std::io::Error| format!("{path}: {error}");
    let notes = read_to_string(crate::root().join(NOTES)).map_err(|error| failed(NOTES, error))?;
    let text = page(lines, figures, origin, &notes);
    std::fs::write(crate::root().join(PAGE), text).map_err(|error| failed(PAGE, error))?;
    println!("  written: {PAGE}");
    Ok(())
}

fn page(lines: &[Line], figures: &Figures, origin: &str, notes: &str) -> String {
    let mut text = format!("{HEAD}\nMeasured: {origin}.\n");
    for topic in Topic::ALL {
        let mut rows = lines.iter().filter(|line| line.topic == topic).peekable();
        if rows.peek().is_none() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", topic.title(), topic.meaning());
        text.push_str(
            "| what | goal | ours | beside | spread | reached | command |\n|---|---|---:|---:|---:|---|---|\n",
        );
        for line in rows {
            let Line { what, wish, ours, beside, spread, verdict, command, .. } = line;
            let _ = writeln!(text, "| {what} | {wish} | {ours} | {beside} | {spread} | {verdict} | `{command}` |");
        }
    }
    text + &tables::sections(figures) + "\n" + notes
}

const PAGE: &str = "docs/PERFORMANCE.md";
/// Kept by hand.
const NOTES: &str = "docs/performance-notes.md";

const HEAD: &str = "\
# Performance

This page is the output of one command; what was tried is kept in `docs/performance-notes.md`, and stands at its end.

```sh
cargo xtask numbers --traces FOLDER --write              # all of it; FOLDER: access traces, one .u32.zst each
cargo xtask numbers --from target/numbers --write        # the page again, from figures that were kept
```

Peers run in the same rounds as ours, each cell in a process of its own: ratios can be compared, absolute figures say more about
the machine than about the cache. Timed rows are medians of three interleaved rounds; the spread is (most - least) / median.
What is not reached stays in the table. `also-cache` is `cargo run --release -p also-cache-tools --`.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::judge;

    #[test]
    fn every_goal_has_a_row_and_every_topic_a_meaning() {
        let lines = judge::lines(&Figures::default());
        let text = page(&lines, &Figures::default(), "on a machine", "## What was tried\n\nA *lot*.\n");
        assert_eq!(text.matches("| not measured |").count(), lines.len());
        assert!(Topic::ALL.iter().all(|topic| text.contains(topic.meaning())));
        assert!(text.contains("Measured: on a machine."));
        assert!(text.ends_with("\n\n## What was tried\n\nA *lot*.\n"), "the notes as they are");
        let written = text.lines().filter(|line| !line.starts_with('|'));
        assert!(written.clone().count() > 20);
        written.for_each(|line| assert!(line.len() <= 132, "{line}"));
    }

    #[test]
    fn every_row_names_what_measures_it() {
        let lines = judge::lines(&Figures::default());
        assert!(lines.len() > 40, "{} goals", lines.len());
        for line in &lines {
            let known = [
                "also-cache compare --",
                "also-cache re",
                "cargo bench --bench get_hit -- ",
                "cargo run --release -p ",
            ];
            assert!(known.iter().any(|start| line.command.starts_with(start)), "{}: {}", line.what, line.command);
        }
    }
}
