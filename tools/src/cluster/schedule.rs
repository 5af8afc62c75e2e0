//! What is done to the nodes, and when: flags read, checked, and laid out in time.
//!
//! ```text
//!   --kill b@3        SIGKILL at 3 s, restarted 1.5 s later            --kill b@3:5        restarted 5 s later
//!   --pause b@3:2     SIGSTOP at 3 s, SIGCONT 2 s later
//!   --partition a,b@3:2    nothing between a and b for 2 s             --partition 'a>b@3:2'    nothing from a to b
//! ```

use crate::failure::{Failure, Result};
use crate::node::parse_span;
use std::fmt;
use std::time::Duration;

/// A node, by its place: 0 is `a`.
pub(super) type NodeIndex = usize;

/// The most nodes: their names are letters.
pub(super) const NODES_MAX: usize = 16;

/// The name of a node.
pub(super) fn name(node: NodeIndex) -> String {
    char::from(b'a' + node as u8).to_string()
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill(NodeIndex),
    Pause(NodeIndex),
    /// `both`: in both directions.
    Cut {
        from: NodeIndex,
        to: NodeIndex,
        both: bool,
    },
}

/// When, from the moment when all nodes were complete, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) fault: Fault,
    pub(super) at: Duration,
    pub(super) lasts: Duration,
}

/// A moment of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin(usize),
    End(usize),
}

/// All faults.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    pub(super) faults: Vec<Planned>,
    /// What is still to come, the next one last.
    steps: Vec<(Duration, Step)>,
}

impl Schedule {
    /// Checks faults against the number of nodes and the length of the run, and against each other.
    pub(super) fn new(faults: Vec<Planned>, nodes: usize, length: Duration) -> Result<Self> {
        for (index, planned) in faults.iter().enumerate() {
            if let Some(stranger) = planned.fault.nodes().into_iter().flatten().find(|node| *node >= nodes) {
                return refused(planned, format!("there is no node {}; a to {} run", name(stranger), name(nodes - 1)));
            }
            if planned.at >= length {
                return refused(planned, format!("the run is over after {} s", length.as_secs_f64()));
            }
            if faults[..index].iter().any(|other| other.disturbs(planned)) {
                return refused(planned, "the same is out of order at that time already".to_owned());
            }
        }
        let begins = faults.iter().enumerate().map(|(index, planned)| (planned.at, Step::Begin(index)));
        let ends = faults.iter().enumerate().map(|(index, planned)| (planned.at + planned.lasts, Step::End(index)));
        let mut steps: Vec<_> = begins.chain(ends).collect();
        steps.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(Self { faults, steps })
    }

    /// The next step that is due. With `all` those that end something, whenever they would be due.
    pub(super) fn due(&mut self, now: Duration, all: bool) -> Option<Step> {
        let (at, _) = self.steps.last()?;
        if all || *at <= now { self.steps.pop().map(|(_, step)| step) } else { None }
    }

    /// Whether the network has to be in the hands of this process.
    pub(super) fn cuts(&self) -> bool {
        self.faults.iter().any(|planned| matches!(planned.fault, Fault::Cut { .. }))
    }
}

impl Planned {
    /// Whether two faults concern the same node, or the same pair, at the same time.
    fn disturbs(&self, other: &Self) -> bool {
        let same = match (self.fault, other.fault) {
            (Fault::Cut { from, to, .. }, Fault::Cut { from: other_from, to: other_to, .. }) => {
                (from, to) == (other_from, other_to) || (from, to) == (other_to, other_from)
            }
            (Fault::Cut { .. }, _) | (_, Fault::Cut { .. }) => false,
            (Fault::Kill(node) | Fault::Pause(node), Fault::Kill(other) | Fault::Pause(other)) => node == other,
        };
        same && self.at <= other.at + other.lasts && other.at <= self.at + self.lasts
    }
}

impl Fault {
    fn nodes(self) -> [Option<NodeIndex>; 2] {
        match self {
            Self::Kill(node) | Self::Pause(node) => [Some(node), None],
            Self::Cut { from, to, .. } => [Some(from), Some(to)],
        }
    }

    /// Its option, which is its name too.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Pause(_) => "pause",
            Self::Cut { .. } => "partition",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Kill(node) | Self::Pause(node) => f.write_str(&name(node)),
            Self::Cut { from, to, both: true } => write!(f, "{},{}", name(from), name(to)),
            Self::Cut { from, to, both: false } => write!(f, "{}>{}", name(from), name(to)),
        }
    }
}

/// Reads `b@3` or `b@3:5`.
pub(super) fn parse_kill(text: &str) -> std::result::Result<Planned, String> {
    let (node, at, lasts) = parts(text)?;
    Ok(Planned { fault: Fault::Kill(parse_node(node)?), at, lasts: lasts.unwrap_or(DOWN) })
}

/// Reads `b@3:2`.
pub(super) fn parse_pause(text: &str) -> std::result::Result<Planned, String> {
    let (node, at, lasts) = parts(text)?;
    let lasts = lasts.ok_or_else(|| format!("{text:?} does not say for how long, as b@3:2 does"))?;
    Ok(Planned { fault: Fault::Pause(parse_node(node)?), at, lasts })
}

