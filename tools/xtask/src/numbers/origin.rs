//! Where figures come from: commit, date and machine, in a file beside them, so that `--from` tells those of the run.

use super::Options;
use std::fs::read_to_string;
use std::process::Command;

/// Notes where the figures of this run come from, unless they are taken from a folder.
pub(super) fn keep(options: &Options) -> Result<(), String> {
    if options.from.is_some() {
        return Ok(());
    }
    let path = options.folder().join(FILE);
    let written = std::fs::create_dir_all(options.folder()).and_then(|()| std::fs::write(&path, here()));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// Where the figures in the folder come from.
pub(super) fn of(options: &Options) -> String {
    let text = read_to_string(options.folder().join(FILE)).unwrap_or_default();
    if text.trim().is_empty() { "not yet".to_owned() } else { text.trim().to_owned() }
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

const FILE: &str = "origin.txt";
