//! `node`: one node of a cluster from flags, until Ctrl-C or SIGTERM.
//!
//! ```text
//!   options.rs   flags, checked            load.rs      reads and writes of its own, at a pace
//!   event.rs     what happened, in words   watch.rs     figures and rates
//!   line.rs      a line: text | JSON       command.rs   standard input, for programs -> digest.rs
//!
//!   open the arena -> start -> lines -> leave: what is left unsent -> close the arena
//! ```

mod command;
mod digest;
mod event;
mod line;
mod load;
mod options;
mod watch;

pub(crate) use line::{Digest, Figures, Line, Said, Sample, Started};
pub(crate) use options::{NodeOptions, SECRET_VARIABLE, parse_rate, parse_span, parse_value};

use crate::failure::Result;
use crate::{interrupt, value};
use also_cache::{Cache, Cluster, LeaveError, MemberState, Recovery};
use command::Command;
use line::{Departure, Distance};
use load::Load;
use std::io::Write as _;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use watch::Watch;

/// Runs a node until it is to end.
pub(crate) fn run(options: &NodeOptions) -> Result<()> {
    interrupt::catch();
    let mouth = Mouth { began: Instant::now(), json: options.json };
    let secrets = options.check()?;
    let (cache, open_ms) = open(options)?;
    let cluster = options.settings(&cache, secrets).start()?;
    mouth.say(Line::Started(Started {
        name: cluster.name().to_owned(),
        cluster: options.cluster.clone(),
        listen: cluster.local_address(),
        arena: options.arena.clone(),
        recovery: cache.recovery().to_string(),
        warm: matches!(cache.recovery(), Recovery::Warm { .. }),
        open_ms,
    }))?;
    let load = Load::start(options.shape(), &cluster)?;
    let outcome = serve(options, &cluster, &load, &mouth);
    drop(load);
    let departure = leave(&cluster, options.leave_within);
    drop(cluster);
    outcome?;
    mouth.say(Line::Left(departure))?;
    cache.close()?;
    Ok(())
}

fn open(options: &NodeOptions) -> Result<(Cache, f64)> {
    let opening = Instant::now();
    let mut builder = Cache::builder().capacity(options.capacity).crash_loop_guard(!options.no_crash_loop_guard);
    if let Some(arena) = &options.arena {
        builder = builder.file(arena);
    }
    Ok((builder.open()?, opening.elapsed().as_secs_f64() * 1e3))
}

/// Says what happens until the node is to end.
fn serve(options: &NodeOptions, cluster: &Cluster, load: &Load, mouth: &Mouth) -> Result<()> {
    let mut watch = Watch::new(cluster, load);
    let mut events = cluster.events();
    let commands = if options.commands { Some(command::listen()?) } else { None };
    let mut next = Instant::now() + options.interval;
    let is_over = || options.seconds.is_some_and(|seconds| mouth.began.elapsed() >= Duration::from_secs(seconds));
    while !interrupt::requested() && !is_over() {
        if let Some(event) = events.next_timeout(LOOK.min(next.saturating_duration_since(Instant::now()))) {
            let (event, text) = event::describe(&event);
            mouth.say(Line::Event { event: event.to_owned(), text })?;
        }
        if !obey(commands.as_ref(), cluster.cache(), load, mouth)? {
            return Ok(());
        }
        if Instant::now() >= next {
            next = Instant::now() + options.interval;
            mouth.say(Line::Stats(Box::new(watch.look())))?;
        }
    }
    Ok(())
}

/// Does what was asked for; `false` if that is to leave.
fn obey(
    commands: Option<&Receiver<std::result::Result<Command, String>>>,
    cache: &Cache,
    load: &Load,
    mouth: &Mouth,
) -> Result<bool> {
    for command in commands.into_iter().flat_map(Receiver::try_iter) {
        match command {
            Ok(Command::Load(on)) => load.turn(on),
            Ok(Command::Digest) => mouth.say(Line::Digest(digest::digest(cache)))?,
            Ok(Command::Sample { keys, step }) => mouth.say(Line::Sample(digest::sample(cache, keys, step)))?,
            Ok(Command::Explain(key)) => {
                let text =
                    cache.explain(value::key(key)).map_or_else(|error| error.to_string(), |found| found.to_string());
                mouth.say(Line::Explained { key, text })?;
            }
            Ok(Command::Leave) => return Ok(false),
            Err(text) => mouth.say(Line::Event { event: "bad_command".to_owned(), text })?,
        }
    }
    Ok(true)
}

fn leave(cluster: &Cluster, within: Duration) -> Departure {
    let nothing = |text: String| Departure { unconfirmed_by: 0, unconfirmed: Distance::default(), text };
    let is_alone = cluster.members().iter().all(|member| member.state != MemberState::Connected);
    match cluster.leave(within) {
        Ok(()) if is_alone => {
            nothing("left: no node was connected, what they have not is confirmed by nobody".to_owned())
        }
        Ok(()) => nothing("left: every connected node has confirmed everything".to_owned()),
        Err(LeaveError::Unconfirmed { left, members, .. }) => Departure {
            unconfirmed_by: members,
            unconfirmed: left.into(),
            text: format!(
                "left: {members} nodes have not confirmed {} changes, {} bytes; an arena in a file keeps them",
                left.changes, left.bytes
            ),
        },
        Err(error) => nothing(error.to_string()),
    }
}

/// Standard output, and when the process began.
struct Mouth {
    began: Instant,
    json: bool,
}

impl Mouth {
    fn say(&self, line: Line) -> Result<()> {
        let said = Said { at_ms: self.began.elapsed().as_millis() as u64, line };
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &said)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{said}")?;
        }
        out.flush()?;
        Ok(())
    }
}

/// Between two looks at commands and signals.
const LOOK: Duration = Duration::from_millis(20);
