//! What models share: bounds of the exploration, and counters that loom neither sees nor resets.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Counts executions that reached a state.
pub(crate) struct Reached(AtomicUsize);

impl Reached {
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn note(&self, reached: bool) {
        self.0.fetch_add(usize::from(reached), Ordering::Relaxed);
    }

    /// A model that never meets the state it is about shows nothing.
    pub(crate) fn assert(&self, what: &str) {
        let times = self.0.load(Ordering::Relaxed);
        println!("  {what}: {times}");
        assert!(times > 0, "no execution reached: {what}");
    }
}

/// Explores with at most so many preemptions, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
pub(crate) fn explore(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    // With a defect turned on the first failure says it all.
    if std::env::var_os("ALSO_CACHE_BITE").is_some() {
        std::panic::set_hook(Box::new(end_with));
    }
    let mut builder = loom::model::Builder::new();
    if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        builder.preemption_bound = Some(preemptions);
    }
    builder.max_branches = 10_000;
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    let began = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{name}: {} executions, {:.1} s", executions.load(Ordering::Relaxed), began.elapsed().as_secs_f64());
}

/// Ends the process with what failed. Loom unwinds the threads of an execution by panics of its own, which carry no text.
fn end_with(failure: &std::panic::PanicHookInfo<'_>) {
    if failure.payload().is::<&str>() || failure.payload().is::<String>() {
        // Not by a macro, whose text the test harness would keep.
        let _ = writeln!(std::io::stderr(), "{failure}");
        std::process::exit(101);
    }
}
