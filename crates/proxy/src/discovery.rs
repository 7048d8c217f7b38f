//! The port through which tool definitions are told that a server listed, and what comes back: which of them are not
//! what was pinned.
//!
//! Owns how definitions become pins, and which items of a list are withheld. Never waits for what becomes of a new
//! tool. Called where a list of tools passes and where a tool is called; the binary keeps the pins.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_config::{
    document::OnChange,
    pins::{MAX_TOOLS, PinnedTool, can_be_pinned},
    snapshot::Snapshot,
};
use tidegate_core::{
    clock,
    facts::Resource,
    fault::{Fault, FaultCode},
    ids::{Digest, ServerName, ToolName},
};
use tidegate_protocol::{
    jsonrpc::Parts,
    mcp::{Answer, Method},
};

/// Takes note of the tools that servers list. No method blocks.
pub trait Discovery: Send + Sync {
    /// Whether everything in the list of this digest was found to be as pinned before, and still is.
    fn is_as_pinned(&self, server: &ServerName, list: &Digest) -> bool;

    /// Takes the definitions of the list of this digest: tools without a pin are pinned some time from now. Gives the
    /// tools whose definition in this list is not the one that was pinned.
    fn listed(&self, server: &ServerName, list: Digest, tools: Vec<PinnedTool>) -> BTreeSet<ToolName>;

    /// Whether the definition of this tool that was seen last is not the one that was pinned.
    fn is_changed(&self, server: &ServerName, tool: &str) -> bool;

    /// A server says that its list of tools is another now: it may be asked for it, some time from now.
    fn list_changed(&self, server: &ServerName);
}

/// Hands on the tools of a list that has not been filtered yet, and gives those that must not pass: their definition is
/// not as pinned, or one list has two for one name. Any other answer is left alone.
pub(crate) fn learn(
    discovery: &dyn Discovery,
    on_change: OnChange,
    server: &ServerName,
    answer: &Answer,
) -> BTreeSet<ToolName> {
    let Parts::Response { result, .. } = answer.message().parts() else { return BTreeSet::new() };
    if answer.method() != Method::ToolsList || answer.is_error() {
        return BTreeSet::new();
    }
    // Making pins costs a pass over every definition: not where the list is the one that was looked at before.
    let list = Digest::of(answer.message().raw(*result));
    if discovery.is_as_pinned(server, &list) {
        return BTreeSet::new();
    }
    let at = clock::wall();
    let mut withheld = BTreeSet::new();
    let mut tools: BTreeMap<ToolName, PinnedTool> = BTreeMap::new();
    for pin in answer.pins().into_iter().filter(|pin| can_be_pinned(pin.name.as_str())).take(MAX_TOOLS) {
        let Some(tool) = PinnedTool::new(server.clone(), pin.name, pin.input_schema, &pin.canonical, at) else {
            continue;
        };
        let name = tool.name.clone();
        match tools.get(&name) {
            // Nobody could say which of the two a client takes for the tool.
            Some(known) if known.digest != tool.digest => drop(withheld.insert(name)),
            Some(_) => {}
            None => drop(tools.insert(name, tool)),
        }
    }
    tools.retain(|name, _| !withheld.contains(name));
    // A list with an ambiguous tool is looked at again each time.
    let list = if withheld.is_empty() { list } else { Digest::of(&[]) };
    let changed = discovery.listed(server, list, tools.into_values().collect());
    if on_change == OnChange::Refuse {
        withheld.extend(changed);
    }
    withheld
}

/// Refuses the call of a tool whose definition is not as pinned, where the server's settings say so.
pub(crate) fn refuse_changed(
    discovery: &dyn Discovery,
    snapshot: &Snapshot,
    resource: Option<&Resource>,
) -> Result<(), Fault> {
    let Some(Resource::Tool(server, tool)) = resource else { return Ok(()) };
    if !discovery.is_changed(server, tool.as_str()) || snapshot.on_change(server.as_str()) != OnChange::Refuse {
        return Ok(());
    }
    let words = format!(
        "The server changed the definition of this tool after it was pinned, so its calls are refused until an operator \
         has looked at it: `tidegate mcp pins list {server}`, then `tidegate mcp pins refresh {server} {tool}`."
    );
    let mut fault = Fault::new(FaultCode::PolicyDenied, words);
    fault.policies = vec![format!("builtin:pinned:{server}")];
    Err(fault)
}

#[cfg(test)]
mod tests;
