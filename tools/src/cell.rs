//! One measurement in a process of its own, so that memory is the contestant's alone and no run warms the next.
//!
//! ```text
//!   parent  --  stdin: question in JSON, a line | attachment, bytes to the end  -->  also-cache replay-cell | compare-cell
//!           <-- stdout: answer in JSON                                           --
//! ```

use crate::failure::{Failure, Result};
use crate::interrupt;
use serde::{Serialize, de::DeserializeOwned};
use std::io::{BufRead as _, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

/// Asks a fresh process of this program.
///
/// # Errors
///
/// [`Failure::Child`] if it could not start or did not answer, [`Failure::Interrupted`] after Ctrl-C, which reaches the
/// child too.
pub(crate) fn ask<A: DeserializeOwned>(
    subcommand: &str,
    what: &str,
    question: &impl Serialize,
    attachment: &[u8],
) -> Result<A> {
    let child = |problem: String| Failure::Child { what: what.to_owned(), problem };
    let program = std::env::current_exe().map_err(|error| child(format!("has no program: {error}")))?;
    let mut process = Command::new(program)
        .arg(subcommand)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| child(format!("did not start: {error}")))?;
    if let Some(mut stdin) = process.stdin.take() {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        stdin.write_all(&line)?;
        stdin.write_all(attachment)?;
    }
    let output = process.wait_with_output()?;
    interrupt::check()?;
    if output.status.signal() == Some(SIGINT) {
        return Err(Failure::Interrupted);
    }
    if !output.status.success() {
        return Err(child(format!("ended with {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The child's side: reads the question, measures with what is attached, prints the answer.
pub(crate) fn answer<Q: DeserializeOwned, A: Serialize>(
    measure: impl FnOnce(Q, &mut dyn Read) -> Result<A>,
) -> Result<()> {
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line)?;
    let answer = measure(serde_json::from_str(&line)?, &mut input)?;
    serde_json::to_writer(std::io::stdout().lock(), &answer)?;
    Ok(())
}

const SIGINT: i32 = 2;
