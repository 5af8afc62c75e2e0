//! Peers at equal resident memory: what they count is not what they take, so their capacity shrinks until it is.
//!
//! ```text
//!   capacity      --> run --> resident memory above it?  --> capacity x wanted / resident --> run again, a few times
//! ```
//!
//! A peer counts keys and values. What it takes beside them, its own and its allocator's, is charged to it this way.

use super::journey::Outcome;
use crate::failure::Result;

/// What a contestant is called at the full capacity, counted in its own way.
pub(super) fn by_weight(name: &str) -> String {
    format!("{name} by weight")
}

/// The outcome at the capacity whose resident memory is nearest to `bytes`, and not above `bytes` by more than 2 %.
///
/// `first` is what came out at a capacity of `bytes`; `ask` runs it with another. If no run stays within the bound, the one
/// that takes least is returned: its resident memory stands beside it.
pub(super) fn fit(bytes: u64, first: Outcome, mut ask: impl FnMut(u64) -> Result<Outcome>) -> Result<Outcome> {
    let mut capacity = bytes;
    let mut nearest = first;
    for _ in 0..RUNS_MAX {
        let resident = nearest.resident_bytes.max(1);
        let off = resident as f64 / bytes as f64 - 1.0;
        // Below the bound at the full capacity: everything fits, or the peer takes no more than it counts.
        if off.abs() <= TOLERANCE || (off < 0.0 && capacity == bytes) {
            break;
        }
        let wanted = (capacity as f64 * bytes as f64 / resident as f64) as u64;
        capacity = wanted.clamp(1, bytes);
        let next = ask(capacity)?;
        let is_last = next.resident_bytes == nearest.resident_bytes;
        nearest = next;
        if is_last {
            break;
        }
    }
    Ok(nearest)
}

const RUNS_MAX: u32 = 6;
const TOLERANCE: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    fn taking(resident_bytes: u64) -> Outcome {
        Outcome {
            trace: String::new(),
            capacity: String::new(),
            contestant: "peer".to_owned(),
            threads: 1,
            accesses: 1,
            hits: 0,
            checked: 0,
            wrong: 0,
            refused: 0,
            entries: 0,
            entries_max: None,
            seconds: 1.0,
            resident_bytes,
        }
    }

    #[test]
    fn a_peer_with_overhead_shrinks_until_it_takes_what_it_may() {
        let resident = |capacity: u64| taking(capacity * 3 / 2 + 1000);
        let fitted = fit(100_000, resident(100_000), |capacity| Ok(resident(capacity))).expect("nothing fails");
        assert!(fitted.resident_bytes.abs_diff(100_000) <= 2_000, "{} bytes", fitted.resident_bytes);
    }

    #[test]
    fn a_peer_that_takes_less_is_left_as_it_is() {
        let fitted = fit(100_000, taking(60_000), |_| panic!("nothing to ask")).expect("nothing fails");
        assert_eq!(fitted.resident_bytes, 60_000);
    }
}
