//! The attempt engine: one for every kind of traffic.
//!
//! Owns the order of things around an attempt: clocks, breaker, retry budget, pauses, the reservation's shares, the
//! record of each attempt, and when the next target is asked. Never knows what is sent: `Traffic` does. Never attempts
//! anything after an answer has begun, since it hands that answer over and is gone.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tidegate_audit::{Intent, record::AttemptRecord};
use tidegate_core::{
    clock::{self, UnixMillis},
    fault::{AttemptReport, AttemptTiming, Fault, FaultCode, Phase, Retry},
    money::NanoUsd,
    trace::TraceContext,
};
use tidegate_ledger::{Refused, Reservation};

use crate::{
    breaker::{Admission, BreakerPolicy},
    clocks::Limits,
    failure::{Failure, Then},
    health::{Admitted, Health},
    retry::{AfterStatus, RetryBudget, RetryPolicy},
};

/// The longest pause that is waited out before the same target is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a call in flight holds: both must be ended by whoever ends the call.
#[derive(Debug)]
pub struct Running {
    /// The hold on budgets and limits: to be settled.
    pub reservation: Reservation,
    /// The open record: its outcome is to be written.
    pub intent: Intent,
}

/// A place that a call can be sent to, as the engine sees it.
pub(crate) struct Candidate<'a> {
    pub(crate) name: Arc<str>,
    /// Whose retry budget counts: the provider's or the server's.
    pub(crate) upstream: &'a str,
    pub(crate) retry: &'a RetryPolicy,
    pub(crate) breaker: BreakerPolicy,
}

/// A kind of traffic.
pub(crate) trait Traffic {
    /// What a successful attempt gives.
    type Answer: Send;

    /// The place number `index`, in the order in which they are to be tried.
    fn candidate(&self, index: usize) -> Option<Candidate<'_>>;

    /// The span that attempts belong to, where the call is traced.
    fn trace(&self) -> Option<TraceContext>;

    /// Sends the call to place number `index`, once. `span` is the attempt's own, for the upstream to go on from.
    fn attempt(
        &self,
        index: usize,
        limits: &Limits,
        span: Option<TraceContext>,
    ) -> impl Future<Output = Result<Begun<Self::Answer>, Failure>> + Send;
}

/// An attempt that succeeded as far as the engine is concerned.
pub(crate) struct Begun<A> {
    pub(crate) answer: A,
    pub(crate) status: u16,
    /// [`Phase::Done`] for whole answers, [`Phase::Events`] for streams.
    pub(crate) phase: Phase,
}

/// How a call's attempts ended.
pub(crate) struct Concluded<A> {
    pub(crate) result: Result<(A, Served), Fault>,
    pub(crate) reports: Vec<AttemptReport>,
    pub(crate) running: Option<Running>,
}

/// Which attempt answered.
pub(crate) struct Served {
    pub(crate) status: u16,
    /// The place's number.
    pub(crate) index: usize,
    /// When that attempt began.
    pub(crate) since: Instant,
    /// Its breaker's admission, for a stream that may yet fail.
    pub(crate) admitted: Admitted,
}

/// Tries the places of `traffic` in their order until one answers.
pub(crate) async fn run<T: Traffic + Sync>(
    traffic: &T,
    health: &Health,
    limits: Limits,
    running: Running,
) -> Concluded<T::Answer> {
    let mut effort = Effort {
        health,
        limits,
        running: Some(running),
        reports: Vec::new(),
        last: None,
        billed: false,
        missing: None,
        places: 0,
        asked: Vec::new(),
        in_flight: None,
    };
    let answered = effort.all(traffic).await;
    let result = answered.ok_or_else(|| effort.verdict());
    Concluded { result, reports: std::mem::take(&mut effort.reports), running: effort.running.take() }
}

/// The attempts of one call so far.
struct Effort<'a> {
    health: &'a Health,
    limits: Limits,
    /// Present until the end.
    running: Option<Running>,
    reports: Vec<AttemptReport>,
    last: Option<Failure>,
    /// Whether any attempt so far may have been billed.
    billed: bool,
    /// What the last attempt keeps of the reservation, so that the next needs as much again.
    missing: Option<NanoUsd>,
    /// How many places were tried.
    places: usize,
    /// Whose places were asked.
    asked: Vec<Box<str>>,
    in_flight: Option<InFlight>,
}

/// The attempt that is being made.
#[derive(Clone)]
struct InFlight {
    name: Arc<str>,
    since: Instant,
    started: UnixMillis,
}

/// What an attempt came to, for its record.
struct Told<'a> {
    phase: Phase,
    status: Option<u16>,
    outcome: String,
    fault: Option<&'a str>,
    may_be_billed: bool,
}

