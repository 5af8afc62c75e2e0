//! What is run, with which words; every answer is JSON and is kept in a file of its own.

use super::Options;
use super::figures::{Figure, Figures};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// One command of the run.
pub(super) struct Measurement {
    /// As its file is called.
    pub(super) name: &'static str,
    how: How,
}

enum How {
    /// Words of `also-cache` whose answer has medians.
    Medians(Vec<String>),
    /// Words of `also-cache replay`; if they fail, the others are tried.
    Replay(Vec<String>, Option<Vec<String>>),
    /// A program of the tools whose answer has medians.
    Program(&'static str),
    /// A filter of the bench `get_hit`, and how often it is run.
    Bench(&'static str, u32),
}

/// All of them, in the order in which they run.
pub(super) fn all(options: &Options) -> Result<Vec<Measurement>, String> {
    let quick = options.quick;
    let rounds = if quick { "1" } else { "3" };
    let compare = |only: &str, rounds: &str| {
        let mut words = words(&["compare", "--json", "--only", only, "--rounds", rounds]);
        words.extend(quick.then(|| "--quick".to_owned()));
        How::Medians(words)
    };
    let mut reopen = words(&["reopen", "--json"]);
    if quick {
        reopen.extend(words(&["--capacity", "256MiB", "--entries", "500000", "--repetitions", "2"]));
    }
    let mut all = vec![
        Measurement { name: "speed", how: compare("hit,aside,churn", rounds) },
        Measurement { name: "memory", how: compare("drift,overhead,waste", "1") },
        Measurement { name: "reopen", how: How::Medians(reopen) },
    ];
    all.extend(CLUSTER.map(|(name, only)| {
        // Of a cut that lasts a minute, and of tens of deaths, one round is enough.
        let rounds = if only.contains("partition") || only.contains("killed") { "1" } else { rounds };
        let mut words = words(&["replication", "--json", "--only", only, "--rounds", rounds]);
        words.extend(quick.then(|| "--quick".to_owned()));
        Measurement { name, how: How::Medians(words) }
    }));
    all.push(Measurement { name: "cluster-allocations", how: How::Program("also-cache-allocations") });
    if !quick {
        // Every size once; what goals are about again and again, and its medians count.
        all.push(Measurement { name: "hits", how: How::Bench(HITS, 1) });
        all.push(Measurement { name: "batches", how: How::Bench(BATCHES, 3) });
    }
    // What was kept needs no traces.
    let traces = match &options.traces {
        Some(folder) if options.from.is_none() => Some(traces(folder)?),
        _ => options.from.as_ref().map(|_| Vec::new()),
    };
    if let Some(traces) = traces {
        let replay = |words_before: &[&str]| {
            let mut all = words(&["replay", "--json"]);
            all.extend(words(words_before));
            all.extend(quick.then(|| words(&["--limit", "100000"])).into_iter().flatten());
            all.extend_from_slice(&traces);
            all
        };
        let sweep = |against| replay(&["--sweep", "--against", against]);
        let small = |against| replay(&[&SMALL[..], &["--against", against]].concat());
        let (all_peers, two) = if quick { (TWO, None) } else { ("all", Some(TWO)) };
        all.push(Measurement { name: "replay", how: How::Replay(sweep(all_peers), two.map(sweep)) });
        let threads = replay(&["--sweep", "--alone", "--threads", "4"]);
        all.push(Measurement { name: "replay-4-threads", how: How::Replay(threads, None) });
        all.push(Measurement { name: "replay-16MiB", how: How::Replay(small(all_peers), two.map(small)) });
    }
    all.retain(|one| options.only.as_ref().is_none_or(|text| one.name.contains(text.as_str())));
    Ok(all)
}

impl Measurement {
    /// Runs it and keeps the answer, or takes the answer that was kept.
    pub(super) fn answer(&self, options: &Options) -> Result<String, String> {
        let file = options.folder().join(format!("{}.json", self.name));
        let failed = |error: std::io::Error| format!("{}: {error}", file.display());
        if options.from.is_some() {
            return std::fs::read_to_string(&file).map_err(failed);
        }
        let started = Instant::now();
        let text = match &self.how {
            How::Medians(words) | How::Replay(words, None) => also_cache(words)?,
            How::Program(name) => program(name, &["--json".to_owned()])?,
            How::Replay(words, Some(instead)) => also_cache(words).or_else(|problem| {
                eprintln!("xtask: {}: {problem}; without the peers of tools/peers:", self.name);
                also_cache(instead)
            })?,
            How::Bench(filter, rounds) => bench(filter, *rounds)?,
        };
        eprintln!("    {} s", started.elapsed().as_secs());
        std::fs::create_dir_all(options.folder()).map_err(failed)?;
        std::fs::write(&file, &text).map_err(failed)?;
        Ok(text)
    }

    /// Sorts an answer into the figures.
    pub(super) fn hand_over(&self, text: &str, figures: &mut Figures) -> Result<(), String> {
        match &self.how {
            How::Medians(_) | How::Program(_) | How::Bench(..) => figures.add_medians(text),
            How::Replay(..) => figures.add_replay(self.name, text),
        }
    }
}

fn traces(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut traces = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path().display().to_string();
        if path.ends_with(".u32.zst") {
            traces.push(path);
        }
    }
    traces.sort();
    if traces.is_empty() {
        return Err(format!("{} holds no .u32.zst", folder.display()));
    }
    Ok(traces)
}

/// What the `also-cache` command prints.
fn also_cache(words: &[String]) -> Result<String, String> {
    program("also-cache", words)
}

/// What a program of the tools prints.
fn program(name: &str, words: &[String]) -> Result<String, String> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--release", "-p", "also-cache-tools", "--bin", name, "--"]).args(words);
    let shown: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.ends_with(".u32.zst")).collect();
    eprintln!("==> {name} {}", shown.join(" "));
    output(command)
}

