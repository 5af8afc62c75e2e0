//! Everything measured, by workload, figure and contestant, whoever measured it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A median with its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// Workload, figure, contestant.
pub(super) type Name = (String, String, String);

/// All figures of a run.
#[derive(Default)]
pub(super) struct Figures {
    known: BTreeMap<Name, Figure>,
    /// By workload: who could not be measured, and why.
    absent: BTreeMap<String, String>,
}

impl Figure {
    /// Each figure over several runs: the median of the medians, with the least and the most of them. Of one run it is what
    /// that says itself.
    pub(super) fn medians(runs: &[Figures]) -> BTreeMap<Name, Self> {
        if let [run] = runs {
            return run.known.clone();
        }
        let mut values: BTreeMap<Name, Vec<f64>> = BTreeMap::new();
        for (name, figure) in runs.iter().flat_map(|run| &run.known) {
            values.entry(name.clone()).or_default().push(figure.median);
        }
        let over = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            Self { median: values[values.len() / 2], least: values[0], most: values[values.len() - 1] }
        };
        values.into_iter().map(|(name, values)| (name, over(values))).collect()
    }
}

impl Figures {
    /// The figure of one contestant.
    pub(super) fn of(&self, workload: &str, figure: &str, contestant: &str) -> Option<Figure> {
        self.known.get(&(workload.to_owned(), figure.to_owned(), contestant.to_owned())).copied()
    }

    /// The contestant among `names` with the highest median, `None` if none was measured.
    pub(super) fn best(&self, workload: &str, figure: &str, names: &[&str]) -> Option<(String, Figure)> {
        self.among(workload, figure, names).max_by(|left, right| left.1.median.total_cmp(&right.1.median))
    }

    /// The contestant among `names` with the lowest median, `None` if none was measured.
    pub(super) fn least(&self, workload: &str, figure: &str, names: &[&str]) -> Option<(String, Figure)> {
        self.among(workload, figure, names).min_by(|left, right| left.1.median.total_cmp(&right.1.median))
    }

    fn among(&self, workload: &str, figure: &str, names: &[&str]) -> impl Iterator<Item = (String, Figure)> {
        names.iter().filter_map(move |name| Some(((*name).to_owned(), self.of(workload, figure, name)?)))
    }

    /// Why somebody beside ours was not measured.
    pub(super) fn why_absent(&self, workload: &str) -> Option<&str> {
        self.absent.get(workload).map(String::as_str)
    }

    /// Takes an answer with medians, and with who is absent.
    pub(super) fn add_medians(&mut self, text: &str) -> Result<(), String> {
        let report: Value = serde_json::from_str(text).map_err(|error| format!("its JSON: {error}"))?;
        for absent in report["absent"].as_array().into_iter().flatten() {
            let word = |name: &str| absent[name].as_str().unwrap_or_default().to_owned();
            self.absent.insert(word("workload"), word("reason"));
        }
        for median in report["medians"].as_array().ok_or("its JSON has no medians")? {
            let word = |name: &str| median[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| median[name].as_f64().unwrap_or(f64::NAN);
            let figure = Figure { median: number("median"), least: number("least"), most: number("most") };
            self.known.insert((word("workload"), word("figure"), word("contestant")), figure);
        }
        Ok(())
    }

    /// Takes what `also-cache replay --json` printed.
    pub(super) fn add_replay(&mut self, workload: &str, text: &str) -> Result<(), String> {
        let report: Value = serde_json::from_str(text).map_err(|error| format!("its JSON: {error}"))?;
        for summary in report["contestants"].as_array().ok_or("its JSON has no contestants")? {
            let name = summary["contestant"].as_str().unwrap_or_default();
            let named = [("mean hit %", "mean_hit_percent"), ("entries / allowed, most", "fullness_max")];
            for (figure, field) in named {
                if let Some(value) = summary[field].as_f64() {
                    self.add(workload, figure, name, value);
                }
            }
        }
        Ok(())
    }

    /// How far the hit ratio of four threads is from that of one.
    pub(super) fn compare_threads(&mut self) {
        let mean = |workload| self.of(workload, "mean hit %", "also-cache").map(|figure| figure.median);
        if let (Some(one), Some(four)) = (mean("replay"), mean("replay-4-threads")) {
            self.add("replay-4-threads", "points from one thread", "also-cache", (four - one).abs());
        }
    }

    fn add(&mut self, workload: &str, figure: &str, contestant: &str, value: f64) {
        let key = (workload.to_owned(), figure.to_owned(), contestant.to_owned());
        self.known.insert(key, Figure { median: value, least: value, most: value });
    }

    /// Takes the estimates that criterion left, if it was run: nanoseconds become millions a second.
    pub(super) fn add_criterion(&mut self, folder: &Path) -> Result<(), String> {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Ok(());
        };
        for entry in entries {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            if path.ends_with("new") {
                self.add_estimates(&path);
            } else if path.is_dir() {
                self.add_criterion(&path)?;
            }
        }
        Ok(())
    }

