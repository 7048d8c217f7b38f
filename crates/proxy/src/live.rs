//! The calls in flight: who they belong to, and how to end them from outside.
//!
//! Owns the registry and each call's cut signal. The control plane reaches it through
//! [`tidegate_core::control::LiveCalls`]; the pipeline enters a call when its caller is known.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tidegate_core::{
    control::{LiveCall, LiveCalls, Selector},
    ids::{CallId, TeamName},
};
use tokio_util::sync::CancellationToken;

/// The registry of calls in flight. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Registry {
    calls: Arc<Mutex<HashMap<CallId, Entry>>>,
}

struct Entry {
    call: LiveCall,
    team: Option<TeamName>,
    cut: CancellationToken,
}

impl Registry {
    /// A registry with no call in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.lock().len()
    }

    /// Whether no call is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.lock().is_empty()
    }

    /// Notes a call; it stays noted for as long as what this returns lives.
    pub(crate) fn enter(&self, call: LiveCall, team: Option<TeamName>, cut: CancellationToken) -> Entered {
        let id = call.id;
        self.calls.lock().insert(id, Entry { call, team, cut });
        Entered { registry: self.clone(), id }
    }
}

/// A call's place in the registry.
pub(crate) struct Entered {
    registry: Registry,
    id: CallId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.registry.calls.lock().remove(&self.id);
    }
}

impl LiveCalls for Registry {
    fn cut(&self, selector: &Selector) -> usize {
        let calls = self.calls.lock();
        let chosen = calls.values().filter(|entry| match selector {
            Selector::Key(key) => entry.call.key == *key,
            Selector::Team(team) => entry.team.as_ref() == Some(team),
            Selector::Call(id) => entry.call.id == *id,
        });
        // A call that was cut before and is still ending is not counted twice.
        chosen.filter(|entry| !entry.cut.is_cancelled()).inspect(|entry| entry.cut.cancel()).count()
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn list(&self, most: usize) -> Vec<LiveCall> {
        let mut calls: Vec<LiveCall> = self.calls.lock().values().map(|entry| entry.call.clone()).collect();
        calls.sort_by_key(|call| call.id);
        calls.truncate(most);
        calls
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{clock, facts::Action};

    use super::*;

    #[test]
    fn a_call_is_cut_once_and_counted_once() {
        let registry = Registry::new();
        let key = "abcd1234".parse().unwrap();
        let call = LiveCall {
            id: CallId::new(),
            key,
            key_name: "k".into(),
            action: Action::InvokeModel,
            since: clock::wall(),
        };
        let cut = CancellationToken::new();
        let entered = registry.enter(call, Some("team".into()), cut.clone());
        assert_eq!(registry.cut(&Selector::Team("other".into())), 0);
        assert!(!cut.is_cancelled());
        assert_eq!((registry.cut(&Selector::Key(key)), registry.cut(&Selector::Key(key))), (1, 0));
        assert!(cut.is_cancelled());
        assert_eq!(registry.list(10).len(), 1);
        drop(entered);
        assert!(registry.is_empty());
    }
}