impl Effort<'_> {
    async fn all<T: Traffic + Sync>(&mut self, traffic: &T) -> Option<(T::Answer, Served)> {
        let mut index = 0;
        while let Some(candidate) = traffic.candidate(index) {
            self.places = self.places.saturating_add(1);
            match self.one_place(traffic, index, &candidate).await {
                Ok(answered) => return Some(answered),
                Err(Then::End) => return None,
                Err(Then::NextTarget | Then::Repeat) => index = index.saturating_add(1),
            }
        }
        None
    }

    /// Tries one place as often as its policy and its budget say.
    async fn one_place<T: Traffic + Sync>(
        &mut self,
        traffic: &T,
        index: usize,
        candidate: &Candidate<'_>,
    ) -> Result<(T::Answer, Served), Then> {
        let health = self.health.of(&candidate.name, candidate.breaker, clock::now());
        let budget = self.health.budget(candidate.upstream, clock::now());
        let mut repeated = 0_u32;
        loop {
            let (since, started) = (clock::now(), clock::wall());
            self.in_flight = Some(InFlight { name: Arc::clone(&candidate.name), since, started });
            let admitted = match Admitted::ask(&health, since) {
                Ok(admitted) => admitted,
                Err(admission) => {
                    let failure = left_alone(admission);
                    self.failed(&failure);
                    self.last.get_or_insert(failure);
                    return Err(Then::NextTarget);
                }
            };
            if repeated == 0 && !self.may_ask(candidate.upstream, &budget, since) {
                drop(admitted);
                let words = "not asked: its provider fails, and as many attempts as that bears were made".to_owned();
                let failure = Failure::left_alone(words, Duration::from_secs(1));
                self.failed(&failure);
                self.last.get_or_insert(failure);
                return Err(Then::NextTarget);
            }
            if let Err(refused) = self.cover() {
                self.uncovered(&refused);
                return Err(Then::End);
            }
            let span = traffic.trace().map(|trace| trace.child(self.number()));
            let mut failure = match traffic.attempt(index, &self.limits, span).await {
                Ok(begun) => {
                    let now = clock::now();
                    health.load.answered(now.saturating_duration_since(since), now);
                    self.begun(&begun);
                    return Ok((begun.answer, Served { status: begun.status, index, since, admitted }));
                }
                Err(failure) => failure,
            };
            let now = clock::now();
            if failure.against_target {
                health.load.failed(now.saturating_duration_since(since), now);
                budget.note_failure(now);
                admitted.failed(now);
            } else if failure.status.is_some() {
                admitted.succeeded(now);
            } else {
                drop(admitted);
            }
            if let Some(pause) = failure.retry_after.filter(|_| failure.status == Some(429)) {
                health.breaker.cool(now, pause);
            }
            self.failed(&failure);
            let next = self.next(candidate, &budget, &failure, &mut repeated).await;
            failure.then = next;
            self.last = Some(failure);
            if next != Then::Repeat {
                return Err(next);
            }
        }
    }

    /// Whether another place of `upstream` may be asked: its first one always; a further one counts as a repetition
    /// where the upstream as a whole is failing.
    fn may_ask(&mut self, upstream: &str, budget: &RetryBudget, now: Instant) -> bool {
        if !self.asked.iter().any(|asked| **asked == *upstream) {
            self.asked.push(upstream.into());
            budget.note_first(now);
            return true;
        }
        if budget.struggling(now) {
            return budget.take_retry(now);
        }
        budget.note_first(now);
        true
    }

    /// Decides what follows a failure and waits out the pause before a repetition.
    async fn next(
        &self,
        candidate: &Candidate<'_>,
        budget: &RetryBudget,
        failure: &Failure,
        repeated: &mut u32,
    ) -> Then {
        let now = clock::now();
        if self.limits.left(now).is_zero() {
            return Then::End;
        }
        match wish(candidate.retry, failure, *repeated) {
            Then::Repeat if repeated.saturating_add(1) < candidate.retry.attempts => {}
            Then::Repeat | Then::NextTarget => return Then::NextTarget,
            Then::End => return Then::End,
        }
        let jittered = candidate.retry.pause(*repeated, rand::random());
        let pause = failure.retry_after.unwrap_or(jittered).max(jittered);
        // A pause that eats up what is left, or a long one while others could answer, is not worth waiting for.
        if pause >= self.limits.left(now) || pause > LONGEST_WAIT {
            return Then::NextTarget;
        }
        if !budget.take_retry(now) {
            tracing::debug!(target = %candidate.name, "retry budget is spent");
            return Then::NextTarget;
        }
        tokio::time::sleep(pause).await;
        *repeated = repeated.saturating_add(1);
        Then::Repeat
    }

    /// Sees to it that the reservation covers the next attempt, and says that it is about to leave.
    fn cover(&mut self) -> Result<(), Refused> {
        let Some(running) = self.running.as_mut() else { return Ok(()) };
        if let Some(missing) = self.missing {
            running.reservation.extend(missing)?;
            self.missing = None;
        }
        running.reservation.commit();
        Ok(())
    }

    fn uncovered(&mut self, refused: &Refused) {
        let told = Told {
            phase: Phase::Refused,
            status: None,
            outcome: format!("not sent: an attempt before may have been billed, and another does not fit: {refused}"),
            fault: Some(FaultCode::BudgetExhausted.as_str()),
            may_be_billed: false,
        };
        self.tell(told);
    }

    fn begun<A>(&mut self, begun: &Begun<A>) {
        let outcome = if begun.phase == Phase::Done { "answered" } else { "answering" };
        let told = Told {
            phase: begun.phase,
            status: Some(begun.status),
            outcome: outcome.to_owned(),
            fault: None,
            may_be_billed: true,
        };
        self.tell(told);
    }

    fn failed(&mut self, failure: &Failure) {
        if failure.may_be_billed {
            self.billed = true;
            if let Some(running) = self.running.as_mut() {
                let share = running.reservation.available();
                running.reservation.keep_share(share);
                self.missing = Some(share);
            }
        }
        let told = Told {
            phase: failure.phase,
            status: failure.status,
            outcome: failure.words(),
            fault: Some(failure.fault.code.as_str()),
            may_be_billed: failure.may_be_billed,
        };
        self.tell(told);
    }

    /// Writes the record of the attempt in flight, which is then over.
    fn tell(&mut self, told: Told<'_>) {
        let number = self.number();
        let Some(in_flight) = self.in_flight.take() else { return };
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

    /// The number of the attempt in flight, or of the next one; the first is 1.
    fn number(&self) -> u32 {
        u32::try_from(self.reports.len().saturating_add(1)).unwrap_or(u32::MAX)
    }

    /// What the caller gets where nothing answered.
    fn verdict(&mut self) -> Fault {
        let mut fault = match self.last.take() {
            None => Fault::new(FaultCode::UpstreamUnavailable, "no target is left that this call may be sent to"),
            Some(last) if last.then == Then::End || self.places <= 1 => *last.fault,
            Some(last) if last.fault.code == FaultCode::CallerTimeout => *last.fault,
            Some(last) => self.unavailable(&last),
        };
        if self.billed {
            fault.retry = Retry::No;
        }
        fault.attempts = self.reports.clone();
        fault
    }

    fn unavailable(&self, last: &Failure) -> Fault {
        let tried: Vec<String> = self.reports.iter().map(told_in_words).collect();
        let words = format!("no target answered; tried {}: {}", tried.len(), tried.join("; "));
        let mut fault = Fault::new(FaultCode::UpstreamUnavailable, words);
        if self.reports.iter().all(|report| report.phase == Phase::Refused) {
            fault.status = 503;
        }
        if let Some(pause) = last.retry_after {
            fault.retry = Retry::After(pause);
        }
        fault
    }
}