    /// One bench; a folder that criterion did not finish is left out.
    fn add_estimates(&mut self, folder: &Path) -> Option<()> {
        let json = |name: &str| serde_json::from_str::<Value>(&std::fs::read_to_string(folder.join(name)).ok()?).ok();
        let (bench, estimates) = (json("benchmark.json")?, json("estimates.json")?);
        let (path, contestant) = bench["full_id"].as_str()?.rsplit_once('/')?;
        let median = &estimates["median"];
        let rate = |nanoseconds: &Value| Some(1000.0 / nanoseconds.as_f64()?);
        let interval = &median["confidence_interval"];
        let figure = Figure {
            median: rate(&median["point_estimate"])?,
            least: rate(&interval["upper_bound"])?,
            most: rate(&interval["lower_bound"])?,
        };
        self.known.insert((path.to_owned(), "criterion".to_owned(), contestant.to_owned()), figure);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_compare_are_found_by_name() {
        let mut figures = Figures::default();
        let text = r#"{"medians": [
            {"workload": "churn", "figure": "M ops/s, 1 thread", "contestant": "moka", "median": 2.0, "least": 1.0, "most": 3.0},
            {"workload": "churn", "figure": "M ops/s, 1 thread", "contestant": "quick_cache", "median": 4.0, "least": 4.0, "most": 4.0}
        ], "samples": []}"#;
        figures.add_medians(text).expect("well-formed");
        let (name, best) = figures.best("churn", "M ops/s, 1 thread", &["moka", "quick_cache", "foyer"]).expect("two");
        assert_eq!((name.as_str(), best.median), ("quick_cache", 4.0));
        assert!(figures.of("churn", "M ops/s, 1 thread", "foyer").is_none());
    }

    #[test]
    fn who_is_absent_is_known_with_the_reason() {
        let mut figures = Figures::default();
        let text =
            r#"{"medians": [], "absent": [{"workload": "w", "contestant": "valkey", "reason": "it is not there"}]}"#;
        figures.add_medians(text).expect("well-formed");
        assert_eq!((figures.why_absent("w"), figures.why_absent("v")), (Some("it is not there"), None));
    }

    #[test]
    fn runs_of_a_bench_become_one_median() {
        let run = |value| {
            let mut run = Figures::default();
            run.add("get_hit", "criterion", "moka", value);
            run
        };
        let medians = Figure::medians(&[run(3.0), run(1.0), run(2.0)]);
        let figure = medians.values().next().expect("one figure");
        assert_eq!((figure.median, figure.least, figure.most), (2.0, 1.0, 3.0));
    }

    #[test]
    fn four_threads_are_held_against_one() {
        let mut figures = Figures::default();
        let text =
            |mean: f64| format!(r#"{{"contestants": [{{"contestant": "also-cache", "mean_hit_percent": {mean}}}]}}"#);
        figures.add_replay("replay", &text(48.0)).expect("well-formed");
        figures.add_replay("replay-4-threads", &text(47.75)).expect("well-formed");
        figures.compare_threads();
        let apart = figures.of("replay-4-threads", "points from one thread", "also-cache").expect("both are there");
        assert_eq!(apart.median, 0.25);
    }
}
