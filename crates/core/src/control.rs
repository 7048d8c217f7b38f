//! The port by which the control plane reaches into calls in flight. The proxy implements it; the admin API uses it.

use crate::{
    clock::UnixMillis,
    facts::Action,
    ids::{CallId, KeyId, KeyName, TeamName},
};

/// Which calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Every call of one key.
    Key(KeyId),
    /// Every call of a team's keys.
    Team(TeamName),
    /// One call.
    Call(CallId),
}

/// A call in flight, as the control plane sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveCall {
    /// The call.
    pub id: CallId,
    /// Whose it is.
    pub key: KeyId,
    /// The key's name.
    pub key_name: KeyName,
    /// What it does.
    pub action: Action,
    /// When it came in.
    pub since: UnixMillis,
}

/// Calls in flight.
pub trait LiveCalls: Send + Sync {
    /// Ends every call that `selector` names with the fault `killed`, streams included, and says how many there were.
    /// Returns at once; each call ends within a second.
    fn cut(&self, selector: &Selector) -> usize;

    /// How many calls are in flight.
    fn count(&self) -> usize;

    /// The calls in flight, oldest first, at most `most`.
    fn list(&self, most: usize) -> Vec<LiveCall>;
}
