//! What the records say together: every attempt and outcome belongs to an intent that was open.

use std::collections::BTreeMap;

use tidegate_core::ids::CallId;

use super::{Counts, VerifyError};
use crate::{
    read,
    record::{Completeness, Record, VERSION},
    recover::Snapshot,
};

/// How many open intents are named.
const MOST_NAMED: usize = 1000;

/// Follows the records in their order. Holds the open intents only.
pub(super) struct Story {
    open: BTreeMap<u64, (CallId, Vec<u64>)>,
    counts: Counts,
    told: u64,
    snapshot: Option<Snapshot>,
    fits: bool,
}

impl Story {
    pub(super) fn new(snapshot: Option<Snapshot>) -> Self {
        Self { open: BTreeMap::new(), counts: Counts::default(), told: 0, snapshot, fits: false }
    }

    /// The next record.
    pub(super) fn tell(&mut self, leaf: u64, entry: &[u8]) -> Result<(), String> {
        self.compare_snapshot();
        let entry = read::parse(leaf, entry).map_err(|error| error.to_string())?;
        if entry.v != VERSION {
            return Err(format!("leaf {leaf} has version {}, which this program does not know", entry.v));
        }
        match entry.record {
            Record::Intent(intent) => {
                self.counts.intents += 1;
                self.open.insert(leaf, (intent.call, Vec::new()));
            }
            Record::Attempt(attempt) => {
                self.counts.attempts += 1;
                match self.open.get_mut(&attempt.intent) {
                    Some((call, attempts)) if *call == attempt.call => attempts.push(leaf),
                    _ => return Err(format!("leaf {leaf} is an attempt of no open intent")),
                }
            }
            Record::Outcome(outcome) => {
                self.counts.outcomes += 1;
                self.counts.unknown += u64::from(outcome.outcome.completeness == Completeness::Unknown);
                match self.open.remove(&outcome.intent) {
                    Some((call, _)) if call == outcome.call => {}
                    _ => return Err(format!("leaf {leaf} is the outcome of no open intent")),
                }
            }
            Record::Refusal(_) => self.counts.refusals += 1,
            Record::Activation(_) => self.counts.activations += 1,
            Record::Summary(_) => self.counts.summaries += 1,
        }
        self.told = leaf + 1;
        Ok(())
    }

    fn compare_snapshot(&mut self) {
        if let Some(snapshot) = self.snapshot.as_ref().filter(|snapshot| snapshot.size == self.told) {
            self.fits = self.open.len() == snapshot.open.len()
                && self.open.iter().zip(&snapshot.open).all(|((a, (_, b)), (c, d))| a == c && b == d);
        }
    }

    /// Whether the snapshot of open intents says what the records up to its size say; `size` is that of the tree.
    pub(super) fn check_snapshot(&mut self, size: u64) -> Result<(), VerifyError> {
        self.compare_snapshot();
        match &self.snapshot {
            Some(snapshot) if snapshot.size > size => {
                Err(VerifyError::new("open", format!("is for {} leaves, the log has {size}", snapshot.size)))
            }
            Some(_) if !self.fits => Err(VerifyError::new("open", "does not list the intents that are open")),
            _ => Ok(()),
        }
    }

    /// What was told, and which intents are open.
    pub(super) fn end(mut self) -> (Counts, Vec<u64>) {
        self.counts.open = self.open.len() as u64;
        (self.counts, self.open.into_keys().take(MOST_NAMED).collect())
    }
}
