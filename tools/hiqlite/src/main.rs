//! How many cache puts a cluster of hiqlite takes a second: what stands beside the change stream of also-cache once, in
//! `docs/PERFORMANCE.md`. Not in the workspace, because of its dependencies.
//!
//! ```text
//!   64 tasks -- put of 64 B, a key of their own each --> leader -- Raft, in memory --> two followers       a majority confirms
//! ```
//!
//! Three nodes in this process, on loopback, in plaintext, with everything in memory; puts go to the leader. Run it in this
//! folder: `cargo run --release -- [PUTS] [TASKS]`.

#![forbid(unsafe_code)]

use hiqlite::cache_idx::CacheIndex;
use hiqlite::{Client, Error, Node, NodeConfig};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// The one cache.
#[derive(Debug, strum::EnumIter)]
enum Cache {
    Measured,
}

impl CacheIndex for Cache {
    fn to_usize(self) -> usize {
        self as usize
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let mut number = |default| words.next().and_then(Result::ok).unwrap_or(default);
    let (puts, tasks) = (number(200_000), number(64));
    let folder = std::env::temp_dir().join(format!("also-cache-hiqlite-{}", std::process::id()));
    let nodes: Vec<Node> = (1..=3).map(|id| Node { id, addr_raft: free_address(), addr_api: free_address() }).collect();
    let starting = nodes.iter().map(|node| {
        let config = NodeConfig {
            node_id: node.id,
            nodes: nodes.clone(),
            listen_addr_api: "127.0.0.1".into(),
            listen_addr_raft: "127.0.0.1".into(),
            data_dir: folder.join(node.id.to_string()).display().to_string().into(),
            cache_storage_disk: false,
            // No snapshot meanwhile: one of a log in memory ends a node of 0.10 by a panic, and it lags for ever.
            raft_config: NodeConfig::default_raft_config(100_000_000),
            secret_raft: "a secret of this measurement".to_owned(),
            secret_api: "a secret of this measurement".to_owned(),
            ..NodeConfig::default()
        };
        tokio::spawn(hiqlite::start_node_with_cache::<Cache>(config))
    });
    let mut clients = Vec::new();
    for start in starting.collect::<Vec<_>>() {
        clients.push(start.await.expect("no panic")?);
    }
    for client in &clients {
        client.wait_until_healthy_cache().await;
    }
    while clients[0].metrics_cache().await?.membership_config.nodes().count() < clients.len() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let leader = clients[0].metrics_cache().await?.current_leader.unwrap_or(1);
    let leader = clients[leader as usize - 1].clone();
    write(&leader, 0, puts / 10, tasks).await?;
    let started = Instant::now();
    write(&leader, puts, puts, tasks).await?;
    let took = started.elapsed();
    println!(
        "{puts} puts of 64 B by {tasks} tasks in {took:.2?}: {:.1} thousand a second",
        puts as f64 / took.as_secs_f64() / 1e3
    );
    // A majority has confirmed; the last node may still be behind.
    for client in &clients {
        while client.get_bytes(Cache::Measured, key(2 * puts - 1)).await?.is_none() {
            assert!(started.elapsed() < took + PATIENCE, "a node does not get the last put");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    println!("all three nodes have the last one after {:.2?}", started.elapsed());
    // Nothing is kept: the process ends.
    let _ = std::fs::remove_dir_all(&folder);
    std::process::exit(0)
}

async fn write(leader: &Client, first: usize, count: usize, tasks: usize) -> Result<(), Error> {
    let writers: Vec<_> = (0..tasks)
        .map(|task| {
            let leader = leader.clone();
            tokio::spawn(async move {
                for number in (first + task..first + count).step_by(tasks) {
                    leader.put_bytes(Cache::Measured, key(number), vec![7; 64], None).await?;
                }
                Ok::<(), Error>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic")?;
    }
    Ok(())
}

fn key(number: usize) -> String {
    format!("{number:020}")
}

/// For the node that is furthest behind.
const PATIENCE: Duration = Duration::from_secs(30);

/// Free now; nobody else is likely to take it before the node does.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}
