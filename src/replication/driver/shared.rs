//! What the driver's thread shares with all others.
//!
//! ```text
//!   callers   commands -------------------> thread       a bounded queue under a lock, and the alarm
//!             status, applied, log, counters <---        what the thread last said; nobody waits for it
//! ```

#![forbid(unsafe_code)]

use crate::replication::driver::applied::AppliedTable;
use crate::replication::driver::counters::Counters;
use crate::replication::driver::happening::Happening;
use crate::replication::driver::log::Log;
use crate::replication::driver::waits::{Goal, Waited};
use crate::replication::driver::wake::Alarm;
use crate::replication::membership::MembershipCounters;
use crate::replication::node::api::{Departure, Member, Readiness};
use crate::replication::security::AdmissionCounters;
use crate::sync::promise::{Answer, Promise, promise};
use crate::sync::{Arc, Mutex, lock};
use crate::types::limits::WAITS_MAX;
use crate::types::stream::Incarnation;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// What is asked of the thread.
#[derive(Debug)]
pub(super) enum Command {
    Wait {
        goal: Goal,
        timeout: Duration,
        promise: Promise<Waited>,
    },
    Leave {
        timeout: Duration,
        promise: Promise<Departure>,
    },
    /// The addresses of all seeds, as they are now.
    Seeds(Vec<SocketAddr>),
    /// The name of a seed stands for no address.
    Unresolved {
        seed: String,
        reason: String,
    },
}

/// How the node stood when the thread last looked.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) readiness: Readiness,
    pub(crate) connected: Vec<Member>,
    /// Those that are up by membership and not connected.
    pub(crate) known: Vec<Known>,
    /// Where others are told to find this node; `None` until that is known.
    pub(crate) advertised: Option<SocketAddr>,
    pub(crate) clock_bound_us: u64,
    pub(crate) membership: MembershipCounters,
    pub(crate) admission: AdmissionCounters,
    /// What the node counted, by name.
    pub(crate) protocol: Vec<(&'static str, u64)>,
    /// Why datagrams and channels were refused.
    pub(crate) refusals: Vec<(&'static str, u64)>,
    pub(crate) heap_bytes: usize,
}

/// A member of which only gossip tells.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) address: SocketAddr,
}

impl Status {
    /// How a node stands that has left, or whose thread has ended: it answers reads, alone.
    pub(super) fn at_the_end(&self) -> Self {
        Self { readiness: Readiness::Serving, connected: Vec::new(), known: Vec::new(), ..self.clone() }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            readiness: Readiness::Joining,
            connected: Vec::new(),
            known: Vec::new(),
            advertised: None,
            clock_bound_us: 0,
            membership: MembershipCounters::default(),
            admission: AdmissionCounters::default(),
            protocol: Vec::new(),
            refusals: Vec::new(),
            heap_bytes: 0,
        }
    }
}

/// Shared by the thread and all handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) alarm: Alarm,
    inbox: Mutex<Inbox>,
    pub(crate) log: Log<Happening>,
    pub(crate) applied: AppliedTable,
    pub(crate) counters: Counters,
    status: Mutex<Arc<Status>>,
}

#[derive(Debug, Default)]
struct Inbox {
    commands: VecDeque<Command>,
    closed: bool,
}

/// Why a command was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// So many wait already.
    Full,
    /// The thread has ended.
    Ended,
}

impl Shared {
    pub(super) fn new(alarm: Alarm) -> Self {
        Self {
            alarm,
            inbox: Mutex::new(Inbox::default()),
            log: Log::default(),
            applied: AppliedTable::default(),
            counters: Counters::default(),
            status: Mutex::new(Arc::new(Status::default())),
        }
    }

    /// Asks to be told when a goal is met.
    pub(crate) fn wait(&self, goal: Goal, timeout: Duration) -> Result<Answer<Waited>, Refused> {
        let (promise, answer) = promise();
        self.ask(Command::Wait { goal, timeout, promise }).map(|()| answer)
    }

    /// Asks the node to leave.
    pub(crate) fn leave(&self, timeout: Duration) -> Result<Answer<Departure>, Refused> {
        let (promise, answer) = promise();
        self.ask(Command::Leave { timeout, promise }).map(|()| answer)
    }

    pub(super) fn ask(&self, command: Command) -> Result<(), Refused> {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return Err(Refused::Ended);
        }
        // A leave is always taken; what the resolving thread says comes one at a time.
        if inbox.commands.len() >= WAITS_MAX && matches!(command, Command::Wait { .. }) {
            return Err(Refused::Full);
        }
        inbox.commands.push_back(command);
        drop(inbox);
        self.alarm.wake();
        Ok(())
    }

    /// The next command. For the thread only.
    pub(super) fn next_command(&self) -> Option<Command> {
        lock(&self.inbox).commands.pop_front()
    }

    /// Nothing is taken any more, and whoever waits is told. For the thread only, at its end.
    pub(super) fn close(&self) {
        let commands = {
            let mut inbox = lock(&self.inbox);
            inbox.closed = true;
            std::mem::take(&mut inbox.commands)
        };
        // Outside of the lock: a promise that is dropped calls its waker.
        drop(commands);
        self.log.end();
    }

    /// How the node stood when the thread last looked.
    pub(crate) fn status(&self) -> Arc<Status> {
        lock(&self.status).clone()
    }

    pub(super) fn set_status(&self, status: Status) {
        let status = Arc::new(status);
        let former = std::mem::replace(&mut *lock(&self.status), status);
        drop(former);
    }
}