/// Reads `a,b@3:2` or `a>b@3:2`.
pub(super) fn parse_cut(text: &str) -> std::result::Result<Planned, String> {
    let (pair, at, lasts) = parts(text)?;
    let lasts = lasts.ok_or_else(|| format!("{text:?} does not say for how long, as a,b@3:2 does"))?;
    let both = pair.contains(',');
    let nodes = pair.split_once([',', '>']);
    let (from, to) = nodes.ok_or_else(|| format!("{pair:?} is no pair of nodes, such as a,b or a>b"))?;
    let (from, to) = (parse_node(from)?, parse_node(to)?);
    if from == to {
        return Err(format!("{} can not be cut from itself", name(from)));
    }
    Ok(Planned { fault: Fault::Cut { from, to, both }, at, lasts })
}

fn parts(text: &str) -> std::result::Result<(&str, Duration, Option<Duration>), String> {
    let (whom, when) = text.split_once('@').ok_or_else(|| format!("{text:?} does not say when, as b@3 does"))?;
    let (at, lasts) = match when.split_once(':') {
        Some((at, lasts)) => (at, Some(parse_span(lasts)?)),
        None => (when, None),
    };
    Ok((whom, parse_span(at)?, lasts))
}

fn parse_node(text: &str) -> std::result::Result<NodeIndex, String> {
    match text.as_bytes() {
        [letter @ b'a'..=b'p'] => Ok(usize::from(letter - b'a')),
        _ => Err(format!("{text:?} is no node: they are named a to {}", name(NODES_MAX - 1))),
    }
}

fn refused<T>(planned: &Planned, bound: String) -> Result<T> {
    let met = format!("{}@{}", planned.fault, planned.at.as_secs_f64());
    Err(Failure::Option { option: planned.fault.option(), met, bound })
}

/// How long a killed node stays away.
const DOWN: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn faults_are_read() {
        assert_eq!(parse_kill("b@3"), Ok(Planned { fault: Fault::Kill(1), at: seconds(3.0), lasts: DOWN }));
        assert_eq!(parse_kill("a@0.5:2s").map(|planned| planned.lasts), Ok(seconds(2.0)));
        assert_eq!(parse_pause("c@1:500ms").map(|planned| planned.lasts), Ok(seconds(0.5)));
        let both = Fault::Cut { from: 0, to: 1, both: true };
        assert_eq!(parse_cut("a,b@4:3"), Ok(Planned { fault: both, at: seconds(4.0), lasts: seconds(3.0) }));
        assert_eq!(parse_cut("b>a@4:3").map(|cut| cut.fault), Ok(Fault::Cut { from: 1, to: 0, both: false }));
        for text in ["", "b", "b@", "@3", "1@3", "B@3", "q@3", "b@3:", "b@-1", "ab@3"] {
            assert!(parse_kill(text).is_err(), "{text}");
        }
        for text in ["b@3", "b@3:0"] {
            assert!(parse_pause(text).is_err(), "{text}");
        }
        for text in ["a@3:1", "a,a@3:1", "a,b@3", "a;b@3:1", "a,b,c@3:1"] {
            assert!(parse_cut(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_schedule_is_checked_as_a_whole() {
        let plan = |faults: &[Planned]| Schedule::new(faults.to_vec(), 3, seconds(10.0));
        let [kill, pause] = [parse_kill("b@3:2"), parse_pause("b@4:1")].map(|read| read.expect("it is one"));
        let told = |faults: &[Planned]| plan(faults).expect_err("it is refused").to_string();
        assert!(told(&[kill, pause]).contains("--pause is b@4: the same is out of order"));
        assert!(told(&[parse_kill("d@3").expect("it is one")]).contains("there is no node d; a to c run"));
        assert!(told(&[parse_kill("a@10").expect("it is one")]).contains("over after 10 s"));
        let cut = |text| parse_cut(text).expect("it is one");
        assert!(plan(&[cut("a,b@1:2"), cut("b>a@2:1")]).is_err());
        assert!(plan(&[cut("a,b@1:2"), cut("a,c@1:2"), kill]).is_ok_and(|schedule| schedule.cuts()));
    }

    #[test]
    fn steps_come_in_time_and_the_last_ones_at_the_end() {
        let faults = [parse_kill("b@3:9"), parse_pause("a@2:0.5")].map(|read| read.expect("it is one"));
        let mut schedule = Schedule::new(faults.to_vec(), 2, seconds(10.0)).expect("it fits");
        assert_eq!(schedule.due(seconds(1.9), false), None);
        assert_eq!(schedule.due(seconds(2.0), false), Some(Step::Begin(1)));
        assert_eq!(schedule.due(seconds(2.0), false), None);
        assert_eq!(schedule.due(seconds(5.0), false), Some(Step::End(1)));
        assert_eq!(schedule.due(seconds(5.0), false), Some(Step::Begin(0)));
        assert_eq!(schedule.due(seconds(5.0), false), None);
        assert_eq!(schedule.due(seconds(5.0), true), Some(Step::End(0)));
        assert_eq!(schedule.due(seconds(5.0), true), None);
    }
}
