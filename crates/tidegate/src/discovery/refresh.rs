//! Pins on demand: a server is asked for its tools, and they are pinned as they are now; or a pin is forgotten.
//!
//! Owns the gateway's own question for a list of tools. The control plane calls it.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use tidegate_admin::{PinChange, PinState, PinsChanged, PinsError, PinsFuture, ToolPins};
use tidegate_audit::record::ActivationRecord;
use tidegate_config::{
    pins::{MAX_TOOLS, PinnedTool},
    snapshot::Snapshot,
};
use tidegate_core::{
    clock,
    ids::{ServerName, ToolName},
};
use tidegate_protocol::mcp::{Answer, Method};
use tidegate_upstream::mcp::Leg;

use super::{Discoverer, Parts, tools::MOST_BYTES};

/// The most pages of a list that are asked for.
const MOST_PAGES: usize = 200;

impl ToolPins for Discoverer {
    fn list(&self) -> Vec<PinState> {
        let state = self.parts.state.lock();
        let mut list: Vec<PinState> = state
            .servers
            .values()
            .flat_map(|tools| {
                let seen: BTreeMap<_, _> = tools.changed().collect();
                let states = tools.pins().map(move |pin| PinState {
                    pin: Arc::clone(pin),
                    seen: seen.get(&pin.name).map(|seen| Arc::clone(seen)),
                });
                states.collect::<Vec<_>>()
            })
            .collect();
        list.sort_by(|one, other| (&one.pin.server, &one.pin.name).cmp(&(&other.pin.server, &other.pin.name)));
        list
    }

    fn refresh(&self, server: ServerName, tool: Option<ToolName>, dry_run: bool) -> PinsFuture<'_> {
        Box::pin(async move {
            let mut found = self.parts.fetch(&server).await?;
            if let Some(tool) = &tool {
                found.retain(|pin| pin.name == *tool);
                if found.is_empty() {
                    return Err(PinsError::NoTool(server, tool.clone()));
                }
            }
            let whole = tool.is_none();
            self.blocking(move |parts| parts.accept(&server, found, whole, dry_run)).await
        })
    }

    fn forget(&self, server: ServerName, tool: ToolName) -> PinsFuture<'_> {
        Box::pin(self.blocking(move |parts| parts.drop_pin(&server, &tool)))
    }
}

impl Discoverer {
    async fn blocking(
        &self,
        work: impl FnOnce(&Parts) -> Result<PinsChanged, PinsError> + Send + 'static,
    ) -> Result<PinsChanged, PinsError> {
        let parts = Arc::clone(&self.parts);
        let done = tokio::task::spawn_blocking(move || work(&parts)).await;
        done.unwrap_or_else(|error| Err(PinsError::Store(error.to_string())))
    }
}

impl Parts {
    /// The tools that a server lists now, each name once.
    pub(super) async fn fetch(&self, server: &ServerName) -> Result<Vec<PinnedTool>, PinsError> {
        let snapshot = Arc::clone(&self.needs.live.current().snapshot);
        let definition = snapshot.server(server.as_str()).ok_or_else(|| PinsError::NoServer(server.clone()))?;
        let leg = Leg::new(Arc::clone(definition));
        let found = self.pages(server, &leg).await;
        if let Err(fault) = self.needs.upstream.close(&leg).await {
            tracing::debug!(server = server.as_str(), %fault, "the gateway's own session was not ended");
        }
        found
    }

