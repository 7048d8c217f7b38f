//! What policies are compiled from: the configuration's objects and the policy files, free of the configuration's own
//! types. Only data; the configuration crate fills it in.

use tidegate_core::ids::{KeyName, ModelName, OrgId, ServerName, TargetId, TeamName, ToolName};

/// Everything that [`crate::compile`] needs.
#[derive(Debug, Clone, Default)]
pub struct PolicyInput<'a> {
    /// The keys of the configuration. Keys of the store are added with [`crate::Policies::with_keys`].
    pub keys: Vec<KeyEntity>,
    /// Every team, of the configuration and of the store: a policy that names another one is a problem.
    pub teams: Vec<TeamName>,
    /// The models at providers that are known by name. Others of the same providers are decided all the same.
    pub targets: Vec<TargetId>,
    /// The providers' models as callers name them, for hints.
    pub aliases: Vec<ModelName>,
    /// The MCP servers.
    pub servers: Vec<ServerEntity>,
    /// The policy files.
    pub sources: Vec<PolicySource<'a>>,
}

/// A key as a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntity {
    /// The key's name, which is the entity's id.
    pub name: KeyName,
    /// The key's team, a parent of the entity.
    pub team: Option<TeamName>,
    /// The key's tenant, a parent of the entity.
    pub org: OrgId,
    /// What the key's own entry allows; nothing where it is absent.
    pub allow: Option<Allow>,
}

/// An `allow` list: short for permits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// The models by the names that callers use: aliases or `provider/model`; `"*"` stands for all.
    pub models: Vec<String>,
    /// The MCP servers by name; `"*"` stands for all.
    pub mcp_servers: Vec<String>,
}

/// An MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEntity {
    /// The server's name; it must not hold a slash.
    pub name: ServerName,
    /// The tools that may be called at all; `None` for every tool the server has.
    pub allowed_tools: Option<Vec<ToolName>>,
    /// The tools whose definitions are pinned. Where there is none, policies may name any tool of this server.
    pub pins: Vec<ToolPin>,
}

/// A pinned tool definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPin {
    /// The tool's name.
    pub name: ToolName,
    /// The tool's `inputSchema` as the server gave it: JSON text of a JSON Schema. What cannot be read gives a tool
    /// without typed arguments.
    pub input_schema: String,
}

/// A policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySource<'a> {
    /// The file's name, for problems and for the ids of policies without `@id`.
    pub file: std::borrow::Cow<'a, str>,
    /// The Cedar text.
    pub text: std::borrow::Cow<'a, str>,
}
