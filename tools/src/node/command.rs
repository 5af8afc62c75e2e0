//! What a program that runs a node may ask of it, a line each on standard input; the end of input makes the node leave.

use std::io::BufRead;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, channel};

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `load on`, `load off`.
    Load(bool),
    /// `digest`.
    Digest,
    /// `sample KEYS STEP`.
    Sample { keys: u64, step: u64 },
    /// `explain NUMBER`: what is known of a key of the load.
    Explain(u64),
    /// `leave`, or the end of input.
    Leave,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
        match words[..] {
            ["load", "on"] => return Ok(Self::Load(true)),
            ["load", "off"] => return Ok(Self::Load(false)),
            ["digest"] => return Ok(Self::Digest),
            ["leave"] => return Ok(Self::Leave),
            ["sample", keys, step] => {
                if let (Some(keys), Some(step)) = (number(keys), number(step)) {
                    return Ok(Self::Sample { keys, step });
                }
            }
            ["explain", key] => {
                if let Ok(key) = key.parse() {
                    return Ok(Self::Explain(key));
                }
            }
            _ => {}
        }
        Err(format!("{text:?} is no command: load on, load off, digest, sample KEYS STEP, explain KEY, leave"))
    }
}

/// Reads commands on a thread of its own. A line that is none comes as an error.
pub(super) fn listen() -> std::io::Result<Receiver<Result<Command, String>>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("commands".to_owned()).spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        for line in lines {
            if sender.send(line.parse()).is_err() {
                return;
            }
        }
        // Nobody hears it only if the node has left already.
        let _ = sender.send(Ok(Command::Leave));
    })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_others_refused() {
        assert_eq!("load off".parse(), Ok(Command::Load(false)));
        assert_eq!(" sample 1000  7 ".parse(), Ok(Command::Sample { keys: 1000, step: 7 }));
        assert_eq!("explain 0".parse(), Ok(Command::Explain(0)));
        assert_eq!("leave".parse(), Ok(Command::Leave));
        for text in ["", "load", "sample 1", "sample 0 1", "sample x y", "digest all", "explain"] {
            assert!(text.parse::<Command>().is_err(), "{text}");
        }
    }
}
