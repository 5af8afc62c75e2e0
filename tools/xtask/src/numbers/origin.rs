//! Where figures come from: commit, date and machine, in a file beside them, so that `--from` tells those of the run. A run of
//! a part has a file of its own, and leaves that of the others.

use super::Options;
use std::fs::read_to_string;
use std::process::Command;

/// Notes where the figures of this run come from, unless they are taken from a folder.
pub(super) fn keep(options: &Options) -> Result<(), String> {
    if options.from.is_some() {
        return Ok(());
    }
    let part = options.only.as_ref().map_or(String::new(), |part| format!("-{part}"));
    let path = options.folder().join(format!("{FILE}{part}{ENDING}"));
    let written = std::fs::create_dir_all(options.folder()).and_then(|()| std::fs::write(&path, here()));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// Where the figures in the folder come from: those of runs of all, then those of runs of a part.
pub(super) fn of(options: &Options) -> String {
    let mut all: Vec<(String, String)> = Vec::new();
    for file in std::fs::read_dir(options.folder()).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if let Some(part) = name.strip_prefix(FILE).and_then(|rest| rest.strip_suffix(ENDING)) {
            let text = read_to_string(file.path()).unwrap_or_default();
            all.push((part.trim_start_matches('-').to_owned(), text.trim().to_owned()));
        }
    }
    all.sort();
    let said =
        |(part, text): &(String, String)| if part.is_empty() { text.clone() } else { format!("`{part}`: {text}") };
    let lines: Vec<String> = all.iter().filter(|(_, text)| !text.is_empty()).map(said).collect();
    if lines.is_empty() { "not yet".to_owned() } else { lines.join(".\n") }
}

/// This commit, day and machine, in a few words.
fn here() -> String {
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
    let changes = said("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    format!(
        "commit {}{}, {}, {}, {} processors, {} GiB, Linux {}, huge pages {} (shared memory {})",
        said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(unknown),
        if changes { " with changes" } else { "" },
        said("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown),
        field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
        std::thread::available_parallelism().map_or(1, usize::from),
        memory.map_or_else(unknown, |kib| (kib >> 20).to_string()),
        read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), |text| text.trim().to_owned()),
        chosen("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_else(unknown),
        chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_else(unknown),
    )
}

/// What a command prints, `None` if that is nothing.
fn said(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).current_dir(crate::root()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

const FILE: &str = "origin";
const ENDING: &str = ".txt";
