//! Pins tools as servers first list them, notices where a definition is no longer the one that was pinned, and
//! activates the revisions that know them.
//!
//! Owns which tools wait for a pin and which are not as pinned. A pin is kept only where the policies in force compile
//! with it, so that what a server says can neither stop a start nor take a revision out of service; a definition that
//! changed is never followed until somebody accepts it. Called by the data plane; blocks in tasks of its own.

mod refresh;
mod tools;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tidegate_audit::{Audit, record::ActivationRecord};
use tidegate_config::{
    document::OnChange,
    live::{Live, Rejection},
    pins::{PinStore, PinnedTool},
    source::Sources,
};
use tidegate_core::{
    clock,
    ids::{Digest, ServerName, ToolName},
};
use tidegate_proxy::{Discovery, Metrics};
use tidegate_upstream::{Upstream, task};

use self::tools::{Difference, Look, Tools};
use crate::compose::record_activation;

/// The least time between two questions for a server's list.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Pins what is discovered.
#[derive(Clone)]
pub(crate) struct Discoverer {
    parts: Arc<Parts>,
}

/// What the discoverer works with.
pub(crate) struct Needs {
    pub(crate) live: Arc<Live>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) store: Arc<dyn PinStore>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) metrics: Arc<Metrics>,
    /// Held while a revision is made from the one before it.
    pub(crate) changes: Arc<Mutex<()>>,
}

struct Parts {
    needs: Needs,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: HashMap<ServerName, Tools>,
    findings: Vec<Finding>,
    /// Whether a task is at work.
    running: bool,
}

/// What is to be told.
enum Finding {
    Changed(Arc<Difference>),
    Restored(Arc<PinnedTool>),
}

impl Discoverer {
    /// Knows the pins of the store from the start, and what was seen in their place.
    pub(crate) fn new(needs: Needs) -> anyhow::Result<Self> {
        let mut state = State::default();
        for pin in needs.store.all()? {
            state.servers.entry(pin.server.clone()).or_default().add(pin);
        }
        for seen in needs.store.changed()? {
            state.servers.entry(seen.server.clone()).or_default().seen_before(seen);
        }
        needs.metrics.changed_tools(state.changed());
        Ok(Self { parts: Arc::new(Parts { needs, state: Mutex::new(state) }) })
    }
}

impl State {
    fn changed(&self) -> usize {
        self.servers.values().map(|tools| tools.changed().count()).sum()
    }
}

impl Discovery for Discoverer {
    fn is_as_pinned(&self, server: &ServerName, list: &Digest) -> bool {
        self.parts.state.lock().servers.get(server).is_some_and(|tools| tools.is_as_pinned(list))
    }

    fn listed(&self, server: &ServerName, list: Digest, found: Vec<PinnedTool>) -> BTreeSet<ToolName> {
        let mut state = self.parts.state.lock();
        let mut findings = Vec::new();
        let tools = state.servers.entry(server.clone()).or_default();
        let mut changed = BTreeSet::new();
        let mut all_as_pinned = true;
        for tool in found {
            let name = tool.name.clone();
            match tools.look(tool) {
                Look::AsPinned => continue,
                Look::Restored(pinned) => findings.push(Finding::Restored(pinned)),
                Look::Unpinned => {}
                Look::Changed(difference) => {
                    findings.extend(difference.map(Finding::Changed));
                    changed.insert(name);
                }
            }
            all_as_pinned = false;
        }
        if all_as_pinned {
            tools.remember(list);
        }
        let due = tools.is_due(self.parts.needs.live.current().snapshot.revision);
        state.findings.extend(findings);
        if (due || !state.findings.is_empty()) && !state.running {
            state.running = true;
            drop(state);
            self.work();
        }
        changed
    }

    fn is_changed(&self, server: &ServerName, tool: &str) -> bool {
        self.parts.state.lock().servers.get(server).is_some_and(|tools| tools.is_changed(tool))
    }

    fn list_changed(&self, server: &ServerName) {
        let mut state = self.parts.state.lock();
        let tools = state.servers.entry(server.clone()).or_default();
        tools.ask_again = true;
        if std::mem::replace(&mut tools.asking, true) {
            return;
        }
        drop(state);
        let (discoverer, server) = (self.clone(), server.clone());
        let _ = task::spawn("tool definitions", async move { discoverer.ask(server).await });
    }
}

