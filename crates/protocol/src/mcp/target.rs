//! What a message wants: the action, the thing it is done to, and where its arguments stand.
//!
//! Owns the reading of `params`. Never decides whether it is allowed. Called by tool calls and by the MCP surface for
//! notifications.

use std::sync::Arc;

use tidegate_core::{
    facts::{Action, Resource},
    ids::{ServerName, ToolName},
};

use super::method::{Direction, Method};
use crate::{
    json::{Kind, NodeId},
    jsonrpc::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Message, Parts},
};

/// The most bytes of a tool's or prompt's name.
const MAX_NAME: usize = 256;
/// The most bytes of a resource's URI.
const MAX_URI: usize = 8192;

/// Why a message is refused before anything is decided on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum McpError {
    /// A method that does not exist, or not in this direction.
    #[error("method `{0}` is not known here")]
    UnknownMethod(Box<str>),
    /// A method that wants an answer, sent without an id, or a notification with one, or an answer.
    #[error("{0}")]
    Shape(&'static str),
    /// A parameter that is missing or of the wrong type.
    #[error("`{pointer}` {expected}")]
    InvalidParams {
        /// Where, as a JSON pointer (RFC 6901).
        pointer: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
}

impl McpError {
    /// The JSON-RPC error code.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::UnknownMethod(_) => METHOD_NOT_FOUND,
            Self::Shape(_) => INVALID_REQUEST,
            Self::InvalidParams { .. } => INVALID_PARAMS,
        }
    }
}

/// What a request or notification wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The method.
    pub method: Method,
    /// What is to be done.
    pub action: Action,
    /// What it is done to.
    pub resource: Resource,
    /// The arguments of a tool or prompt: an object. `None` where there are none.
    pub arguments: Option<NodeId>,
}

impl Target {
    /// Reads what a request or notification to or from `server` wants.
    ///
    /// # Errors
    /// For an unknown method, a method in the wrong direction or form, and parameters that do not say what is meant.
    pub fn read(server: &ServerName, message: &Message, direction: Direction) -> Result<Self, McpError> {
        let (name, wants_answer) = match message.parts() {
            Parts::Request { method, .. } => (method, true),
            Parts::Notification { method, .. } => (method, false),
            _ => return Err(McpError::Shape("an answer was sent where a request is expected")),
        };
        let method = Method::parse(name)
            .filter(|method| method.goes(direction))
            .ok_or_else(|| McpError::UnknownMethod(name.chars().take(128).collect::<String>().into()))?;
        match (method == Method::Notification, wants_answer) {
            (true, true) => return Err(McpError::Shape("a notification must not have an `id`")),
            (false, false) => return Err(McpError::Shape("a request must have an `id`")),
            _ => {}
        }
        if message.params().is_some_and(|params| message.tape().kind(params) != Kind::Object) {
            return Err(McpError::InvalidParams { pointer: "/params", expected: "must be an object" });
        }
        let reader = Params { message };
        let mut target =
            Self { method, action: method.action(), resource: Resource::Server(server.clone()), arguments: None };
        match method {
            Method::ToolsCall => {
                let name = reader.text("name", "/params/name", "must be a tool's name (1 to 256 bytes)", MAX_NAME)?;
                target.resource = Resource::Tool(server.clone(), ToolName::from(name));
                target.arguments = reader.arguments()?;
            }
            Method::PromptsGet => {
                let name = reader.text("name", "/params/name", "must be a prompt's name (1 to 256 bytes)", MAX_NAME)?;
                target.resource = Resource::Prompt(server.clone(), name);
                target.arguments = reader.arguments()?;
            }
            Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => {
                let uri = reader.text("uri", "/params/uri", "must be a resource's URI (1 to 8192 bytes)", MAX_URI)?;
                target.resource = Resource::McpResource(server.clone(), uri);
            }
            Method::CompletionComplete => {
                (target.action, target.resource) = reader.completion(server)?;
            }
            _ => {}
        }
        Ok(target)
    }
}

struct Params<'message> {
    message: &'message Message,
}

impl Params<'_> {
    fn member(&self, name: &str) -> Option<NodeId> {
        self.message.member(self.message.params()?, name)
    }

    fn text(
        &self,
        name: &str,
        pointer: &'static str,
        expected: &'static str,
        most: usize,
    ) -> Result<Arc<str>, McpError> {
        self.member(name)
            .and_then(|node| bounded(self.message, node, most))
            .ok_or(McpError::InvalidParams { pointer, expected })
    }

    fn arguments(&self) -> Result<Option<NodeId>, McpError> {
        let arguments = self.member("arguments");
        if arguments.is_some_and(|node| self.message.tape().kind(node) != Kind::Object) {
            return Err(McpError::InvalidParams { pointer: "/params/arguments", expected: "must be an object" });
        }
        Ok(arguments)
    }

    fn completion(&self, server: &ServerName) -> Result<(Action, Resource), McpError> {
        let wrong = McpError::InvalidParams {
            pointer: "/params/ref",
            expected: "must be {\"type\":\"ref/prompt\",\"name\":…} or {\"type\":\"ref/resource\",\"uri\":…}",
        };
        let Some(reference) = self.member("ref") else { return Err(wrong) };
        let text =
            |name: &str, most| self.message.member(reference, name).and_then(|node| bounded(self.message, node, most));
        match text("type", 32).as_deref() {
            Some("ref/prompt") => {
                let name = text("name", MAX_NAME).ok_or(wrong)?;
                Ok((Action::GetPrompt, Resource::Prompt(server.clone(), name)))
            }
            Some("ref/resource") => {
                let uri = text("uri", MAX_URI).ok_or(wrong)?;
                Ok((Action::ReadResource, Resource::McpResource(server.clone(), uri)))
            }
            _ => Err(wrong),
        }
    }
}

fn bounded(message: &Message, node: NodeId, most: usize) -> Option<Arc<str>> {
    message.text(node).filter(|text| (1..=most).contains(&text.len())).map(Into::into)
}
