//! Why a call may not go ahead, in words for its caller. Owns the sentences and the advice on trying again; decides
//! nothing. The ledger makes them, the proxy turns them into faults.

use std::time::Duration;

use tidegate_core::{
    clock::UnixMillis,
    fault::{Fault, FaultCode, Retry},
    money::NanoUsd,
};

use crate::{
    limits::Rate,
    period::rfc3339,
    scope::{Budget, Scope, ScopeKind},
};

/// A limit that a call does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The most that the call may cost is more than a hard budget has left.
    #[error(
        "the budget {} ({limit}) has {left} left and this call may cost {asked}; {}",
        owner(.scope),
        budget_advice(*.resets_at)
    )]
    Budget {
        /// Whose budget.
        scope: Scope,
        /// The budget.
        limit: Budget,
        /// What is neither spent, reserved nor held.
        left: NanoUsd,
        /// What the call would have reserved.
        asked: NanoUsd,
        /// When the budget begins anew; `None` where it never does.
        resets_at: Option<UnixMillis>,
        /// How long that is from the moment of asking.
        retry_after: Option<Duration>,
    },
    /// Too many requests.
    #[error("{scope} may send {rate} requests; try again in {}", seconds(*.retry_after))]
    Requests {
        /// Whose limit.
        scope: Scope,
        /// The limit.
        rate: Rate,
        /// When one request will fit.
        retry_after: Duration,
    },
    /// Too many tokens.
    #[error("{scope} may use {rate} tokens and this call may use {asked}; {}", token_advice(*.retry_after))]
    Tokens {
        /// Whose limit.
        scope: Scope,
        /// The limit.
        rate: Rate,
        /// What the call would have reserved.
        asked: u64,
        /// When that many will fit; `None` where the call asks for more than the limit ever allows at once.
        retry_after: Option<Duration>,
    },
    /// Too many calls at the same time.
    #[error("{scope} may have {limit} calls in flight and has them; try again when one has ended")]
    Concurrent {
        /// Whose limit.
        scope: Scope,
        /// The limit.
        limit: u32,
    },
    /// The model has no price, so a hard budget cannot be kept.
    #[error(
        "{scope} has a budget and this model has no price; give the model a `price` in the configuration, or use one that has"
    )]
    Unpriced {
        /// Whose budget.
        scope: Scope,
    },
}

impl Refused {
    /// How long to wait before the same call may fit; `None` where waiting alone does not help or nobody can know.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Budget { retry_after, .. } | Self::Tokens { retry_after, .. } => *retry_after,
            Self::Requests { retry_after, .. } => Some(*retry_after),
            Self::Concurrent { .. } => Some(Duration::from_secs(1)),
            Self::Unpriced { .. } => None,
        }
    }

    /// The scope whose limit it is.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        match self {
            Self::Budget { scope, .. }
            | Self::Requests { scope, .. }
            | Self::Tokens { scope, .. }
            | Self::Concurrent { scope, .. }
            | Self::Unpriced { scope } => scope,
        }
    }

    /// The code under which callers see it: 402 for money, 429 for rates, 403 for a model without a price.
    #[must_use]
    pub fn code(&self) -> FaultCode {
        match self {
            Self::Budget { .. } => FaultCode::BudgetExhausted,
            Self::Requests { .. } | Self::Tokens { .. } | Self::Concurrent { .. } => FaultCode::RateLimited,
            Self::Unpriced { .. } => FaultCode::PolicyDenied,
        }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        // A budget's reset may be weeks away: clients that obey Retry-After would sleep on it.
        let retry = match (refused.code(), refused.retry_after()) {
            (FaultCode::RateLimited, Some(after)) => Retry::After(after),
            _ => Retry::No,
        };
        let message = refused.to_string();
        Self::new(refused.code(), message).with_retry(retry).with_source(refused)
    }
}

/// Whole seconds, rounded up, at least one: as in the header `Retry-After`.
fn seconds(after: Duration) -> String {
    let whole = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1);
    format!("{whole} s")
}

/// Whose budget it is, in words that follow `the budget`.
fn owner(scope: &Scope) -> String {
    if scope.kind == ScopeKind::Budget { format!("`{}`", scope.name) } else { format!("of {scope}") }
}

fn budget_advice(resets_at: Option<UnixMillis>) -> String {
    match resets_at {
        Some(at) => format!("it resets at {}", rfc3339(at)),
        None => "it does not reset: ask for more, or for a smaller answer".to_owned(),
    }
}

fn token_advice(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(after) => format!("try again in {}", seconds(after)),
        None => "that is more than it may use at once: shorten the prompt or lower the maximum of output tokens".into(),
    }
}

#[cfg(test)]
mod tests;
