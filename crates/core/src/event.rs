//! What each stage of the pipeline reports: one event, from which traces, metrics, `tidegate why` and the drawn chart
//! are made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A stage of the pipeline, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Size, deadline, load.
    Admit,
    /// Who calls.
    Identify,
    /// What is asked.
    Decode,
    /// Where it could go.
    Route,
    /// Whether it may.
    Authorize,
    /// Whether it was asked before.
    Idempotency,
    /// Whether it fits budgets and limits.
    Reserve,
    /// What guards say to the request.
    GuardRequest,
    /// Whether the same question was answered before.
    Cache,
    /// The intent is on record.
    Intent,
    /// Sent, answered.
    Dispatch,
    /// What guards say to the answer.
    GuardResponse,
    /// What it cost.
    Settle,
    /// The outcome is on record.
    Outcome,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 14] = [
        Self::Admit,
        Self::Identify,
        Self::Decode,
        Self::Route,
        Self::Authorize,
        Self::Idempotency,
        Self::Reserve,
        Self::GuardRequest,
        Self::Cache,
        Self::Intent,
        Self::Dispatch,
        Self::GuardResponse,
        Self::Settle,
        Self::Outcome,
    ];

    /// The stage's name in records, metrics and the chart.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Identify => "identify",
            Self::Decode => "decode",
            Self::Route => "route",
            Self::Authorize => "authorize",
            Self::Idempotency => "idempotency",
            Self::Reserve => "reserve",
            Self::GuardRequest => "guard_request",
            Self::Cache => "cache",
            Self::Intent => "intent",
            Self::Dispatch => "dispatch",
            Self::GuardResponse => "guard_response",
            Self::Settle => "settle",
            Self::Outcome => "outcome",
        }
    }
}

/// What a stage concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageVerdict {
    /// The call goes on unchanged.
    Pass,
    /// The call goes on, changed.
    Changed,
    /// The call ends here: a rule or the caller's own mistake.
    Refused,
    /// The call ends here: something broke.
    Failed,
}

/// One stage's report on one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEvent {
    /// Which stage.
    pub stage: Stage,
    /// What it concluded.
    pub verdict: StageVerdict,
    /// How long it took, in microseconds.
    pub micros: u32,
    /// What it concerned or why, in a few words: a target, a policy id, a limit's name. Never content.
    pub detail: Option<Arc<str>>,
}
