//! The rules. Each looks at sources as text, says how much it looked at, and lists what breaks it.

use crate::source::{Source, end_of_item};
use std::collections::{BTreeMap, BTreeSet};

/// What a rule found.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) looked_at: usize,
    pub(crate) problems: Vec<String>,
}

impl Verdict {
    fn look(&mut self, fine: bool, problem: impl FnOnce() -> String) {
        self.looked_at += 1;
        if !fine {
            self.problems.push(problem());
        }
    }
}

/// Modules by rank. A module names those of lower rank and itself.
pub(crate) const RANKS: &[(&str, u8)] = &[
    ("sync", 0),
    ("types", 1),
    ("region", 2),
    ("arena", 3),
    ("index", 3),
    ("eviction", 3),
    ("engine", 4),
    ("cache", 5),
    ("inspect", 5),
    ("replication", 5),
    ("cluster", 6),
    ("simulation", 7),
];

fn rank(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// `crate::x` leads down, or stays.
pub(crate) fn modules_lead_down(sources: &[Source]) -> Verdict {
    let mut verdict = Verdict::default();
    for source in sources {
        let Some(own) = source.module().filter(|module| *module != "lib") else { continue };
        let Some(own_rank) = rank(own) else {
            verdict.look(false, || format!("{}: module {own} has no rank", source.path));
            continue;
        };
        for (at, _) in source.code.match_indices("crate::") {
            let named = word(&source.code[at + "crate::".len()..]);
            let fine = named == own || rank(named).is_some_and(|rank| rank < own_rank);
            verdict.look(fine, || format!("{}: {own} names {named:?}", source.place(at)));
        }
        for (at, _) in source.shipping.match_indices("super::super::") {
            verdict.look(false, || format!("{}: a path by super::super leaves its module unseen", source.place(at)));
        }
    }
    verdict
}

/// Atomics, loom and the epoch collector are named in one place.
pub(crate) fn one_facade(sources: &[Source]) -> Verdict {
    const NAMES: [&str; 5] = ["std::sync::atomic", "core::sync::atomic", "loom::", "crossbeam_epoch", "sync::{atomic"];
    let mut verdict = Verdict::default();
    for source in sources {
        let is_facade = source.module() == Some("sync");
        for name in NAMES {
            let own_word =
                |at: &usize| !source.code[..*at].ends_with(|last: char| last.is_alphanumeric() || last == '_');
            for (at, _) in source.code.match_indices(name).filter(|(at, _)| own_word(at)) {
                verdict.look(is_facade, || format!("{}: {name} is named outside of src/sync", source.place(at)));
            }
        }
    }
    verdict
}

/// Unsafe code only where it is allowed; forbidden by attribute in modules that never need it.
pub(crate) fn unsafe_has_its_places(sources: &[Source]) -> Verdict {
    const ALLOWED: [&str; 5] = ["sync", "region", "arena", "index", "engine"];
    const FORBIDDEN: [&str; 6] = ["types", "eviction", "cache", "inspect", "replication", "cluster"];
    let mut verdict = Verdict::default();
    for source in sources {
        let Some(module) = source.module() else { continue };
        for at in words(&source.code, "unsafe") {
            verdict.look(ALLOWED.contains(&module), || format!("{}: unsafe in {module}", source.place(at)));
        }
        if FORBIDDEN.contains(&module) {
            let forbids = source.code.contains("#![forbid(unsafe_code)]");
            verdict.look(forbids, || format!("{}: without #![forbid(unsafe_code)]", source.path));
        }
    }
    verdict
}

/// Each `unsafe` block and impl has its comment, each `unsafe fn` its section.
pub(crate) fn unsafe_is_argued(sources: &[Source]) -> Verdict {
    let mut verdict = Verdict::default();
    for source in sources {
        for at in words(&source.code, "unsafe") {
            let next = word(source.code[at + "unsafe".len()..].trim_start());
            let (mark, what) = if next == "fn" { ("# Safety", "unsafe fn") } else { ("SAFETY:", "unsafe") };
            verdict.look(comment_above(source, at).contains(mark), || {
                format!("{}: {what} without a comment that says {mark:?}", source.place(at))
            });
        }
    }
    verdict
}

/// The comment lines above the statement that an offset lies in.
fn comment_above(source: &Source, at: usize) -> String {
    let line = source.line_number(at) - 1;
    let lines: Vec<&str> = source.raw.lines().take(line).collect();
    let mut comment = String::new();
    for above in lines.iter().rev() {
        let text = above.trim();
        if text.starts_with("//") {
            comment.push_str(text);
        } else if !comment.is_empty() || text.is_empty() || text.ends_with([';', '{', '}']) {
            break;
        }
    }
    comment
}

/// A file opens with what lives in it.
pub(crate) fn files_say_what_they_are(sources: &[Source]) -> Verdict {
    let mut verdict = Verdict::default();
    for source in sources {
        let first = source.raw.lines().find(|line| !line.starts_with("#!["));
        let fine = first.is_some_and(|line| line.starts_with("//! ") && line.len() > 10);
        verdict.look(fine, || format!("{}: does not open with //! and a sentence", source.path));
    }
    verdict
}

/// One file, one idea. `exempt` names files that are still too long; one that no longer is has to leave the list.
pub(crate) fn files_are_short(sources: &[Source], lines_max: usize, exempt: &[&str]) -> Verdict {
    let mut verdict = Verdict::default();
    for source in sources {
        let lines = source.raw.lines().count();
        let is_exempt = exempt.contains(&source.path.as_str());
        verdict.look(lines <= lines_max || is_exempt, || {
            format!("{}: {lines} lines, {lines_max} are the most", source.path)
        });
        if lines <= lines_max && is_exempt {
            verdict.problems.push(format!("{}: is short now and no longer exempt", source.path));
        }
    }
    for gone in exempt.iter().filter(|path| !sources.iter().any(|source| source.path == **path)) {
        verdict.problems.push(format!("{gone}: is exempt, but does not exist"));
    }
    verdict
}

/// A function fits a screen.
pub(crate) fn functions_are_short(sources: &[Source], lines_max: usize) -> Verdict {
    let mut verdict = Verdict::default();
    for source in sources {
        for at in words(&source.code, "fn") {
            let name = word(source.code[at + 2..].trim_start());
            if name.is_empty() {
                continue;
            }
            let lines = source.line_number(end_of_item(&source.code, at)) - source.line_number(at) + 1;
            verdict.look(lines <= lines_max, || {
                format!("{}: fn {name} has {lines} lines, {lines_max} are the most", source.place(at))
            });
        }
    }
    verdict
}

/// Every failpoint that is passed is listed, and every one listed is passed.
pub(crate) fn failpoints_are_listed(sources: &[Source]) -> Verdict {
    let mut verdict = Verdict::default();
    let list = sources.iter().find(|source| source.path == "src/sync/failpoint.rs");
    let listed: BTreeSet<&str> = list
        .and_then(|source| source.literal.split_once("NAMES: &[&str] = &[")?.1.split_once("];"))
        .map(|(names, _)| names.split('"').skip(1).step_by(2).collect())
        .unwrap_or_default();
    let mut passed = BTreeSet::new();
    for source in sources {
        for (at, name) in named(source, "failpoint!(\"") {
            passed.insert(name);
            verdict.look(listed.contains(name), || format!("{}: {name:?} is not in NAMES", source.place(at)));
        }
    }
    for name in listed.difference(&passed) {
        verdict.look(false, || format!("{name:?} is in NAMES, but nothing passes it"));
    }
    verdict
}

/// Each test that a page names as what holds a promise is a test: `*Held by*: \`name\`, \`name\`.` up to the end of the paragraph.
pub(crate) fn promises_have_tests(page: &str, sources: &[Source]) -> Verdict {
    let mut verdict = Verdict::default();
    for (number, promise) in (1..).zip(page.split("*Held by*: ").skip(1)) {
        let paragraph = promise.split("\n\n").next().unwrap_or_default();
        let names: Vec<&str> = paragraph.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
        verdict.look(!names.is_empty(), || format!("promise {number} names no test"));
        for name in names {
            let is_test = |source: &Source| {
                source.code.contains(&format!("#[test]\nfn {name}()"))
                    || source.code.contains(&format!("#[test]\n    fn {name}()"))
            };
            verdict.look(sources.iter().any(is_test), || format!("promise {number}: {name:?} is no test"));
        }
    }
    verdict
}

/// Each defect has one place, and stands in the list of `cargo xtask bite`.
pub(crate) fn defects_are_listed(sources: &[Source], list: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let lines = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let listed: BTreeSet<&str> = lines.filter_map(|line| line.split('|').next()).map(str::trim).collect();
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in sources {
        for (at, name) in named(source, "bite(\"") {
            places.entry(name).or_default().push(source.place(at));
        }
    }
    for (name, at) in &places {
        verdict.look(listed.contains(name), || format!("{}: {name:?} is not in the list", at.join(", ")));
        if at.len() > 1 {
            verdict.problems.push(format!("{name:?} has several places: {}", at.join(", ")));
        }
    }
    for name in listed.iter().filter(|name| !places.contains_key(**name)) {
        verdict.look(false, || format!("{name:?} is in the list, but src/ has no such defect"));
    }
    verdict
}

/// The first argument, a text, of each call that begins so.
fn named<'s>(source: &'s Source, call: &'static str) -> impl Iterator<Item = (usize, &'s str)> {
    source.literal.match_indices(call).filter_map(move |(at, _)| {
        let own_word = !source.literal[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let name = source.literal[at + call.len()..].split_once('"')?.0;
        (own_word && !name.starts_with('$')).then_some((at, name))
    })
}

/// Nothing is left undone, silenced or unwrapped.
pub(crate) fn nothing_is_left_open(sources: &[Source]) -> Verdict {
    const NOWHERE: [&str; 6] = ["#[ignore", "todo!", "unimplemented!", "dbg!", "#[allow(", "#![allow("];
    let mut verdict = Verdict::default();
    for source in sources {
        verdict.looked_at += 1;
        for mark in NOWHERE {
            for (at, _) in source.code.match_indices(mark) {
                verdict.problems.push(format!("{}: {mark}", source.place(at)));
            }
        }
        if source.path.starts_with("tests/") || source.path.contains("/tests/") {
            continue;
        }
        for (at, _) in source.shipping.match_indices(".unwrap()") {
            verdict.problems.push(format!("{}: .unwrap()", source.place(at)));
        }
    }
    verdict
}

/// The identifier that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(text.len());
    &text[..end]
}

/// Where an identifier stands on its own.
pub(crate) fn words<'t>(text: &'t str, wanted: &'static str) -> impl Iterator<Item = usize> + 't {
    text.match_indices(wanted).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back().is_none_or(|last| !last.is_alphanumeric() && last != '_');
        before && word(&text[*at..]) == wanted
    })
}
