//! Finished calls as people look them up: one summary a call, and the port to the index that keeps them.
//!
//! The index is a convenience that is written behind and can be rebuilt from the audit log; nothing decides by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::UnixMillis,
    event::StageEvent,
    facts::{Action, GuardVerdict},
    fault::AttemptReport,
    ids::{CallId, KeyName, OrgId, TeamName},
    money::NanoUsd,
    usage::Usage,
};

/// A finished call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallSummary {
    /// The call.
    pub id: CallId,
    /// The tenant.
    pub org: OrgId,
    /// When it came in.
    pub at: UnixMillis,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// The key's name; `None` where the caller was not identified.
    pub key: Option<KeyName>,
    /// The key's team.
    pub team: Option<TeamName>,
    /// The surface that was spoken.
    pub surface: Arc<str>,
    /// What was to be done.
    pub action: Option<Action>,
    /// What was asked for: a model's name, `server/tool`, a URI.
    pub resource: Arc<str>,
    /// Which target served it.
    pub served_by: Option<Arc<str>>,
    /// The HTTP status that the caller got.
    pub status: u16,
    /// The error code, where there was one.
    pub error: Option<Arc<str>>,
    /// Tokens used.
    pub usage: Usage,
    /// What it cost; `None` where the model has no price.
    pub cost: Option<NanoUsd>,
    /// The intent's leaf in the audit log, or the outcome's where no intent was written.
    pub receipt: Option<u64>,
    /// The revision that decided, printed.
    pub revision: Arc<str>,
    /// The policies that decided.
    pub policies: Vec<String>,
    /// Policies in observe mode that would have denied.
    pub observed: Vec<String>,
    /// What guards found.
    pub verdicts: Vec<GuardVerdict>,
    /// What was tried.
    pub attempts: Vec<AttemptReport>,
    /// What each stage said.
    pub stages: Vec<StageEvent>,
    /// The facts that decided, as text pairs; content is never among them.
    pub facts: Vec<(Arc<str>, Arc<str>)>,
}

/// Which finished calls to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallQuery {
    /// Only this key's.
    pub key: Option<String>,
    /// Only those that ended with this error code; `any` for every error.
    pub error: Option<String>,
    /// Only those that came in before this moment: for paging.
    pub before: Option<UnixMillis>,
    /// At most this many, newest first; at most 1,000.
    pub most: usize,
}

/// What the index could not do.
#[derive(Debug, thiserror::Error)]
#[error("the call index {0}")]
pub struct CallIndexError(pub String);

/// The index of finished calls.
pub trait CallIndex: Send + Sync {
    /// Takes a finished call. Never blocks and never fails: under overload the oldest waiting summary is dropped and
    /// counted, since the audit log has it all.
    fn record(&self, call: CallSummary);

    /// Calls of one tenant, newest first.
    ///
    /// # Errors
    /// Where the index cannot be read.
    fn list(&self, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, CallIndexError>;

    /// One call of one tenant.
    ///
    /// # Errors
    /// Where the index cannot be read.
    fn get(&self, org: &OrgId, id: CallId) -> Result<Option<CallSummary>, CallIndexError>;

    /// Waits until everything recorded so far can be listed.
    ///
    /// # Errors
    /// Where the index cannot be written.
    fn flush(&self) -> Result<(), CallIndexError>;
}
