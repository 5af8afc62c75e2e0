//! Two nodes that catch up with each other, with bytes changed on the way and checksums made right again: no panic, no
//! allocation above one frame, bounded memory; and where nothing is changed they catch up.
//!
//! ```text
//!   byte 0     what they hold: few or many entries, a value in chunks, an arena that was in the cluster before
//!   5 bytes    one change: batch, offset (2), what, byte         as many as there are
//! ```

#![no_main]

use also_cache::ManualClock;
use also_cache::fuzzing::wire::mend;
use also_cache::limits::FRAME_BYTES_MAX;
use also_cache::simulation::{Link, Order, SimulatedNode, SimulatedSettings};
use libfuzzer_sys::fuzz_target;
use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const HEAP_BYTES_MAX: usize = 8 << 20;
const CONNECTION: u32 = 1;
const ROUNDS: usize = 60;
const STEP_US: u64 = 25_000;

/// Remembers the largest allocation.
struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Largest = Largest;

// SAFETY: every call is the system's.
unsafe impl GlobalAlloc for Largest {
    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    /// # Safety
    ///
    /// - As for the trait.
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        LARGEST.fetch_max(bytes, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

/// One change to one batch.
struct Edit {
    batch: u8,
    at: usize,
    what: u8,
    byte: u8,
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 7400))
}

fn start(folder: &Path, last: u8) -> SimulatedNode {
    SimulatedNode::start(&SimulatedSettings {
        name: format!("node-{last}"),
        address: address(last),
        capacity: 1 << 20,
        file: folder.join(format!("{last}.arena")),
        clock: ManualClock::new(),
        seed: u64::from(last),
        entries_max: None,
        value_bytes_max: 400 << 10,
        relay_bytes: 64 << 10,
        protocol_max: 1,
        fences: false,
        cluster: 7,
    })
}

fn value_of(key: u32) -> Vec<u8> {
    key.to_le_bytes().repeat(1 + key as usize % 200)
}

fn fill(node: &mut SimulatedNode, keys: std::ops::Range<u32>) {
    for key in keys {
        node.insert(&key.to_be_bytes(), &value_of(key));
    }
}

/// Changes a batch as it was asked for; `false` if it ends the connection.
fn change(bytes: &mut Vec<u8>, edits: &[Edit], batch: usize) {
    for edit in edits.iter().filter(|edit| usize::from(edit.batch) == batch) {
        if bytes.is_empty() {
            return;
        }
        let at = edit.at % bytes.len();
        match edit.what % 4 {
            0 => bytes[at] ^= edit.byte,
            1 => bytes[at] = edit.byte,
            2 => bytes.truncate(at),
            _ => bytes.extend_from_within(..at),
        }
    }
    mend(bytes);
}

/// Lets two nodes talk over one connection for a while.
fn meet(mut nodes: [SimulatedNode; 2], edits: &[Edit]) -> [SimulatedNode; 2] {
    nodes[0].link(CONNECTION, Link::Accepted(address(2)));
    nodes[1].link(CONNECTION, Link::Dialled(address(1)));
    let mut open = true;
    for round in 0..ROUNDS {
        for from in [0, 1] {
            nodes[from].advance(STEP_US);
            nodes[from].timeout();
            if round == ROUNDS / 3 {
                fill(&mut nodes[from], 10..40);
            }
            nodes[from].changed();
            if let Some(mut bytes) = nodes[from].transmit(CONNECTION).filter(|_| open) {
                change(&mut bytes, edits, 2 * round + from);
                nodes[1 - from].receive(CONNECTION, &bytes);
            }
            while let Some(order) = nodes[1 - from].order() {
                open &= !matches!(order, Order::Close(_));
            }
        }
        for node in &nodes {
            assert!(node.heap_bytes() <= HEAP_BYTES_MAX, "{} bytes of heap", node.heap_bytes());
        }
    }
    nodes
}

fuzz_target!(|data: &[u8]| {
    let Some((what, edits)) = data.split_first() else { return };
    let (edits, _) = edits.as_chunks::<5>();
    let edits: Vec<Edit> = edits
        .iter()
        .map(|[batch, low, high, what, byte]| Edit {
            batch: batch % (2 * ROUNDS as u8),
            at: usize::from(u16::from_le_bytes([*low, *high])),
            what: *what,
            byte: *byte,
        })
        .collect();
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let mut nodes = [start(folder.path(), 1), start(folder.path(), 2)];
    fill(&mut nodes[0], 0..if what & 1 == 0 { 20 } else { 600 });
    if what & 2 != 0 {
        nodes[0].insert(b"large", &[7; 300 << 10]);
    }
    if what & 4 != 0 {
        fill(&mut nodes[1], 500..700);
        nodes[1].remove(&501_u32.to_be_bytes());
    }
    let compares = what & 8 != 0;
    if compares {
        // It was there before, and comes back after more changes than a ring holds: it is compared.
        let [mut first, second] = meet(nodes, &[]);
        drop(second);
        fill(&mut first, 1_000..2_200);
        nodes = [first, start(folder.path(), 2)];
        nodes[1].advance(ROUNDS as u64 * STEP_US);
    }
    LARGEST.store(0, Ordering::Relaxed);
    let nodes = meet(nodes, &edits);
    if edits.is_empty() {
        let is_there = |node: &SimulatedNode| node.readiness() == 3 && node.read(&39_u32.to_be_bytes()).is_some();
        assert!(nodes.iter().all(is_there), "they catch up where nothing is changed: {nodes:?}");
        let compared = nodes[1].counters().iter().any(|(name, count)| *name == "delta_syncs" && *count > 0);
        assert_eq!(compared, compares, "{:?}", nodes[1].counters());
    }
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= 2 * FRAME_BYTES_MAX, "{largest} bytes in one piece");
});
