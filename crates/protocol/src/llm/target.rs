//! What a call is prepared for, and what comes of it.
//!
//! Owns plain data: quirks are flags that a provider's catalogue entry sets, never code per vendor.

use std::borrow::Cow;

use bytes::Bytes;

use crate::llm::{dialect::Dialect, forms::ToolForm, loss::Loss, refused::Members};

/// Where a server departs from its dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// It refuses or ignores `stream_options`; usage of streams is then estimated.
    pub no_stream_usage: bool,
    /// It knows only `max_tokens`, not `max_completion_tokens`.
    pub max_completion_tokens_as_max_tokens: bool,
    /// It refuses `reasoning_effort`.
    pub no_reasoning_effort: bool,
    /// Its models take a budget of thinking tokens, not an effort (Anthropic models before adaptive thinking).
    pub thinking_budget_only: bool,
    /// It knows no `developer` role: such messages go as `system`.
    pub no_developer_role: bool,
    /// It refuses a `name` beside a message's role.
    pub no_message_name: bool,
    /// Its word for a tool choice of `required` is `any`.
    pub tool_choice_any: bool,
    /// It cannot be made to call a tool: `required`, or a named tool, goes as `auto`.
    pub no_forced_tool: bool,
    /// It refuses `strict` beside the schema of a tool.
    pub no_strict_tools: bool,
    /// It takes no schema of the answer: `json_schema` goes as `json_object`.
    pub no_json_schema: bool,
    /// Members of a body that it refuses, of those it could be sent.
    pub refused: Members,
    /// The body names the version of the Messages API and no model, as on Google's Vertex AI.
    pub anthropic_on_vertex: bool,
}

/// The wire that a call is prepared for.
#[derive(Debug, Clone, Copy)]
pub struct TargetWire<'a> {
    /// The dialect that the target speaks.
    pub dialect: Dialect,
    /// The model's name as the provider knows it.
    pub model: &'a str,
    /// The limit of generated tokens where the caller set none and the dialect wants one.
    pub default_max_output: Option<u64>,
    /// Where the target departs from its dialect.
    pub quirks: &'a Quirks,
    /// Who may be shown signed reasoning: a text that is the same exactly where provider, organisation and model are.
    /// Reasoning that carries another scope is dropped and noted as a loss. `None` forwards whatever is signed.
    pub reasoning_scope: Option<&'a str>,
}

/// How a body came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The original bytes, only the model's name replaced.
    Verbatim,
    /// The original bytes with splices.
    Patched,
    /// Written anew in another dialect.
    Translated,
}

impl Lane {
    /// The lane's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verbatim => "verbatim",
            Self::Patched => "patched",
            Self::Translated => "translated",
        }
    }
}

/// A body that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The bytes.
    pub body: Bytes,
    /// How they came to be.
    pub lane: Lane,
    /// What the target cannot express.
    pub losses: Vec<Loss>,
    /// The path below the provider's base URL (which ends in `/v1` or the like), with its query, for example
    /// `/chat/completions`.
    pub path: Cow<'static, str>,
    /// Whether usage was asked for that the caller did not ask for: frames that are `usage_only` are then not for the
    /// caller.
    pub asked_usage: bool,
    /// Tools that the target was told under other names or in another form than the caller declared them in.
    pub forms: Vec<ToolForm>,
}
