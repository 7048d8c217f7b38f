//! How one attempt failed, and what the engine makes of it.
//!
//! Plain data and the rules that turn causes into it; the engine in `attempt` decides by these fields alone and knows
//! neither models nor tools.

use std::time::Duration;

use tidegate_core::fault::{Fault, FaultCode, Phase, Retry};

use crate::{
    clocks::Clock,
    pool::{SendError, Unanswered},
};

/// What may follow a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: the caller gets this failure.
    End,
    /// Another target.
    NextTarget,
    /// The same target again, within its policy and budget, or another.
    Repeat,
}

/// One failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How far it came.
    pub(crate) phase: Phase,
    /// The upstream's status, if it gave one.
    pub(crate) status: Option<u16>,
    /// Whether the upstream may charge for it.
    pub(crate) may_be_billed: bool,
    /// Whether it speaks against the target's health.
    pub(crate) against_target: bool,
    /// Whether `status` is the upstream's own refusal, so that the target's policy says what follows.
    pub(crate) refused: bool,
    /// What may follow; for a refusal the policy's word comes first, unless this says [`Then::End`].
    pub(crate) then: Then,
    /// The pause the upstream asked for.
    pub(crate) retry_after: Option<Duration>,
    /// What the caller gets where this is the last word.
    pub(crate) fault: Box<Fault>,
}

impl Failure {
    /// A failure that is the gateway's or the caller's, found before anything was sent.
    pub(crate) fn unsent(fault: Fault, then: Then) -> Self {
        Self {
            phase: Phase::Refused,
            status: None,
            may_be_billed: false,
            against_target: false,
            refused: false,
            then,
            retry_after: None,
            fault: Box::new(fault),
        }
    }

    /// A target that is left alone for now.
    pub(crate) fn left_alone(words: String, pause: Duration) -> Self {
        let mut fault = Fault::new(FaultCode::UpstreamUnavailable, words).with_retry(Retry::After(pause));
        fault.status = 503;
        Self { retry_after: Some(pause), ..Self::unsent(fault, Then::NextTarget) }
    }

    /// A request that reached no answer.
    pub(crate) fn unanswered(unanswered: Unanswered) -> Self {
        let Unanswered { error, may_have_left } = unanswered;
        let (phase, fault, then) = match &error {
            SendError::Connect(cause) => {
                let fault =
                    Fault::new(FaultCode::UpstreamUnavailable, format!("no connection to the upstream: {cause}"));
                let then = if matches!(cause, crate::connect::ConnectError::Address(_)) {
                    Then::NextTarget
                } else {
                    Then::Repeat
                };
                (Phase::Connect, fault, then)
            }
            SendError::Clock(clock) => (phase_of(*clock, may_have_left), clock.fault(), after_clock(*clock)),
            SendError::Broken(why) => {
                let words = format!("the upstream closed the connection before its answer: {why}");
                (Phase::FirstEvent, Fault::new(FaultCode::UpstreamUnavailable, words), Then::Repeat)
            }
        };
        Self {
            phase,
            status: None,
            may_be_billed: may_have_left,
            against_target: !matches!(error, SendError::Clock(Clock::Caller)),
            refused: false,
            then,
            retry_after: None,
            fault: Box::new(fault),
        }
    }

    /// An answer with status `status` that broke off, or is none of its protocol.
    pub(crate) fn broken_answer(status: u16, fault: Fault) -> Self {
        Self {
            phase: Phase::Events,
            status: Some(status),
            may_be_billed: true,
            against_target: fault.code != FaultCode::CallerTimeout,
            refused: false,
            then: match fault.code {
                FaultCode::CallerTimeout => Then::End,
                _ => Then::Repeat,
            },
            retry_after: None,
            fault: Box::new(fault),
        }
    }

    /// An error status, or an error inside a stream that had not said anything yet (`answered`: under a status 2xx).
    pub(crate) fn refusal(fault: Fault, retry_after: Option<Duration>, answered: bool) -> Self {
        Self {
            phase: Phase::FirstEvent,
            status: Some(fault.status),
            may_be_billed: answered || may_charge(fault.status),
            against_target: fault.status >= 500,
            refused: true,
            then: Then::Repeat,
            retry_after,
            fault: Box::new(fault),
        }
    }

    /// The same failure, of a request that must not be sent twice once it may have left.
    pub(crate) fn once_only(mut self) -> Self {
        if self.may_be_billed || self.status.is_some() {
            self.then = Then::End;
        }
        self
    }

    /// What happened, in a few words, for reports.
    pub(crate) fn words(&self) -> String {
        self.fault.public_message.chars().take(300).collect()
    }
}

/// Whether an upstream that answers `status` may charge for the call: a timeout on its own side says nothing about
/// what was generated, any other error status is a refusal.
pub(crate) fn may_charge(status: u16) -> bool {
    matches!(status, 200..=299 | 408 | 504 | 524)
}

fn phase_of(clock: Clock, may_have_left: bool) -> Phase {
    match clock {
        Clock::Connect(_) => Phase::Connect,
        Clock::BetweenEvents(_) => Phase::Events,
        Clock::FirstEvent(_) => Phase::FirstEvent,
        Clock::Total(_) | Clock::Caller if may_have_left => Phase::FirstEvent,
        Clock::Total(_) | Clock::Caller => Phase::Connect,
    }
}

fn after_clock(clock: Clock) -> Then {
    match clock {
        Clock::Total(_) | Clock::Caller => Then::End,
        _ => Then::Repeat,
    }
}
