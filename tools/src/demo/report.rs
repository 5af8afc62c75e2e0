//! What `demo` says: a step a line while it happens to be read, or all of it as JSON.

use super::ledger::Ledger;
use super::survey::Survey;
use super::workload::{READS_PERCENT, Tally, VALUE_BYTES, WRITES_PERCENT, Workload};
use crate::failure::Result;
use crate::place::Place;
use crate::size::{bytes, count, duration, rough};
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// The run up to the kill.
pub(super) struct Served {
    pub(super) took: Duration,
    pub(super) ledger: Ledger,
}

/// The restart.
pub(super) struct Opened {
    pub(super) took: Duration,
    pub(super) first_hit: Option<Duration>,
    pub(super) warm: bool,
    pub(super) recovery: String,
}

/// The run after the restart.
pub(super) struct Warm {
    pub(super) took: Duration,
    pub(super) tally: Tally,
}

/// All figures of a run, in the order in which they came.
#[derive(Serialize)]
pub(super) struct Report {
    file: PathBuf,
    capacity_bytes: u64,
    keys: u64,
    threads: u16,
    serve_seconds: f64,
    operations: u64,
    writes_acknowledged: u64,
    removals_acknowledged: u64,
    writes_refused: u64,
    entries_before_kill: u64,
    evicted_before_kill: u64,
    open_seconds: f64,
    first_hit_seconds: Option<f64>,
    opened_warm: bool,
    recovery: String,
    check_seconds: f64,
    acknowledged_and_present: u64,
    survived: u64,
    survived_percent: f64,
    lost: u64,
    values_checked: u64,
    damaged: u64,
    stale: u64,
    resurrected: u64,
    wrong_before_kill: u64,
    first_wrong: Option<String>,
    warm_seconds: f64,
    warm_operations: u64,
    warm_hit_percent: f64,
    warm_wrong: u64,
    warm_refused: u64,
}

impl Report {
    pub(super) fn new(
        capacity_bytes: u64,
        workload: &Workload,
        place: &Place,
        served: &Served,
        opened: Opened,
        survey: Survey,
        warm: Warm,
    ) -> Self {
        let ledger = &served.ledger;
        Self {
            file: place.file("demo"),
            capacity_bytes,
            keys: workload.keys,
            threads: workload.threads,
            serve_seconds: served.took.as_secs_f64(),
            operations: ledger.operations,
            writes_acknowledged: ledger.writes,
            removals_acknowledged: ledger.removals,
            writes_refused: ledger.refused,
            entries_before_kill: ledger.entries,
            evicted_before_kill: ledger.evicted,
            open_seconds: opened.took.as_secs_f64(),
            first_hit_seconds: opened.first_hit.map(|took| took.as_secs_f64()),
            opened_warm: opened.warm,
            recovery: opened.recovery,
            check_seconds: survey.took.as_secs_f64(),
            acknowledged_and_present: survey.expected,
            survived: survey.survived,
            survived_percent: survey.survived_percent(),
            lost: survey.lost,
            values_checked: survey.found,
            damaged: survey.damaged,
            stale: survey.stale,
            resurrected: survey.resurrected,
            wrong_before_kill: ledger.wrong,
            first_wrong: survey.example,
            warm_seconds: warm.took.as_secs_f64(),
            warm_operations: warm.tally.operations,
            warm_hit_percent: 100.0 * warm.tally.hits as f64 / warm.tally.reads.max(1) as f64,
            warm_wrong: warm.tally.wrong,
            warm_refused: warm.tally.refused,
        }
    }

    /// What did not hold, `None` if everything did.
    pub(super) fn wrong(&self) -> Option<String> {
        let bad = self.wrong_values();
        if bad > 0 {
            let example = self.first_wrong.as_deref().unwrap_or("no example");
            return Some(format!("{bad} values were wrong after the restart; the first: {example}"));
        }
        if self.wrong_before_kill + self.warm_wrong > 0 {
            return Some(format!("{} values were wrong while serving", self.wrong_before_kill + self.warm_wrong));
        }
        if !self.opened_warm {
            return Some(format!("the arena did not open warm: {}", self.recovery));
        }
        if self.acknowledged_and_present == 0 {
            return Some("no write had been acknowledged before the kill, so nothing was shown".to_owned());
        }
        // What the cache evicted by its own decision is not lost by the kill.
        let unexplained = self.lost.saturating_sub(self.evicted_before_kill);
        let allowed = self.acknowledged_and_present / 1000;
        (unexplained > allowed).then(|| format!("{unexplained} entries were lost, {allowed} (0.1 %) may be"))
    }

