//! The goals, each with the figure that it is about.

use super::figures::{Figure, Figures};

/// Prints a line a goal.
pub(super) fn print(figures: &Figures) {
    println!("\n  {:<34} {:<22} {:>10} {:>24} {:>8}  reached", "what", "goal", "ours", "beside", "spread");
    let mut counts = [0; 3];
    for goal in goals() {
        let line = goal.judge(figures);
        counts[usize::from(line.verdict)] += 1;
        let verdict = ["NO", "yes", "not measured"][usize::from(line.verdict)];
        println!(
            "  {:<34} {:<22} {:>10} {:>24} {:>8}  {verdict}",
            goal.what,
            goal.wish(),
            line.ours,
            line.beside,
            line.spread
        );
    }
    println!("\n  {} reached, {} not, {} not measured", counts[1], counts[0], counts[2]);
}

/// One goal.
struct Goal {
    what: String,
    workload: String,
    figure: &'static str,
    ours: &'static str,
    wish: Wish,
}

/// What is wished for.
enum Wish {
    /// At least so many times the best of the peers, found under this figure and workload.
    Times(f64, String, &'static str),
    /// At least the best of the peers, or this one, plus so many.
    Plus(f64, &'static [&'static str]),
    /// At most so much.
    AtMost(f64),
}

struct Line {
    ours: String,
    beside: String,
    spread: String,
    /// 0 no, 1 yes, 2 not measured.
    verdict: u8,
}

impl Goal {
    fn wish(&self) -> String {
        match &self.wish {
            Wish::Times(factor, ..) => format!(">= {factor} x the best peer"),
            Wish::Plus(0.0, _) => ">= the best peer".to_owned(),
            Wish::Plus(points, names) => format!(">= {} + {points}", names.join(", ")),
            Wish::AtMost(bound) => format!("<= {bound}"),
        }
    }

    fn judge(&self, figures: &Figures) -> Line {
        let ours = figures.of(&self.workload, self.figure, self.ours);
        let peer = match &self.wish {
            Wish::Times(_, workload, figure) => figures.best(workload, figure, PEERS),
            Wish::Plus(_, names) => figures.best(&self.workload, self.figure, names),
            Wish::AtMost(_) => figures.least(&self.workload, self.figure, PEERS),
        };
        let reached = ours.and_then(|ours| match (&self.wish, &peer) {
            (Wish::AtMost(bound), _) => Some(ours.median <= *bound),
            (Wish::Times(factor, ..), Some((_, peer))) => Some(ours.median >= peer.median * factor),
            (Wish::Plus(points, _), Some((_, peer))) => Some(ours.median >= peer.median + points),
            (_, None) => None,
        });
        Line {
            ours: ours.map_or("-".to_owned(), |figure| format!("{:.2}", figure.median)),
            beside: peer.map_or("-".to_owned(), |(name, figure)| format!("{name} {:.2}", figure.median)),
            spread: ours.map_or("-".to_owned(), spread),
            verdict: reached.map_or(2, u8::from),
        }
    }
}

fn spread(figure: Figure) -> String {
    format!("{:.0} %", (figure.most - figure.least) / figure.median.abs().max(1e-9) * 100.0)
}

fn goals() -> Vec<Goal> {
    let mut goals = Vec::new();
    for (case, factors) in [("10kx64", [1.0, 2.0]), ("1Mx256", [1.3, 1.3]), ("4Mx64", [1.6, 1.6])] {
        for ((threads, figure), factor) in GETS.into_iter().zip(factors) {
            goals.push(times(format!("get hit, {case}, {threads}"), format!("hit/{case}"), figure, factor));
        }
    }
    goals.push(Goal {
        what: "get_many by 16, 4Mx64".to_owned(),
        workload: "get_hit/4Mx64/zipf/1t".to_owned(),
        figure: "criterion",
        ours: "also-cache get_many 16",
        wish: Wish::Times(4.0, "get_hit/4Mx64/zipf/1t".to_owned(), "criterion"),
    });
    for workload in ["aside/95-5", "aside/50-50", "churn"] {
        for (threads, figure) in OPERATIONS {
            goals.push(times(format!("{workload}, {threads}"), workload.to_owned(), figure, 1.2));
        }
        goals.push(at_most(format!("{workload}, refused in 10,000"), workload, "refused per 10,000", 1.0));
    }
    goals.push(at_most("bytes per entry beyond 64 B".to_owned(), "overhead/64", "overhead, bytes per entry", 56.0));
    goals.push(at_most("bytes per entry beyond 256 B".to_owned(), "overhead/256", "overhead, bytes per entry", 56.0));
    goals.push(at_most("resident / capacity, drift".to_owned(), "drift", "RSS / capacity, most", 1.02));
    for (what, wish) in [
        ("hit ratio over the traces", Wish::Plus(0.4, &["s3fifo"])),
        ("hit ratio over the traces", Wish::Plus(0.0, PEERS)),
    ] {
        let (workload, what) = ("replay".to_owned(), what.to_owned());
        goals.push(Goal { what, workload, figure: "mean hit %", ours: OURS, wish });
    }
    goals
}

fn times(what: String, workload: String, figure: &'static str, factor: f64) -> Goal {
    Goal { what, workload: workload.clone(), figure, ours: OURS, wish: Wish::Times(factor, workload, figure) }
}

fn at_most(what: String, workload: &str, figure: &'static str, bound: f64) -> Goal {
    Goal { what, workload: workload.to_owned(), figure, ours: OURS, wish: Wish::AtMost(bound) }
}

const OURS: &str = "also-cache";
const PEERS: &[&str] = &["quick_cache", "moka", "foyer", "tinyufo", "segcache"];
const GETS: [(&str, &str); 2] = [("1 thread", "M gets/s, 1 thread"), ("2 threads", "M gets/s, 2 threads")];
const OPERATIONS: [(&str, &str); 2] = [("1 thread", "M ops/s, 1 thread"), ("2 threads", "M ops/s, 2 threads")];
