//! One command with a title, a time limit and a measured time.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command to run, from the root of the repository unless told otherwise.
pub(crate) struct Step {
    pub(crate) title: String,
    words: Vec<String>,
    variables: Vec<(String, String)>,
    folder: PathBuf,
    limit: Duration,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Exit status 0.
    Green,
    /// Another exit status, or a signal.
    Red,
    /// Killed at its limit.
    TimedOut,
}

impl Ending {
    /// For a table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Red => "red",
            Self::TimedOut => "TIMED OUT",
        }
    }
}

impl Step {
    /// A step from the words of its command.
    pub(crate) fn new(title: impl Into<String>, limit_s: u64, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            title: title.into(),
            words,
            variables: Vec::new(),
            folder: crate::root(),
            limit: Duration::from_secs(limit_s),
        }
    }

    /// Sets a variable of its environment.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Builds into a target folder of its own.
    pub(crate) fn target(self, folder: PathBuf) -> Self {
        self.with("CARGO_TARGET_DIR", folder.display().to_string())
    }

    /// Runs it in another folder.
    pub(crate) fn within(mut self, folder: PathBuf) -> Self {
        self.folder = folder;
        self
    }

    /// Adds words to its command.
    pub(crate) fn and(mut self, words: &[String]) -> Self {
        self.words.extend_from_slice(words);
        self
    }

    /// Runs it with its output shown.
    pub(crate) fn show(&self) -> Result<(Ending, Duration), String> {
        self.run(Stdio::inherit(), Stdio::inherit()).map(|(ending, took, _)| (ending, took))
    }

    /// Runs it with its output kept: returns what it wrote, errors last.
    pub(crate) fn keep(&self) -> Result<(Ending, Duration, String), String> {
        self.run(Stdio::piped(), Stdio::piped())
    }

    /// Runs it with its errors shown; returns what it wrote to standard output.
    pub(crate) fn read(&self) -> Result<(Ending, Duration, String), String> {
        self.run(Stdio::piped(), Stdio::inherit())
    }

    fn run(&self, output: Stdio, errors: Stdio) -> Result<(Ending, Duration, String), String> {
        let (program, arguments) = self.words.split_first().ok_or("a step without a command")?;
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{}: {program} did not start: {error}", self.title))?;
        let written = [child.stdout.take().map(collect), child.stderr.take().map(collect)];
        let ending = self.wait(&mut child, started).map_err(|error| format!("{}: {error}", self.title))?;
        let took = started.elapsed();
        let texts = written.into_iter().flatten().map(|reader| reader.join().unwrap_or_default());
        Ok((ending, took, texts.collect()))
    }

    fn wait(&self, child: &mut Child, started: Instant) -> std::io::Result<Ending> {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(ending(status));
            }
            if started.elapsed() > self.limit {
                child.kill()?;
                child.wait()?;
                return Ok(Ending::TimedOut);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Reads a pipe to its end.
fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is worth showing too.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn ending(status: ExitStatus) -> Ending {
    if status.success() { Ending::Green } else { Ending::Red }
}
