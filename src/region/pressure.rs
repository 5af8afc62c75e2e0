//! How much the processors are wanted, by what the kernel says in `/proc/pressure/cpu` (PSI).
//!
//! ```text
//!   some avg10=12.08 avg60=44.28 avg300=45.90 total=19447092638      percent of the last 10 s in which somebody waited
//!   full avg10=0.00 avg60=0.00 avg300=0.00 total=0
//! ```

use std::path::Path;

/// More than this and somebody nearly always waits for a processor.
const BUSY_PERCENT: f32 = 80.0;

/// Whether somebody on this machine nearly always waits for a processor. `false` where the kernel does not say.
pub(super) fn is_busy(file: &Path) -> bool {
    std::fs::read_to_string(file)
        .is_ok_and(|text| share_of_ten_seconds(&text).is_some_and(|share| share > BUSY_PERCENT))
}

fn share_of_ten_seconds(text: &str) -> Option<f32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_ten_seconds_is_found() {
        let text = "some avg10=12.08 avg60=44.28 avg300=45.90 total=19447092638\nfull avg10=0.00 avg60=0.00 total=0\n";
        assert_eq!(share_of_ten_seconds(text), Some(12.08));
        for other in ["", "some", "some avg10=", "full avg10=99.00", "some avg60=99.00"] {
            assert_eq!(share_of_ten_seconds(other), None, "{other}");
        }
    }

    #[test]
    fn a_machine_is_busy_where_somebody_nearly_always_waits() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("cpu");
        assert!(!is_busy(&file), "no such file: nobody says so");
        for (share, busy) in [("0.00", false), ("80.00", false), ("80.01", true), ("100.00", true), ("much", false)] {
            std::fs::write(&file, format!("some avg10={share} avg60=0.00 avg300=0.00 total=0\n")).expect("written");
            assert_eq!(is_busy(&file), busy, "{share}");
        }
    }
}