fn output(mut command: Command) -> Result<String, String> {
    let output = command
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// Runs the bench so often and returns the medians of criterion's medians.
fn bench(filter: &str, rounds: u32) -> Result<String, String> {
    let mut runs = Vec::new();
    let estimates = crate::target("numbers-criterion");
    for round in 1..=rounds {
        eprintln!("==> cargo bench --bench get_hit -- '{filter}'   ({round} of {rounds})");
        let mut command = Command::new("cargo");
        command.args(["bench", "--quiet", "--bench", "get_hit", "--", filter]);
        command.env("CRITERION_HOME", &estimates);
        // What an earlier run with another filter left is not of this one. It may not be there.
        let _ = std::fs::remove_dir_all(&estimates);
        output(command)?;
        let mut run = Figures::default();
        run.add_criterion(&estimates)?;
        runs.push(run);
    }
    let medians: Vec<serde_json::Value> = Figure::medians(&runs)
        .into_iter()
        .map(|((workload, figure, contestant), all)| {
            serde_json::json!({
                "workload": workload, "figure": figure, "contestant": contestant,
                "median": all.median, "least": all.least, "most": all.most,
            })
        })
        .collect();
    Ok(serde_json::json!({ "medians": medians }).to_string())
}

/// What measures a workload, by hand: the command itself, or `cargo bench`.
pub(super) fn command_of(workload: &str) -> String {
    match workload.split('/').next().unwrap_or(workload) {
        "get_hit" => format!("cargo bench --bench get_hit -- '{workload}/'"),
        "drift" | "overhead" | "waste" => format!("also-cache compare --rounds 1 --only {}", quoted(workload)),
        "replay" => "also-cache replay --sweep --against all FOLDER/*.u32.zst".to_owned(),
        "replay-4-threads" => "also-cache replay --sweep --alone --threads 4 FOLDER/*.u32.zst".to_owned(),
        "replay-16MiB" => format!("also-cache replay {} --against all FOLDER/*.u32.zst", SMALL.join(" ")),
        "reopen" => "also-cache reopen".to_owned(),
        "cluster" if workload == ALLOCATIONS => {
            "cargo run --release -p also-cache-tools --bin also-cache-allocations".to_owned()
        }
        "cluster" => format!("also-cache replication --only {workload}"),
        _ => format!("also-cache compare --only {}", quoted(workload)),
    }
}

fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("'{word}'") } else { word.to_owned() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const SMALL: [&str; 6] = ["--capacity-bytes", "16MiB", "--value-bytes", "64..4096", "--by-logarithm", "--equal-memory"];
/// Measurements of nodes, and the workloads of each.
const CLUSTER: [(&str, &str); 6] = [
    ("cluster-insert", "cluster/insert"),
    ("cluster-rates", "cluster/64B,cluster/64KiB"),
    ("cluster-visible", "cluster/visible"),
    ("cluster-rejoin", "cluster/restart,cluster/join"),
    ("cluster-deaths", "cluster/killed,cluster/silent"),
    ("cluster-partition", "cluster/partition"),
];
pub(super) const ALLOCATIONS: &str = "cluster/allocations";
const HITS: &str = "get_hit/(10k|1M|4M)x";
const TWO: &str = "quick_cache,moka";
const BATCHES: &str = "get_hit/(4Mx64|1Mx256)/zipf/1t/(also-cache get_many 16|quick_cache)$";
