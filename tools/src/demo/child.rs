//! The process that is killed: serves until somebody stops it from outside.

use super::protocol::{Record, Sender};
use super::workload::{Journal, Workload};
use crate::failure::{Failure, Result};
use also_cache::Cache;
use clap::Args;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

/// Options of the hidden `demo-child`.
#[derive(Args)]
pub(crate) struct ChildOptions {
    /// The arena.
    #[arg(long)]
    file: PathBuf,
    /// Its size in bytes.
    #[arg(long)]
    capacity: u64,
    /// Threads that serve.
    #[arg(long)]
    threads: u16,
}

/// Fills the arena, then serves until killed; records go to standard output.
pub(crate) fn serve(options: &ChildOptions) -> Result<()> {
    let cache = Cache::builder().capacity(options.capacity).file(&options.file).open()?;
    let workload = Workload::fitting(options.capacity, options.threads);
    let pipe = || -> std::io::Result<File> { Ok(File::from(std::io::stdout().as_fd().try_clone_to_owned()?)) };
    let pipes = (0..=options.threads).map(|_| pipe()).collect::<std::io::Result<Vec<File>>>()?;
    let sender = |thread: u16| match pipes[usize::from(thread)].try_clone() {
        Ok(pipe) => Sender::new(pipe),
        Err(_) => std::process::exit(1),
    };
    let observer = std::thread::Builder::new().spawn({
        let (cache, mut sender) = (cache.clone(), sender(options.threads));
        move || observe(&cache, &mut sender)
    })?;
    workload.fill(&cache, sender);
    let mut filled = sender(options.threads);
    filled.send(Record::Filled);
    filled.flush();
    workload.run(&cache, workload.keys, sender, &|| false);
    drop(observer);
    Err(Failure::Child { what: "serving".to_owned(), problem: "outlived its parent".to_owned() })
}

impl Journal for Sender {
    fn note(&mut self, record: Record) {
        self.send(record);
    }

    fn flush(&mut self) {
        Sender::flush(self);
    }
}

fn observe(cache: &Cache, sender: &mut Sender) {
    loop {
        let stats = cache.stats();
        let evicted = stats.evicted_probation + stats.evicted_main + stats.evicted_bucket + stats.evicted_page;
        sender.send(Record::Status { entries: cache.len(), evicted });
        sender.flush();
        std::thread::sleep(Duration::from_millis(10));
    }
}
