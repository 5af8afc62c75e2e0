//! A goal against the figures: ours, the one beside it, the spread, and whether it is reached.

use super::figures::{Figure, Figures};
use super::goals::{Topic, goals};
use super::measure::command_of;

/// One goal.
pub(super) struct Goal {
    pub(super) topic: Topic,
    pub(super) what: String,
    pub(super) workload: String,
    pub(super) figure: &'static str,
    pub(super) ours: &'static str,
    pub(super) wish: Wish,
}

/// What is wished for.
pub(super) enum Wish {
    /// At least so many times the best of the peers.
    Times(f64),
    /// At least the best of these, plus so many.
    Plus(f64, &'static [&'static str]),
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// Not above the lowest of the peers.
    NotAbovePeers,
    /// At least so many times the best of these.
    TimesOf(f64, &'static [&'static str]),
    /// At most so many times the lowest of these.
    WithinTimesOf(f64, &'static [&'static str]),
    /// No goal: said all the same, beside one of these.
    Said(&'static [&'static str]),
}

/// A goal and what became of it.
pub(super) struct Line {
    pub(super) topic: Topic,
    pub(super) what: String,
    pub(super) wish: String,
    pub(super) ours: String,
    pub(super) beside: String,
    pub(super) spread: String,
    pub(super) verdict: String,
    /// What measures it.
    pub(super) command: String,
}

/// A line a goal.
pub(super) fn lines(figures: &Figures) -> Vec<Line> {
    goals().into_iter().map(|goal| goal.judge(figures)).collect()
}

/// Prints them.
pub(super) fn print(lines: &[Line]) {
    let row = |cells: [&str; 6]| {
        let [what, wish, ours, beside, spread, verdict] = cells;
        println!("  {what:<44} {wish:<18} {ours:>7} {beside:>17} {spread:>6}  {verdict}");
    };
    println!();
    row(["what", "goal", "ours", "beside", "spread", "reached"]);
    for (at, line) in lines.iter().enumerate() {
        if at == 0 || lines[at - 1].topic != line.topic {
            println!("\n  {}", line.topic.title());
        }
        row([&line.what, &line.wish, &line.ours, &line.beside, &line.spread, &line.verdict]);
    }
    let count = |verdict: &str| lines.iter().filter(|line| line.verdict.starts_with(verdict)).count();
    println!("\n  {} reached, {} not, {} not measured", count(YES), count(NO), count(UNKNOWN));
}

impl Goal {
    fn judge(&self, figures: &Figures) -> Line {
        let ours = figures.of(&self.workload, self.figure, self.ours);
        let peer = match &self.wish {
            Wish::Times(_) => figures.best(&self.workload, self.figure, PEERS),
            Wish::Plus(_, names) | Wish::TimesOf(_, names) | Wish::Said(names) => {
                figures.best(&self.workload, self.figure, names)
            }
            Wish::WithinTimesOf(_, names) => figures.least(&self.workload, self.figure, names),
            // What has to be at least so much is ours alone, or means something else where there is no budget.
            Wish::AtLeast(_) => None,
            Wish::AtMost(_) | Wish::NotAbovePeers => figures.least(&self.workload, self.figure, PEERS),
        };
        let beside = peer.as_ref().map(|(_, figure)| figure.median);
        let reached = ours.and_then(|ours| self.wish.is_reached(ours.median, beside));
        Line {
            topic: self.topic,
            what: self.what.clone(),
            wish: self.wish.text(),
            ours: ours.map_or("-".to_owned(), |figure| number(figure.median)),
            beside: peer.map_or("-".to_owned(), |(name, figure)| format!("{name} {}", number(figure.median))),
            spread: ours.map_or("-".to_owned(), spread),
            command: command_of(&self.workload),
            verdict: match (reached, &self.wish) {
                (Some(true), _) => YES.to_owned(),
                (Some(false), _) => NO.to_owned(),
                (None, Wish::Said(_)) if ours.is_some() => "-".to_owned(),
                (None, _) => self.why_unknown(figures),
            },
        }
    }

