//! A process fills an arena and is killed by SIGKILL; this one opens the same file and finds the entries.
//!
//! ```text
//!   this process                       the same program, as a child
//!   start -------------------------->  open, insert for ever, print a line once 10,000 are in
//!   read the line, kill -9  -------->  x
//!   open: warm; read back what was acknowledged
//! ```

use also_cache::{Cache, Recovery};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Entries that the child has stored when it says so.
const ACKNOWLEDGED: u64 = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(file) = std::env::args_os().nth(1) {
        return fill_until_killed(Path::new(&file));
    }
    let file = place();
    let outcome = kill_and_reopen(&file);
    std::fs::remove_file(&file)?;
    outcome
}

fn kill_and_reopen(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut child = Command::new(std::env::current_exe()?).arg(file).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    child.kill()?;
    child.wait()?;
    println!("killed after it said: {}", line.trim());

    let start = Instant::now();
    let cache = open(file)?;
    let took = start.elapsed();
    println!("opened in {took:.1?}: {}", cache.recovery());
    let right = (0..ACKNOWLEDGED)
        .filter(|number| cache.get(key(*number)).is_some_and(|value| value[..] == number.to_le_bytes()))
        .count();
    println!("{right} of {ACKNOWLEDGED} acknowledged entries are there, with the right value");
    let warm = matches!(cache.recovery(), Recovery::Warm { .. });
    if warm && right as u64 == ACKNOWLEDGED { Ok(()) } else { Err("the arena did not come back as it was".into()) }
}

fn fill_until_killed(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let cache = open(file)?;
    for number in 0.. {
        cache.insert(key(number % (2 * ACKNOWLEDGED)), (number % (2 * ACKNOWLEDGED)).to_le_bytes())?;
        if number == ACKNOWLEDGED {
            println!("{ACKNOWLEDGED} entries are in");
            std::io::stdout().flush()?;
        }
    }
    Ok(())
}

fn open(file: &Path) -> Result<Cache, also_cache::OpenError> {
    Cache::builder().capacity(16 << 20).file(file).open()
}

fn key(number: u64) -> String {
    format!("key:{number:08}")
}

/// In memory where there is such a place.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    folder.join(format!("also-cache-warm-restart-{}", std::process::id()))
}
