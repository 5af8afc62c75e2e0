//! `ci`: the steps of `.ci/run` that install nothing, for a developer's machine.

use crate::loom;
use crate::step::{Ending, Step};
use std::time::Duration;

/// Runs all steps, or those whose title contains the text after `--only`; goes on after a red one.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut only, mut list) = (None, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--only" => only = Some(rest.next().ok_or("--only needs a text")?),
            "--list" => list = true,
            other => return Err(format!("ci has no option {other:?}\n\n{HELP}")),
        }
    }
    let chosen = || steps().into_iter().filter(|step| only.is_none_or(|text| step.title.contains(text.as_str())));
    if chosen().count() == 0 {
        let titles: Vec<String> = steps().into_iter().map(|step| step.title).collect();
        let text = only.map_or("", |text| text);
        return Err(format!("--only {text:?}: no step has that in its title; there are {}", titles.join(", ")));
    }
    if list {
        chosen().for_each(|step| println!("{}", step.title));
        return Ok(());
    }
    let mut summary: Vec<(String, Ending, Duration)> = Vec::new();
    for step in chosen() {
        println!("\n==> {}", step.title);
        let (ending, took) = step.show()?;
        summary.push((step.title, ending, took));
    }
    println!();
    summary
        .iter()
        .for_each(|(title, ending, took)| println!("{:>6.0} s  {title:<28} {}", took.as_secs_f64(), ending.word()));
    let red = summary.iter().filter(|(_, ending, _)| *ending != Ending::Green).count();
    if red > 0 { Err(format!("{red} of {} steps are not green", summary.len())) } else { Ok(()) }
}

fn steps() -> Vec<Step> {
    let cargo = |title: &str, limit_s, words: &[&str]| Step::new(title, limit_s, &[&["cargo"], words].concat());
    let deny = ["--", "-D", "warnings"];
    let clippy = |words: &[&'static str]| [words, &deny].concat();
    // Bounds that models shrink to 1 and 0.
    let shrunk = ["-A", "clippy::modulo_one", "-A", "clippy::absurd_extreme_comparisons"];
    let under_loom = [&clippy(&["clippy", "-p", "also-cache-loom-tests", "--all-targets"])[..], &shrunk].concat();
    let simulator = ["test", "--profile", "simulation", "--test", "simulator", "every_seed", "--", "--nocapture"];
    vec![
        cargo("format", 60, &["fmt", "--all", "--check"]),
        cargo("clippy", 1200, &clippy(&["clippy", "--workspace", "--all-targets"])),
        cargo("clippy under loom", 600, &under_loom).with("RUSTFLAGS", "--cfg loom").target(crate::target("loom")),
        cargo("tests", 1800, &["test", "--workspace"]),
        cargo("docs", 600, &["doc", "--no-deps", "--workspace"]).with("RUSTDOCFLAGS", "-D warnings"),
        loom::step(),
        cargo("benches once", 900, &["bench", "--profile", "release", "-p", "also-cache", "--benches", "--", "--test"]),
        cargo("demo", 600, &["run", "--release", "-p", "also-cache-tools", "--", "demo", "--seconds", "3"]),
        cargo("bite", 1200, &["xtask", "bite"]),
        cargo("simulator", 900, &simulator).with("ALSO_CACHE_SEEDS", "10000"),
        script("thread sanitizer", &["tools/sanitize.sh", "thread"]),
        script("address sanitizer", &["tools/sanitize.sh", "address"]),
        script("fuzz", &["tools/fuzz/run.sh", "20"]),
    ]
}

/// A script of the repository with its arguments.
pub(crate) fn script(title: &str, words: &[&str]) -> Step {
    Step::new(title, SCRIPT_LIMIT_S, &[&["sh"], words].concat())
}

pub(crate) const HELP: &str = "\
cargo xtask ci [--only TEXT] [--list]

The steps of .ci/run that install nothing, one after the other; a red one does not end the run.

  --only TEXT   only steps whose title contains the text
  --list        print the titles

Examples:
  cargo xtask ci
  cargo xtask ci --only clippy";

const SCRIPT_LIMIT_S: u64 = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    /// What `.ci/run` has beyond these installs something, or uses what was installed.
    const INSTALLING: [&str; 2] = ["install typos", "spelling"];

    #[test]
    fn the_steps_are_those_of_the_script_in_the_same_order() {
        let script = std::fs::read_to_string(crate::root().join(".ci/run")).expect("the script of the repository");
        let lines = script.lines().map(|line| line.trim_start_matches("if ").trim_start());
        let calls = lines.filter(|line| line.starts_with("step \"") || line.starts_with("within "));
        let titles: Vec<&str> = calls.filter_map(|line| line.split('"').nth(1)).collect();
        let ours: Vec<String> = steps().into_iter().map(|step| step.title).collect();
        let theirs: Vec<&str> = titles.into_iter().filter(|title| !INSTALLING.contains(title)).collect();
        assert!(ours.iter().all(|title| !title.is_empty()) && ours.len() > 8);
        // "spelling" is left out by `skip` where it can not run.
        assert_eq!(ours, theirs);
    }
}
