//! What is shown: a table that is redrawn below the events, or lines where nobody watches, or JSON.

use super::board::{Board, Seat};
use super::verdict::Verdict;
use crate::failure::Result;
use crate::node::Figures;
use crate::size::{bytes, count, duration, rough};
use crate::table::Table;
use console::{Term, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Where to show it.
pub(super) struct Screen {
    look: Look,
    interval: Duration,
    next: Instant,
}

enum Look {
    Live(ProgressBar),
    Lines,
    Json,
}

impl Screen {
    pub(super) fn new(json: bool, interval: Duration) -> Self {
        let look = match (json, Term::stdout().is_term()) {
            (true, _) => Look::Json,
            (false, false) => Look::Lines,
            (false, true) => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout_with_hz(10));
                let style = ProgressStyle::with_template("{msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                Look::Live(bar)
            }
        };
        Self { look, interval, next: Instant::now() }
    }

    /// Whether a program reads.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.look, Look::Json)
    }

    /// The first lines, once all nodes are complete.
    pub(super) fn title(&self, nodes: u8, load: u64, after: Duration, proxied: bool) -> Result<()> {
        let took = duration(after);
        if self.is_json() {
            return say(&json!({"line": "complete", "nodes": nodes, "after_ms": after.as_millis() as u64}));
        }
        let nodes = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
        self.print(&format!("\n  also-cache cluster: {nodes} on loopback, complete after {took}"));
        let path = if proxied { "through proxies that can be cut" } else { "directly" };
        self.print(&format!("  {} operations a second on each; they talk {path}\n", count(load)));
        Ok(())
    }

    /// Something happened to a node, or was done to it.
    pub(super) fn event(&self, at: Duration, node: &str, text: &str) -> Result<()> {
        if self.is_json() {
            return say(&json!({"line": "event", "at_s": at.as_secs_f64(), "node": node, "text": text}));
        }
        self.print(&format!("  {:>6.2} s  {node:<4} {text}", at.as_secs_f64()));
        Ok(())
    }

    /// The figures of now, as often as they are wanted.
    pub(super) fn figures(&mut self, board: &Board, at: Duration, length: Duration) -> Result<()> {
        if let Look::Live(bar) = &self.look {
            let width = usize::from(Term::stdout().size().1);
            let now = at.min(length).as_secs_f64();
            let text = format!("\n{}\n  {now:>6.1} s of {} s", table(board, width), length.as_secs());
            let lines: Vec<_> = text.lines().map(|line| truncate_str(line, width.saturating_sub(1), "")).collect();
            bar.set_message(lines.join("\n"));
            bar.tick();
            return Ok(());
        }
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + self.interval;
        if self.is_json() {
            let nodes: Vec<Value> = board.seats.iter().map(figures).collect();
            return say(&json!({"line": "stats", "at_s": at.as_secs_f64(), "nodes": nodes}));
        }
        println!("  {:>6.2} s  {}", at.as_secs_f64(), in_words(board));
        Ok(())
    }

    /// The end.
    pub(super) fn verdict(&mut self, verdict: &Verdict) -> Result<()> {
        match &self.look {
            Look::Json => {
                let mut line = json!({"line": "verdict"});
                if let (Value::Object(line), Value::Object(more)) = (&mut line, serde_json::to_value(verdict)?) {
                    line.extend(more);
                }
                return say(&line);
            }
            Look::Live(bar) => {
                bar.finish();
                // Dropped here, it would draw itself once more, over what comes now.
                self.look = Look::Lines;
                println!();
            }
            Look::Lines => {}
        }
        println!("\n{verdict}");
        Ok(())
    }

    fn print(&self, text: &str) {
        match &self.look {
            Look::Live(bar) => bar.println(text),
            Look::Lines => println!("{text}"),
            Look::Json => {}
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Look::Live(bar) = &self.look {
            bar.finish();
        }
    }
}

fn say(line: &Value) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn table(board: &Board, width: usize) -> String {
    let wide = width >= WIDE;
    let mut titles = vec!["node", "peers", "lag", "ms", "reads/s", "hit %", "writes/s", "applied/s", "memory"];
    if wide {
        titles.insert(3, "lag bytes");
        titles.insert(9, "out/s");
    }
    let mut table = Table::new(titles);
    for seat in &board.seats {
        let mut cells = vec![format!("{}  {:<8}", seat.name, seat.word())];
        if let Some(figures) = seat.current() {
            let others = board.seats.len() - 1;
            cells.extend([format!("{}/{others}", figures.connected()), count(figures.lag.changes)]);
            cells.extend(wide.then(|| bytes(figures.lag.bytes)));
            cells.extend([figures.lag.ms.to_string(), rough(figures.reads_per_s), percent(figures.hit_percent)]);
            cells.extend([rough(figures.writes_per_s), rough(figures.applied_per_s)]);
            cells.extend(wide.then(|| bytes(figures.bytes_out_per_s as u64)));
            cells.push(bytes(figures.resident_bytes));
        }
        table.row(cells);
    }
    table.to_string()
}

fn percent(hits: Option<f64>) -> String {
    hits.map_or("-".to_owned(), |hits| format!("{hits:.1}"))
}

/// All nodes in a line.
fn in_words(board: &Board) -> String {
    let states: Vec<String> = board.seats.iter().map(|seat| format!("{} {}", seat.name, seat.word())).collect();
    let figures = || board.seats.iter().filter_map(Seat::current);
    let sum = |rate: fn(&Figures) -> f64| rough(figures().map(rate).sum());
    let lag_ms = figures().map(|figures| figures.lag.ms).max().unwrap_or(0);
    let hits = figures().map(|figures| figures.hit_percent.unwrap_or(0.0) * figures.reads_per_s).sum::<f64>();
    let reads = figures().map(|figures| figures.reads_per_s).sum::<f64>();
    let hits = percent((reads > 0.0).then(|| hits / reads));
    let (reads, writes) = (rough(reads), sum(|figures| figures.writes_per_s));
    let applied = sum(|figures| figures.applied_per_s);
    let states = states.join(", ");
    format!("{states}; lag {lag_ms} ms; {reads} reads/s, {hits} % hit, {writes} writes/s, {applied} applied/s")
}

fn figures(seat: &Seat) -> Value {
    json!({"node": seat.name, "state": seat.word(), "life": seat.life, "figures": seat.figures})
}

/// Columns of a terminal that has room for all of the table.
const WIDE: usize = 110;
