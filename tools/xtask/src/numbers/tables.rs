//! What is worth knowing beside the goals, contestants side by side: hits of every size, and the same engine with its values
//! on the heap.

use super::figures::Figures;
use super::judge::number;
use std::fmt::Write as _;

/// A table of figures without goals.
struct Beside {
    title: &'static str,
    meaning: &'static str,
    contestants: &'static [&'static str],
    /// Workload and figure of each line.
    lines: Vec<(String, &'static str)>,
    command: String,
}

/// All of them, as sections of the page.
pub(super) fn sections(figures: &Figures) -> String {
    [hits(), heap()].iter().map(|table| table.section(figures)).collect()
}

fn hits() -> Beside {
    let mut lines = Vec::new();
    for entries in ["10k", "1M", "4M"] {
        for bytes in [64, 256, 1024] {
            for distribution in ["zipf", "uniform"] {
                for threads in [1, 2] {
                    lines.push((format!("get_hit/{entries}x{bytes}/{distribution}/{threads}t"), "criterion"));
                }
            }
        }
    }
    Beside {
        title: "Hits of every size",
        meaning: "Millions of reads a second, all threads together, one run. `floor` is the least that such a read can cost: one\n\
                  bucket and one slot in one arena, no guard, no checks, no eviction. A reader is one guard for many reads.",
        contestants: &[
            "floor",
            "floor by 16",
            "also-cache get",
            "also-cache reader",
            "also-cache get_many 16",
            "quick_cache",
            "moka",
        ],
        lines,
        command: "cargo bench --bench get_hit".to_owned(),
    }
}

fn heap() -> Beside {
    const FIGURES: [(&str, &str); 22] = [
        ("hit/10kx64", "M gets/s, 1 thread"),
        ("hit/10kx64", "M gets/s, 2 threads"),
        ("hit/1Mx256", "M gets/s, 1 thread"),
        ("hit/1Mx256", "M gets/s, 2 threads"),
        ("hit/4Mx64", "M gets/s, 1 thread"),
        ("hit/4Mx64", "M gets/s, 2 threads"),
        ("aside/95-5", "M ops/s, 1 thread"),
        ("aside/95-5", "M ops/s, 2 threads"),
        ("aside/95-5", "insert p99.9, us"),
        ("aside/95-5", "hit %"),
        ("aside/50-50", "M ops/s, 1 thread"),
        ("aside/50-50", "M ops/s, 2 threads"),
        ("churn", "M ops/s, 1 thread"),
        ("churn", "M ops/s, 2 threads"),
        ("drift", "RSS / capacity, phase 1"),
        ("drift", "RSS / capacity, phase 2"),
        ("drift", "RSS / capacity, phase 3"),
        ("drift", "RSS / capacity, phase 4"),
        ("drift", "RSS / capacity, most"),
        ("drift", "hit %"),
        ("overhead/64", "overhead, bytes per entry"),
        ("overhead/256", "overhead, bytes per entry"),
    ];
    Beside {
        title: "What the arena is worth",
        meaning: "`heap` is the same engine, index, eviction and epoch: its slots hold an address and a length, and each value is an\n\
                  allocation of its own, of exactly its length. Slots and values together have the bound that an arena has for its\n\
                  pages; the index and what the allocator adds come on top.",
        contestants: &["also-cache", "heap", "quick_cache", "moka"],
        lines: FIGURES.iter().map(|(workload, figure)| ((*workload).to_owned(), *figure)).collect(),
        command: "also-cache compare".to_owned(),
    }
}

impl Beside {
    fn section(&self, figures: &Figures) -> String {
        let mut text = format!("\n## {}\n\n{}\n\n```sh\n{}\n```\n\n", self.title, self.meaning, self.command);
        // Writing to a string does not fail.
        let _ = writeln!(text, "| what | {} |", self.contestants.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(self.contestants.len()));
        for (workload, figure) in &self.lines {
            let cell =
                |name: &&str| figures.of(workload, figure, name).map_or("-".to_owned(), |one| number(one.median));
            let cells: Vec<String> = self.contestants.iter().map(cell).collect();
            let figure = if *figure == "criterion" { String::new() } else { format!(", {figure}") };
            let what = workload.trim_start_matches("get_hit/");
            let _ = writeln!(text, "| {what}{figure} | {} |", cells.join(" | "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sizes_and_both_forms_have_their_lines() {
        let text = sections(&Figures::default());
        for what in ["10kx64/zipf/1t", "1Mx1024/uniform/2t", "4Mx256/zipf/2t", "drift, RSS / capacity, phase 3"] {
            assert!(text.contains(&format!("| {what} |")), "{what}\n{text}");
        }
    }
}
