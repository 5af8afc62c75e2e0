//! A node's process as its parent sees it: started, told what to do, listened to, killed. Dropped, it is killed too.

use super::ledger::Ledger;
use super::protocol::{RECORD_BYTES, Record};
use super::survey::Met;
use super::workload::Workload;
use crate::failure::{Failure, Result};
use crate::{interrupt, machine};
use std::io::{Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running node.
pub(super) struct Process {
    name: &'static str,
    process: Child,
    input: Option<ChildStdin>,
    told: Arc<Mutex<Told>>,
    listener: Option<JoinHandle<()>>,
}

/// All that it has told.
pub(super) struct Told {
    pub(super) ledger: Ledger,
    /// Since the last survey began.
    pub(super) copies: Vec<Met>,
    pub(super) laps_ns: Vec<u64>,
    pub(super) opened: Option<(bool, u64)>,
    pub(super) first_hit_ns: Option<u64>,
    pub(super) confirmed_ns: Option<u64>,
    /// Changes of others by then, and the time.
    pub(super) ready: Option<(u64, u64)>,
    pub(super) filled_ns: Option<u64>,
    /// Reads and hits.
    pub(super) stopped: Option<(u64, u64)>,
    /// Values that it could not send.
    pub(super) withheld: u64,
    /// Changes left out, entries evicted.
    pub(super) surveyed: Option<(u64, u64)>,
}

impl Process {
    /// Starts a node on an arena, new or not.
    pub(super) fn start(
        name: &'static str,
        (file, capacity): (&Path, u64),
        addresses: &[SocketAddr],
        workload: &Workload,
    ) -> Result<Self> {
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let numbers = [
            ("--capacity", capacity),
            ("--node", u64::from(workload.node)),
            ("--keys", workload.keys),
            ("--threads", u64::from(workload.threads)),
            ("--load", workload.load),
            ("--started-ns", machine::monotonic_ns()),
        ];
        let mut process = Command::new(std::env::current_exe()?)
            .arg("demo-child")
            .arg("--file")
            .arg(file)
            .args(["--name", name, "--addresses", &addresses.join(",")])
            .args(numbers.iter().flat_map(|(flag, number)| [(*flag).to_owned(), number.to_string()]))
            // A group of its own: Ctrl-C is the parent's to answer, by cleaning up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(name, format!("did not start: {error}")))?;
        let pipe = process.stdout.take().ok_or_else(|| failed(name, "has no pipe".to_owned()))?;
        let told = Arc::new(Mutex::new(Told::new(workload.keys)));
        let shared = told.clone();
        let listener = std::thread::Builder::new().spawn(move || listen(pipe, &shared))?;
        let input = process.stdin.take();
        Ok(Self { name, process, input, told, listener: Some(listener) })
    }

    /// What it has told so far.
    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        // A listener that panicked has told of itself; what was heard before counts.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it what to do. That it is gone shows when it is waited for.
    pub(super) fn ask(&mut self, command: &str) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{command} ");
        }
    }

    /// Waits until it has told something.
    pub(super) fn until(&mut self, what: &str, mut has: impl FnMut(&Told) -> bool) -> Result<()> {
        let began = Instant::now();
        while !has(&self.told()) {
            interrupt::check()?;
            self.check_alive()?;
            if began.elapsed() > PATIENCE {
                return Err(failed(self.name, format!("was not {what} within {PATIENCE:?}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Fails if it ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => Err(failed(self.name, format!("ended by itself, with {status}"))),
        }
    }

    /// Has it look up every key; what it found, and its reasons for what it did not.
    pub(super) fn survey(&mut self) -> Result<(Vec<Met>, (u64, u64))> {
        {
            let mut told = self.told();
            told.surveyed = None;
            told.copies.fill(Met::Absent);
        }
        self.ask("survey");
        self.until("through with its keys", |told| told.surveyed.is_some())?;
        let told = self.told();
        Ok((told.copies.clone(), told.surveyed.unwrap_or_default()))
    }

    /// Kills it with SIGKILL, in the middle of whatever it does, and returns all that it had acknowledged.
    pub(super) fn kill(mut self) -> Result<Ledger> {
        self.process.kill()?;
        let status = self.process.wait()?;
        if status.signal() != Some(SIGKILL) {
            return Err(failed(self.name, format!("ended with {status}, not by SIGKILL")));
        }
        let listener = self.listener.take().ok_or_else(|| failed(self.name, "was not listened to".to_owned()))?;
        listener.join().map_err(|_| failed(self.name, "broke the thread that listened to it".to_owned()))?;
        let mut told = self.told();
        Ok(std::mem::replace(&mut told.ledger, Ledger::new(0)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Told {
    fn new(keys: u64) -> Self {
        Self {
            ledger: Ledger::new(keys),
            copies: vec![Met::Absent; keys as usize],
            laps_ns: Vec::new(),
            opened: None,
            first_hit_ns: None,
            confirmed_ns: None,
            ready: None,
            filled_ns: None,
            stopped: None,
            withheld: 0,
            surveyed: None,
        }
    }

    fn note(&mut self, record: Record) {
        match record {
            Record::Found { number, sequence } => self.met(number, Met::Value(sequence)),
            Record::Damaged { number } => self.met(number, Met::Damaged),
            Record::Withheld { values } => self.withheld = values,
            Record::Surveyed { left_out, evicted } => self.surveyed = Some((left_out, evicted)),
            Record::Lap { ns } => self.laps_ns.push(ns),
            Record::Opened { warm, ns } => self.opened = Some((warm, ns)),
            Record::FirstHit { ns } => self.first_hit_ns = Some(ns),
            Record::Confirmed { ns } => self.confirmed_ns = Some(ns),
            Record::Ready { changes, ns } => self.ready = Some((changes, ns)),
            Record::Filled { ns } => self.filled_ns = Some(ns),
            Record::Stopped { reads, hits } => self.stopped = Some((reads, hits)),
            other => self.ledger.note(other),
        }
    }

    fn met(&mut self, number: u64, met: Met) {
        if let Some(copy) = self.copies.get_mut(number as usize) {
            *copy = met;
        }
    }
}

/// Takes what is told, as much as there is in one piece.
fn listen(mut pipe: impl Read, told: &Mutex<Told>) {
    let mut buffer = vec![0; 1 << 16];
    let mut filled = 0;
    while let Ok(count @ 1..) = pipe.read(&mut buffer[filled..]) {
        filled += count;
        let (records, rest) = buffer[..filled].as_chunks::<RECORD_BYTES>();
        let rest_bytes = rest.len();
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().filter_map(Record::decode).for_each(|record| told.note(record));
        drop(told);
        buffer.copy_within(filled - rest_bytes..filled, 0);
        filled = rest_bytes;
    }
}

fn failed(name: &str, problem: String) -> Failure {
    Failure::Child { what: format!("node {name}"), problem }
}

const SIGKILL: i32 = 9;
const PATIENCE: Duration = Duration::from_secs(60);
