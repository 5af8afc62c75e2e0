//! A node as a child process: started, listened to, killed, stopped, restarted on its arena.
//!
//! ```text
//!   this process   --commands, standard input-->   also-cache node --json --commands
//!                  <--lines, standard output----
//!                  --SIGKILL, SIGSTOP, SIGCONT-->
//! ```
//!
//! If this process dies, the nodes read the end of their input and leave.

use super::schedule::NodeIndex;
use crate::failure::{Failure, Result};
use crate::node::Said;
use rustix::process::{Pid, Signal};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// What a process said; `None` at its end.
pub(super) struct Heard {
    pub(super) node: NodeIndex,
    /// Which of the node's processes.
    pub(super) life: u32,
    pub(super) said: Option<Said>,
}

/// A running process. Dropped, it is killed.
pub(super) struct Process {
    name: String,
    process: Child,
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts `also-cache node` with these flags; what it says goes to `heard`.
    pub(super) fn start(
        (node, life, name): (NodeIndex, u32, &str),
        flags: &[String],
        secret: Option<(&str, &str)>,
        heard: Sender<Heard>,
    ) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("node").args(flags).args(["--json", "--commands"]).envs(secret);
        // A group of its own: Ctrl-C is this process's to answer, by cleaning up.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| failed(name, format!("did not start: {error}")))?;
        let input = process.stdin.take();
        let started = Self { name: name.to_owned(), process, input };
        started.listen(node, life, heard)
    }

    fn listen(mut self, node: NodeIndex, life: u32, heard: Sender<Heard>) -> Result<Self> {
        let output = self.process.stdout.take().ok_or_else(|| failed(&self.name, "has no output".to_owned()))?;
        std::thread::Builder::new().name("listener".to_owned()).spawn(move || {
            let lines = BufReader::new(output).lines().map_while(std::result::Result::ok);
            // A line cut off by a kill is none.
            for said in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if heard.send(Heard { node, life, said: Some(said) }).is_err() {
                    return;
                }
            }
            // Nobody listens any more only at the end of the run.
            let _ = heard.send(Heard { node, life, said: None });
        })?;
        Ok(self)
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Gives it a command. That it is gone is told by the end of its lines.
    pub(super) fn ask(&mut self, command: &str) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{command}");
        }
    }

    /// SIGKILL. Fails if it had ended before.
    pub(super) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        let status = self.process.wait()?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            return Ok(());
        }
        Err(failed(&self.name, format!("ended with {status}, not by SIGKILL")))
    }

    /// SIGSTOP, or SIGCONT.
    pub(super) fn pause(&self, paused: bool) -> Result<()> {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(&self.name, "has no number".to_owned()))?;
        rustix::process::kill_process(pid, signal)
            .map_err(|error| failed(&self.name, format!("took no signal: {error}")))
    }

    /// Why it ended by itself.
    pub(super) fn ended(mut self) -> Failure {
        let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let mut told = String::new();
        // What can not be read is not told.
        let _ = self.process.stderr.take().map(|mut pipe| pipe.read_to_string(&mut told));
        failed(&self.name, format!("ended by itself with {status}: {}", told.trim()))
    }

    /// Closes its input, which makes it leave, and waits for its end.
    pub(super) fn leave(mut self) -> Result<()> {
        drop(self.input.take());
        let began = Instant::now();
        while began.elapsed() < LEAVES_WITHIN {
            if let Some(status) = self.process.try_wait()? {
                return if status.success() { Ok(()) } else { Err(self.ended()) };
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(failed(&self.name, format!("did not leave within {LEAVES_WITHIN:?}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn failed(name: &str, problem: String) -> Failure {
    Failure::Child { what: format!("node {name}"), problem }
}

const LEAVES_WITHIN: Duration = Duration::from_secs(15);
