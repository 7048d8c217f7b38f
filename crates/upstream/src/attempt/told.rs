//! What is told of each attempt: its record in the audit log, its line in the call's story, its share of the money.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tidegate_audit::record::AttemptRecord;
use tidegate_core::{
    clock::{self, UnixMillis},
    fault::{AttemptReport, AttemptTiming, FaultCode, Phase},
};
use tidegate_ledger::Refused;

use super::{Begun, Candidate, Effort};
use crate::failure::Failure;

/// An attempt that is being made, for its record.
pub(super) struct InFlight {
    number: u32,
    name: Arc<str>,
    since: Instant,
    started: UnixMillis,
}

/// What an attempt came to, for its record.
pub(super) struct Told<'a> {
    pub(super) phase: Phase,
    pub(super) status: Option<u16>,
    pub(super) outcome: String,
    pub(super) fault: Option<&'a str>,
    pub(super) may_be_billed: bool,
}

impl Effort<'_> {
    pub(super) fn uncovered(&mut self, number: u32, refused: &Refused) {
        let told = Told {
            phase: Phase::Refused,
            status: None,
            outcome: format!("not sent: an attempt before may have been billed, and another does not fit: {refused}"),
            fault: Some(FaultCode::BudgetExhausted.as_str()),
            may_be_billed: false,
        };
        self.tell(number, told);
    }

    pub(super) fn begun<A>(&mut self, number: u32, begun: &Begun<A>) {
        let outcome = if begun.phase == Phase::Done { "answered" } else { "answering" };
        let told = Told {
            phase: begun.phase,
            status: Some(begun.status),
            outcome: outcome.to_owned(),
            fault: None,
            may_be_billed: true,
        };
        self.tell(number, told);
    }

    pub(super) fn failed(&mut self, number: u32, failure: &Failure) {
        if failure.may_be_billed {
            self.may_be_billed();
        }
        let told = Told {
            phase: failure.phase,
            status: failure.status,
            outcome: failure.words(),
            fault: Some(failure.fault.code.as_str()),
            may_be_billed: failure.may_be_billed,
        };
        self.tell(number, told);
    }

    /// An attempt that answers nobody may have been billed: it keeps its share.
    pub(super) fn may_be_billed(&mut self) {
        self.billed = true;
        if let Some(running) = self.running.as_mut() {
            running.reservation.keep_share(self.needed);
        }
    }

    /// Notes that an attempt begins, and gives its number.
    pub(super) fn begin(&mut self, candidate: &Candidate<'_>, since: Instant) -> u32 {
        let number = self.reports.len().saturating_add(self.in_flight.len()).saturating_add(1);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.in_flight.push(InFlight { number, name: Arc::clone(&candidate.name), since, started: clock::wall() });
        number
    }

    /// Writes the record of an attempt in flight, which is then over.
    pub(super) fn tell(&mut self, number: u32, told: Told<'_>) {
        let Some(at) = self.in_flight.iter().position(|in_flight| in_flight.number == number) else { return };
        let in_flight = self.in_flight.remove(at);
        let ended = clock::now();
        let millis = ended.saturating_duration_since(in_flight.since).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let fault: Option<Arc<str>> = told.fault.map(Arc::from);
        if let Some(running) = self.running.as_mut() {
            running.intent.attempt(AttemptRecord {
                number,
                target: Arc::clone(&in_flight.name),
                started: in_flight.started,
                millis,
                phase: told.phase,
                status: told.status,
                fault: fault.clone(),
                may_be_billed: told.may_be_billed,
                omitted: BTreeMap::new(),
            });
        }
        self.reports.push(AttemptReport {
            target: in_flight.name.as_ref().to_owned(),
            phase: told.phase,
            status: told.status,
            millis,
            outcome: told.outcome,
            timing: Some(AttemptTiming { began: in_flight.since, ended, fault }),
        });
    }
}

impl Drop for Effort<'_> {
    /// The caller left while an attempt was out: its record says so.
    fn drop(&mut self) {
        while let Some(number) = self.in_flight.first().map(|in_flight| in_flight.number) {
            self.tell(
                number,
                Told {
                    phase: Phase::FirstEvent,
                    status: None,
                    outcome: "the caller left".to_owned(),
                    fault: Some("caller_gone"),
                    may_be_billed: true,
                },
            );
        }
    }
}
