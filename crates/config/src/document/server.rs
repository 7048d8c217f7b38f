//! MCP servers as users write them, and what their tools are.

use std::collections::BTreeMap;

use super::{
    provider::Headers,
    read::{choice, object},
    route::{Retry, Timeouts},
};

object! {
    /// An MCP server: reached over Streamable HTTP at its `url`, or a program that the gateway starts with `command`.
    pub struct McpServer("an MCP server") {
        required {}
        optional {
            /// Its endpoint. A private or loopback address is reached only because it is named here.
            #[schemars(example = &"https://notes.example/mcp")]
            pub url: Option<String>,
            /// The program and its arguments, run without a shell; it speaks over its standard streams. One process for
            /// each client session.
            #[schemars(example = serde_json::json!(["npx", "-y", "@modelcontextprotocol/server-filesystem", "./docs"]))]
            pub command: Vec<String>,
            /// Where the program runs; without it, where the gateway does.
            #[schemars(example = &"/srv/docs")]
            pub cwd: Option<String>,
            /// The program's environment beside PATH, HOME, USER, LOGNAME, LANG, LC_ALL, TZ, TMPDIR and TERM: texts or
            /// references.
            #[schemars(example = serde_json::json!({ "API_TOKEN": "env:FILES_TOKEN" }))]
            pub env: BTreeMap<String, String>,
            /// The gateway's credential there, as a reference; sent as a bearer token.
            #[schemars(example = &"env:NOTES_TOKEN")]
            pub key: Option<String>,
            /// Headers that are always sent to it: texts or references.
            #[schemars(example = serde_json::json!({ "x-workspace": "research" }))]
            pub headers: Headers,
            /// The tools that are offered; without it, all that the server has.
            #[schemars(example = ["search", "read"])]
            pub tools: Option<Vec<String>>,
            /// Whether what its tools answer may be believed. Untrusted is the rule.
            #[schemars(example = &"untrusted")]
            pub results: Trust,
            /// What becomes of a tool whose definition is no longer the one that was pinned. Refused is the rule.
            #[schemars(example = &"refuse")]
            pub on_change: OnChange,
            /// What its tools are, by tool name.
            #[schemars(example = serde_json::json!({ "find_customer": { "idempotent": true } }))]
            pub tool_settings: BTreeMap<String, ToolSettings>,
            /// When a call is tried again, as far as it may be at all.
            #[schemars(example = serde_json::json!({ "attempts": 2 }))]
            pub retry: Option<Retry>,
            /// How long an answer may take.
            #[schemars(example = serde_json::json!({ "connect": "5s", "first_event": "2m" }))]
            pub timeouts: Option<Timeouts>,
        }
        later {
            "auth": "use `key` with a reference: OAuth for upstreams comes with a later version",
        }
    }
}

object! {
    /// What a tool is.
    pub struct ToolSettings("tool settings") {
        required {}
        optional {
            /// Whether what it answers may be believed; without it, as its server.
            #[schemars(example = &"trusted")]
            pub results: Option<Trust>,
            /// What its answers hold.
            #[schemars(example = ["pii"])]
            pub labels: Vec<String>,
            /// What it does to the world.
            #[schemars(example = ["send"])]
            pub effects: Vec<EffectKind>,
            /// What its arguments are, by argument name.
            #[schemars(example = serde_json::json!({ "to": "recipient", "body": "content" }))]
            pub args: BTreeMap<String, ArgumentKind>,
            /// Whether what it does can be undone.
            #[schemars(example = &"none")]
            pub undo: Option<Undo>,
            /// Whether calling it twice does what calling it once does, so that a call that got no answer is sent again.
            #[schemars(example = true)]
            pub idempotent: bool,
        }
        later {}
    }
}

impl ToolSettings {
    /// Settings that say nothing.
    pub(crate) fn nothing() -> Self {
        Self {
            results: None,
            labels: Vec::new(),
            effects: Vec::new(),
            args: BTreeMap::new(),
            undo: None,
            idempotent: false,
        }
    }
}

choice! {
    /// Whether a text may be believed.
    #[derive(Default)]
    pub enum Trust {
        /// Not: it may hold instructions of somebody else.
        #[default]
        Untrusted = "untrusted",
        /// It comes from a source under the same control as the gateway.
        Trusted = "trusted",
    }
    later {}
}

choice! {
    /// What becomes of a tool whose definition is no longer the one that was pinned.
    #[derive(Default)]
    pub enum OnChange {
        /// It is hidden and its calls are refused until the new definition is accepted.
        #[default]
        Refuse = "refuse",
        /// It is reported, and works on as its pin says.
        Warn = "warn",
    }
    later {}
}

choice! {
    /// What a tool does to the world.
    pub enum EffectKind {
        /// Sends something to somebody.
        Send = "send",
        /// Fetches from an address.
        Fetch = "fetch",
        /// Spends money.
        Pay = "pay",
        /// Gives others access.
        Share = "share",
        /// Destroys something.
        Delete = "delete",
        /// Makes something.
        Create = "create",
        /// Touches credentials.
        Credential = "credential",
    }
    later {}
}

choice! {
    /// What an argument is.
    pub enum ArgumentKind {
        /// Whom something goes to.
        Recipient = "recipient",
        /// An address.
        Url = "url",
        /// An amount.
        Amount = "amount",
        /// What is meant.
        Id = "id",
        /// Free text.
        Content = "content",
        /// A secret.
        Secret = "secret",
    }
    later {}
}

choice! {
    /// How what a tool does is undone.
    pub enum Undo {
        /// It cannot be.
        None = "none",
    }
    later {}
}
