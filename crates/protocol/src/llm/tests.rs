//! The generated matrix over the golden corpus, and what holds for every dialect.

mod bad;
pub(crate) mod corpus;
pub(crate) mod corpus_gemini;
pub(crate) mod fold;
mod lanes;
mod matrix;
mod quirks;
mod requests;
mod usage;

use super::{Dialect, Members, Quirks, TargetWire, TranslateContext};

pub(crate) const CONTEXT: TranslateContext<'static> = TranslateContext {
    model: "fast",
    client_wants_usage: true,
    call_id: "call_0",
    created: 7,
    reasoning_scope: None,
    tools: &[],
    forms: &[],
};

pub(crate) const NO_QUIRKS: Quirks = Quirks {
    no_stream_usage: false,
    max_completion_tokens_as_max_tokens: false,
    no_reasoning_effort: false,
    thinking_budget_only: false,
    no_developer_role: false,
    no_message_name: false,
    tool_choice_any: false,
    no_forced_tool: false,
    no_strict_tools: false,
    no_json_schema: false,
    refused: Members::NONE,
    anthropic_on_vertex: false,
};

pub(crate) fn wire(dialect: Dialect, model: &str) -> TargetWire<'_> {
    TargetWire { dialect, model, default_max_output: None, quirks: &NO_QUIRKS, reasoning_scope: None }
}