impl Drop for Effort<'_> {
    /// The caller left while an attempt was out: its record says so.
    fn drop(&mut self) {
        self.tell(Told {
            phase: Phase::FirstEvent,
            status: None,
            outcome: "the caller left".to_owned(),
            fault: Some("caller_gone"),
            may_be_billed: true,
        });
    }
}

/// What a failure calls for, before budgets and clocks have their say.
fn wish(policy: &RetryPolicy, failure: &Failure, repeated: u32) -> Then {
    match failure.status {
        Some(status) if failure.refused && failure.then != Then::End => {
            match policy.after_status(status, failure.retry_after.is_some(), repeated) {
                AfterStatus::Answer => Then::End,
                AfterStatus::NextTarget => Then::NextTarget,
                AfterStatus::Retry => Then::Repeat,
            }
        }
        _ => failure.then,
    }
}

fn told_in_words(report: &AttemptReport) -> String {
    let status = report.status.map(|status| format!(" {status}")).unwrap_or_default();
    format!("{}{status} after {} ms", report.target, report.millis)
}

fn left_alone(admission: Admission) -> Failure {
    match admission {
        Admission::Cooling(pause) => {
            Failure::left_alone("not asked: it answered 429 and named a pause that is not over".to_owned(), pause)
        }
        Admission::Open(pause) => Failure::left_alone(
            "not asked: it failed too often of late and is left alone for a while".to_owned(),
            pause,
        ),
        Admission::Closed | Admission::Probe => Failure::left_alone("not asked".to_owned(), Duration::ZERO),
    }
}
