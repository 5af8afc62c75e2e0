//! Two sides that talk, and somebody between them.

#![forbid(unsafe_code)]

mod channel;
mod datagram;
mod golden;

use super::{Secret, Secrets};

const NEW: &str = "the newer secret of the two";
const OLD: &str = "the older secret of the two";

fn secrets(given: &[&str], cluster: &str) -> Secrets {
    let given: Vec<Secret> = given.iter().map(|secret| Secret::new(secret).expect("long enough")).collect();
    Secrets::new(&given, cluster).expect("few enough")
}
