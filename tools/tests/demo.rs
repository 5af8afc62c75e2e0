//! `also-cache demo` as a program runs it: three nodes, one of them killed; what it says of them, and nothing left behind.

use serde_json::Value;
use std::process::{Command, Stdio};

fn demo(flags: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_also-cache"));
    command.arg("demo").args(["--seconds", "1", "--capacity", "8MiB", "--load", "5k/s", "--threads", "1"]);
    let output = command.args(flags).stdin(Stdio::null()).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn three_nodes_hold_what_was_acknowledged_after_a_kill() {
    let (status, told, complaints) = demo(&["--json"]);
    assert_eq!(status, Some(0), "{complaints}{told}");
    let report: Value = serde_json::from_str(&told).expect("a report");
    let keys = report["keys"].as_u64().expect("a count");
    let read = report["wrote"]["surveys"].as_array().expect("of b and c");
    // A write may be refused on a machine that is busy: then nobody expects it.
    let written = report["wrote"]["written"].as_u64().expect("a count");
    assert!(written > keys / 10 * 9 && written <= keys, "{report:#}");
    assert!(read.len() == 2 && read.iter().all(|survey| survey["expected"] == written), "{report:#}");
    assert!(report["caught"]["warm"] == true && report["caught"]["changes"].as_u64() > Some(0), "{report:#}");
    assert!(report["warm_hits"].as_u64() > Some(0) && report["lost_everywhere"] == 0, "{report:#}");
    let surveys = report["surveys"].as_array().expect("of all");
    assert_eq!(surveys.iter().map(|survey| &survey["node"]).collect::<Vec<_>>(), ["a", "b", "c"]);
    for survey in surveys {
        assert!(survey["held"].as_u64() > Some(keys / 2), "{survey}");
        assert_eq!([&survey["damaged"], &survey["stale"], &survey["resurrected"]], [0, 0, 0], "{survey}");
    }
    let folder = report["folder"].as_str().expect("a path");
    assert!(!std::path::Path::new(folder).exists(), "{folder} is still there");
}

#[test]
fn the_report_in_words_ends_with_the_verdict() {
    let (status, told, complaints) = demo(&[]);
    assert_eq!(status, Some(0), "{complaints}{told}");
    for step in ["start", "write", "read", "serve", "kill -9", "restart", "go on", "check"] {
        assert!(told.contains(&format!("  {step} ")), "{step}: {told}");
    }
    assert!(told.ends_with("Everything held: a process was killed, the cache was not.\n"), "{told}");
}
