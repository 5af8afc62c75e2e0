//! The child as its parent sees it: started, listened to, killed. Dropped, it is killed too.

use super::ledger::Ledger;
use super::protocol::{RECORD_BYTES, Record};
use super::workload::Workload;
use crate::failure::{Failure, Result};
use std::io::{BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A serving child.
pub(super) struct Victim {
    process: Child,
    progress: Arc<Progress>,
    listener: Option<JoinHandle<Ledger>>,
}

/// How far the child is, for the eyes. Relaxed throughout: the ledger itself is handed over by the thread's end.
#[derive(Debug, Default)]
pub(super) struct Progress {
    operations: AtomicU64,
    entries: AtomicU64,
    filled: AtomicBool,
}

impl Progress {
    /// Operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Entries in the cache.
    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether every key has been written once.
    pub(super) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }
}

impl Victim {
    /// Starts the child on a new arena.
    pub(super) fn start(file: &Path, capacity: u64, workload: &Workload) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut process = Command::new(program)
            .arg("demo-child")
            .arg("--file")
            .arg(file)
            .args(["--capacity", &capacity.to_string(), "--threads", &workload.threads.to_string()])
            // A group of its own: Ctrl-C is the parent's to answer, by cleaning up.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("did not start: {error}")))?;
        let pipe = process.stdout.take().ok_or_else(|| failed("has no pipe".to_owned()))?;
        let progress = Arc::new(Progress::default());
        let (ledger, shared) = (Ledger::new(workload.keys), progress.clone());
        let listener = std::thread::Builder::new().spawn(move || listen(pipe, ledger, &shared))?;
        Ok(Self { process, progress, listener: Some(listener) })
    }

    /// How far it is.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Fails if it ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => Err(failed(format!("ended by itself before it was killed, with {status}"))),
        }
    }

    /// Kills it with SIGKILL, in the middle of whatever it does, and returns all that it had acknowledged.
    pub(super) fn kill(mut self) -> Result<Ledger> {
        self.process.kill()?;
        let status = self.process.wait()?;
        if status.signal() != Some(SIGKILL) {
            return Err(failed(format!("ended with {status}, not by SIGKILL")));
        }
        let listener = self.listener.take().ok_or_else(|| failed("was not listened to".to_owned()))?;
        listener.join().map_err(|_| failed("broke the thread that listened to it".to_owned()))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn listen(pipe: impl Read, mut ledger: Ledger, progress: &Progress) -> Ledger {
    let mut pipe = BufReader::with_capacity(1 << 16, pipe);
    let mut bytes = [0; RECORD_BYTES];
    while pipe.read_exact(&mut bytes).is_ok() {
        let Some(record) = Record::decode(&bytes) else {
            continue;
        };
        ledger.note(record);
        match record {
            Record::Operations { .. } => progress.operations.store(ledger.operations, Ordering::Relaxed),
            Record::Status { entries, .. } => progress.entries.store(entries, Ordering::Relaxed),
            Record::Filled => progress.filled.store(true, Ordering::Relaxed),
            _ => {}
        }
    }
    ledger
}

fn failed(problem: String) -> Failure {
    Failure::Child { what: "serving".to_owned(), problem }
}

const SIGKILL: i32 = 9;
