//! Names, stop reasons, usage and error shapes of OpenAI's Responses API.
//!
//! Owns what both directions of this dialect share; errors and lists of models are Chat's, since the vendor's are. Never
//! reads a whole body. Called by the dialect's other files.

use tidegate_core::{
    unit::{Unit, Units},
    usage::{Usage, UsageSource},
};

use crate::{
    llm::{
        error::{ErrorKind, ErrorView, MOST_MESSAGE, MOST_NAME, UpstreamError, clip},
        ir::StopReason,
        node::Node,
        openai_chat::wire as chat,
        write::JsonWriter,
    },
    sse::Frame,
};

/// How ids of reasoning items begin that this gateway made: their vendor would look for them in vain.
pub(super) const OWN_REASONING: &str = "rs_tidegate_";

/// What an answer says of its end, by its `status` and `incomplete_details`. `None` while it is not over.
pub(super) fn stop_reason(response: Node<'_, '_>, said: Said) -> Option<StopReason> {
    let status = response.get("status").and_then(Node::text).unwrap_or_default();
    match &*status {
        "queued" | "in_progress" | "failed" | "cancelled" => None,
        "incomplete" => Some(incomplete(response)),
        _ if said.calls => Some(StopReason::ToolUse),
        _ if said.refused => Some(StopReason::Refusal),
        _ => Some(StopReason::EndTurn),
    }
}

/// What an answer's items hold, as far as it tells why the model stopped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    pub(super) calls: bool,
    pub(super) refused: bool,
}

impl Said {
    /// Of all items of an answer.
    pub(super) fn of(response: Node<'_, '_>) -> Self {
        let mut said = Self::default();
        for item in response.get("output").into_iter().flat_map(Node::items) {
            said.add(item);
        }
        said
    }

    pub(super) fn add(&mut self, item: Node<'_, '_>) {
        let is = |node: Node<'_, '_>, name| node.get("type").is_some_and(|kind| kind.text_is(name));
        self.calls |= is(item, "function_call") || is(item, "custom_tool_call");
        self.refused |= is(item, "message")
            && item.get("content").into_iter().flat_map(Node::items).any(|part| is(part, "refusal"));
    }
}

fn incomplete(response: Node<'_, '_>) -> StopReason {
    let details = response.present("incomplete_details");
    let reason = details.and_then(|details| details.get("reason")).and_then(Node::text).unwrap_or_default();
    match &*reason {
        "max_output_tokens" => StopReason::MaxTokens,
        "content_filter" => StopReason::Refusal,
        "steered" | "pause_turn" => StopReason::Pause,
        "" => StopReason::Other("incomplete".into()),
        other => StopReason::Other(clip(other, MOST_NAME).into()),
    }
}

/// Why an answer is incomplete that ended for this reason; `None` where it is complete. A refusal in words is whole.
pub(super) fn incomplete_reason(reason: &StopReason, refused: bool) -> Option<&'static str> {
    match reason {
        StopReason::MaxTokens | StopReason::ContextWindow => Some("max_output_tokens"),
        StopReason::Refusal if !refused => Some("content_filter"),
        StopReason::Pause => Some("pause_turn"),
        StopReason::Refusal
        | StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::ToolUse
        | StopReason::Other(_) => None,
    }
}

fn detail(node: Node<'_, '_>, group: &str, name: &str) -> u64 {
    node.get(group).and_then(|group| group.get(name)).and_then(Node::as_u64).unwrap_or(0)
}

/// What the use of a vendor's tool of this type is charged by, where it is.
pub(super) fn fee(kind: &str) -> Option<Unit> {
    match kind {
        "file_search" | "file_search_call" => Some(Unit::FileSearch),
        "code_interpreter" | "code_interpreter_call" => Some(Unit::CodeSession),
        _ if kind.starts_with("web_search_preview") => Some(Unit::WebSearchPreview),
        _ if kind.starts_with("web_search") => Some(Unit::WebSearch),
        _ => None,
    }
}

/// How often the vendor's tools were used. Opening a page that was found is no search; what ran in one container is one
/// session. An answer repeats the tools that it was given, and so says which kind of search it had.
fn fees(response: Node<'_, '_>) -> Units {
    let mut units = Units::NONE;
    let mut containers = Vec::new();
    for item in response.get("output").into_iter().flat_map(Node::items) {
        match fee(&item.get("type").and_then(Node::text).unwrap_or_default()) {
            Some(Unit::CodeSession) => {
                let container = item.get("container_id").and_then(Node::text).unwrap_or_default();
                if !containers.contains(&container) {
                    containers.push(container);
                    units.add(Unit::CodeSession, 1);
                }
            }
            Some(Unit::WebSearch) => {
                let action = item.present("action").and_then(|action| action.get("type"));
                units.add(Unit::WebSearch, u64::from(action.is_none_or(|action| action.text_is("search"))));
            }
            Some(unit) => units.add(unit, 1),
            None => {}
        }
    }
    let tools = || response.get("tools").into_iter().flat_map(Node::items);
    let given =
        |unit| tools().any(|tool| tool.get("type").and_then(Node::text).and_then(|kind| fee(&kind)) == Some(unit));
    if units.get(Unit::WebSearch) > 0 && given(Unit::WebSearchPreview) && !given(Unit::WebSearch) {
        units.set(Unit::WebSearchPreview, units.get(Unit::WebSearch));
        units.set(Unit::WebSearch, 0);
    }
    units
}