    async fn pages(&self, server: &ServerName, leg: &Arc<Leg>) -> Result<Vec<PinnedTool>, PinsError> {
        let unreachable = |why: String| PinsError::Unreachable { server: server.clone(), why };
        let at = clock::wall();
        let mut tools: BTreeMap<ToolName, PinnedTool> = BTreeMap::new();
        let mut bytes = 0_usize;
        let mut params: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let asked = params.as_deref().map(str::as_bytes);
            let message = self.needs.upstream.control(leg, Method::ToolsList, asked).await;
            let message = message.map_err(|fault| unreachable(fault.public_message))?;
            let answer = Answer::new(Method::ToolsList, message);
            if answer.is_error() {
                let said = answer.message().error_message().map_or_else(String::new, |said| said.into_owned());
                return Err(unreachable(format!("it answered with an error: {said}")));
            }
            for pin in answer.pins() {
                let pin = PinnedTool::new(server.clone(), pin.name, pin.input_schema, &pin.canonical, at);
                let Some(pin) = pin else { continue };
                bytes = bytes.saturating_add(pin.bytes());
                if tools.len() >= MAX_TOOLS || bytes > MOST_BYTES {
                    return Err(unreachable(format!(
                        "it lists more than {MAX_TOOLS} tools or {MOST_BYTES} bytes of definitions"
                    )));
                }
                if tools.get(&pin.name).is_some_and(|known| known.digest != pin.digest) {
                    return Err(unreachable(format!("it lists two definitions of `{}`", pin.name)));
                }
                tools.insert(pin.name.clone(), pin);
            }
            match answer.next_cursor() {
                Some(cursor) => params = Some(serde_json::json!({ "cursor": cursor }).to_string()),
                None => return Ok(tools.into_values().collect()),
            }
        }
        Err(unreachable(format!("its list has more than {MOST_PAGES} pages")))
    }

    /// Pins what a server lists now, in a revision of its own; with `dry_run`, says what would come of it.
    pub(super) fn accept(
        &self,
        server: &ServerName,
        found: Vec<PinnedTool>,
        whole: bool,
        dry_run: bool,
    ) -> Result<PinsChanged, PinsError> {
        let _held = self.needs.changes.lock();
        let current = self.needs.live.current();
        let (changes, unchanged) = self.compare(server, &found, whole);
        let fresh: Vec<PinnedTool> = changes.iter().filter_map(|change| change.now.clone()).collect();
        let replaced = |pin: &&PinnedTool| !(pin.server == *server && fresh.iter().any(|fresh| fresh.name == pin.name));
        let mut pins: Vec<PinnedTool> = current.snapshot.pins().iter().filter(replaced).cloned().collect();
        pins.extend(fresh.iter().cloned());
        let next = current.snapshot.with_pins(pins).map_err(PinsError::Policies)?;
        let mut number = current.number;
        if !dry_run {
            // Also where nothing differs: what was seen in between is settled.
            let found = self.with_old_moments(server, found);
            self.needs.store.accept(&found).map_err(|error| PinsError::Store(error.to_string()))?;
            let mut state = self.state.lock();
            let tools = state.servers.entry(server.clone()).or_default();
            for pin in found {
                tools.add(pin);
            }
            self.needs.metrics.changed_tools(state.changed());
            drop(state);
            number = self.activate(next, "tool pins refreshed", changes.iter().map(in_words).collect());
        }
        Ok(PinsChanged { changes, unchanged, number })
    }

    /// The definitions, those that are as pinned with the moment when they were.
    fn with_old_moments(&self, server: &ServerName, found: Vec<PinnedTool>) -> Vec<PinnedTool> {
        let state = self.state.lock();
        let tools = state.servers.get(server);
        let pinned = |pin: &PinnedTool| tools.and_then(|tools| tools.pin(pin.name.as_str()));
        let dated = |mut pin: PinnedTool| {
            if let Some(before) = pinned(&pin).filter(|before| before.digest == pin.digest) {
                pin.pinned_at = before.pinned_at;
            }
            pin
        };
        found.into_iter().map(dated).collect()
    }

    fn compare(&self, server: &ServerName, found: &[PinnedTool], whole: bool) -> (Vec<PinChange>, usize) {
        let state = self.state.lock();
        let tools = state.servers.get(server);
        let mut changes: Vec<PinChange> = Vec::new();
        let mut unchanged = 0_usize;
        for now in found {
            let before = tools.and_then(|tools| tools.pin(now.name.as_str())).map(Arc::clone);
            if before.as_ref().is_some_and(|before| before.digest == now.digest) {
                unchanged = unchanged.saturating_add(1);
            } else {
                changes.push(PinChange { before, now: Some(now.clone()) });
            }
        }
        if whole {
            let gone = tools.into_iter().flat_map(|tools| tools.pins());
            let gone = gone.filter(|pin| !found.iter().any(|now| now.name == pin.name));
            changes.extend(gone.map(|pin| PinChange { before: Some(Arc::clone(pin)), now: None }));
        }
        (changes, unchanged)
    }

    fn drop_pin(&self, server: &ServerName, tool: &ToolName) -> Result<PinsChanged, PinsError> {
        let _held = self.needs.changes.lock();
        let before = self.state.lock().servers.get(server).and_then(|tools| tools.pin(tool.as_str()).map(Arc::clone));
        let before = before.ok_or_else(|| PinsError::NoTool(server.clone(), tool.clone()))?;
        let current = self.needs.live.current();
        let others = |pin: &&PinnedTool| pin.server != *server || pin.name != *tool;
        let pins = current.snapshot.pins().iter().filter(others).cloned().collect();
        let next = current.snapshot.with_pins(pins).map_err(PinsError::Policies)?;
        self.needs.store.forget(server, tool).map_err(|error| PinsError::Store(error.to_string()))?;
        let mut state = self.state.lock();
        if let Some(tools) = state.servers.get_mut(server) {
            tools.remove(tool);
        }
        self.needs.metrics.changed_tools(state.changed());
        drop(state);
        let number = self.activate(next, "tool pin removed", vec![format!("{server}/{tool}: {}", before.digest)]);
        Ok(PinsChanged { changes: vec![PinChange { before: Some(before), now: None }], unchanged: 0, number })
    }

    /// Puts the next revision on record and makes it active; the same one again is neither.
    fn activate(&self, next: Snapshot, reason: &str, changes: Vec<String>) -> u64 {
        let current = self.needs.live.current();
        if next.revision == current.snapshot.revision {
            return current.number;
        }
        let record = ActivationRecord {
            revision: next.revision.0,
            previous: Some(current.snapshot.revision.0),
            by: Arc::from("admin"),
            reason: Some(Arc::from(reason)),
            changes: changes.into_iter().map(Arc::from).collect(),
            omitted: BTreeMap::new(),
        };
        if let Err(error) = self.needs.audit.activation(record) {
            tracing::error!(%error, reason, "an activation is not on record");
        }
        let revision = next.revision;
        let number = self.needs.live.activate(next, clock::wall());
        tracing::info!(number, %revision, reason, "tool pins changed");
        number
    }
}

/// `notes/search: description changed, 0a1b… to 2c3d…`.
fn in_words(change: &PinChange) -> String {
    let mut words = String::new();
    let _ = match (&change.before, &change.now) {
        (Some(before), Some(now)) => {
            let parts = before.differences(now).join(", ");
            write!(words, "{}/{}: {parts} changed, {} to {}", now.server, now.name, before.digest, now.digest)
        }
        (None, Some(now)) => write!(words, "{}/{}: new, {}", now.server, now.name, now.digest),
        (Some(before), None) => write!(words, "{}/{}: no longer listed, pin kept", before.server, before.name),
        (None, None) => Ok(()),
    };
    words
}
