//! `bite`: a check that never goes red checks nothing.
//!
//! ```text
//!   src/            if bite("name") { the defect }     ALSO_CACHE_BITE=name turns it on, in the builds made here
//!   bites.txt       name | where | check               the check must be green without, red with it
//! ```
//!
//! The list and the sources must agree in both directions. One build under loom and one of `tests` serve for all defects.
//! They are made first and must succeed, since a red build would pass for a bitten check.

mod list;
mod sources;
mod suite;

use crate::step::Ending;
use list::{Check, Defect, Suite};
use std::time::Duration;
use suite::Built;

/// Runs every defect, or the one after `--only`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut only, mut show) = (None, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--only" => only = Some(rest.next().ok_or("--only needs the name of a defect")?),
            "--list" => show = true,
            other => return Err(format!("bite has no option {other:?}; --only NAME and --list it has")),
        }
    }
    let defects = list::read()?;
    sources::agree(&defects)?;
    let mut chosen: Vec<&Defect> =
        defects.iter().filter(|defect| only.is_none_or(|name| defect.name == *name)).collect();
    if show {
        chosen.iter().for_each(|defect| println!("{:<32} {:<56} {}", defect.name, defect.place, defect.check));
        return Ok(());
    }
    if chosen.is_empty() {
        return Err(format!("{} lists no defect {}", list::FILE, only.map_or("", |name| name)));
    }
    chosen.sort_by_key(|defect| (defect.check.suite == Suite::Test, defect.check.binary.clone()));
    let built = Built::of(&chosen.iter().map(|defect| &defect.check).collect::<Vec<_>>())?;
    let greens = greens(&built, &chosen)?;
    let verdicts = chosen.iter().map(|defect| bite(&built, defect)).collect::<Result<Vec<Verdict>, String>>()?;
    report(&chosen, &verdicts, &greens)
}

/// The checks of all defects in as few runs as possible, with one turned on that does not exist: all else is the same.
fn greens(built: &Built, chosen: &[&Defect]) -> Result<Vec<(Check, bool)>, String> {
    let mut greens: Vec<(Check, bool)> = Vec::new();
    for defect in chosen {
        if !greens.iter_mut().any(|(all, _)| all.take_in(&defect.check)) {
            greens.push((defect.check.clone(), false));
        }
    }
    for (check, green) in &mut greens {
        let (ending, took) = built.run(check)?.with("ALSO_CACHE_BITE", "none").hush()?;
        *green = ending == Ending::Green;
        println!(
            "  {:>4.0} s  {:<24} no defect: {} {}",
            took.as_secs_f64(),
            ending.word(),
            check.binary,
            check.tests.join(" ")
        );
    }
    Ok(greens)
}

/// What a defect did to its check.
struct Verdict {
    ending: Ending,
    took: Duration,
}

fn bite(built: &Built, defect: &Defect) -> Result<Verdict, String> {
    let (ending, took) = built.run(&defect.check)?.with("ALSO_CACHE_BITE", &defect.name).hush()?;
    println!("  {:>4.0} s  {:<24} {}", took.as_secs_f64(), ending.word(), defect.name);
    Ok(Verdict { ending, took })
}

fn report(chosen: &[&Defect], verdicts: &[Verdict], greens: &[(Check, bool)]) -> Result<(), String> {
    println!("\n  {:<32} {:<10} {:<10} {:>6}  where", "defect", "with it", "without", "time");
    let mut missed = 0;
    for (defect, verdict) in chosen.iter().zip(verdicts) {
        let green = greens.iter().any(|(all, green)| *green && all.clone().take_in(&defect.check));
        // A hang is a way to notice, but one that no developer would wait for.
        missed += usize::from(!(verdict.ending == Ending::Red && green));
        let without = if green { "green" } else { "NOT GREEN" };
        let with = if verdict.ending == Ending::Green { "GREEN" } else { verdict.ending.word() };
        println!(
            "  {:<32} {with:<10} {without:<10} {:>4.0} s  {}",
            defect.name,
            verdict.took.as_secs_f64(),
            defect.place
        );
    }
    println!("\n  {} defects, {} caught", chosen.len(), chosen.len() - missed);
    if missed > 0 { Err(format!("{missed} defects went unnoticed")) } else { Ok(()) }
}