/// `input_tokens` includes cached and cache-written tokens; `output_tokens` includes reasoning.
pub(super) fn usage(response: Node<'_, '_>) -> Option<Usage> {
    let node = response.present("usage")?;
    let count = |name| node.get(name).and_then(Node::as_u64);
    let in_prompt = |name| detail(node, "input_tokens_details", name);
    let prompt = count("input_tokens")?;
    let cache_read = in_prompt("cached_tokens").min(prompt);
    let written = in_prompt("cache_write_tokens").min(prompt.saturating_sub(cache_read));
    let by_life = node.get("input_tokens_details").and_then(|details| details.present("cache_write_tokens_details"));
    let long = by_life.and_then(|lives| lives.get("ttl_12h_tokens")).and_then(Node::as_u64).unwrap_or(0).min(written);
    let (output, reasoning) = chat::generated(
        prompt,
        count("output_tokens").unwrap_or(0),
        detail(node, "output_tokens_details", "reasoning_tokens"),
        count("total_tokens"),
    );
    Some(Usage {
        input: prompt.saturating_sub(cache_read).saturating_sub(written),
        cache_read,
        cache_write_5m: written.saturating_sub(long),
        cache_write_1h: long,
        output,
        reasoning,
        units: fees(response),
        service: chat::service(response),
        source: UsageSource::Vendor,
        ..Usage::default()
    })
}

pub(super) fn write_usage(json: &mut JsonWriter, usage: Option<&Usage>) {
    let Some(usage) = usage else { return json.raw_member("usage", "null") };
    json.object_member("usage", |json| {
        json.number_member("input_tokens", usage.prompt_total());
        json.object_member("input_tokens_details", |json| {
            json.number_member("cached_tokens", usage.cache_read);
            json.number_member("cache_write_tokens", usage.cache_write_5m.saturating_add(usage.cache_write_1h));
        });
        json.number_member("output_tokens", usage.output);
        json.object_member("output_tokens_details", |json| {
            json.number_member("reasoning_tokens", usage.reasoning);
        });
        json.number_member("total_tokens", usage.total());
    });
}

/// When an answer was made; some servers write the seconds with a fraction.
pub(super) fn created(response: Node<'_, '_>) -> Option<u64> {
    let node = response.get("created_at")?;
    node.as_u64().or_else(|| node.raw().split_once('.')?.0.parse().ok())
}

/// The error of an answer that failed, or of a bare `error` event: its sort is told by its code.
pub(super) fn failure(error: Node<'_, '_>) -> UpstreamError {
    let text = |name| error.get(name).and_then(Node::text);
    let code = text("code");
    let named = |name: Option<&str>| name.and_then(|name| kind(name).or_else(|| chat::error_kind(name)));
    let kind = named(code.as_deref()).or_else(|| named(text("type").as_deref()));
    UpstreamError {
        kind: kind.unwrap_or(ErrorKind::Api),
        type_name: None,
        message: clip(&text("message").unwrap_or_default(), MOST_MESSAGE).to_owned(),
        code: code.map(|code| clip(&code, MOST_NAME).to_owned()),
    }
}

fn kind(code: &str) -> Option<ErrorKind> {
    match code {
        "context_length_exceeded" | "invalid_prompt" | "string_above_max_length" => Some(ErrorKind::InvalidRequest),
        "server_is_overloaded" | "slow_down" => Some(ErrorKind::Overloaded),
        "usage_not_included" => Some(ErrorKind::Permission),
        name if name.contains("image") => Some(ErrorKind::InvalidRequest),
        name if name.contains("policy") => Some(ErrorKind::Permission),
        _ => None,
    }
}

/// The vendor's code for an error inside a stream: agents decide by it whether they try again.
fn code<'view>(view: &ErrorView<'view>) -> &'view str {
    let full = ["context window", "context length", "prompt is too long"];
    match view.kind {
        ErrorKind::RateLimit => "rate_limit_exceeded",
        ErrorKind::Billing => "insufficient_quota",
        ErrorKind::Overloaded => "server_is_overloaded",
        ErrorKind::InvalidRequest if full.iter().any(|words| view.message.contains(words)) => "context_length_exceeded",
        ErrorKind::Api if view.code == "upstream_error" => "server_error",
        _ => view.code,
    }
}

/// What ends a stream with an error: a bare `error`, which the vendor's own clients raise, and `response.failed`, which
/// agents that wait for the answer's end read its code from. Both stand in one frame.
pub(super) fn error_event(view: &ErrorView<'_>, id: &str, sequence: u64) -> Frame {
    let mut bare = JsonWriter::with_capacity(256);
    bare.object(|json| {
        json.string_member("type", "error");
        json.number_member("sequence_number", sequence);
        json.string_member("code", code(view));
        json.string_member("message", view.message);
        json.nullable_member("param", view.param);
        let whole = chat::error_json(view);
        // `{"error":{…}}` without its outermost braces is one member.
        let inner =
            std::str::from_utf8(&whole).ok().and_then(|text| text.strip_prefix("{\"error\":")?.strip_suffix('}'));
        json.raw_member("error", inner.unwrap_or("null"));
    });
    let mut failed = JsonWriter::with_capacity(256);
    failed.object(|json| {
        json.string_member("type", "response.failed");
        json.number_member("sequence_number", sequence.saturating_add(1));
        json.object_member("response", |json| {
            json.string_member("id", id);
            json.string_member("object", "response");
            json.string_member("status", "failed");
            json.object_member("error", |json| {
                json.string_member("code", code(view));
                json.string_member("message", view.message);
            });
            json.array_member("output", |_| {});
        });
    });
    let first = Frame::build(Some("error"), &bare.into_bytes());
    let second = Frame::build(Some("response.failed"), &failed.into_bytes());
    Frame { raw: [first.raw.as_ref(), second.raw.as_ref()].concat().into(), ..first }
}
