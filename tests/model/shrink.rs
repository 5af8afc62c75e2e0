//! Runs one episode, and looks for a shorter one that fails too: halves, quarters, ... single operations (ddmin).

use crate::machine::{Machine, Reached, Shape};
use crate::operation::Operation;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs that shrinking may take.
const RUNS_MAX: usize = 300;

/// One episode from an empty cache to rest. A panic of the cache is a failure like any other.
pub(crate) fn run(shape: &Shape, operations: &[Operation]) -> Result<Reached, String> {
    let folder = shape.file.then(folder).transpose()?;
    let path = folder.as_ref().map(|folder| folder.path().join("arena"));
    catch_unwind(AssertUnwindSafe(|| {
        let mut machine = Machine::new(shape, path)?;
        for (at, operation) in operations.iter().enumerate() {
            let applied = catch_unwind(AssertUnwindSafe(|| machine.apply(operation)));
            applied
                .unwrap_or_else(|panic| Err(format!("panic: {}", text(&*panic))))
                .map_err(|told| format!("operation {at}, {operation:?}: {told}"))?;
        }
        machine.finish().map_err(|told| format!("at the end: {told}"))?;
        Ok(machine.reached)
    }))
    .unwrap_or_else(|panic| Err(format!("panic: {}", text(&*panic))))
}

/// Memory rather than disk, where there is some.
fn folder() -> Result<tempfile::TempDir, String> {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.map_err(|error| error.to_string())
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let owned = panic.downcast_ref::<String>().cloned();
    owned.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The fewest operations found that still fail, and how.
pub(crate) fn shrink(shape: &Shape, mut operations: Vec<Operation>, mut told: String) -> (Vec<Operation>, String) {
    let mut runs = 0;
    let mut chunk = operations.len() / 2;
    while chunk > 0 && runs < RUNS_MAX {
        let mut at = 0;
        while at < operations.len() && runs < RUNS_MAX {
            let mut fewer = operations.clone();
            fewer.drain(at..(at + chunk).min(fewer.len()));
            runs += 1;
            match run(shape, &fewer) {
                Err(again) => (operations, told) = (fewer, again),
                Ok(_) => at += chunk,
            }
        }
        chunk /= 2;
    }
    println!("shrunk in {runs} runs");
    (operations, told)
}
