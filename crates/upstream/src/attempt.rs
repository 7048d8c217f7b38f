//! The attempt engine: one for every kind of traffic.
//!
//! Owns the order of things around an attempt: clocks, breaker, retry budget, pauses, the reservation's shares, the
//! record of each attempt, and when the next target is asked. Never knows what is sent: `Traffic` does. Never attempts
//! anything after an answer has begun, since it hands that answer over and is gone.

mod beside;
mod told;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;
use tidegate_audit::Intent;
use tidegate_core::{
    clock,
    fault::{AttemptReport, Fault, FaultCode, Phase, Retry},
    money::NanoUsd,
    trace::TraceContext,
};
use tidegate_ledger::{Refused, Reservation};

use self::told::InFlight;
use crate::{
    breaker::{Admission, BreakerPolicy},
    clocks::Limits,
    failure::{Failure, Then},
    health::{Admitted, Health, TargetHealth},
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
    /// After how long without an answer the next place is asked beside this one; `None` where it never is.
    pub(crate) hedge: Option<Duration>,
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
        needed: running.reservation.available(),
        running: Some(running),
        reports: Vec::new(),
        last: None,
        billed: false,
        places: 0,
        asked: Vec::new(),
        in_flight: SmallVec::new(),
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
    /// What one attempt may cost.
    needed: NanoUsd,
    reports: Vec<AttemptReport>,
    last: Option<Failure>,
    /// Whether any attempt so far may have been billed.
    billed: bool,
    /// How many places were tried.
    places: usize,
    /// Whose places were asked.
    asked: Vec<Box<str>>,
    /// The attempts that are being made: one, or two where an answer was long in coming.
    in_flight: SmallVec<[InFlight; 1]>,
}

/// An attempt that was let out, for its end.
struct Out {
    /// The place's number.
    index: usize,
    number: u32,
    since: Instant,
    admitted: Admitted,
    health: Arc<TargetHealth>,
    budget: Arc<RetryBudget>,
}

/// How the attempt at a place ended, and the one beside it, if there was one.
enum Ended<A> {
    Answered(A, Served),
    /// It failed, alone.
    Failed(Failure, Arc<RetryBudget>),
    /// So did both.
    BothFailed(Then),
}

impl Effort<'_> {
    async fn all<T: Traffic + Sync>(&mut self, traffic: &T) -> Option<(T::Answer, Served)> {
        let mut index = 0;
        while let Some(candidate) = traffic.candidate(index) {
            let before = self.places;
            match self.one_place(traffic, index, &candidate).await {
                Ok(answered) => return Some(answered),
                Err(Then::End) => return None,
                Err(Then::NextTarget | Then::Repeat) => {
                    index = index.saturating_add(self.places.saturating_sub(before).max(1));
                }
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
        self.places = self.places.saturating_add(1);
        let mut repeated = 0_u32;
        loop {
            let out = self.let_out(index, candidate, repeated)?;
            // Whoever was refused once is not waited for: it is asked again, or the next is.
            let hedge = candidate.hedge.filter(|_| repeated == 0);
            let (mut failure, budget) = match self.attempt(traffic, out, hedge).await {
                Ended::Answered(answer, served) => return Ok((answer, served)),
                Ended::Failed(failure, budget) => (failure, budget),
                Ended::BothFailed(then) => return Err(then),
            };
            let next = self.next(candidate, &budget, &failure, &mut repeated).await;
            failure.then = next;
            self.last = Some(failure);
            if next != Then::Repeat {
                return Err(next);
            }
        }
    }

    /// Lets an attempt at place number `index` out, where its breaker, its provider's budget and the money say so.
    fn let_out(&mut self, index: usize, candidate: &Candidate<'_>, repeated: u32) -> Result<Out, Then> {
        let since = clock::now();
        let health = self.health.of(&candidate.name, candidate.breaker, since);
        let budget = self.health.budget(candidate.upstream, since);
        let number = self.begin(candidate, since);
        let admitted = match Admitted::ask(&health, since) {
            Ok(admitted) => admitted,
            Err(admission) => return Err(self.passed_over(number, left_alone(admission))),
        };
        if repeated == 0 && !self.may_ask(candidate.upstream, &budget, since) {
            drop(admitted);
            let words = "not asked: its provider fails, and as many attempts as that bears were made".to_owned();
            return Err(self.passed_over(number, Failure::left_alone(words, Duration::from_secs(1))));
        }
        if let Err(refused) = self.cover(1) {
            self.uncovered(number, &refused);
            return Err(Then::End);
        }
        Ok(Out { index, number, since, admitted, health, budget })
    }

    /// Notes how an attempt ended, where that counts: with its target, its budget and its record.
    fn ended<A>(&mut self, out: Out, result: Result<Begun<A>, Failure>) -> Ended<A> {
        let now = clock::now();
        let waited = now.saturating_duration_since(out.since);
        let failure = match result {
            Ok(begun) => {
                out.health.load.answered(waited, now);
                self.begun(out.number, &begun);
                let Out { index, since, admitted, .. } = out;
                return Ended::Answered(begun.answer, Served { status: begun.status, index, since, admitted });
            }
            Err(failure) => failure,
        };
        if failure.against_target {
            out.health.load.failed(waited, now);
            out.budget.note_failure(now);
            out.admitted.failed(now);
        } else if failure.status.is_some() {
            out.admitted.succeeded(now);
        } else {
            drop(out.admitted);
        }
        if let Some(pause) = failure.retry_after.filter(|_| failure.status == Some(429)) {
            out.health.breaker.cool(now, pause);
        }
        self.failed(out.number, &failure);
        Ended::Failed(failure, out.budget)
    }

    fn was_asked(&self, upstream: &str) -> bool {
        self.asked.iter().any(|asked| **asked == *upstream)
    }

    /// Whether another place of `upstream` may be asked: its first one always; a further one counts as a repetition
    /// where the upstream as a whole is failing.
    fn may_ask(&mut self, upstream: &str, budget: &RetryBudget, now: Instant) -> bool {
        if !self.was_asked(upstream) {
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

    /// Notes that a place was not asked; what then follows.
    fn passed_over(&mut self, number: u32, failure: Failure) -> Then {
        self.failed(number, &failure);
        self.last.get_or_insert(failure);
        Then::NextTarget
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

    /// Sees to it that the reservation covers so many attempts in flight, and says that one is about to leave.
    fn cover(&mut self, attempts: u64) -> Result<(), Refused> {
        let Some(running) = self.running.as_mut() else { return Ok(()) };
        let needed = NanoUsd(self.needed.0.saturating_mul(attempts));
        let missing = needed.saturating_sub(running.reservation.available());
        if missing > NanoUsd::ZERO {
            running.reservation.extend(missing)?;
        }
        running.reservation.commit();
        Ok(())
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
