//! Two attempts at once: where an answer is long in coming, the next place is asked beside the first.
//!
//! Owns when that is, who answers the call, and that the other is given up. The second attempt passes the same breaker,
//! budget and reservation as any other; what speaks against it only means that it is not made.

use std::{pin::pin, time::Duration};

use tidegate_core::{clock, fault::Phase};

use super::{Candidate, Effort, Ended, Out, Traffic, told::Told, wish};
use crate::failure::{Failure, Then};
use crate::health::Admitted;

impl Effort<'_> {
    /// Makes an attempt. Where its answer has not begun after `hedge`, the next place is asked too: who answers first
    /// answers the call, and the other is given up.
    pub(super) async fn attempt<T: Traffic + Sync>(
        &mut self,
        traffic: &T,
        out: Out,
        hedge: Option<Duration>,
    ) -> Ended<T::Answer> {
        let limits = self.limits;
        let span = |number| traffic.trace().map(|trace| trace.child(number));
        let mut attempt = pin!(traffic.attempt(out.index, &limits, span(out.number)));
        let beside = out.index.saturating_add(1);
        let (pause, next) = match (hedge, traffic.candidate(beside)) {
            (Some(pause), Some(next)) => (pause, next),
            _ => return self.ended(out, attempt.await),
        };
        let early = tokio::select! {
            biased;
            result = &mut attempt => Some(result),
            () = tokio::time::sleep(pause) => None,
        };
        if let Some(result) = early {
            return self.ended(out, result);
        }
        let Some(second) = self.let_out_beside(beside, &next) else { return self.ended(out, attempt.await) };
        // On the heap, since few calls need it.
        let mut other = Box::pin(traffic.attempt(beside, &limits, span(second.number)));
        let (first_to_end, result, left) = tokio::select! {
            biased;
            result = &mut attempt => (out, result, second),
            result = &mut other => (second, result, out),
        };
        let (ended_at, left_at) = (first_to_end.index, left.index);
        let mut failure = match self.ended(first_to_end, result) {
            Ended::Failed(failure, _) => failure,
            answered => {
                self.given_up(left);
                return answered;
            }
        };
        let ends = |index, failure: &Failure| {
            traffic.candidate(index).is_some_and(|place| wish(place.retry, failure, 0) == Then::End)
        };
        if ends(ended_at, &failure) {
            self.given_up(left);
            failure.then = Then::End;
            self.last = Some(failure);
            return Ended::BothFailed(Then::End);
        }
        self.last = Some(failure);
        let result = if left_at == beside { other.await } else { attempt.await };
        match self.ended(left, result) {
            Ended::Failed(mut failure, _) => {
                let then = if ends(left_at, &failure) { Then::End } else { Then::NextTarget };
                failure.then = then;
                self.last = Some(failure);
                Ended::BothFailed(then)
            }
            answered => answered,
        }
    }

    /// Lets an attempt at place number `index` out beside the one that is in flight. It is one more than callers asked
    /// for, so it counts as a repetition, and is not made where anything speaks against it.
    fn let_out_beside(&mut self, index: usize, candidate: &Candidate<'_>) -> Option<Out> {
        let since = clock::now();
        let health = self.health.of(&candidate.name, candidate.breaker, since);
        let budget = self.health.budget(candidate.upstream, since);
        let admitted = Admitted::ask(&health, since).ok()?;
        if !budget.take_retry(since) || self.cover(2).is_err() {
            return None;
        }
        if !self.was_asked(candidate.upstream) {
            self.asked.push(candidate.upstream.into());
        }
        self.places = self.places.saturating_add(1);
        let number = self.begin(candidate, since);
        Some(Out { index, number, since, admitted, health, budget })
    }

    /// Notes that an attempt is no longer waited for, since another place has answered.
    fn given_up(&mut self, out: Out) {
        drop(out.admitted);
        self.may_be_billed();
        self.tell(
            out.number,
            Told {
                phase: Phase::FirstEvent,
                status: None,
                outcome: "given up: another target answered first".to_owned(),
                fault: None,
                may_be_billed: true,
            },
        );
    }
}
