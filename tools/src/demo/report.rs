//! What `demo` says: a step a line, or all of it as JSON.

use super::survey::Survey;
use super::workload::{READS_PERCENT, VALUE_BYTES, WRITES_PERCENT, Workload};
use crate::failure::Result;
use crate::place::Place;
use crate::size::{bytes, count, duration, rough};
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// The first writes, on one node, read on the others.
#[derive(Serialize)]
pub(super) struct Wrote {
    pub(super) write_seconds: f64,
    pub(super) written: u64,
    /// From the last write to the moment when all others had them all.
    pub(super) confirmed_after_ms: f64,
    pub(super) read_seconds: f64,
    pub(super) surveys: Vec<Survey>,
    /// From a single write to the moment when both others had it.
    pub(super) single_p50_us: f64,
    pub(super) single_p99_us: f64,
}

/// The restart; all times but that of the open from before the process was started.
#[derive(Serialize)]
pub(super) struct Caught {
    pub(super) warm: bool,
    pub(super) open_ms: f64,
    pub(super) first_hit_ms: Option<f64>,
    pub(super) confirmed_ms: Option<f64>,
    pub(super) complete_ms: f64,
    /// Changes of others that were applied by then.
    pub(super) changes: u64,
}

/// All figures of a run, in the order in which they came.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) folder: PathBuf,
    pub(super) capacity_bytes: u64,
    pub(super) keys: u64,
    pub(super) load_per_s: u64,
    pub(super) start_seconds: f64,
    pub(super) wrote: Wrote,
    pub(super) serve_seconds: f64,
    /// Of all processes, up to the end.
    pub(super) operations: u64,
    pub(super) writes_acknowledged: u64,
    pub(super) removals_acknowledged: u64,
    pub(super) writes_refused: u64,
    pub(super) wrong_while_serving: u64,
    pub(super) down_seconds: f64,
    pub(super) caught: Caught,
    pub(super) warm_seconds: f64,
    pub(super) warm_reads: u64,
    pub(super) warm_hits: u64,
    pub(super) surveys: Vec<Survey>,
    /// Acknowledged writes that no node holds.
    pub(super) lost_everywhere: u64,
}

impl Report {
    /// What did not hold, `None` if everything did.
    pub(super) fn wrong(&self) -> Option<String> {
        let all = || self.wrote.surveys.iter().chain(&self.surveys);
        if let Some(example) = all().find_map(|survey| survey.example.as_deref()) {
            let wrong: u64 = all().map(Survey::wrong).sum();
            return Some(format!("{wrong} values were wrong; the first: {example}"));
        }
        if self.wrong_while_serving > 0 {
            return Some(format!("{} values were wrong while serving", self.wrong_while_serving));
        }
        if !self.caught.warm {
            return Some("the killed node did not come back warm".to_owned());
        }
        if self.caught.first_hit_ms.is_none() || self.warm_hits == 0 {
            return Some("nothing was read on the killed node after its restart".to_owned());
        }
        if let Some(survey) = all().find(|survey| survey.expected == 0) {
            return Some(format!("nothing was acknowledged that {} could hold, so nothing was shown", survey.node));
        }
        let evicted: u64 = self.surveys.iter().map(|survey| survey.evicted).sum();
        if self.lost_everywhere > evicted {
            return Some(format!("{} acknowledged writes were lost", self.lost_everywhere));
        }
        let misses = all().find(|survey| survey.unexplained() > 0)?;
        Some(format!("{} keys are missing on {} without a reason that it counted", misses.unexplained(), misses.node))
    }

