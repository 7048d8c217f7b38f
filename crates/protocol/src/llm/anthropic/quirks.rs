//! What a Messages server needs besides the dialect: thinking that nobody signed stays behind, older models are told a
//! budget of thinking in the place of an effort, and on Vertex AI the body names a version and no model.
//!
//! Owns those three. Unsigned blocks come from answers of other vendors that this gateway translated; the API refuses
//! them. Called on the patched lane and by `encode`.

use crate::llm::{
    dialect::Patch,
    ir::{Part, Request, Thinking},
    loss::Loss,
    node::Node,
    opaque,
    target::TargetWire,
    write::JsonWriter,
};

/// The version of the Messages API that Vertex AI wants named in the body.
pub(super) const VERTEX_VERSION: &str = "vertex-2023-10-16";

pub(super) fn patch(root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) {
    if to.quirks.anthropic_on_vertex {
        version_for_model(root, patch);
    }
    unsigned_thinking(root, patch);
}

/// The path names the model there, and the body the version: one takes the other's place.
fn version_for_model(root: Node<'_, '_>, patch: &mut Patch) {
    let version = format!("\"{VERTEX_VERSION}\"");
    let mut before: Option<usize> = None;
    let named = root.get("anthropic_version");
    let mut members = root.keyed_members().peekable();
    while let Some((key, value)) = members.next() {
        if key.text_is("model") {
            match (named, members.peek(), before) {
                (None, _, _) => {
                    patch.replace(key.span(), *b"\"anthropic_version\"");
                    patch.replace(value.span(), version.clone());
                }
                // A caller of Vertex's own form names the version already, so the model goes with its comma.
                (Some(_), Some((next, _)), _) => patch.replace(key.span().start..next.span().start, Vec::new()),
                (Some(_), None, Some(end)) => patch.replace(end..value.span().end, Vec::new()),
                (Some(_), None, None) => {}
            }
        }
        before = Some(value.span().end);
    }
    if let Some(named) = named.filter(|named| !named.text_is(VERTEX_VERSION)) {
        patch.replace(named.span(), version);
    }
}

fn unsigned_thinking(root: Node<'_, '_>, patch: &mut Patch) {
    let Some(messages) = root.get("messages") else { return };
    if !messages.items().any(|message| blocks(message).any(unsigned)) {
        return;
    }
    let mut kept = JsonWriter::with_capacity(messages.span().len());
    kept.begin_array();
    for (at, message) in messages.items().enumerate() {
        if !blocks(message).any(unsigned) {
            kept.raw(message.raw());
            continue;
        }
        patch.losses.push(Loss::new(format!("/messages/{at}"), "thinking", "dropped: another vendor's model wrote it"));
        // A message of nothing else goes as a whole: an empty one is refused.
        if blocks(message).all(unsigned) {
            continue;
        }
        kept.object(|kept| {
            for (name, value) in message.members() {
                kept.key(&name);
                if name == "content" {
                    kept.begin_array();
                    value.items().filter(|block| !unsigned(*block)).for_each(|block| kept.raw(block.raw()));
                    kept.end_array();
                } else {
                    kept.raw(value.raw());
                }
            }
        });
    }
    kept.end_array();
    patch.replace(messages.span(), kept.into_bytes());
}

fn blocks<'tape, 'body>(message: Node<'tape, 'body>) -> impl Iterator<Item = Node<'tape, 'body>> {
    message.get("content").into_iter().flat_map(Node::items)
}

/// Whether nobody signed it, or another vendor did, which this gateway has noted.
fn unsigned(block: Node<'_, '_>) -> bool {
    let kind = block.get("type").and_then(Node::text).unwrap_or_default();
    let signed = match &*kind {
        "thinking" => block.get("signature").and_then(Node::text).filter(|signature| !signature.is_empty()),
        "redacted_thinking" => block.get("data").and_then(Node::text).or(Some("".into())),
        _ => return false,
    };
    signed.is_none_or(|signature| opaque::is_wrapped(&signature))
}

/// The least budget that the API takes.
const LEAST_BUDGET: u64 = 1_024;

/// An effort as a budget, for models that know only that.
pub(super) fn budget(
    effort: Option<&str>,
    request: &Request,
    most: u64,
    losses: &mut Vec<Loss>,
    json: &mut JsonWriter,
) {
    let wanted = match (&request.thinking, effort) {
        (Some(Thinking::Budget(tokens)), _) => *tokens,
        (Some(Thinking::Disabled) | None, None) | (Some(Thinking::Disabled), _) => return,
        (_, Some("low")) => 2_048,
        (_, Some("medium") | None) => 8_192,
        (_, Some(_)) => 24_576,
    };
    let budget = wanted.min(most.saturating_sub(1));
    // Inside a turn of tools thinking must have been there from its start.
    let inside_tools = request
        .messages
        .last()
        .is_some_and(|message| message.parts.iter().any(|part| matches!(part, Part::ToolResult { .. })));
    if budget < LEAST_BUDGET || inside_tools {
        losses.push(Loss::new("/reasoning_effort", "reasoning_effort", "dropped: thinking cannot begin here"));
    } else {
        enabled(budget, json);
    }
}

/// `thinking` with a budget of tokens.
pub(super) fn enabled(tokens: u64, json: &mut JsonWriter) {
    json.object_member("thinking", |json| {
        json.string_member("type", "enabled");
        json.number_member("budget_tokens", tokens);
    });
}
