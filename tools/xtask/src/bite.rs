//! `bite`: a check that never goes red checks nothing.
//!
//! ```text
//!   src/            if bite("name") { the defect }          compiled in only with ALSO_CACHE_BITE=name
//!   bites.txt       name | where | command                  the command must be green without, red with it
//! ```
//!
//! The list and the sources must agree in both directions. A red build would pass for a bitten check, so each build is
//! made first, on its own, and has to succeed.

mod list;
mod sources;

use crate::step::{Ending, Step};
use list::Defect;
use std::collections::HashMap;
use std::time::Duration;

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
    let chosen: Vec<&Defect> = defects.iter().filter(|defect| only.is_none_or(|name| defect.name == *name)).collect();
    if show {
        chosen.iter().for_each(|defect| println!("{:<32} {}", defect.name, defect.place));
        return Ok(());
    }
    match (chosen.is_empty(), only) {
        (true, Some(name)) => return Err(format!("{} lists no defect {name:?}", list::FILE)),
        (true, None) => {
            println!("{} lists no defect, and src/ has none.", list::FILE);
            return Ok(());
        }
        (false, _) => {}
    }
    let verdicts = chosen.iter().map(|defect| bite(defect)).collect::<Result<Vec<Verdict>, String>>()?;
    let greens = greens(&chosen)?;
    report(&chosen, &verdicts, &greens)
}

/// What a defect did to its check.
struct Verdict {
    caught: bool,
    text: &'static str,
    took: Duration,
}

fn bite(defect: &Defect) -> Result<Verdict, String> {
    println!("    {:<32} {}", defect.name, defect.command.join(" "));
    let with = |step: Step| step.with("ALSO_CACHE_BITE", &defect.name);
    let (built, _) = with(defect.build()).show()?;
    if built != Ending::Green {
        return Ok(Verdict { caught: false, text: "does not build", took: Duration::ZERO });
    }
    let (ending, took) = with(defect.check()).hush()?;
    let (caught, text) = match ending {
        Ending::Red => (true, "red, as it must"),
        // A hang is a way to notice, but one that no developer would wait for.
        Ending::TimedOut => (false, "timed out"),
        Ending::Green => (false, "GREEN WITH THE DEFECT"),
    };
    Ok(Verdict { caught, text, took })
}

/// The same commands without a defect, each once.
fn greens(chosen: &[&Defect]) -> Result<HashMap<Vec<String>, bool>, String> {
    let mut greens: HashMap<Vec<String>, bool> = HashMap::new();
    for defect in chosen {
        if !greens.contains_key(&defect.command) {
            println!("    {:<32} {}", "(no defect)", defect.command.join(" "));
            greens.insert(defect.command.clone(), defect.check().hush()?.0 == Ending::Green);
        }
    }
    Ok(greens)
}

fn report(chosen: &[&Defect], verdicts: &[Verdict], greens: &HashMap<Vec<String>, bool>) -> Result<(), String> {
    println!("\n  {:<32} {:<24} {:<14} {:>6}  where", "defect", "with it", "without", "time");
    let mut missed = 0;
    for (defect, verdict) in chosen.iter().zip(verdicts) {
        let green = greens.get(&defect.command).copied().unwrap_or(false);
        missed += usize::from(!(verdict.caught && green));
        let without = if green { "green" } else { "RED" };
        let seconds = verdict.took.as_secs_f64();
        println!("  {:<32} {:<24} {without:<14} {seconds:>4.0} s  {}", defect.name, verdict.text, defect.place);
    }
    println!("\n  {} defects, {} caught", chosen.len(), chosen.len() - missed);
    if missed > 0 { Err(format!("{missed} defects went unnoticed")) } else { Ok(()) }
}
