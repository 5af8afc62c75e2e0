//! `numbers`: each goal beside what was measured, and whether it is reached.
//!
//! ```text
//!   also-cache compare --json    --+
//!   also-cache replay --json     --+--> figures.rs --> goals.rs --> table
//!   criterion's estimates.json   --+
//! ```
//!
//! A number that is not reached makes the exit status 0 all the same: it is a report, and timing on a busy machine is no
//! verdict. A goal for which nothing was measured says so.

mod figures;
mod goals;

use figures::Figures;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Measures, or takes what was measured, and prints the table.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let mut figures = Figures::default();
    figures.add_compare(&options.compare()?)?;
    if let Some(replay) = options.replay()? {
        figures.add_replay(&replay)?;
    }
    let criterion = options.criterion.clone().unwrap_or_else(|| crate::target("criterion"));
    figures.add_criterion(&criterion)?;
    goals::print(&figures);
    Ok(())
}

/// Where figures come from.
#[derive(Default)]
struct Options {
    quick: bool,
    traces: Option<PathBuf>,
    compare: Option<PathBuf>,
    replay: Option<PathBuf>,
    criterion: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let place = match argument.as_str() {
                "--quick" => {
                    options.quick = true;
                    continue;
                }
                "--traces" => &mut options.traces,
                "--compare" => &mut options.compare,
                "--replay" => &mut options.replay,
                "--criterion" => &mut options.criterion,
                other => return Err(format!("numbers has no option {other:?}; see cargo xtask help")),
            };
            *place = Some(PathBuf::from(rest.next().ok_or_else(|| format!("{argument} needs a path"))?));
        }
        Ok(options)
    }

    fn compare(&self) -> Result<String, String> {
        match &self.compare {
            Some(file) => read(file),
            None if self.quick => command(&["compare", "--json", "--quick"]),
            None => command(&["compare", "--json"]),
        }
    }

    fn replay(&self) -> Result<Option<String>, String> {
        if let Some(file) = &self.replay {
            return read(file).map(Some);
        }
        let Some(folder) = &self.traces else {
            return Ok(None);
        };
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut words: Vec<String> =
            ["replay", "--json", "--sweep", "--against", "quick_cache,moka"].map(str::to_owned).to_vec();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path().display().to_string();
            if path.ends_with(".u32.zst") {
                words.push(path);
            }
        }
        words[5..].sort();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        command(&words).map(Some)
    }
}

/// What the `also-cache` command prints.
fn command(words: &[&str]) -> Result<String, String> {
    let shown = words.first().copied().unwrap_or_default();
    eprintln!("==> also-cache {}", words.join(" "));
    let output = Command::new("cargo")
        .args(["run", "--quiet", "--release", "-p", "also-cache-tools", "--"])
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("also-cache {shown} did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("also-cache {shown} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("also-cache {shown}: {error}"))
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}
