//! `also-cache cluster` as a program runs it: three real processes, one of each fault, the verdict, and nothing left behind.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

fn command(flags: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_also-cache"));
    command.arg("cluster").args(flags.split_whitespace()).stdin(Stdio::null());
    command
}

/// Where a process with this number keeps its arenas.
fn folders(process: u32) -> [PathBuf; 2] {
    [PathBuf::from("/dev/shm"), std::env::temp_dir()].map(|above| above.join(format!("also-cache-{process}")))
}

/// A run that is killed when the test ends early: its nodes read the end of their input then.
struct Run(Child);

impl Run {
    fn start(flags: &str) -> (Self, impl Iterator<Item = Value> + use<>) {
        let mut process = command(flags).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        (Self(process), lines.map(|line| serde_json::from_str(&line).expect("a line of JSON")))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn three_nodes_go_through_a_kill_a_pause_and_a_partition() {
    let flags =
        "--nodes 3 --seconds 5 --keys 2000 --load 1000/s --capacity 8MiB --interval 100ms --patience 90s --json";
    let faults = "--kill b@1:1 --pause c@2.5:0.5 --partition a,c@3.2:1.5 --sealed";
    let (mut run, lines) = Run::start(&format!("{flags} {faults}"));
    let lines: Vec<Value> = lines.collect();
    let status = run.0.wait().expect("it ends");
    let verdict = lines.last().expect("it speaks");
    assert_eq!((&verdict["line"], &verdict["converged"]), (&"verdict".into(), &true.into()), "{verdict:#}");
    assert!(status.success(), "{status}: {verdict:#}");
    assert_eq!((&verdict["wrong"], &verdict["wrong_at_rest"]), (&0.into(), &0.into()), "{verdict:#}");
    for done in ["reads", "hits", "writes", "removes", "applied"] {
        assert!(verdict[done].as_u64() > Some(0), "{done}: {verdict:#}");
    }
    let [kill, pause, cut] = verdict["faults"].as_array().expect("a list").as_slice() else { panic!("{verdict:#}") };
    assert_eq!((&kill["kind"], &kill["whom"], &kill["warm"]), (&"kill".into(), &"b".into(), &true.into()), "{kill}");
    assert_eq!((&pause["kind"], &pause["whom"]), (&"pause".into(), &"c".into()), "{pause}");
    assert!(cut["kind"] == "partition" && cut["datagrams_dropped"].as_u64() > Some(0), "{cut}");
    // The others saw it, and the kill was one: the node is gone in between, and has another life after it.
    let event = |node: &str, text: &str| lines.iter().any(|line| line["node"] == node && line["text"] == text);
    assert!(event("b", "SIGKILL") && event("a", "b is not heard any more"), "{lines:?}");
    let seen = |state: &str, life: u64| {
        let of_b = lines.iter().filter_map(|line| line["nodes"].as_array()).map(|nodes| &nodes[1]);
        of_b.filter(|node| node["state"] == state && node["life"] == life).count()
    };
    assert!(seen("complete", 1) > 0 && seen("killed", 1) > 0 && seen("complete", 2) > 0);
    assert!(folders(run.0.id()).iter().all(|folder| !folder.exists()));
}

#[test]
fn an_interrupt_leaves_no_process_and_no_file() {
    let (mut run, mut lines) = Run::start("--nodes 2 --seconds 600 --keys 100 --capacity 2MiB --json");
    let complete = lines.find(|line| line["line"] == "complete");
    assert!(complete.is_some_and(|line| line["nodes"] == 2));
    let id = run.0.id();
    let own_arenas = folders(id).iter().flat_map(std::fs::read_dir).flatten().count();
    assert_eq!(own_arenas, 2);
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("it lives");
    let children: Vec<&str> = children.split_whitespace().collect();
    assert_eq!(children.len(), 2, "{children:?}");
    let sent = Command::new("kill").args(["-INT", &id.to_string()]).status().expect("it starts");
    assert!(sent.success());
    lines.for_each(drop);
    assert_eq!(run.0.wait().expect("it ends").code(), Some(130));
    assert!(folders(id).iter().all(|folder| !folder.exists()));
    for child in children {
        assert!(!PathBuf::from(format!("/proc/{child}")).exists(), "{child} lives on");
    }
}

#[test]
fn faults_that_can_not_be_are_told() {
    for (flags, wanted) in [
        ("--kill d@1", "there is no node d; a to c run"),
        ("--kill b@30", "the run is over after 20 s"),
        ("--kill b", "does not say when"),
        ("--pause b@1", "does not say for how long"),
        ("--pause b@1:2 --kill b@2", "out of order at that time already"),
        ("--partition a@1:2", "is no pair of nodes"),
        ("--partition a,z@1:2", "\"z\" is no node"),
        ("--nodes 17", "17"),
        ("--value 1", "not within"),
        ("--capacity 100GiB --nodes 16", "free"),
    ] {
        let output = command(flags).output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags}: {told}");
        assert!(told.contains(wanted), "{flags}: {told}");
        assert!(output.stdout.is_empty(), "{flags} printed something");
    }
}