impl Discoverer {
    /// Asks a server for its tools until it has said nothing new for a while.
    async fn ask(&self, server: ServerName) {
        loop {
            if let Some(tools) = self.parts.state.lock().servers.get_mut(&server) {
                tools.ask_again = false;
            }
            match self.parts.fetch(&server).await {
                // No list that a client gets is the whole of them.
                Ok(found) => drop(self.listed(&server, Digest::of(&[]), found)),
                Err(error) => tracing::info!(server = server.as_str(), %error, "changed tools could not be looked at"),
            }
            tokio::time::sleep(ASK_EVERY).await;
            let mut state = self.parts.state.lock();
            let Some(tools) = state.servers.get_mut(&server) else { return };
            if !tools.ask_again {
                tools.asking = false;
                return;
            }
        }
    }

    fn work(&self) {
        let parts = Arc::clone(&self.parts);
        let _ = task::spawn("tool discovery", async move {
            let work = Arc::clone(&parts);
            if let Err(error) = tokio::task::spawn_blocking(move || work.do_what_is_due()).await {
                parts.state.lock().running = false;
                tracing::error!(%error, "discovered tools could not be pinned");
            }
        });
    }
}

impl Parts {
    fn do_what_is_due(&self) {
        loop {
            let (due, findings) = {
                let mut state = self.state.lock();
                let current = self.needs.live.current().snapshot.revision;
                let due = state.servers.iter().find(|(_, tools)| tools.is_due(current));
                let due = due.map(|(server, tools)| (server.clone(), tools.waiting.clone()));
                let findings = std::mem::take(&mut state.findings);
                state.running = due.is_some() || !findings.is_empty();
                (due, findings)
            };
            if due.is_none() && findings.is_empty() {
                return;
            }
            for finding in findings {
                self.tell(&finding);
            }
            if let Some((server, waiting)) = due {
                self.pin(&server, waiting.into_values().collect());
            }
        }
    }

    /// Keeps, counts, logs and records that a definition is not, or again, as pinned.
    fn tell(&self, finding: &Finding) {
        let (pinned, seen) = match finding {
            Finding::Changed(difference) => (&difference.pinned, Some(&difference.seen)),
            Finding::Restored(pinned) => (pinned, None),
        };
        let (server, tool) = (&pinned.server, &pinned.name);
        self.needs.metrics.changed_tools(self.state.lock().changed());
        if let Err(error) = self.needs.store.note(server, tool, seen.map(|seen| &**seen)) {
            tracing::error!(server = server.as_str(), tool = tool.as_str(), %error, "a changed tool is not kept");
        }
        let current = self.needs.live.current();
        let refuses = current.snapshot.on_change(server.as_str()) == OnChange::Refuse;
        let (reason, change) = match seen {
            Some(seen) => {
                self.needs.metrics.definition_changed(server.as_str());
                let parts = pinned.differences(seen).join(", ");
                let then = if refuses { "hidden and refused" } else { "reported only" };
                tracing::warn!(
                    server = server.as_str(),
                    tool = tool.as_str(),
                    changed = %parts,
                    pinned = %pinned.digest.short(12),
                    seen = %seen.digest.short(12),
                    refused = refuses,
                    "a tool's definition is not the one that was pinned: `tidegate mcp pins list`"
                );
                let words = format!("{server}/{tool}: {parts} changed, {} to {}: {then}", pinned.digest, seen.digest);
                ("a tool's definition changed after it was pinned", words)
            }
            None => {
                tracing::info!(
                    server = server.as_str(),
                    tool = tool.as_str(),
                    "a tool's definition is as pinned again"
                );
                ("a tool's definition is as pinned again", format!("{server}/{tool}: {}", pinned.digest))
            }
        };
        let revision = current.snapshot.revision.0;
        let record = ActivationRecord {
            revision,
            previous: Some(revision),
            by: Arc::from("system:discovery"),
            reason: Some(Arc::from(reason)),
            changes: vec![Arc::from(change)],
            omitted: std::collections::BTreeMap::new(),
        };
        if let Err(error) = self.needs.audit.activation(record) {
            tracing::error!(%error, "a changed tool is not on record");
        }
    }

    /// Pins tools of one server and activates the revision with them, or notes that the policies do not let them in.
    fn pin(&self, server: &ServerName, found: Vec<PinnedTool>) {
        let _held = self.needs.changes.lock();
        let current = self.needs.live.current();
        let now = clock::wall();
        let mut pins = current.snapshot.pins().to_vec();
        pins.extend(found.iter().cloned());
        match current.snapshot.with_pins(pins) {
            Ok(snapshot) => {
                if let Err(error) = self.needs.store.pin(&found) {
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
                record_activation(&self.needs.audit, &snapshot, Some(previous), "system:discovery");
                let number = self.needs.live.activate(snapshot, now);
                tracing::info!(number, %revision, server = server.as_str(), tools = found.len(), "tools pinned");
            }
            Err(problems) => {
                let rejection = Rejection::new(problems, &Sources::default());
                let rendered = rejection.rendered.clone();
                let number = self.needs.live.reject(rejection, now);
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
