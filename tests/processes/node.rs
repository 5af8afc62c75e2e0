//! A child, as its parent holds it: started, asked, stopped, killed.

use crate::PATIENCE;
use crate::child::{ANSWER, Orders};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A running child. Dropping it kills the process.
pub(crate) struct Node {
    pub(crate) orders: Orders,
    /// Where it listens.
    pub(crate) address: Option<SocketAddr>,
    /// How its arena came up.
    pub(crate) recovery: String,
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    words: PathBuf,
}

/// What an audit of a node found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Audit {
    pub(crate) present: u64,
    /// Acknowledged, and not there.
    pub(crate) missing: u64,
    pub(crate) sum: String,
    pub(crate) wrong: String,
}

impl Node {
    /// Starts a child and waits until it listens. `around`: a command and its arguments, which gets the child's behind them.
    pub(crate) fn start(orders: Orders, around: &[&str]) -> Self {
        let binary = std::env::current_exe().expect("this test has a path");
        let mut command = match around {
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
            [] => Command::new(binary),
        };
        let words = orders.arena.with_extension("stderr");
        command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).envs(orders.variables());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(&words).expect("a file for the child's words"));
        let mut child = command.spawn().expect("the child starts");
        let (commands, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Behind whatever the test harness has left without an end of line.
                if let Some((_, answer)) = line.split_once(ANSWER)
                    && tell.send(answer.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let mut node = Self { orders, address: None, recovery: String::new(), child, commands, answers, words };
        let first = node.answer("to start");
        let (address, recovery) = first.split_once(' ').expect("an address, and how the arena came up");
        (node.address, node.recovery) = (address.parse().ok(), recovery.to_owned());
        node
    }

    pub(crate) fn name(&self) -> &str {
        &self.orders.name
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells the child something and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        let sent = writeln!(self.commands, "{command}").and_then(|()| self.commands.flush());
        assert!(sent.is_ok(), "{}: gone before {command:?}: {}", self.name(), self.last_words());
        self.answer(command)
    }

    fn answer(&mut self, to: &str) -> String {
        self.answers
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{}: no answer {to:?}: {}", self.name(), self.last_words()))
    }

    /// A figure of its statistics, or a sum of those whose names begin so.
    pub(crate) fn figure(&mut self, name: &str) -> u64 {
        figures(&self.ask("stats"))
            .range(name.to_owned()..)
            .take_while(|(of, _)| of.starts_with(name))
            .map(|it| it.1)
            .sum()
    }

    /// How often an event was told.
    pub(crate) fn told(&mut self, name: &str) -> u64 {
        figures(&self.ask("events")).get(name).copied().unwrap_or(0)
    }

    /// Frames and handshakes that were no good.
    pub(crate) fn refused(&mut self) -> u64 {
        let wrong = ["bad_", "checksum_mismatches", "forged", "wrong_secret"];
        wrong.into_iter().map(|name| self.figure(name)).sum()
    }

    pub(crate) fn audit(&mut self) -> Audit {
        let text = self.ask("audit");
        let mut words = text.splitn(4, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (present, missing) = (number(), number());
        let (sum, wrong) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
        Audit { present, missing, sum, wrong }
    }

    /// KiB on the heap, and KiB of shared memory, which the arena is.
    pub(crate) fn memory(&mut self) -> (u64, u64) {
        let text = self.ask("memory");
        let (heap, shared) = text.split_once(' ').expect("two numbers");
        (heap.parse().expect("a number"), shared.parse().expect("a number"))
    }

    /// Its members, by name: connected or away.
    pub(crate) fn members(&mut self) -> BTreeMap<String, String> {
        let text = self.ask("members");
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, state)| (name.to_owned(), state.to_owned())).collect()
    }

    pub(crate) fn is_complete(&mut self, others: usize) -> bool {
        self.ask("readiness") == "complete"
            && self.members().values().filter(|state| *state == "connected").count() == others
    }

    /// SIGKILL, and the end.
    pub(crate) fn kill(mut self) -> Orders {
        self.end();
        self.orders.clone()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw).expect("an id of a process");
        rustix::process::kill_process(id, signal).expect("it is there");
    }

    /// What it has said on standard error.
    pub(crate) fn last_words(&self) -> String {
        std::fs::read_to_string(&self.words).unwrap_or_default()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

fn figures(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect()
}
