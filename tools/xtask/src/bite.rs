//! `bite`: a check that never goes red checks nothing.
//!
//! ```text
//!   src/            if bite("name") { the defect }     ALSO_CACHE_BITE=name turns it on, in the builds made here
//!   bites.txt       name | where | check               the check must be green without, red with it
//! ```
//!
//! The list and the sources must agree in both directions. One build under loom, one of `tests` and one of the tests within
//! the crate serve for all defects. They are made first and must succeed, since a red build would pass for a bitten check.

mod list;
mod sources;
mod suite;

use crate::step::Ending;
use list::{Check, Defect};
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
            other => return Err(format!("bite has no option {other:?}\n\n{HELP}")),
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
    chosen.sort_by_key(|defect| (defect.check.suite, defect.check.binary.clone()));
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
        let (ending, took, text) = built.run(check)?.with("ALSO_CACHE_BITE", "none").keep()?;
        *green = ending == Ending::Green;
        tell(ending, took, &format!("{} with none", check.binary), &text);
    }
    Ok(greens)
}

/// What a defect did to its check.
struct Verdict {
    ending: Ending,
    took: Duration,
}

fn bite(built: &Built, defect: &Defect) -> Result<Verdict, String> {
    let (ending, took, text) = built.run(&defect.check)?.with("ALSO_CACHE_BITE", &defect.name).keep()?;
    tell(ending, took, &defect.name, &text);
    Ok(Verdict { ending, took })
}

/// One line, and why a red one is red: a defect should be caught by what its check is about.
fn tell(ending: Ending, took: Duration, what: &str, text: &str) {
    let why = if ending == Ending::Red { reason(text) } else { String::new() };
    println!("  {:>4.0} s  {:<9}  {what:<34} {why}", took.as_secs_f64(), ending.word());
}

/// The first lines of the first failure, in one; without any, as after a signal, the last line.
fn reason(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at"));
    let Some((_, place)) = lines.next().and_then(|line| line.split_once("panicked at")) else {
        return text.lines().rfind(|line| !line.is_empty()).unwrap_or_default().to_owned();
    };
    let place = place.rsplit_once("/src/").map_or(place, |(_, within)| within);
    let said = lines.map(str::trim).take_while(|line| !line.is_empty() && *line != "stack backtrace:");
    let said: Vec<&str> = said.take(3).collect();
    format!("{} {}", place.trim(), said.join(" ")).chars().take(REASON_MAX).collect()
}

const REASON_MAX: usize = 150;

pub(crate) const HELP: &str = "\
cargo xtask bite [--only NAME] [--list]

Each defect of tools/xtask/bites.txt is turned on, one at a time; the check that it names must be green without and red with it.

  --only NAME   this defect alone
  --list        print name, place and check of each

Examples:
  cargo xtask bite
  cargo xtask bite --only slot.publish-relaxed";

fn report(chosen: &[&Defect], verdicts: &[Verdict], greens: &[(Check, bool)]) -> Result<(), String> {
    let mut problems = Vec::new();
    for (defect, verdict) in chosen.iter().zip(verdicts) {
        let green = greens.iter().any(|(all, green)| *green && all.clone().take_in(&defect.check));
        match verdict.ending {
            Ending::Red if green => {}
            Ending::Red => problems.push(format!("{}: its check is not green without it", defect.name)),
            Ending::Green => problems.push(format!("{}: went unnoticed", defect.name)),
            // A hang is a way to notice, but one that no developer would wait for.
            Ending::TimedOut => problems.push(format!("{}: its check ran into its time limit", defect.name)),
        }
    }
    let took: Duration = verdicts.iter().map(|verdict| verdict.took).sum();
    println!("\n  {} defects, {} caught, in {:.0} s", chosen.len(), chosen.len() - problems.len(), took.as_secs_f64());
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\nxtask: ")) }
}
