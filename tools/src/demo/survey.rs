//! After the restart: every key is looked up, every byte checked, and held against the ledger.

use super::ledger::{Known, Ledger};
use crate::failure::Result;
use crate::{interrupt, progress, value};
use also_cache::Cache;
use std::time::{Duration, Instant};

/// What the survey found.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// Keys whose last acknowledged operation was a write.
    pub(super) expected: u64,
    /// Those of them that are still there, right and not older than acknowledged.
    pub(super) survived: u64,
    /// Those of them that are not there.
    pub(super) lost: u64,
    /// Values that are there, the ones beyond the ledger included.
    pub(super) found: u64,
    /// Values with wrong bytes.
    pub(super) damaged: u64,
    /// Values older than the acknowledged write.
    pub(super) stale: u64,
    /// Values that an acknowledged removal had removed.
    pub(super) resurrected: u64,
    /// The first thing found wrong, in words.
    pub(super) example: Option<String>,
    /// How long it took.
    pub(super) took: Duration,
}

impl Survey {
    /// Survivors in percent of what was acknowledged and not removed.
    pub(super) fn survived_percent(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { 100.0 * self.survived as f64 / self.expected as f64 }
    }

    fn note(&mut self, number: u64, known: Known, met: Option<std::result::Result<u64, value::Flaw>>) {
        self.expected += u64::from(matches!(known, Known::Written(_)));
        self.found += u64::from(met.is_some());
        let problem = match (known, met) {
            (Known::Written(_), None) => {
                self.lost += 1;
                return;
            }
            (_, Some(Err(flaw))) => {
                self.damaged += 1;
                flaw.to_string()
            }
            (Known::Written(acknowledged), Some(Ok(sequence))) if sequence < acknowledged => {
                self.stale += 1;
                format!("write {sequence} is there, write {acknowledged} was acknowledged")
            }
            (Known::Removed(removal), Some(Ok(sequence))) if sequence <= removal => {
                self.resurrected += 1;
                format!("write {sequence} is there, removal {removal} was acknowledged")
            }
            (Known::Written(_), Some(Ok(_))) => {
                self.survived += 1;
                return;
            }
            _ => return,
        };
        self.example.get_or_insert(format!("key {number}: {problem}"));
    }
}

/// Looks up every key of the ledger.
pub(super) fn survey(cache: &Cache, ledger: &Ledger, quiet: bool) -> Result<Survey> {
    let bar = progress::bar(ledger.keys().len() as u64, "check", quiet);
    let mut survey = Survey::default();
    let started = Instant::now();
    for (number, known) in (0_u64..).zip(ledger.keys()) {
        let met = cache.read(value::key(number), |bytes| value::check(bytes, number));
        survey.note(number, *known, met);
        if number % KEYS_PER_LOOK == 0 {
            bar.set_position(number);
            interrupt::check()?;
        }
    }
    survey.took = started.elapsed();
    bar.finish_and_clear();
    Ok(survey)
}

const KEYS_PER_LOOK: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_damage_is_told_apart() {
        let mut survey = Survey::default();
        survey.note(0, Known::Written(5), Some(Ok(6)));
        survey.note(1, Known::Written(5), None);
        survey.note(2, Known::Written(5), Some(Ok(4)));
        survey.note(3, Known::Removed(5), Some(Ok(4)));
        survey.note(4, Known::Removed(5), Some(Ok(6)));
        survey.note(5, Known::Open, Some(Err(value::Flaw::Header)));
        survey.note(6, Known::Open, None);
        survey.note(7, Known::Never, Some(Ok(1)));
        assert_eq!((survey.expected, survey.survived, survey.lost, survey.found), (3, 1, 1, 6));
        assert_eq!((survey.damaged, survey.stale, survey.resurrected), (1, 1, 1));
        assert!(survey.example.expect("the first is kept").starts_with("key 2"));
    }
}
