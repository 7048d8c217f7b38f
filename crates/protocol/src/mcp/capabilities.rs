//! What the two sides of a session say that they can do.
//!
//! Owns which capabilities are spoken here: the others are taken out, so that neither side asks for what would be
//! refused. Never adds one. Called by the MCP surface and the MCP upstream.

use crate::{
    json::{Edit, Kind, NodeId, write_text},
    jsonrpc::{Message, Parts},
};

/// Capabilities of servers that are spoken.
const OF_SERVERS: [&str; 5] = ["tools", "prompts", "resources", "logging", "completions"];

/// Capabilities of clients that are spoken.
const OF_CLIENTS: [&str; 3] = ["roots", "sampling", "elicitation"];

/// What a server can do, as far as it is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Tools; and whether it tells of a changed list.
    pub tools: Option<bool>,
    /// Prompts; and whether it tells of a changed list.
    pub prompts: Option<bool>,
    /// Resources; and whether it tells of a changed list.
    pub resources: Option<bool>,
    /// Whether resources can be subscribed to.
    pub subscribe: bool,
    /// Log messages.
    pub logging: bool,
    /// Completion of arguments.
    pub completions: bool,
}

impl Capabilities {
    /// Everything that is spoken: what a server may have that could not be asked.
    pub const ALL: Self = Self {
        tools: Some(true),
        prompts: Some(true),
        resources: Some(true),
        subscribe: true,
        logging: true,
        completions: true,
    };

    /// What the answer to `initialize` says.
    #[must_use]
    pub fn of(answer: &Message) -> Self {
        let Some(node) = node(answer) else { return Self::default() };
        let changes = |name: &str| {
            let member = answer.member(node, name)?;
            let says = answer.member(member, "listChanged").and_then(|node| answer.tape().as_bool(node));
            Some(says == Some(true))
        };
        let subscribe = answer.member(node, "resources").and_then(|member| answer.member(member, "subscribe"));
        Self {
            tools: changes("tools"),
            prompts: changes("prompts"),
            resources: changes("resources"),
            subscribe: subscribe.and_then(|node| answer.tape().as_bool(node)) == Some(true),
            logging: answer.member(node, "logging").is_some(),
            completions: answer.member(node, "completions").is_some(),
        }
    }

    /// What one of the two can do.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let either = |a: Option<bool>, b: Option<bool>| match (a, b) {
            (Some(a), Some(b)) => Some(a || b),
            (one, None) | (None, one) => one,
        };
        Self {
            tools: either(self.tools, other.tools),
            prompts: either(self.prompts, other.prompts),
            resources: either(self.resources, other.resources),
            subscribe: self.subscribe || other.subscribe,
            logging: self.logging || other.logging,
            completions: self.completions || other.completions,
        }
    }

    /// The JSON of it.
    #[must_use]
    pub fn to_json(self) -> String {
        let mut members = Vec::new();
        if let Some(changes) = self.tools {
            members.push(format!("\"tools\":{{\"listChanged\":{changes}}}"));
        }
        if let Some(changes) = self.prompts {
            members.push(format!("\"prompts\":{{\"listChanged\":{changes}}}"));
        }
        if let Some(changes) = self.resources {
            members.push(format!("\"resources\":{{\"subscribe\":{},\"listChanged\":{changes}}}", self.subscribe));
        }
        if self.logging {
            members.push("\"logging\":{}".to_owned());
        }
        if self.completions {
            members.push("\"completions\":{}".to_owned());
        }
        format!("{{{}}}", members.join(","))
    }
}

/// The edit that leaves of the capabilities in an `initialize` request or its answer those that are spoken here; `None`
/// where there is nothing to take out.
#[must_use]
pub fn spoken_capabilities(message: &Message) -> Option<Edit> {
    let node = node(message)?;
    let known: &[&str] = if matches!(message.parts(), Parts::Request { .. }) { &OF_CLIENTS } else { &OF_SERVERS };
    let tape = message.tape();
    if tape.kind(node) != Kind::Object {
        return None;
    }
    let mut kept: Vec<u8> = vec![b'{'];
    let mut dropped = false;
    for member in tape.members(message.bytes(), node) {
        if !known.contains(&&*member.name) {
            dropped = true;
            continue;
        }
        if kept.len() > 1 {
            kept.push(b',');
        }
        write_text(&mut kept, &member.name);
        kept.push(b':');
        kept.extend_from_slice(message.raw(member.value));
    }
    kept.push(b'}');
    dropped.then(|| Edit { span: tape.span(node), replacement: kept })
}

fn node(message: &Message) -> Option<NodeId> {
    let holder = match message.parts() {
        Parts::Request { method, params: Some(params), .. } if &**method == "initialize" => *params,
        Parts::Response { result, .. } => *result,
        _ => return None,
    };
    message.member(holder, "capabilities")
}

#[cfg(test)]
mod tests;
