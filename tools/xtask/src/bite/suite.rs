//! The builds in which every defect can be turned on, and how their tests are run.
//!
//! ```text
//!   loom   loom-tests     RUSTFLAGS="--cfg loom"                      as for `cargo xtask loom`
//!   test   tests          rustc through bitten.sh: --cfg also_cache_bite for the crates of the workspace
//!   unit   src            the same
//! ```
//!
//! The latter two share its dependencies with `cargo test --workspace`: RUSTFLAGS, or another choice of packages, would
//! have them built once more.

use super::list::{Check, Suite};
use crate::loom;
use crate::step::{Ending, Step};
use std::collections::HashMap;
use std::path::Path;

/// Where the test binaries are.
pub(super) struct Built(HashMap<(Suite, String), String>);

impl Built {
    /// Builds the binaries of these checks. An error if that fails, or one of them is not there.
    pub(super) fn of(checks: &[&Check]) -> Result<Self, String> {
        let mut built = Self(HashMap::new());
        for suite in [Suite::Loom, Suite::Test, Suite::Unit] {
            let mut binaries: Vec<&str> =
                checks.iter().filter(|check| check.suite == suite).map(|check| check.binary.as_str()).collect();
            binaries.sort_unstable();
            binaries.dedup();
            if !binaries.is_empty() {
                built.build(suite, &binaries)?;
            }
        }
        Ok(built)
    }

    fn build(&mut self, suite: Suite, binaries: &[&str]) -> Result<(), String> {
        let wanted = match suite {
            Suite::Unit => vec!["--lib"],
            Suite::Loom | Suite::Test => binaries.iter().flat_map(|binary| ["--test", binary]).collect(),
        };
        let words = wanted.into_iter().chain(["--no-run", "--quiet", "--message-format", "json-render-diagnostics"]);
        let (ending, took, messages) = cargo(suite).and(&words.map(str::to_owned).collect::<Vec<_>>()).read()?;
        println!("  {:>4.0} s  built {}", took.as_secs_f64(), binaries.join(", "));
        if ending != Ending::Green {
            return Err("the checks do not build".to_owned());
        }
        for message in messages.lines() {
            let Ok(message) = serde_json::from_str::<serde_json::Value>(message) else { continue };
            let told = |what: &str| message["target"][what].as_str();
            if let (Some(name), Some(source), Some(path)) =
                (told("name"), told("src_path"), message["executable"].as_str())
                && is_of(suite, Path::new(source))
            {
                self.0.insert((suite, name.to_owned()), path.to_owned());
            }
        }
        match binaries.iter().find(|binary| !self.0.contains_key(&(suite, (**binary).to_owned()))) {
            Some(binary) => Err(format!("cargo built no {binary}")),
            None => Ok(()),
        }
    }

    /// Runs a check; the binary itself, so that nothing is left of it at its limit.
    pub(super) fn run(&self, check: &Check) -> Result<Step, String> {
        let path = self.0.get(&(check.suite, check.binary.clone())).ok_or_else(|| format!("{check} was not built"))?;
        let folder = if check.suite == Suite::Loom { "loom-tests" } else { "" };
        let step = Step::new(check.binary.clone(), CHECK_LIMIT_S, &[path]).and(&check.tests);
        let step = step.within(crate::root().join(folder));
        Ok(check.variables.iter().fold(step, |step, (name, value)| step.with(name, value.clone())))
    }
}

/// Whether the source of a binary is where its suite is: the models have a target `cluster`, too.
fn is_of(suite: Suite, source: &Path) -> bool {
    let folder = crate::root().join(match suite {
        Suite::Loom => "loom-tests/tests",
        Suite::Test => "tests",
        Suite::Unit => "src",
    });
    // Without the steps back that are in the path of the root.
    folder.canonicalize().is_ok_and(|folder| source.starts_with(folder))
}

fn cargo(suite: Suite) -> Step {
    match suite {
        Suite::Loom => loom::models("build", BUILD_LIMIT_S),
        Suite::Test | Suite::Unit => Step::new("build", BUILD_LIMIT_S, &["cargo", "test", "--workspace"])
            .with("RUSTC_WORKSPACE_WRAPPER", crate::root().join("tools/xtask/bitten.sh").display().to_string()),
    }
}

const BUILD_LIMIT_S: u64 = 900;
/// Of one run; most take a second.
const CHECK_LIMIT_S: u64 = 180;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_targets_of_one_name_the_one_of_the_suite_is_meant() {
        let root = crate::root().canonicalize().expect("the repository is there");
        let is_of = |suite, path: &str| is_of(suite, &root.join(path));
        let (ours, model) = ("tests/cluster/main.rs", "loom-tests/tests/cluster.rs");
        assert!(is_of(Suite::Test, ours) && !is_of(Suite::Test, model));
        assert!(is_of(Suite::Loom, model) && !is_of(Suite::Loom, ours));
        assert!(is_of(Suite::Unit, "src/lib.rs") && !is_of(Suite::Unit, "tools/xtask/src/main.rs"));
    }
}
