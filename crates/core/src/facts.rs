//! What a policy decides on: the action, what it is done to, and everything around it that may matter.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{GuardrailName, ModelName, ProviderName, ServerName, TargetId, ToolName},
    money::NanoUsd,
    segment::Origin,
    value::Value,
};

/// What a caller wants to do. The names are those of the policy schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Ask a model for an answer, or have it count tokens.
    InvokeModel,
    /// See which models there are.
    ListModels,
    /// A model's answer proposes a tool call.
    ProposeTool,
    /// Run a tool of an MCP server.
    CallTool,
    /// See which tools a server has.
    ListTools,
    /// Read a resource of an MCP server, or subscribe to it.
    ReadResource,
    /// See which resources and resource templates a server has.
    ListResources,
    /// Fill in a prompt of an MCP server, or complete one of its arguments.
    GetPrompt,
    /// See which prompts a server has.
    ListPrompts,
    /// Open or keep a protocol session: initialize, ping, log level, notifications.
    UseServer,
    /// Answer a request that a server makes to its client: sampling, elicitation, roots.
    AnswerServer,
    /// Call a vendor's own API, beyond the surfaces that the gateway interprets.
    CallProviderApi,
    /// Call the part of a vendor's API that administers the account: members, projects, keys, bills.
    AdministerProvider,
    /// Keep files for batches of the gateway's own, and have those run. Each line of one is decided again, as what it asks.
    UseBatches,
}

impl Action {
    /// Every action, in the order of the schema.
    pub const ALL: [Self; 14] = [
        Self::InvokeModel,
        Self::ListModels,
        Self::ProposeTool,
        Self::CallTool,
        Self::ListTools,
        Self::ReadResource,
        Self::ListResources,
        Self::GetPrompt,
        Self::ListPrompts,
        Self::UseServer,
        Self::AnswerServer,
        Self::CallProviderApi,
        Self::AdministerProvider,
        Self::UseBatches,
    ];

    /// The action's name in the policy schema, in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvokeModel => "invoke_model",
            Self::ListModels => "list_models",
            Self::ProposeTool => "propose_tool",
            Self::CallTool => "call_tool",
            Self::ListTools => "list_tools",
            Self::ReadResource => "read_resource",
            Self::ListResources => "list_resources",
            Self::GetPrompt => "get_prompt",
            Self::ListPrompts => "list_prompts",
            Self::UseServer => "use_server",
            Self::AnswerServer => "answer_server",
            Self::CallProviderApi => "call_provider_api",
            Self::AdministerProvider => "administer_provider",
            Self::UseBatches => "use_batches",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the action is done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A model at a provider: one candidate of a model call.
    Model(TargetId),
    /// A provider, by its name in the configuration: for calls of its own API.
    Provider(ProviderName),
    /// All that the gateway offers of a kind: for lists that no upstream is asked for.
    Gateway,
    /// An MCP server.
    Server(ServerName),
    /// A tool of an MCP server.
    Tool(ServerName, ToolName),
    /// A tool that a model proposes, by the name the caller declared.
    ProposedTool(ToolName),
    /// A resource of an MCP server, by its URI.
    McpResource(ServerName, Arc<str>),
    /// A prompt of an MCP server, by its name.
    Prompt(ServerName, Arc<str>),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(target) => write!(f, "{target}"),
            Self::Provider(provider) => write!(f, "{provider}"),
            Self::Gateway => f.write_str("gateway"),
            Self::Server(server) => write!(f, "{server}"),
            Self::Tool(server, tool) => write!(f, "{server}/{tool}"),
            Self::ProposedTool(tool) => write!(f, "{tool}"),
            Self::McpResource(server, uri) => write!(f, "{server}/{uri}"),
            Self::Prompt(server, prompt) => write!(f, "{server}/{prompt}"),
        }
    }
}

/// What is called of a vendor's own API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiFacts {
    /// The HTTP method.
    pub method: Arc<str>,
    /// The path with its version and every escape resolved, for example `/v1/files/file-1`; without the query.
    pub path: Arc<str>,
    /// The model that a JSON body names.
    pub model: Option<Arc<str>>,
    /// What the body is: `none`, `json` (whose texts guards see) or `other` (whose texts they do not).
    pub body: &'static str,
}

/// Everything a decision on one call may depend on, apart from the principal and the candidate's own identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What is to be done.
    pub action: Action,
    /// What it is done to. For a model call that is replaced by each candidate in turn.
    pub resource: Resource,
    /// The surface the caller speaks: `openai`, `anthropic`, `gemini`, `mcp`.
    pub surface: &'static str,
    /// The model as the caller named it; for model calls only.
    pub model: Option<ModelName>,
    /// Whether the answer is asked for as a stream.
    pub stream: bool,
    /// An upper bound of the prompt's tokens.
    pub input_tokens: u64,
    /// The most tokens that may be generated.
    pub max_output_tokens: u64,
    /// The names of the tools that a model is offered.
    pub tools: Vec<ToolName>,
    /// A tool's arguments.
    pub arguments: Option<Value>,
    /// What is called of a vendor's own API; for such calls only.
    pub api: Option<ApiFacts>,
    /// An upper bound of what the call may cost, with the dearest candidate; `None` where a candidate has no price.
    pub estimated_cost: Option<NanoUsd>,
    /// What the caller sent in `x-tidegate-metadata`.
    pub metadata: BTreeMap<Arc<str>, Arc<str>>,
    /// The session the call belongs to: `x-tidegate-session` or the protocol's own.
    pub session: Option<Arc<str>>,
    /// What guards found so far.
    pub verdicts: Vec<GuardVerdict>,
}

impl Facts {
    /// Facts that say only what is to be done to what.
    #[must_use]
    pub fn new(surface: &'static str, action: Action, resource: Resource) -> Self {
        Self {
            action,
            resource,
            surface,
            model: None,
            stream: false,
            input_tokens: 0,
            max_output_tokens: 0,
            tools: Vec::new(),
            arguments: None,
            api: None,
            estimated_cost: None,
            metadata: BTreeMap::new(),
            session: None,
            verdicts: Vec::new(),
        }
    }
}

/// What one guardrail found in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardVerdict {
    /// The guardrail that looked.
    pub guardrail: GuardrailName,
    /// What was found, as the detector calls it: `secret.aws_access_key`, `pii.email`. Never the text itself.
    pub category: Arc<str>,
    /// Where the text came from.
    pub origin: Origin,
    /// What was done about it.
    pub action: GuardAction,
    /// How many times.
    pub count: u32,
}

/// What a guardrail does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardAction {
    /// Only note it, as a label that policies see.
    Label,
    /// Put a token in its place on the way to a model, and the value back into the answer.
    Tokenize,
    /// Put a mark in its place.
    Redact,
    /// Refuse the call, or cut the stream before it.
    Block,
}