    /// Prints it.
    pub(super) fn print(&self, json: bool, kept: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
            return Ok(());
        }
        for (step, name, took, text) in self.steps() {
            let took = took.map_or(String::new(), seconds);
            writeln!(out, "  {step}  {name:<11} {took:>8}   {}", text[0])?;
            text[1..].iter().try_for_each(|line| writeln!(out, "{:28}{line}", ""))?;
        }
        writeln!(out)?;
        match self.wrong() {
            None => writeln!(out, "  Everything held: the process was killed, the cache was not.")?,
            Some(_) => writeln!(out, "  SOMETHING DID NOT HOLD.")?,
        }
        if kept {
            writeln!(out, "  The arena stays at {}.", self.file.display())?;
        }
        Ok(())
    }

    fn steps(&self) -> [Step; 5] {
        let mut checked = vec![
            format!(
                "{:.3} % of {} acknowledged entries came back",
                self.survived_percent,
                count(self.acknowledged_and_present)
            ),
            format!(
                "{} values read back byte by byte, {} wrong",
                count(self.values_checked),
                count(self.wrong_values())
            ),
        ];
        if self.survived < self.acknowledged_and_present {
            let lost = self.acknowledged_and_present - self.survived;
            checked.push(format!("{} did not", count(lost)));
        }
        if self.evicted_before_kill > 0 {
            checked.push(format!("{} had been evicted before the kill", count(self.evicted_before_kill)));
        }
        let (open, first_hit) = (self.recovery.clone(), self.first_hit_seconds);
        let first_hit = first_hit.map_or("no hit at all".to_owned(), |s| format!("first hit after {}", seconds(s)));
        [
            (1, "serve", Some(self.serve_seconds), self.served()),
            (
                2,
                "kill -9",
                None,
                vec![format!("in the middle of it, with {} entries", count(self.entries_before_kill))],
            ),
            (3, "open", Some(self.open_seconds), vec![open, first_hit]),
            (4, "check", Some(self.check_seconds), checked),
            (5, "go on warm", Some(self.warm_seconds), self.went_on()),
        ]
    }

    fn served(&self) -> Vec<String> {
        let (operations, rate) = rates(self.operations, self.serve_seconds);
        let acknowledged = count(self.writes_acknowledged);
        let done = format!("{operations} operations, {rate} a second");
        vec![done, format!("{acknowledged} writes acknowledged{}", refused(self.writes_refused))]
    }

    fn went_on(&self) -> Vec<String> {
        let (operations, rate) = rates(self.warm_operations, self.warm_seconds);
        let hit_percent = self.warm_hit_percent;
        let done = format!("{operations} operations, {rate} a second");
        vec![done, format!("{hit_percent:.1} % of the reads hit{}", refused(self.warm_refused))]
    }

    fn wrong_values(&self) -> u64 {
        self.damaged + self.stale + self.resurrected
    }
}

/// Number, name, seconds if they mean anything, lines of text.
type Step = (u8, &'static str, Option<f64>, Vec<String>);

fn rates(operations: u64, seconds: f64) -> (String, String) {
    (rough(operations as f64), rough(operations as f64 / seconds.max(1e-9)))
}

fn seconds(seconds: f64) -> String {
    duration(Duration::from_secs_f64(seconds))
}

/// The lines above the steps.
pub(super) fn title(json: bool, place: &Place, workload: &Workload) {
    if json {
        return;
    }
    let removes = 100 - READS_PERCENT - WRITES_PERCENT;
    println!("\n  also-cache demo\n");
    println!("  arena     {}", place.file("demo").display());
    println!(
        "  workload  {} threads: {READS_PERCENT} % reads, {WRITES_PERCENT} % writes, {removes} % removals\n            {} keys, values of {} to {}\n",
        workload.threads,
        count(workload.keys),
        bytes(VALUE_BYTES.0),
        bytes(VALUE_BYTES.1)
    );
}

/// What a line says of refused writes, if there were any.
fn refused(writes: u64) -> String {
    if writes > 0 { format!(", {} refused", count(writes)) } else { String::new() }
}
