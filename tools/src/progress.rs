//! Progress on standard error, and only where somebody watches: never into a pipe and never beside `--json`.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::borrow::Cow;

/// A bar over `length` steps; hidden with `quiet` or without a terminal.
pub(crate) fn bar(length: u64, title: impl Into<Cow<'static, str>>, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), target(quiet));
    bar.set_style(style("  {prefix:<10} {bar:24} {percent:>3} %  {wide_msg}"));
    bar.set_prefix(title);
    bar
}

fn target(quiet: bool) -> ProgressDrawTarget {
    if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
