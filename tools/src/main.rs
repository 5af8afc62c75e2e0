//! The also-cache command.
fn main() {}
