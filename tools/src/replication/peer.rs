//! The other side of a node in a process of its own: started, told, stopped, killed.

use super::node::{Answer, Birth, Born, Order};
use crate::failure::{Failure, Result};
use crate::machine;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A node, killed when this is dropped.
pub(super) struct Peer {
    process: Child,
    name: String,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(super) born: Born,
}

impl Peer {
    /// Starts one and waits until it is born.
    pub(super) fn start(mut birth: Birth) -> Result<Self> {
        let name = birth.name.clone();
        let failed = |problem: String| Failure::Child { what: name.clone(), problem };
        birth.started_ns = machine::monotonic_ns();
        let mut process = Command::new(std::env::current_exe()?)
            .arg("replication-node")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("did not start: {error}")))?;
        let pipes = (process.stdin.take(), process.stdout.take());
        let (Some(mut orders), Some(answers)) = pipes else { return Err(failed("has no pipes".to_owned())) };
        let mut answers = BufReader::new(answers);
        let born = send(&mut orders, &birth).and_then(|()| receive(&mut answers));
        match born {
            Ok(born) => Ok(Self { process, name, orders, answers, born }),
            Err(problem) => {
                // It is gone, or will be: nobody talks to it any more.
                let _ = process.kill();
                let _ = process.wait();
                Err(failed(problem))
            }
        }
    }

    /// Tells it what to do, and waits until it is done.
    pub(super) fn tell(&mut self, order: &Order) -> Result<Answer> {
        let answer: std::result::Result<Answer, String> =
            send(&mut self.orders, order).and_then(|()| receive(&mut self.answers));
        match answer {
            Ok(Answer { failed: Some(problem), .. }) | Err(problem) => {
                Err(Failure::Child { what: self.name.clone(), problem: format!("{order:?}: {problem}") })
            }
            Ok(answer) => Ok(answer),
        }
    }

    /// The name that it was given.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Ends it at once.
    pub(super) fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Lets it do nothing, as if its host had lost its power.
    pub(super) fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let problem = |error: String| Failure::Child { what: self.name.clone(), problem: error };
        let process =
            Pid::from_raw(self.process.id().cast_signed()).ok_or_else(|| problem("has no number".to_owned()))?;
        kill_process(process, signal).map_err(|error| problem(format!("took no signal: {error}")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send(orders: &mut ChildStdin, what: &impl serde::Serialize) -> std::result::Result<(), String> {
    let mut line = serde_json::to_vec(what).map_err(|error| error.to_string())?;
    line.push(b'\n');
    orders.write_all(&line).map_err(|error| format!("takes no order: {error}"))
}

fn receive<T: serde::de::DeserializeOwned>(answers: &mut BufReader<ChildStdout>) -> std::result::Result<T, String> {
    let mut line = String::new();
    match answers.read_line(&mut line) {
        Ok(0) => Err("ended without an answer".to_owned()),
        Ok(_) => serde_json::from_str(&line).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
