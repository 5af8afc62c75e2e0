//! The journey of a run: all nodes up, load and faults, then rest, until all hold the same or the patience is over.
//!
//! ```text
//!   start all -> complete -> | load ... kill, pause, cut, and their ends ... | -> load off -> digests, again and again
//!                          0 s                                        --seconds               equal | out of patience
//! ```

use super::ClusterOptions;
use super::board::{Board, News, State};
use super::done::Done;
use super::network::Network;
use super::process::{Heard, Process};
use super::schedule::{Fault, NodeIndex, Schedule, Step};
use super::screen::Screen;
use super::verdict::{Compared, Verdict};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::loopback::free_address;
use crate::node::{Digest, SECRET_VARIABLE};
use crate::place::Place;
use std::io::Read as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A run. Dropped, it kills all processes.
pub(super) struct Run<'a> {
    options: &'a ClusterOptions,
    place: &'a Place,
    schedule: Schedule,
    done: Vec<Option<Done>>,
    network: Option<Network>,
    secret: Option<String>,
    board: Board,
    heard: (Sender<Heard>, Receiver<Heard>),
    /// When all were complete; before that, when the first was started.
    began: Instant,
}

impl<'a> Run<'a> {
    pub(super) fn new(options: &'a ClusterOptions, place: &'a Place, schedule: Schedule) -> Result<Self> {
        let addresses = (0..options.nodes).map(|_| free_address()).collect::<std::io::Result<Vec<_>>>()?;
        let network = if schedule.cuts() { Some(Network::new(addresses.clone())?) } else { None };
        Ok(Self {
            options,
            place,
            done: vec![None; schedule.faults.len()],
            schedule,
            network,
            secret: if options.sealed { Some(secret()?) } else { None },
            board: Board::new(&addresses),
            heard: channel(),
            began: Instant::now(),
        })
    }

    /// From the first start to the verdict.
    pub(super) fn journey(&mut self, screen: &mut Screen) -> Result<Verdict> {
        (0..self.board.seats.len()).try_for_each(|node| self.start(node))?;
        while !self.board.is_complete() {
            self.listen(screen, false)?;
            if self.began.elapsed() > self.options.patience {
                let text = format!("not all nodes were complete after {:?}", self.options.patience);
                return Err(Failure::Wrong(text));
            }
        }
        screen.title(self.options.nodes, self.options.load, self.began.elapsed(), self.network.is_some())?;
        self.began = Instant::now();
        let length = Duration::from_secs(self.options.seconds);
        while self.began.elapsed() < length {
            while let Some(step) = self.schedule.due(self.began.elapsed(), false) {
                self.step(step, screen)?;
            }
            self.listen(screen, true)?;
            screen.figures(&self.board, self.began.elapsed(), length)?;
        }
        // What is still out of order is put right, and what would have come later does not come.
        while let Some(step) = self.schedule.due(length, true) {
            self.step(step, screen)?;
        }
        self.rest(screen)
    }

    /// Makes all nodes leave.
    pub(super) fn leave(&mut self) -> Result<()> {
        // In turn: the last one has nobody to wait for.
        self.board.seats.iter_mut().filter_map(|seat| seat.process.take()).try_for_each(Process::leave)
    }

    fn start(&mut self, node: NodeIndex) -> Result<()> {
        let flags = self.flags(node);
        let secret = self.secret.as_deref().map(|secret| (SECRET_VARIABLE, secret));
        let seat = &mut self.board.seats[node];
        seat.life += 1;
        seat.state = State::Starting;
        let process = Process::start((node, seat.life, &seat.name), &flags, secret, self.heard.0.clone())?;
        if let Some(network) = &self.network {
            network.is_process(node, process.id());
        }
        seat.process = Some(process);
        Ok(())
    }

