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
            other => return Err(format!("ci has no option {other:?}; --only TEXT and --list it has")),
        }
    }
    let chosen = steps().into_iter().filter(|step| only.is_none_or(|text| step.title.contains(text.as_str())));
    if list {
        chosen.for_each(|step| println!("{}", step.title));
        return Ok(());
    }
    let mut summary: Vec<(String, Ending, Duration)> = Vec::new();
    for step in chosen {
        println!("\n==> {}", step.title);
        let (ending, took) = step.show()?;
        summary.push((step.title, ending, took));
    }
    println!();
    summary.iter().for_each(|(title, ending, took)| println!("  {ending:<9?} {:>6.0} s  {title}", took.as_secs_f64()));
    let red = summary.iter().filter(|(_, ending, _)| *ending != Ending::Green).count();
    if summary.is_empty() {
        return Err(format!("no step is called {:?}", only.map_or("", |text| text)));
    }
    if red > 0 { Err(format!("{red} of {} steps are not green", summary.len())) } else { Ok(()) }
}

fn steps() -> Vec<Step> {
    let cargo = |title: &str, limit_s, words: &[&str]| Step::new(title, limit_s, &[&["cargo"], words].concat());
    let deny = ["--", "-D", "warnings"];
    let clippy = |words: &[&'static str]| [words, &deny].concat();
    vec![
        cargo("format", 60, &["fmt", "--all", "--check"]),
        cargo("clippy", 600, &clippy(&["clippy", "--workspace", "--all-targets"])),
        cargo("clippy under loom", 300, &clippy(&["clippy", "-p", "also-cache-loom-tests", "--all-targets"]))
            .with("RUSTFLAGS", "--cfg loom")
            .target(crate::target("loom")),
        cargo("tests", 900, &["test", "--workspace"]),
        cargo("docs", 300, &["doc", "--no-deps", "--workspace"]).with("RUSTDOCFLAGS", "-D warnings"),
        loom::step(),
        cargo("bite", 1200, &["xtask", "bite"]),
        cargo("benches once", 600, &["bench", "--profile", "release", "-p", "also-cache", "--benches", "--", "--test"]),
        cargo("demo", 300, &["run", "--release", "-p", "also-cache-tools", "--", "demo", "--seconds", "3"]),
    ]
}
