//! Pins tools as servers first list them, and activates the revision that knows them.
//!
//! Owns which tools wait for a pin. A pin is kept only where the policies in force compile with it, so that what a server
//! says can neither stop a start nor take a revision out of service. Called by the data plane; blocks in tasks of its own.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use tidegate_audit::Audit;
use tidegate_config::{
    live::{Live, Rejection},
    pins::{MAX_TOOLS, PinStore, PinnedTool},
    source::Sources,
};
use tidegate_core::{
    clock,
    ids::{RevisionId, ServerName, ToolName},
};
use tidegate_proxy::Discovery;
use tidegate_upstream::task;

use crate::compose::record_activation;

/// The most bytes of input schemas that are pinned of one server.
const MOST_SCHEMA_BYTES: usize = 4 << 20;

/// Pins what is discovered.
pub(crate) struct Discoverer {
    parts: Arc<Parts>,
}

struct Parts {
    live: Arc<Live>,
    audit: Arc<Audit>,
    store: Arc<dyn PinStore>,
    /// Held while a revision is made from the one before it.
    changes: Arc<Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: HashMap<ServerName, Tools>,
    /// Whether a task is at work.
    running: bool,
}

/// What is known of one server's tools.
#[derive(Default)]
struct Tools {
    pinned: HashSet<ToolName>,
    schema_bytes: usize,
    waiting: BTreeMap<ToolName, PinnedTool>,
    /// The revision whose policies do not compile with what waits.
    refused_by: Option<RevisionId>,
}

impl Tools {
    fn add(&mut self, pin: PinnedTool) {
        self.schema_bytes = self.schema_bytes.saturating_add(pin.input_schema.len());
        self.pinned.insert(pin.name);
    }

    fn is_full(&self) -> bool {
        self.pinned.len().saturating_add(self.waiting.len()) >= MAX_TOOLS
    }

    /// Lets a definition wait; says whether it was not known.
    fn wait(&mut self, pin: PinnedTool) -> bool {
        let waiting: usize = self.waiting.values().map(|pin| pin.input_schema.len()).sum();
        let bytes = self.schema_bytes.saturating_add(waiting).saturating_add(pin.input_schema.len());
        let known = self.pinned.contains(&pin.name) || self.waiting.contains_key(&pin.name);
        if known || self.is_full() || bytes > MOST_SCHEMA_BYTES {
            return false;
        }
        self.refused_by = None;
        self.waiting.insert(pin.name.clone(), pin);
        true
    }

    fn is_due(&self, current: RevisionId) -> bool {
        !self.waiting.is_empty() && self.refused_by != Some(current)
    }
}

impl Discoverer {
    /// Knows the pins of `store` from the start.
    pub(crate) fn new(
        live: Arc<Live>,
        audit: Arc<Audit>,
        store: Arc<dyn PinStore>,
        changes: Arc<Mutex<()>>,
    ) -> anyhow::Result<Self> {
        let mut state = State::default();
        for pin in store.all()? {
            state.servers.entry(pin.server.clone()).or_default().add(pin);
        }
        Ok(Self { parts: Arc::new(Parts { live, audit, store, changes, state: Mutex::new(state) }) })
    }
}

impl Discovery for Discoverer {
    fn is_new(&self, server: &ServerName, tool: &str) -> bool {
        let state = self.parts.state.lock();
        let Some(tools) = state.servers.get(server) else { return true };
        if tools.pinned.contains(tool) {
            return false;
        }
        if tools.waiting.contains_key(tool) {
            return tools.is_due(self.parts.live.current().snapshot.revision);
        }
        !tools.is_full()
    }

    fn tools(&self, server: &ServerName, pins: Vec<PinnedTool>) {
        let mut state = self.parts.state.lock();
        let tools = state.servers.entry(server.clone()).or_default();
        for pin in pins {
            tools.wait(pin);
        }
        if !tools.is_due(self.parts.live.current().snapshot.revision) || state.running {
            return;
        }
        state.running = true;
        drop(state);
        let parts = Arc::clone(&self.parts);
        let _ = task::spawn("tool discovery", async move {
            let work = Arc::clone(&parts);
            if let Err(error) = tokio::task::spawn_blocking(move || work.pin_what_waits()).await {
                parts.state.lock().running = false;
                tracing::error!(%error, "discovered tools could not be pinned");
            }
        });
    }
}

impl Parts {
    fn pin_what_waits(&self) {
        loop {
            let due = {
                let mut state = self.state.lock();
                let current = self.live.current().snapshot.revision;
                let due = state.servers.iter().find(|(_, tools)| tools.is_due(current));
                let due = due.map(|(server, tools)| (server.clone(), tools.waiting.clone()));
                state.running = due.is_some();
                due
            };
            let Some((server, waiting)) = due else { return };
            self.pin(&server, waiting.into_values().collect());
        }
    }

    /// Pins tools of one server and activates the revision with them, or notes that the policies do not let them in.
    fn pin(&self, server: &ServerName, found: Vec<PinnedTool>) {
        let _held = self.changes.lock();
        let current = self.live.current();
        let now = clock::wall();
        let mut pins = current.snapshot.pins().to_vec();
        pins.extend(found.iter().cloned());
        match current.snapshot.with_pins(pins) {
            Ok(snapshot) => {
                if let Err(error) = self.store.pin(&found) {
                    tracing::error!(server = server.as_str(), %error, "discovered tools could not be pinned");
                    // They are found again with the next list.
                    self.settle(server, &found, false);
                    return;
                }
                self.settle(server, &found, true);
                let (previous, revision) = (current.snapshot.revision, snapshot.revision);
                if previous == revision {
                    return;
                }
                record_activation(&self.audit, &snapshot, Some(previous), "system:discovery");
                let number = self.live.activate(snapshot, now);
                tracing::info!(number, %revision, server = server.as_str(), tools = found.len(), "tools pinned");
            }
            Err(problems) => {
                let rejection = Rejection::new(problems, &Sources::default());
                let rendered = rejection.rendered.clone();
                let number = self.live.reject(rejection, now);
                if let Some(tools) = self.state.lock().servers.get_mut(server) {
                    tools.refused_by = Some(current.snapshot.revision);
                }
                tracing::error!(
                    number,
                    server = server.as_str(),
                    problems = %rendered,
                    "the policies name what the server's tools do not have: its tools stay without pins"
                );
            }
        }
    }

    /// Takes `found` from what waits.
    fn settle(&self, server: &ServerName, found: &[PinnedTool], pinned: bool) {
        let mut state = self.state.lock();
        let Some(tools) = state.servers.get_mut(server) else { return };
        for pin in found {
            tools.waiting.remove(&pin.name);
            if pinned {
                tools.add(pin.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
