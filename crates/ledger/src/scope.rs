//! Who or what a limit belongs to, and which limits there are. Owns plain types and their short forms
//! (`10 usd/month`); never counts anything. `config` makes them, accounts keep to them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use tidegate_core::money::NanoUsd;

use crate::{limits::Rate, period::Period};

/// What kind of thing a limit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// A tenant.
    Org,
    /// A team.
    Team,
    /// A person.
    User,
    /// An agent.
    Agent,
    /// A key.
    Key,
    /// A model as callers name it.
    Model,
    /// A provider.
    Provider,
    /// An MCP server.
    Server,
    /// A tool of an MCP server, as `server/tool`.
    Tool,
    /// A budget of its own, by its name in the configuration.
    Budget,
}

impl ScopeKind {
    /// The kind as it is written in messages and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Team => "team",
            Self::User => "user",
            Self::Agent => "agent",
            Self::Key => "key",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Server => "server",
            Self::Tool => "tool",
            Self::Budget => "budget",
        }
    }
}

impl fmt::Display for ScopeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom or what a limit belongs to. Cheap to clone.
///
/// Names come from the configuration and the store, never from a request's own text, since each name that is seen
/// costs memory for as long as the process lives. They are unique in the installation: where there are several
/// organisations, whoever makes a scope qualifies the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// What kind of thing.
    pub kind: ScopeKind,
    /// Its name.
    pub name: Arc<str>,
}

impl Scope {
    /// The scope of `kind` called `name`.
    #[must_use]
    pub fn new(kind: ScopeKind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

/// The most that may be spent in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    /// How much.
    pub amount: NanoUsd,
    /// In how long.
    pub period: Period,
    /// Whether it only warns. A budget that is not soft is never overspent by admission.
    #[serde(default)]
    pub soft: bool,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} usd/{}", self.amount.to_usd(), self.period)
    }
}

/// A text that is no budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no budget: {problem}; write for example `10 usd/month` (day, week, month or total)")]
pub struct InvalidBudget {
    /// What was given, cut to 40 characters.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FromStr for Budget {
    type Err = InvalidBudget;

    /// Reads `AMOUNT usd/PERIOD`, for example `10 usd/month`: a hard budget.
    fn from_str(text: &str) -> Result<Self, InvalidBudget> {
        let refuse = |problem| InvalidBudget { text: text.chars().take(40).collect(), problem };
        let (amount, period) = text.split_once('/').ok_or_else(|| refuse("the period is missing"))?;
        let amount = amount
            .trim()
            .strip_suffix("usd")
            .ok_or_else(|| refuse("the currency is missing or not `usd`"))?
            .trim_end()
            .parse()
            .map_err(|_| refuse("the amount is no decimal with at most nine decimal places"))?;
        let period = match period.trim() {
            "day" => Period::Day,
            "week" => Period::Week,
            "month" => Period::Month,
            "total" => Period::Total,
            _ => return Err(refuse("the period is unknown")),
        };
        Ok(Self { amount, period, soft: false })
    }
}

/// Every limit of one scope. The default has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScopeRules {
    /// Budgets; all of them hold at once.
    #[serde(default)]
    pub budget: Vec<Budget>,
    /// Requests in a time.
    #[serde(default)]
    pub requests: Option<Rate>,
    /// Tokens in a time, prompts and answers together.
    #[serde(default)]
    pub tokens: Option<Rate>,
    /// Calls at the same time.
    #[serde(default)]
    pub concurrent: Option<u32>,
}

impl ScopeRules {
    /// Whether a budget refuses calls, so that a call without a price cannot be let through.
    #[must_use]
    pub fn has_hard_budget(&self) -> bool {
        self.budget.iter().any(|budget| !budget.soft)
    }
}

#[cfg(test)]
mod tests;
