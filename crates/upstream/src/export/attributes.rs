//! Attributes of spans, points and resources, and the names that the conventions give them.
//!
//! Names are those of open-telemetry/semantic-conventions v1.41.0 (profile A) and of
//! open-telemetry/semantic-conventions-genai, schema gen-ai/1.42.0 (profile B), read on 24 November 2026. Both are in
//! development, so this file is where they change. What the gateway says of itself stands under `tidegate.`.

use super::protobuf::Message;

pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const PROVIDER: &str = "gen_ai.provider.name";
pub(super) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(super) const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub(super) const RESPONSE_ID: &str = "gen_ai.response.id";
pub(super) const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub(super) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub(super) const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub(super) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(super) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(super) const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
pub(super) const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
pub(super) const CACHE_WRITE_A: &str = "gen_ai.usage.cache_creation.input_tokens";
pub(super) const CACHE_WRITE_B: &str = "gen_ai.usage.cache_write.input_tokens";
pub(super) const CONVERSATION: &str = "gen_ai.conversation.id";
pub(super) const TOOL_NAME: &str = "gen_ai.tool.name";
pub(super) const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
pub(super) const TOOL_RESULT: &str = "gen_ai.tool.call.result";
pub(super) const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
pub(super) const INPUT_MESSAGES: &str = "gen_ai.input.messages";
pub(super) const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
pub(super) const TOOL_DEFINITIONS: &str = "gen_ai.tool.definitions";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const STATUS_CODE: &str = "http.response.status_code";
pub(super) const MCP_METHOD: &str = "mcp.method.name";
pub(super) const MCP_SESSION: &str = "mcp.session.id";
pub(super) const MCP_RESOURCE: &str = "mcp.resource.uri";
pub(super) const RPC_ID: &str = "jsonrpc.request.id";
pub(super) const TRANSPORT: &str = "network.transport";

/// The longest text of an attribute, in bytes; content has a bound of its own.
const LONGEST: usize = 1_024;

/// A list of attributes that is being written into a message's field.
pub(super) struct Attributes<'a> {
    message: &'a mut Message,
    field: u32,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(message: &'a mut Message, field: u32) -> Self {
        Self { message, field }
    }

    fn put(&mut self, key: &str, value: impl FnOnce(&mut Message)) {
        self.message.message(self.field, |pair| {
            pair.text(1, key);
            pair.message(2, value);
        });
    }

    /// A text; an empty one is left out, a long one is cut.
    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.whole_text(key, cut(value))
    }

    /// A text of any length; an empty one is left out.
    pub(super) fn whole_text(&mut self, key: &str, value: &str) -> &mut Self {
        if !value.is_empty() {
            self.put(key, |any| any.blob(1, value.as_bytes()));
        }
        self
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &str, value: u64) -> &mut Self {
        // An `int64`: what is beyond its range does not occur, and would be shown as the largest.
        let value = value.min(i64::MAX.unsigned_abs());
        self.put(key, |any| any.present(3, value));
        self
    }

    /// A float.
    pub(super) fn float(&mut self, key: &str, value: f64) -> &mut Self {
        self.put(key, |any| any.double(4, value));
        self
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.put(key, |any| any.present(2, u64::from(value)));
        self
    }

    /// A list of texts; an empty one is left out.
    pub(super) fn texts<'t>(&mut self, key: &str, values: impl Iterator<Item = &'t str>) -> &mut Self {
        let mut values = values.take(32).peekable();
        if values.peek().is_some() {
            self.put(key, |any| {
                any.message(5, |list| {
                    for value in values {
                        list.message(1, |any| any.blob(1, cut(value).as_bytes()));
                    }
                });
            });
        }
        self
    }
}

/// The beginning of a text, at most [`LONGEST`] bytes.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}