    fn why_unknown(&self, figures: &Figures) -> String {
        figures.why_absent(&self.workload).map_or(UNKNOWN.to_owned(), |reason| format!("{UNKNOWN}: {reason}"))
    }
}

impl Wish {
    /// `None` if what it is relative to was not measured.
    fn is_reached(&self, ours: f64, beside: Option<f64>) -> Option<bool> {
        Some(match self {
            Self::Times(factor) => ours >= beside? * factor,
            Self::Plus(points, _) => ours >= beside? + points,
            Self::AtLeast(bound) => ours >= *bound,
            Self::AtMost(bound) => ours <= *bound,
            Self::NotAbovePeers => ours <= beside?,
            Self::TimesOf(factor, _) => ours >= beside? * factor,
            Self::WithinTimesOf(factor, _) => ours <= beside? * factor,
            Self::Said(_) => return None,
        })
    }

    fn text(&self) -> String {
        match self {
            Self::Times(factor) => format!(">= {factor} x best peer"),
            Self::Plus(points, _) if *points == 0.0 => ">= best peer".to_owned(),
            Self::Plus(points, names) => format!(">= {} + {points}", names.join(", ")),
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::NotAbovePeers => "<= best peer".to_owned(),
            Self::TimesOf(factor, names) => format!(">= {factor} x {}", names.join(" or ")),
            Self::WithinTimesOf(factor, names) => format!("<= {factor} x {}", names.join(" or ")),
            Self::Said(_) => "-".to_owned(),
        }
    }
}

pub(super) fn number(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn spread(figure: Figure) -> String {
    if figure.median == 0.0 {
        return if figure.most == 0.0 { "none".to_owned() } else { format!("to {}", number(figure.most)) };
    }
    format!("{:.0} %", (figure.most - figure.least) / figure.median.abs() * 100.0)
}

const YES: &str = "yes";
const NO: &str = "NO";
const UNKNOWN: &str = "not measured";

/// Whoever is measured beside ours.
pub(super) const PEERS: &[&str] = &["quick_cache", "moka", "foyer", "tinyufo", "segcache"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_beside_somebody_who_is_not_there_says_why() {
        let mut figures = Figures::default();
        let text = r#"{"medians": [{"workload": "cluster/64B", "figure": "k updates/s", "contestant": "also-cache",
            "median": 9.0, "least": 9.0, "most": 9.0}],
            "absent": [{"workload": "cluster/64B", "contestant": "valkey", "reason": "no server"}]}"#;
        figures.add_medians(text).expect("well-formed");
        let lines = lines(&figures);
        let verdicts = || lines.iter().map(|line| line.verdict.as_str());
        assert_eq!(verdicts().filter(|verdict| *verdict == "not measured: no server").count(), 3);
        assert!(verdicts().filter(|verdict| *verdict == UNKNOWN).count() > 40);
    }

    #[test]
    fn a_wish_relative_to_nobody_is_not_judged() {
        assert_eq!(Wish::Times(2.0).is_reached(5.0, None), None);
        assert_eq!(Wish::Times(2.0).is_reached(5.0, Some(2.5)), Some(true));
        assert_eq!(Wish::Plus(0.4, PEERS).is_reached(48.3, Some(48.0)), Some(false));
        assert_eq!(Wish::TimesOf(3.0, &["redis"]).is_reached(5.0, Some(2.0)), Some(false));
        assert_eq!(Wish::WithinTimesOf(2.0, &["TCP"]).is_reached(5.0, Some(2.5)), Some(true));
        assert_eq!(Wish::NotAbovePeers.is_reached(1.0, Some(2.0)), Some(true));
        assert_eq!(
            (Wish::AtMost(1.0).is_reached(1.0, None), Wish::AtLeast(1.0).is_reached(0.9, None)),
            (Some(true), Some(false))
        );
    }
}