    /// Prints it.
    pub(super) fn print(&self, json: bool, kept: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            writeln!(out)?;
            return Ok(());
        }
        for (step, (name, took, text)) in (1..).zip(self.steps()) {
            let took = took.map_or(String::new(), |took| duration(Duration::from_secs_f64(took)));
            writeln!(out, "  {step}  {name:<8} {took:>8}   {}", text[0])?;
            text[1..].iter().try_for_each(|line| writeln!(out, "{:25}{line}", ""))?;
        }
        writeln!(out)?;
        match self.wrong() {
            None => writeln!(out, "  Everything held: a process was killed, the cache was not.")?,
            Some(_) => writeln!(out, "  SOMETHING DID NOT HOLD.")?,
        }
        if kept {
            writeln!(out, "  The arenas stay in {}.", self.folder.display())?;
        }
        Ok(())
    }

    fn steps(&self) -> [Step; 8] {
        let (wrote, caught) = (&self.wrote, &self.caught);
        let confirmed = milliseconds(wrote.confirmed_after_ms);
        let first_hit = caught.first_hit_ms.map_or("no hit at all".to_owned(), milliseconds);
        let missed = count(caught.changes);
        let (operations, writes) = (rough(self.operations as f64), count(self.writes_acknowledged));
        let refused = match self.writes_refused {
            0 => String::new(),
            refused => format!(", {} refused", count(refused)),
        };
        let hits = 100.0 * self.warm_hits as f64 / self.warm_reads.max(1) as f64;
        [
            ("start", Some(self.start_seconds), vec!["three processes: each holds the whole cache".to_owned()]),
            (
                "write",
                Some(wrote.write_seconds),
                vec![format!("{} values on a; b and c have them all {confirmed} after the last", count(wrote.written))],
            ),
            ("read", Some(wrote.read_seconds), self.read()),
            (
                "serve",
                Some(self.serve_seconds),
                vec![
                    format!("{} operations a second on each node", rough(self.load_per_s as f64)),
                    format!("{operations} of them to the end of the demo; {writes} writes acknowledged{refused}"),
                ],
            ),
            ("kill -9", Some(self.down_seconds), vec!["b, in the middle of it; a and c go on without it".to_owned()]),
            (
                "restart",
                Some(caught.complete_ms / 1e3),
                vec![
                    format!("b opened its arena in {}, {}", milliseconds(caught.open_ms), warm(caught.warm)),
                    format!("first hit {first_hit} after the start of the process"),
                    format!(
                        "nothing missing any more after {}: {missed} changes caught up",
                        milliseconds(caught.complete_ms)
                    ),
                ],
            ),
            ("go on", Some(self.warm_seconds), vec![format!("{hits:.1} % of the reads on b hit")]),
            ("check", None, self.checked()),
        ]
    }

    fn read(&self) -> Vec<String> {
        let wrote = &self.wrote;
        let found: Vec<String> =
            wrote.surveys.iter().map(|survey| format!("{} on {}", count(survey.held), survey.node)).collect();
        let wrong: u64 = wrote.surveys.iter().map(Survey::wrong).sum();
        let (p50, p99) = (milliseconds(wrote.single_p50_us / 1e3), milliseconds(wrote.single_p99_us / 1e3));
        vec![
            format!("{}, byte by byte, {} wrong", found.join(" and "), count(wrong)),
            format!("a single write is on both after {p50}, p99 {p99}"),
        ]
    }

    fn checked(&self) -> Vec<String> {
        let expected = self.surveys.first().map_or(0, |survey| survey.expected);
        let wrong: u64 = self.surveys.iter().map(Survey::wrong).sum();
        let values: u64 = self.surveys.iter().map(|survey| survey.found).sum();
        let mut lines = vec![
            format!("{} acknowledged entries, {} lost", count(expected), count(self.lost_everywhere)),
            format!("{} values read on three nodes byte by byte, {} wrong", count(values), count(wrong)),
        ];
        for survey in self.surveys.iter().filter(|survey| survey.absent > 0) {
            let Survey { node, absent, left_out, evicted, withheld, .. } = survey;
            let kept = format!("{} left out below a floor, {} evicted", count(*left_out), count(*evicted));
            let reasons = format!("{kept}, {} not sent", count(*withheld));
            lines.push(format!("{node} misses {} of them: {reasons}", count(*absent)));
        }
        lines
    }
}

/// Name, seconds if they mean anything, lines of text.
type Step = (&'static str, Option<f64>, Vec<String>);

fn milliseconds(ms: f64) -> String {
    duration(Duration::from_secs_f64(ms / 1e3))
}

fn warm(warm: bool) -> &'static str {
    if warm { "warm" } else { "COLD" }
}

/// The lines above the steps.
pub(super) fn title(json: bool, place: &Place, workload: &Workload) {
    if json {
        return;
    }
    let removes = 100 - READS_PERCENT - WRITES_PERCENT;
    println!("\n  also-cache demo\n");
    println!("  arenas    {}", place.folder().display());
    println!(
        "  nodes     three, {} threads each: {READS_PERCENT} % reads, {WRITES_PERCENT} % writes, {removes} % removals",
        workload.threads
    );
    println!("  keys      {}, values of {} to {}\n", count(workload.keys), bytes(VALUE_BYTES.0), bytes(VALUE_BYTES.1));
}
