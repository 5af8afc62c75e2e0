//! A machine with no processor to spare: slow is not dead.

use crate::group::{Group, Plan};
use crate::node::Node;
use crate::support::Watchdog;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long all processors are busy: several times what it takes to give up who is silent.
const BUSY: Duration = Duration::from_secs(7);
/// Spinning processes for each processor.
const CROWD: usize = 3;
/// Writes a second of each node.
const RATE: u64 = 4_000;

/// A process that uses a processor up, until it is dropped, or nobody holds its standard input any more.
struct Spinner(Child);

impl Spinner {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this test has a path"));
        command.args(["--exact", "busy::spinner", "--nocapture"]).env(SPINS, "1");
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts"))
    }

    /// Milliseconds of processor time that it has used, in ticks of ten.
    fn processor_ms(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("Linux tells of each process");
        // Behind the name, which may hold anything, in parentheses: the 12th and the 13th are its own time and the kernel's.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number") * 10).sum()
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SPINS: &str = "NODE_SPINS";

/// The entry of a spinning process; in a parent's run it has nothing to do.
#[test]
fn spinner() {
    if std::env::var_os(SPINS).is_some() {
        // Not a pause, at which a virtual processor may be taken away.
        std::thread::spawn(|| {
            loop {
                std::hint::black_box(0);
            }
        });
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    }
}

#[test]
fn a_node_under_full_load_is_not_taken_for_dead() {
    let _watchdog = Watchdog::new("a busy machine", 80);
    let mut group = Group::new(Plan::new("a busy machine", 2_000));
    let alarms = |group: &mut Group| -> Vec<[u64; 3]> {
        let figures =
            |node: &mut Node| [node.told("lost"), node.figure("taken_for_dead"), node.figure("silent_closed")];
        group.nodes.iter_mut().map(figures).collect()
    };
    group.load(RATE, 300);
    group.wait_for_writes(RATE);
    let before = alarms(&mut group);
    let processors = std::thread::available_parallelism().expect("Linux tells").get();
    let crowd: Vec<Spinner> = (0..CROWD * processors).map(|_| Spinner::start()).collect();
    let began = Instant::now();
    let mut looks = 0;
    while began.elapsed() < BUSY {
        for node in &mut group.nodes {
            let there = node.members().into_values().filter(|state| state == "connected").count();
            assert_eq!(there, 2, "{} misses somebody after {:.1?}", node.name(), began.elapsed());
            looks += 1;
        }
        std::thread::sleep(crate::LOOK);
    }
    let spun_ms: u64 = crowd.iter().map(Spinner::processor_ms).sum();
    assert_eq!(alarms(&mut group), before, "lost, taken for dead, closed for silence");
    drop(crowd);
    let writes = group.converge();
    println!("{writes} writes and {looks} looks beside {spun_ms} ms of processor time used up; no false alarm");
    assert!(looks > 0 && spun_ms > BUSY.as_millis() as u64 / 4, "the machine was not busy: {spun_ms} ms");
}
