//! What several test crates share: random numbers, self-describing bytes, a watchdog, and what must hold at rest.

pub(crate) mod ledger;

use also_cache::{Cache, Stats};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// SplitMix64: small, seeded, the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seed of a run: `ALSO_CACHE_SEED`, or the given one, so that CI always runs the same.
pub(crate) fn seed(default: u64) -> u64 {
    let seed = std::env::var("ALSO_CACHE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    println!("ALSO_CACHE_SEED={seed}");
    seed
}

/// The key of a number: most are short, some have 200 bytes, some the longest that there is.
pub(crate) fn key(number: u64) -> Vec<u8> {
    let mut key = format!("key:{number:x}:").into_bytes();
    let bytes = match number {
        number if number.is_multiple_of(29) => 1024,
        number if number.is_multiple_of(11) => 200,
        _ => key.len(),
    };
    key.resize(bytes, b'.');
    key
}

/// The most bytes of [`bytes`].
pub(crate) const BYTES_MAX: usize = 9 << 20;
const OFFSETS: usize = 1 << 16;

/// `len` bytes that hardly any other seed has; costs nothing, so that checks can compare megabytes.
pub(crate) fn bytes(seed: u64, len: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut random = Random(7);
        (0..(BYTES_MAX + OFFSETS) / 8).flat_map(|_| random.next().to_le_bytes()).collect()
    });
    let start = mix(seed) as usize % OFFSETS;
    &noise[start..start + len]
}

/// Ends the process if it is not dropped in time: a hang becomes a failure with a name.
pub(crate) struct Watchdog(Option<Sender<()>>);

impl Watchdog {
    pub(crate) fn new(what: &str, seconds: u64) -> Self {
        let (alive, gone) = channel::<()>();
        let what = what.to_owned();
        std::thread::spawn(move || {
            if gone.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("watchdog: {what} hangs since {seconds} s");
                std::process::abort();
            }
        });
        Self(Some(alive))
    }
}

/// Housekeeping until nothing waits; `false` if something still does after very many steps.
pub(crate) fn maintain_until_idle(cache: &Cache) -> bool {
    (0..4_000).any(|_| !cache.maintain(Duration::from_millis(5)))
}

/// What must hold once nothing runs, nothing waits and nothing is pinned: every slot is exactly one of live, free,
/// retired and unprepared, every block and page is somebody's, and the counts agree with a walk. Returns the slots.
pub(crate) fn check_slots(cache: &Cache) -> Result<u64, String> {
    let stats = cache.stats();
    let (mut slots, mut live, mut pages) = (0, 0, stats.pages_free + stats.pages_index);
    let (mut seen, mut blocks, mut run_pages) = (0, 0, 0);
    let block_bytes = stats.page_bytes / 128;
    for (key, value) in cache.iter() {
        let version = value.version().expect("an entry has one");
        let prefix = 32 + if version.row().is_some() { 8 } else { 0 } + if version.width().is_zero() { 0 } else { 4 };
        let end = (prefix + key.len() as u64).next_multiple_of(8) + value.len() as u64;
        seen += 1;
        if end > stats.page_bytes {
            run_pages += end.div_ceil(stats.page_bytes);
        } else if end > stats.page_bytes / 16 {
            blocks += end.div_ceil(block_bytes);
        }
    }
    for class in &stats.classes {
        let held = if class.is_large { blocks } else { class.live };
        let accounted = held + class.free + class.retired + class.unprepared;
        if accounted != class.slots {
            return Err(format!("{accounted} of {} slots are accounted for: {class:?}\n{stats}", class.slots));
        }
        slots += class.slots;
        live += class.live;
        pages += class.pages;
    }
    if (live, stats.entries) != (seen, seen) {
        return Err(format!("{live} live and {} counted, but {seen} seen by a walk\n{stats}", stats.entries));
    }
    if pages + run_pages != stats.pages {
        return Err(format!("{} of {} pages are accounted for\n{stats}", pages + run_pages, stats.pages));
    }
    Ok(slots)
}

/// Evictions of every kind.
pub(crate) fn evictions(stats: &Stats) -> u64 {
    stats.evicted_main + stats.evicted_probation + stats.evicted_bucket + stats.evicted_page
}
