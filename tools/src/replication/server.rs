//! A primary and its replica, Valkey or Redis, on loopback: what stands beside the change stream.
//!
//! ```text
//!   this process -- SET SET SET ... --> primary -- its stream --> replica
//!                <-- OK OK OK ...                                    |
//!                -- WAIT 1 -->                <-- acknowledged ------+        then all of it is there
//! ```
//!
//! Nothing is kept on disk, and no bound ends the replica's connection. Both end with this process's handles on them.

use super::node::PATIENCE;
use crate::failure::{Failure, Result};
use crate::{interrupt, machine, value};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// As tables print it.
pub(super) fn name() -> &'static str {
    find().map_or("valkey", |(name, _)| name)
}

/// Why there is none.
pub(super) fn missing() -> Option<String> {
    find().is_none().then(|| "neither valkey-server nor redis-server is in PATH".to_owned())
}

fn find() -> Option<(&'static str, PathBuf)> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    [("valkey", "valkey-server"), ("redis", "redis-server")].into_iter().find_map(|(name, program)| {
        let file = folders.iter().map(|folder| folder.join(program)).find(|file| file.is_file())?;
        Some((name, file))
    })
}

/// Both of them, killed when this is dropped.
pub(super) struct Servers {
    primary: Server,
    replica: Server,
}

/// What so many updates took: time, processor time of the replica, and that of all, with whoever sends them.
pub(super) struct Spent {
    pub(super) took: Duration,
    pub(super) peer_ns: u64,
    pub(super) all_ns: u64,
}

struct Server {
    process: Child,
    port: u16,
}

impl Servers {
    /// Starts them and waits until the replica follows.
    pub(super) fn start() -> Result<Self> {
        let primary = Server::start(None)?;
        let replica = Server::start(Some(primary.port))?;
        let servers = Self { primary, replica };
        let deadline = Instant::now() + PATIENCE;
        while !servers.replica.ask("INFO replication")?.contains("master_link_status:up") {
            interrupt::check()?;
            if Instant::now() > deadline {
                return Err(failed("the replica does not follow its primary".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(servers)
    }

    /// Sets so many keys twice, and returns what the second time took until the replica had the last.
    pub(super) fn replicate(&self, count: u64, value_bytes: usize) -> Result<Spent> {
        self.pass(count, value_bytes)?;
        let cpu = |server: &Server| machine::cpu_ns_of(server.process.id());
        let all = || machine::process_cpu_ns() + cpu(&self.primary) + cpu(&self.replica);
        let (peer_ns, all_ns) = (cpu(&self.replica), all());
        let took = self.pass(count, value_bytes)?;
        let spent = Spent { took, peer_ns: cpu(&self.replica) - peer_ns, all_ns: all() - all_ns };
        let there = self.replica.ask("DBSIZE")?;
        if there.trim() != format!(":{count}") {
            return Err(failed(format!("the replica holds {there} keys of {count}")));
        }
        Ok(spent)
    }

    fn pass(&self, count: u64, value_bytes: usize) -> Result<Duration> {
        let stream = self.primary.connect()?;
        let mut writer = stream.try_clone()?;
        let started = Instant::now();
        std::thread::scope(|scope| -> Result<()> {
            let writing = scope.spawn(move || -> std::io::Result<()> {
                let (mut batch, mut bytes) = (Vec::with_capacity(BATCH_BYTES + 1024), Vec::new());
                value::write(&mut bytes, 0, 0, value_bytes);
                for number in 0..count {
                    write!(batch, "*3\r\n$3\r\nSET\r\n${}\r\n", value::KEY_BYTES)?;
                    batch.extend_from_slice(&value::key(number));
                    write!(batch, "\r\n${value_bytes}\r\n")?;
                    batch.extend_from_slice(&bytes);
                    batch.extend_from_slice(b"\r\n");
                    if batch.len() >= BATCH_BYTES {
                        writer.write_all(&batch)?;
                        batch.clear();
                    }
                }
                write!(batch, "WAIT 1 {}\r\n", PATIENCE.as_millis())?;
                writer.write_all(&batch)
            });
            let mut answers = BufReader::with_capacity(256 << 10, stream);
            let mut line = String::new();
            for _ in 0..count {
                line.clear();
                answers.read_line(&mut line)?;
                if line != "+OK\r\n" {
                    return Err(failed(format!("SET was answered with {line:?}")));
                }
            }
            line.clear();
            answers.read_line(&mut line)?;
            writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            if line != ":1\r\n" { Err(failed(format!("WAIT was answered with {line:?}"))) } else { Ok(()) }
        })?;
        Ok(started.elapsed())
    }
}

impl Server {
    fn start(primary: Option<u16>) -> Result<Self> {
        let Some((name, program)) = find() else { return Err(failed(missing().unwrap_or_default())) };
        // Free now; whoever takes it first is seen below.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"])
            .args(["--repl-diskless-load", "on-empty-db", "--loglevel", "warning", "--dir"])
            .arg(std::env::temp_dir())
            .args(["--client-output-buffer-limit", "replica 0 0 0", "--repl-backlog-size", "64mb"]);
        if let Some(primary) = primary {
            command.args(["--replicaof", &format!("127.0.0.1 {primary}")]);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.map_err(|error| failed(format!("{name} did not start: {error}")))?;
        let mut server = Self { process, port };
        let deadline = Instant::now() + PATIENCE;
        while server.connect().is_err() {
            interrupt::check()?;
            if let Some(status) = server.process.try_wait()? {
                return Err(failed(format!("{name} ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(failed(format!("{name} does not listen")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// The answer to a command without arguments of any length.
    fn ask(&self, command: &str) -> Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let Some(bytes) = line.strip_prefix('$').and_then(|bytes| bytes.trim().parse::<usize>().ok()) else {
            return Ok(line);
        };
        let mut text = vec![0; bytes];
        std::io::Read::read_exact(&mut answer, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn failed(problem: String) -> Failure {
    Failure::Child { what: "a primary and its replica".to_owned(), problem }
}

const BATCH_BYTES: usize = 64 << 10;