    fn flags(&self, node: NodeIndex) -> Vec<String> {
        let (options, seats) = (self.options, &self.board.seats);
        let reached = |node: NodeIndex| match &self.network {
            Some(network) => network.gate(node),
            None => seats[node].listen,
        };
        let others = (0..seats.len()).filter(|other| *other != node).map(|other| reached(other).to_string());
        let arena = self.place.file(&seats[node].name).display().to_string();
        let pairs = [
            ("--name", seats[node].name.clone()),
            ("--cluster", "local".to_owned()),
            ("--listen", seats[node].listen.to_string()),
            ("--advertise", reached(node).to_string()),
            ("--arena", arena),
            ("--capacity", options.capacity.to_string()),
            ("--load", options.load.to_string()),
            ("--keys", options.keys.to_string()),
            ("--value", options.value.to_string()),
            ("--writes", options.writes.to_string()),
            ("--interval", "100ms".to_owned()),
        ];
        let mut flags: Vec<String> = pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        flags.extend(others.flat_map(|other| ["--seed".to_owned(), other]));
        // It is killed on purpose, and young.
        flags.push("--no-crash-loop-guard".to_owned());
        if self.secret.is_none() {
            flags.push("--insecure-plaintext".to_owned());
        }
        flags
    }

    /// Takes what was said, and waits a moment for more.
    fn listen(&mut self, screen: &mut Screen, tell: bool) -> Result<()> {
        interrupt::check()?;
        let mut next = self.heard.1.recv_timeout(LOOK);
        loop {
            let heard = match next {
                Ok(heard) => heard,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            };
            match self.board.take(heard) {
                News::Event { node, text } if tell || screen.is_json() => {
                    screen.event(self.began.elapsed(), &self.board.seats[node].name, &text)?;
                }
                News::Ended(node) => {
                    let process = self.board.seats[node].process.take();
                    return Err(process.map_or(Failure::Interrupted, Process::ended));
                }
                News::Event { .. } | News::Nothing => {}
            }
            next = self.heard.1.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
    }

    fn step(&mut self, step: Step, screen: &mut Screen) -> Result<()> {
        let now = self.began.elapsed();
        let length = Duration::from_secs(self.options.seconds);
        let (index, begins) = match step {
            // Past the end: those whose time had not come.
            Step::Begin(index) if self.schedule.faults[index].at >= length => return Ok(()),
            Step::Begin(index) => (index, true),
            Step::End(index) => (index, false),
        };
        let fault = self.schedule.faults[index].fault;
        let losses = self.losses(fault);
        if begins {
            self.done[index] = Some(Done::new(fault, now));
        }
        let told = self.act(fault, begins)?;
        if let Some(done) = &mut self.done[index] {
            done.note(now, begins, losses);
        }
        screen.event(now, &fault.to_string(), &told)
    }

    /// What a cut has taken so far.
    fn losses(&self, fault: Fault) -> (u64, u64) {
        let (Fault::Cut { from, to, both }, Some(network)) = (fault, &self.network) else { return (0, 0) };
        let (there, back) = (network.losses(from, to), network.losses(to, from));
        if both { (there.0 + back.0, there.1 + back.1) } else { there }
    }

    fn act(&mut self, fault: Fault, begins: bool) -> Result<String> {
        Ok(match (fault, begins) {
            (Fault::Kill(node), true) => {
                let seat = &mut self.board.seats[node];
                seat.process.take().map_or(Ok(()), Process::kill)?;
                seat.state = State::Killed;
                seat.forget();
                "SIGKILL".to_owned()
            }
            (Fault::Kill(node), false) => {
                self.start(node)?;
                "started again".to_owned()
            }
            (Fault::Pause(node), paused) => {
                let seat = &mut self.board.seats[node];
                seat.process.as_ref().map_or(Ok(()), |process| process.pause(paused))?;
                seat.state = if paused { State::Paused } else { State::Running };
                if paused { "SIGSTOP".to_owned() } else { "SIGCONT".to_owned() }
            }
            (Fault::Cut { from, to, both }, cut) => {
                if let Some(network) = &self.network {
                    network.cut(from, to, cut);
                    if both {
                        network.cut(to, from, cut);
                    }
                }
                if cut { "cut".to_owned() } else { "whole again".to_owned() }
            }
        })
    }

    /// Stops the load, and looks until all hold the same.
    fn rest(&mut self, screen: &mut Screen) -> Result<Verdict> {
        let stopped = Instant::now();
        self.ask("load off");
        let mut rest = Rest::default();
        loop {
            let is_late = stopped.elapsed() >= self.options.patience;
            self.look(screen, &stopped)?;
            let is_still = rest.note(&self.board, stopped.elapsed());
            let is_complete = self.board.is_complete();
            if is_late || is_complete && rest.equal_after.is_some() {
                break;
            }
            if is_still && is_complete && self.compare(screen)?.agrees(&self.board.totals()) {
                break;
            }
            screen.figures(&self.board, self.began.elapsed(), Duration::from_secs(self.options.seconds))?;
            self.listen(screen, true)?;
        }
        let compared = if rest.equal_after.is_some() { Compared::default() } else { self.compare(screen)? };
        self.explain(&compared, screen)?;
        for (planned, done) in self.schedule.faults.iter().zip(&mut self.done) {
            if let (Fault::Kill(node), Some(done)) = (planned.fault, done) {
                done.came_back(&self.board.seats[node]);
            }
        }
        Ok(Verdict::new(&self.board, rest.equal_after, compared, self.done.iter().flatten().cloned().collect()))
    }

    /// Asks all for their digests.
    fn look(&mut self, screen: &mut Screen, stopped: &Instant) -> Result<()> {
        self.board.seats.iter_mut().for_each(|seat| seat.digest = None);
        self.ask("digest");
        let until = self.options.patience + ANSWERS_WITHIN;
        while self.board.digests().is_none() && stopped.elapsed() < until {
            self.listen(screen, true)?;
        }
        Ok(())
    }

    /// Compares copies key by key, where digests differ.
    fn compare(&mut self, screen: &mut Screen) -> Result<Compared> {
        let step = self.options.keys.div_ceil(SAMPLES_MAX);
        self.board.seats.iter_mut().for_each(|seat| seat.sample = None);
        self.ask(&format!("sample {} {step}", self.options.keys));
        let asked = Instant::now();
        while self.board.samples().is_none() && asked.elapsed() < ANSWERS_WITHIN {
            self.listen(screen, true)?;
        }
        Ok(Compared::of(&self.board.samples().unwrap_or_default()))
    }

    /// Asks what each node knows of keys that differ.
    fn explain(&mut self, compared: &Compared, screen: &mut Screen) -> Result<()> {
        compared.examples.iter().for_each(|key| self.ask(&format!("explain {key}")));
        let asked = Instant::now();
        let told = |board: &Board| board.seats.iter().all(|seat| seat.explained.len() == compared.examples.len());
        while !told(&self.board) && asked.elapsed() < ANSWERS_WITHIN {
            self.listen(screen, true)?;
        }
        Ok(())
    }

    fn ask(&mut self, command: &str) {
        for process in self.board.seats.iter_mut().filter_map(|seat| seat.process.as_mut()) {
            process.ask(command);
        }
    }
}

/// What was seen of the nodes since the load stopped.
#[derive(Default)]
struct Rest {
    /// When all were equal, and have been since.
    equal_after: Option<Duration>,
    last: Vec<Digest>,
    still_since: Duration,
}

impl Rest {
    /// Takes the digests of now; whether nothing has changed for a while.
    fn note(&mut self, board: &Board, now: Duration) -> bool {
        let digests: Vec<Digest> = board.digests().unwrap_or_default().into_iter().cloned().collect();
        let equal = !digests.is_empty() && digests.iter().all(|digest| *digest == digests[0]);
        self.equal_after = if equal { self.equal_after.or(Some(now)) } else { None };
        if digests != self.last {
            (self.last, self.still_since) = (digests, now);
        }
        let is_still = now.saturating_sub(self.still_since) >= STILL;
        if is_still {
            self.still_since = now;
        }
        is_still
    }
}

/// 32 bytes in hexadecimal, from the system.
fn secret() -> Result<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(20);
const SAMPLES_MAX: u64 = 10_000;
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Without a change for so long, differences are looked at.
const STILL: Duration = Duration::from_secs(2);
