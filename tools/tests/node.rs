//! `also-cache node` as a user or a program runs it: what is refused, what is said, how it ends.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_also-cache"));
    command.arg("node").args(flags).env_remove("ALSO_CACHE_SECRET");
    command
}

fn output(flags: &[&str]) -> Output {
    command(flags).stdin(Stdio::null()).output().expect("it starts")
}

#[test]
fn flags_that_are_wrong_are_told_with_what_is_right() {
    let long = "n".repeat(65);
    let cases: &[(&[&str], &str)] = &[
        (&[], "give --secret-file FILE or ALSO_CACHE_SECRET"),
        (&["--listen", "users:7400", "--insecure-plaintext"], "\"users:7400\" is no address with a port"),
        (&["--listen", "0.0.0.0:0", "--insecure-plaintext"], "is for loopback addresses"),
        (
            &["--insecure-plaintext", "--listen", "127.0.0.1:0", "--seed", "nowhere"],
            "\"nowhere\" is no host with a port",
        ),
        (&["--insecure-plaintext", "--listen", "127.0.0.1:0", "--name", &long], "outside of 1 to 64 bytes"),
        (&["--insecure-plaintext", "--listen", "127.0.0.1:0", "--advertise", "127.0.0.1:0"], "can not be reached"),
        (&["--insecure-plaintext", "--secret-file", "x"], "cannot be used with"),
        (&["--value", "3"], "not within 24 B to 1 MiB"),
        (&["--load", "fast"], "is no rate"),
        (&["--interval", "0"], "is no time"),
        (&["--capacity", "12"], "not within 1 MiB"),
        (&["--on-isolated", "panic"], "serve, miss"),
    ];
    for (flags, wanted) in cases {
        let output = output(flags);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {told}");
        assert!(told.contains(wanted), "{flags:?}: {told}");
        assert!(output.stdout.is_empty(), "{flags:?} printed something");
    }
}

#[test]
fn what_is_met_is_no_wrong_flag() {
    let output = output(&["--secret-file", "/nowhere/secret"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("/nowhere/secret: reading the secret failed"), "{told}");
}

/// A node that is killed when the test ends early.
struct Node {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Node {
    fn start(name: &str, seed: Option<&str>, flags: &[&str]) -> Self {
        let mut command = command(&["--insecure-plaintext", "--listen", "127.0.0.1:0", "--json", "--commands"]);
        command.args(["--name", name, "--capacity", "8MiB", "--interval", "50ms"]).args(flags);
        command.args(seed.map(|seed| ["--seed", seed]).iter().flatten());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, lines }
    }

    fn ask(&mut self, command: &str) {
        let input = self.process.stdin.as_mut().expect("it is piped");
        writeln!(input, "{command}").expect("it reads");
    }

    /// The next line of a kind for which something holds; the node ends before if it never comes.
    fn until(&mut self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut text = String::new();
            assert!(self.lines.read_line(&mut text).expect("it speaks") > 0, "it ended before such a {kind}");
            let line: Value = serde_json::from_str(&text).expect("a line of JSON");
            if line["line"] == kind && is_it(&line) {
                return line;
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn two_nodes_meet_hold_the_same_and_leave() {
    let mut first = Node::start("a", None, &["--load", "5k/s", "--keys", "500"]);
    let address = first.until("started", |_| true)["listen"].as_str().expect("an address").to_owned();
    let mut second = Node::start("b", Some(&address), &["--seconds", "90"]);
    let complete = |line: &Value| line["readiness"] == "complete" && line["applied"].as_u64() > Some(100);
    second.until("stats", complete);
    first.ask("load off");
    first.ask("nonsense");
    first.until("event", |line| line["event"] == "bad_command");
    let figures = first.until("stats", |line| line["writes_per_s"] == 0.0);
    assert!(figures["wrong"] == 0 && figures["hits"].as_u64() > Some(0), "{figures}");
    // What was under way arrives before `b` ends by itself.
    loop {
        for node in [&mut first, &mut second] {
            node.ask("digest");
        }
        let digests = [&mut first, &mut second].map(|node| node.until("digest", |_| true));
        assert!(digests[0]["entries"].as_u64() > Some(100), "{digests:?}");
        let [has, wants] = [&digests[0], &digests[1]].map(|digest| digest["entries"].as_u64().expect("a count"));
        // A key may be left out below a floor, as a cache may always miss; then that was counted.
        let left_out = second.until("stats", |_| true)["left_out"].as_u64().expect("a count");
        if digests[0]["checksum"] == digests[1]["checksum"] || (wants < has && has - wants <= left_out) {
            break;
        }
    }
    second.ask("leave");
    assert_eq!(second.until("left", |_| true)["unconfirmed_by"], 0);
    first.until("event", |line| line["event"] == "left");
    drop(first.process.stdin.take());
    first.until("left", |_| true);
    for node in [&mut first, &mut second] {
        assert!(node.process.wait().expect("it ends").success());
    }
}
