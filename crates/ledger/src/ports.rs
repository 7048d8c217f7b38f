//! The port through which finished calls are kept, and what goes through it. Owns the trait and its types; `store`
//! implements it per engine, the ledger records to it, the admin API and the CLI ask it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tidegate_core::{
    clock::UnixMillis,
    ids::{CallId, KeyId, KeyName, ModelName, OrgId, ProviderName, TeamName},
    money::NanoUsd,
    usage::Usage,
};

use crate::scope::Scope;

/// Whose call it was and where it went: what spend is broken down by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// The tenant.
    pub org: OrgId,
    /// The key.
    pub key: KeyId,
    /// The key's name.
    pub key_name: KeyName,
    /// The key's team.
    pub team: Option<TeamName>,
    /// The model as the caller named it; for model calls only.
    pub model: Option<ModelName>,
    /// The provider or MCP server that answered, or was last tried.
    pub provider: Option<ProviderName>,
    /// What answered there, printed: `provider/model` or `server/tool`.
    pub target: Option<Arc<str>>,
}

/// How a call ended, as far as money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// It ended and its usage is known.
    Settled,
    /// It was sent and nobody knows what it used: the whole reservation stays held.
    Unknown,
    /// It was never sent.
    Void,
}

/// One finished call in the ledger. A call has one entry; a later one for the same call replaces it (an unknown call
/// of which more became known).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The call.
    pub call: CallId,
    /// Whose and where.
    pub attribution: Attribution,
    /// The scopes that it was charged to.
    pub scopes: Arc<[Scope]>,
    /// When the call was admitted. This decides the periods that it counts in, here and in every report.
    pub at: UnixMillis,
    /// When it ended.
    pub finished: UnixMillis,
    /// How it ended.
    pub kind: EntryKind,
    /// What it cost; `None` where nobody knows: no price, or [`EntryKind::Unknown`].
    pub cost: Option<NanoUsd>,
    /// What stays held besides, for attempts that may have been billed.
    pub held: NanoUsd,
    /// What was reserved in all.
    pub reserved: NanoUsd,
    /// By how much the cost was above what was reserved for the answering attempt; zero as a rule.
    pub overrun: NanoUsd,
    /// The tokens used.
    pub usage: Usage,
}

impl Entry {
    /// What budgets are charged for it: cost and what is held.
    #[must_use]
    pub fn charged(&self) -> NanoUsd {
        self.cost.unwrap_or_default().saturating_add(self.held)
    }
}

/// What everything before a moment came to for one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The scope.
    pub scope: Scope,
    /// The sum of [`Entry::charged`].
    pub charged: NanoUsd,
}

/// What spend is broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpendBy {
    /// The tenant.
    Org,
    /// The team.
    Team,
    /// The key, by its name.
    Key,
    /// The model as callers named it.
    Model,
    /// The provider or MCP server that answered.
    Provider,
    /// The target that answered.
    Target,
}

impl SpendBy {
    /// The breakdown's name, which is also the name of the column that holds it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Team => "team",
            Self::Key => "key",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Target => "target",
        }
    }

    /// What `attribution` is filed under; empty where it has no such thing.
    #[must_use]
    pub fn name_of(self, attribution: &Attribution) -> &str {
        match self {
            Self::Org => attribution.org.as_str(),
            Self::Team => attribution.team.as_ref().map_or("", TeamName::as_str),
            Self::Key => attribution.key_name.as_str(),
            Self::Model => attribution.model.as_ref().map_or("", ModelName::as_str),
            Self::Provider => attribution.provider.as_ref().map_or("", ProviderName::as_str),
            Self::Target => attribution.target.as_deref().unwrap_or(""),
        }
    }
}

/// Which spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendQuery {
    /// Broken down by what.
    pub by: SpendBy,
    /// Calls admitted from this moment on.
    pub from: UnixMillis,
    /// And before this one.
    pub to: UnixMillis,
}

/// One line of a spend report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpendRow {
    /// What it is broken down by; empty for calls that have no such thing.
    pub name: String,
    /// What the calls cost, as far as is known.
    pub cost: NanoUsd,
    /// What is held besides for calls of which nobody knows.
    pub held: NanoUsd,
    /// How many calls were sent: settled and unknown ones.
    pub calls: u64,
    /// Their prompts' tokens, cached or not.
    pub input_tokens: u64,
    /// The tokens generated for them.
    pub output_tokens: u64,
}

/// A store that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the ledger's store could not {action}: {source}")]
pub struct StoreError {
    /// What it was asked, as a verb: `load entries`.
    pub action: &'static str,
    /// Why it did not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where finished calls are kept. Only [`LedgerStore::record`] is called on the request path.
pub trait LedgerStore: Send + Sync {
    /// Takes an entry to be written soon. Returns at once: no I/O, no waiting on a lock that I/O is done under. An
    /// entry for a call that has one replaces it.
    fn record(&self, entry: Entry);

    /// Waits until everything recorded so far survives a crash of the process.
    ///
    /// # Errors
    /// Where something could not be written.
    fn flush(&self) -> Result<(), StoreError>;

    /// Every entry whose call was admitted at `since` or later, in no order.
    ///
    /// # Errors
    /// Where entries cannot be read.
    fn load(&self, since: UnixMillis) -> Result<Vec<Entry>, StoreError>;

    /// For every scope, the sum of what its calls admitted before `before` were charged ([`Entry::charged`]).
    ///
    /// # Errors
    /// Where entries cannot be read.
    fn balances(&self, before: UnixMillis) -> Result<Vec<Balance>, StoreError>;

    /// A spend report, the dearest line first, then by name; same meaning as [`summarize`].
    ///
    /// # Errors
    /// Where entries cannot be read.
    fn spend(&self, query: SpendQuery) -> Result<Vec<SpendRow>, StoreError>;
}

/// The spend report on `entries`: what [`LedgerStore::spend`] means, for engines without a query language and for the
/// conformance suite. Sums saturate.
#[must_use]
pub fn summarize<'a>(entries: impl IntoIterator<Item = &'a Entry>, query: SpendQuery) -> Vec<SpendRow> {
    let mut rows: BTreeMap<&str, SpendRow> = BTreeMap::new();
    for entry in entries {
        if entry.kind == EntryKind::Void || entry.at < query.from || entry.at >= query.to {
            continue;
        }
        let name = query.by.name_of(&entry.attribution);
        let row = rows.entry(name).or_insert_with(|| SpendRow { name: name.to_owned(), ..SpendRow::default() });
        row.cost = row.cost.saturating_add(entry.cost.unwrap_or_default());
        row.held = row.held.saturating_add(entry.held);
        row.calls = row.calls.saturating_add(1);
        row.input_tokens = row.input_tokens.saturating_add(entry.usage.prompt_total());
        row.output_tokens = row.output_tokens.saturating_add(entry.usage.output);
    }
    let mut rows: Vec<SpendRow> = rows.into_values().collect();
    // The map gave them by name, and the sort is stable.
    rows.sort_by_key(|row| std::cmp::Reverse((row.cost, row.held)));
    rows
}

#[cfg(test)]
mod tests;
