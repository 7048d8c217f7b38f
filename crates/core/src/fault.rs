//! What went wrong, in one type for the whole gateway: whose fault it is, its code, and whether trying again helps.
//!
//! Crates have their own error types; at the boundary each becomes a [`Fault`], and only the proxy's `respond` turns
//! one into a surface's own shape.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::ids::TargetId;

/// Whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultOrigin {
    /// The caller sent something wrong.
    Client,
    /// A rule said no: policy, budget, limit, guardrail.
    Policy,
    /// A provider or server failed.
    Upstream,
    /// The gateway failed. This is what the service-level figure counts.
    Internal,
}

impl FaultOrigin {
    /// The origin's name in metrics and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Internal => "internal",
        }
    }
}

/// The codes of the outside contract, as in the header `x-tidegate-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// Malformed or unsupported.
    InvalidRequest,
    /// No valid credential.
    Unauthenticated,
    /// The reservation does not fit a hard budget.
    BudgetExhausted,
    /// Policy said no.
    PolicyDenied,
    /// A guardrail said no.
    GuardrailBlocked,
    /// Unknown, or not visible to this caller.
    NotFound,
    /// The caller's own time limit passed.
    CallerTimeout,
    /// An upstream took too long.
    UpstreamTimeout,
    /// The body is larger than allowed.
    TooLarge,
    /// The headers are larger than allowed.
    HeadersTooLarge,
    /// The same idempotency key with another body.
    IdempotencyMismatch,
    /// A rate limit.
    RateLimited,
    /// The kill switch, or a key that was revoked while its stream was open.
    Killed,
    /// The upstream answered with an error.
    UpstreamError,
    /// No attempt reached an answer.
    UpstreamUnavailable,
    /// The audit log took no intent, so nothing was sent.
    AuditUnavailable,
    /// Shed.
    Overloaded,
    /// A defect of the gateway.
    Internal,
}

impl FaultCode {
    /// The code as callers see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::BudgetExhausted => "budget_exhausted",
            Self::PolicyDenied => "policy_denied",
            Self::GuardrailBlocked => "guardrail_blocked",
            Self::NotFound => "not_found",
            Self::CallerTimeout | Self::UpstreamTimeout => "timeout",
            Self::TooLarge | Self::HeadersTooLarge => "too_large",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::RateLimited => "rate_limited",
            Self::Killed => "killed",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that belongs to the code; an upstream's own status replaces it for `UpstreamError`.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthenticated => 401,
            Self::BudgetExhausted => 402,
            Self::PolicyDenied | Self::GuardrailBlocked | Self::Killed => 403,
            Self::NotFound => 404,
            Self::CallerTimeout => 408,
            Self::TooLarge => 413,
            Self::IdempotencyMismatch => 422,
            Self::RateLimited => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::UpstreamError | Self::UpstreamUnavailable => 502,
            Self::AuditUnavailable | Self::Overloaded => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// Whose doing it is.
    #[must_use]
    pub fn origin(self) -> FaultOrigin {
        match self {
            Self::InvalidRequest
            | Self::Unauthenticated
            | Self::NotFound
            | Self::CallerTimeout
            | Self::IdempotencyMismatch
            | Self::TooLarge
            | Self::HeadersTooLarge => FaultOrigin::Client,
            Self::BudgetExhausted | Self::PolicyDenied | Self::GuardrailBlocked | Self::RateLimited | Self::Killed => {
                FaultOrigin::Policy
            }
            Self::UpstreamTimeout | Self::UpstreamError | Self::UpstreamUnavailable => FaultOrigin::Upstream,
            Self::AuditUnavailable | Self::Overloaded | Self::Internal => FaultOrigin::Internal,
        }
    }
}

/// Whether the same call may be tried again by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again, or it may already have been billed.
    No,
    /// Yes, at once or with the client's usual pause.
    Yes,
    /// Yes, after this long.
    After(Duration),
}

/// One attempt at one target, for errors and records.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AttemptReport {
    /// The target, printed: `provider/model`, or the MCP server's name.
    pub target: String,
    /// How far it came.
    pub phase: Phase,
    /// The upstream's HTTP status, if it gave one.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// What happened, in a few words, without secrets.
    pub outcome: String,
    /// When exactly, for traces; records have their own times.
    #[serde(skip)]
    pub timing: Option<AttemptTiming>,
}

/// When an attempt was made, and the code of its failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptTiming {
    /// When it began.
    pub began: std::time::Instant,
    /// When it was over, or its answer had begun.
    pub ended: std::time::Instant,
    /// The code of its failure; `None` where it answered.
    pub fault: Option<Arc<str>>,
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Refused before it began: breaker open, retry budget spent, address not allowed.
    Refused,
    /// Resolving, connecting, TLS.
    Connect,
    /// The request was being written, or its answer had not begun.
    FirstEvent,
    /// In the answer.
    Events,
    /// Finished.
    Done,
}

/// An upstream's own error answer, kept so that a caller of the same dialect sees it as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAnswer {
    /// Which target gave it.
    pub target: TargetId,
    /// Its message, secrets removed.
    pub message: String,
    /// Its error type in its own dialect, where it named one.
    pub kind: Option<String>,
    /// Its whole body, secrets removed; present where the caller speaks the same dialect.
    pub body: Option<bytes::Bytes>,
}

/// What went wrong, ready to be shown and recorded.
#[derive(Debug)]
pub struct Fault {
    /// The code.
    pub code: FaultCode,
    /// The HTTP status: the code's own, or the upstream's.
    pub status: u16,
    /// Whether trying again helps.
    pub retry: Retry,
    /// One sentence for the caller: what is wrong and what to do. No secret, no matched text, no address inside.
    pub public_message: String,
    /// The place in the request, as a JSON pointer, where there is one.
    pub pointer: Option<String>,
    /// The JSON-RPC error code, where the protocol has one of its own for this.
    pub rpc_code: Option<i64>,
    /// The policies that decided, as far as the caller may see them.
    pub policies: Vec<String>,
    /// What was tried.
    pub attempts: Vec<AttemptReport>,
    /// The upstream's own answer.
    pub upstream: Option<Box<UpstreamAnswer>>,
    /// The cause, for the log.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of this code, with its usual status and retry advice.
    #[must_use]
    pub fn new(code: FaultCode, public_message: impl Into<String>) -> Self {
        let retry = match code {
            FaultCode::Overloaded | FaultCode::AuditUnavailable => Retry::After(Duration::from_secs(1)),
            FaultCode::UpstreamUnavailable | FaultCode::UpstreamTimeout => Retry::Yes,
            _ => Retry::No,
        };
        Self {
            code,
            status: code.status(),
            retry,
            public_message: public_message.into(),
            pointer: None,
            rpc_code: None,
            policies: Vec::new(),
            attempts: Vec::new(),
            upstream: None,
            source: None,
        }
    }

    /// Malformed or unsupported, at the JSON pointer `pointer`.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let mut fault = Self::new(FaultCode::InvalidRequest, message);
        fault.pointer = Some(pointer.into());
        fault
    }

    /// The same fault with the JSON-RPC code that its protocol has for it.
    #[must_use]
    pub fn with_rpc_code(mut self, code: i64) -> Self {
        self.rpc_code = Some(code);
        self
    }

    /// The same fault with other advice on trying again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same fault with its cause for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whose doing it is.
    #[must_use]
    pub fn origin(&self) -> FaultOrigin {
        self.code.origin()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.public_message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
