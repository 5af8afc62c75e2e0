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

/// All figures of a run.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<(String, String, String), Figure>);

impl Figures {
    /// The figure of one contestant.
    pub(super) fn of(&self, workload: &str, figure: &str, contestant: &str) -> Option<Figure> {
        self.0.get(&(workload.to_owned(), figure.to_owned(), contestant.to_owned())).copied()
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

    /// Takes what `also-cache compare --json` printed.
    pub(super) fn add_compare(&mut self, text: &str) -> Result<(), String> {
        let report: Value = serde_json::from_str(text).map_err(|error| format!("compare's JSON: {error}"))?;
        for median in report["medians"].as_array().ok_or("compare's JSON has no medians")? {
            let word = |name: &str| median[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| median[name].as_f64().unwrap_or(f64::NAN);
            let figure = Figure { median: number("median"), least: number("least"), most: number("most") };
            self.0.insert((word("workload"), word("figure"), word("contestant")), figure);
        }
        Ok(())
    }

    /// Takes what `also-cache replay --json` printed.
    pub(super) fn add_replay(&mut self, text: &str) -> Result<(), String> {
        let report: Value = serde_json::from_str(text).map_err(|error| format!("replay's JSON: {error}"))?;
        for summary in report["contestants"].as_array().ok_or("replay's JSON has no contestants")? {
            let mean = summary["mean_hit_percent"].as_f64().unwrap_or(f64::NAN);
            let name = summary["contestant"].as_str().unwrap_or_default().to_owned();
            let figure = Figure { median: mean, least: mean, most: mean };
            self.0.insert(("replay".to_owned(), "mean hit %".to_owned(), name), figure);
        }
        Ok(())
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
        self.0.insert((path.to_owned(), "criterion".to_owned(), contestant.to_owned()), figure);
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
        figures.add_compare(text).expect("well-formed");
        let (name, best) = figures.best("churn", "M ops/s, 1 thread", &["moka", "quick_cache", "foyer"]).expect("two");
        assert_eq!((name.as_str(), best.median), ("quick_cache", 4.0));
        assert!(figures.of("churn", "M ops/s, 1 thread", "foyer").is_none());
    }
}
