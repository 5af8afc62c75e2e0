//! What the benches share: sizes, keys drawn beforehand, timed loops on several threads, the contestants.

pub(crate) mod contestants;

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 20;

/// Whether this is `cargo bench -- --test`, where everything runs once and has to be small.
pub(crate) fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// The key of a number.
#[inline]
pub(crate) fn key(number: u32) -> [u8; KEY_BYTES] {
    let mut bytes = *b"also-cache:k00000000";
    bytes[12..].copy_from_slice(&u64::from(number).to_le_bytes());
    bytes
}

/// Touches a value's first and last line.
#[inline]
pub(crate) fn touch(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last),
        _ => 0,
    }
}

/// Key numbers below `keys` by zipf 0.99, ranks spread over the numbers; `2^DRAWN_LOG` of them.
///
/// By inverting the continuous law, which is within a percent of the discrete one beyond the first ranks.
pub(crate) fn zipf(keys: u32, seed: u64) -> Vec<u32> {
    let top = (f64::from(keys) + 1.0).powf(1.0 - EXPONENT);
    let rank = |unit: f64| (1.0 + unit * (top - 1.0)).powf(1.0 / (1.0 - EXPONENT)) as u64 - 1;
    units(seed).map(|unit| (mix(rank(unit)) % u64::from(keys)) as u32).collect()
}

/// `2^DRAWN_LOG` numbers in [0, 1), the same for the same seed.
pub(crate) fn units(seed: u64) -> impl Iterator<Item = f64> {
    (1..=1_u64 << DRAWN_LOG).map(move |at| {
        let bits = mix(seed.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// Runs `work(thread, operations)` on each thread, all starting together, and returns the longest time.
///
/// `iterations` is what criterion asks for; each thread does its share of them.
pub(crate) fn on_threads(threads: u64, iterations: u64, work: impl Fn(u64, u64) + Sync) -> Duration {
    let share = iterations.div_ceil(threads);
    if threads == 1 {
        let started = Instant::now();
        work(0, share);
        return started.elapsed();
    }
    let (start, work) = (Barrier::new(threads as usize), &work);
    let run = |thread| {
        start.wait();
        let started = Instant::now();
        work(thread, share);
        started.elapsed()
    };
    let run = &run;
    let times = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        spawned.into_iter().map(|thread| thread.join().expect("a bench thread does not panic")).max()
    });
    times.unwrap_or_default()
}

/// Spreads 64 bits, one to one.
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Logarithm of how many keys are drawn beforehand.
pub(crate) const DRAWN_LOG: u32 = 20;

const EXPONENT: f64 = 0.99;
