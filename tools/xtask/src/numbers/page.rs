//! `docs/PERFORMANCE.md`: the lines, the machine they come from, the commands that give them again.

use super::goals::Topic;
use super::judge::Line;
use super::measure;
use std::fmt::Write as _;
use std::fs::read_to_string;

/// Writes the page.
pub(super) fn write(lines: &[Line]) -> Result<(), String> {
    let path = crate::root().join("docs/PERFORMANCE.md");
    let text = page(lines, &machine());
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("  written: docs/PERFORMANCE.md");
    Ok(())
}

fn page(lines: &[Line], machine: &str) -> String {
    let mut text = format!("{HEAD}\n```sh\n{}\n```\n\nMeasured on: {machine}.\n", measure::commands().join("\n"));
    for topic in Topic::ALL {
        let mut rows = lines.iter().filter(|line| line.topic == topic).peekable();
        if rows.peek().is_none() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", topic.title(), topic.meaning());
        text.push_str("| what | goal | ours | beside | spread | reached |\n|---|---|---|---|---|---|\n");
        for line in rows {
            let Line { what, wish, ours, beside, spread, verdict, .. } = line;
            let _ = writeln!(text, "| {what} | {wish} | {ours} | {beside} | {spread} | {verdict} |");
        }
    }
    text
}

/// What the figures depend on, in a line.
fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start_matches([':', ' ', '\t']).trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let memory = field("/proc/meminfo", "MemTotal").and_then(|kib| kib.split(' ').next()?.parse::<u64>().ok());
    let chosen = |file: &str| {
        let text = read_to_string(file).ok()?;
        Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
    };
    format!(
        "{}, {} processors, {} GiB, Linux {}, huge pages {} (shared memory {})",
        field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
        std::thread::available_parallelism().map_or(1, usize::from),
        memory.map_or_else(unknown, |kib| (kib >> 20).to_string()),
        read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), |text| text.trim().to_owned()),
        chosen("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_else(unknown),
        chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_else(unknown),
    )
}

const HEAD: &str = "\
# Performance

This page is the output of one command. Peers run in the same rounds as ours, each cell in a process of its own: ratios can be
compared, absolute figures say more about the machine than about the cache. Timed rows are medians of three interleaved rounds;
the spread is (most - least) / median. What is not reached stays in the table.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::figures::Figures;
    use crate::numbers::judge;

    #[test]
    fn every_goal_has_a_row_and_every_topic_a_meaning() {
        let lines = judge::lines(&Figures::default());
        let text = page(&lines, "a machine");
        assert_eq!(text.matches("| not measured |").count(), lines.len());
        assert!(Topic::ALL.iter().all(|topic| text.contains(topic.meaning())));
        assert!(text.lines().all(|line| line.len() <= 132), "{text}");
    }
}
