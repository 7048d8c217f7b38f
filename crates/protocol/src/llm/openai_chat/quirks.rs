//! Edits that a Chat body needs on its way to a Chat server: usage in streams, other names and words, nothing that the
//! server is known to refuse, no reasoning that belongs to another vendor.
//!
//! Owns those edits; what is lost by them is told. Never touches a member that needs none. Called on the patched lane.

use super::wire::{REASONING_BLOCKS, REASONING_SCOPE};
use crate::llm::{
    dialect::Patch,
    loss::Loss,
    node::Node,
    refused::Members,
    target::{Quirks, TargetWire},
    write::JsonWriter,
};

/// Whether usage was asked for in the caller's stead.
pub(super) fn patch(root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) -> bool {
    if to.quirks.max_completion_tokens_as_max_tokens {
        rename_limit(root, patch);
    }
    if to.quirks.no_reasoning_effort
        && !to.quirks.refused.contains("reasoning_effort")
        && let Some(effort) = root.present("reasoning_effort")
    {
        patch.losses.push(Loss::new("/reasoning_effort", "reasoning_effort", "dropped: the target refuses it"));
        patch.replace(effort.span(), *b"null");
    }
    words(root, to.quirks, patch);
    leave_out(root, to.quirks.refused, patch);
    messages(root, to.quirks, patch);
    let stream = root.get("stream").and_then(Node::as_bool).unwrap_or(false);
    let asks = stream && !to.quirks.no_stream_usage && !to.quirks.refused.contains("stream_options");
    asks && ask_usage(root, patch)
}

/// What the target has another word for, or none.
fn words(root: Node<'_, '_>, quirks: &Quirks, patch: &mut Patch) {
    if let Some(choice) = root.present("tool_choice").filter(|_| !quirks.refused.contains("tool_choice")) {
        let forced = choice.text_is("required") || choice.get("function").is_some();
        if quirks.no_forced_tool && forced {
            patch.losses.push(Loss::new("/tool_choice", "tool_choice", CANNOT_FORCE));
            patch.replace(choice.span(), *b"\"auto\"");
        } else if quirks.tool_choice_any && choice.text_is("required") {
            patch.replace(choice.span(), *b"\"any\"");
        }
    }
    if quirks.no_json_schema
        && let Some(format) = root.present("response_format")
        && format.get("type").is_some_and(|kind| kind.text_is("json_schema"))
    {
        patch.losses.push(Loss::new("/response_format", "json_schema", NO_SCHEMA));
        patch.replace(format.span(), *br#"{"type":"json_object"}"#);
    }
    if quirks.no_strict_tools {
        for (at, tool) in root.get("tools").into_iter().flat_map(Node::items).enumerate() {
            let Some(function) = tool.get("function").filter(|function| function.present("strict").is_some()) else {
                continue;
            };
            patch.losses.push(Loss::new(format!("/tools/{at}/function/strict"), "strict", NOT_STRICT));
            patch.replace(function.span(), without(function, &["strict"], &[]));
        }
    }
}

/// Why a call of a tool is not forced.
pub(super) const CANNOT_FORCE: &str = "left to the model: the target cannot be made to call a tool";
/// Why the schema of an answer is left out.
pub(super) const NO_SCHEMA: &str = "asked for as any JSON object: the target takes no schema of the answer";
/// Why `strict` of a tool is left out.
pub(super) const NOT_STRICT: &str = "dropped: the target does not hold a model to a tool's schema";
/// Why a member of the body is left out.
pub(super) const REFUSED: &str = "dropped: the target refuses it";

/// Cuts members of the body out, with their commas. Those at the end go in one piece with the comma before them, so
/// that no two cuts touch.
fn leave_out(root: Node<'_, '_>, refused: Members, patch: &mut Patch) {
    if refused.is_empty() {
        return;
    }
    let out = |key: Node<'_, '_>| key.text().is_some_and(|name| refused.contains(&name));
    let mut cut: Option<usize> = None;
    let (mut kept, mut last) = (root.span().start.saturating_add(1), root.span().start.saturating_add(1));
    for (key, value) in root.keyed_members() {
        if let Some(start) = cut.take_if(|_| !out(key)) {
            patch.replace(start..key.span().start, Vec::new());
        }
        if out(key) {
            cut.get_or_insert(key.span().start);
            // Nothing was asked for by a null.
            if !value.is_null() {
                let name = key.text().unwrap_or_default().into_owned();
                patch.losses.push(Loss::new(format!("/{name}"), name, REFUSED));
            }
        } else {
            kept = value.span().end;
        }
        last = value.span().end;
    }
    if cut.is_some() {
        patch.replace(kept..last, Vec::new());
    }
}

/// The edits of messages, each of which is written anew where it needs any.
fn messages(root: Node<'_, '_>, quirks: &Quirks, patch: &mut Patch) {
    for (at, message) in root.get("messages").into_iter().flat_map(Node::items).enumerate() {
        let mut drop: Vec<&str> = Vec::new();
        let mut put: Vec<(&str, &str)> = Vec::new();
        if foreign_reasoning(message) {
            let why = "dropped: signed reasoning goes back only to the model that wrote it";
            patch.losses.push(Loss::new(format!("/messages/{at}/{REASONING_BLOCKS}"), REASONING_BLOCKS, why));
            drop.push(REASONING_BLOCKS);
        }
        if quirks.no_message_name && message.present("name").is_some() {
            patch.losses.push(Loss::new(format!("/messages/{at}/name"), "name", REFUSED));
            drop.push("name");
        }
        if quirks.no_developer_role && message.get("role").is_some_and(|role| role.text_is("developer")) {
            put.push(("role", "\"system\""));
        }
        if !drop.is_empty() || !put.is_empty() {
            patch.replace(message.span(), without(message, &drop, &put));
        }
    }
}

/// Signed reasoning that this gateway put into an answer belongs to the vendor that signed it.
fn foreign_reasoning(message: Node<'_, '_>) -> bool {
    message.get(REASONING_BLOCKS).is_some_and(|blocks| blocks.items().any(|block| block.get(REASONING_SCOPE).is_some()))
}

/// An object without some of its members, and with other values in the place of some.
fn without(object: Node<'_, '_>, drop: &[&str], put: &[(&str, &str)]) -> Vec<u8> {
    let mut kept = JsonWriter::default();
    kept.object(|kept| {
        for (key, value) in object.keyed_members() {
            if drop.iter().any(|name| key.text_is(name)) {
                continue;
            }
            kept.key(&key.text().unwrap_or_default());
            let other = put.iter().find(|(name, _)| key.text_is(name));
            kept.raw(other.map_or_else(|| value.raw(), |(_, other)| other));
        }
    });
    kept.into_bytes()
}

fn ask_usage(root: Node<'_, '_>, patch: &mut Patch) -> bool {
    let Some(options) = root.get("stream_options") else {
        let start = root.span().start.saturating_add(1);
        patch.replace(start..start, *br#""stream_options":{"include_usage":true},"#);
        return true;
    };
    if options.is_null() {
        patch.replace(options.span(), *br#"{"include_usage":true}"#);
        return true;
    }
    match options.get("include_usage") {
        Some(asked) if asked.as_bool() == Some(true) => false,
        Some(asked) => {
            patch.replace(asked.span(), *b"true");
            true
        }
        None => {
            let start = options.span().start.saturating_add(1);
            let comma = if options.members().next().is_some() { "," } else { "" };
            patch.replace(start..start, format!("\"include_usage\":true{comma}"));
            true
        }
    }
}

fn rename_limit(root: Node<'_, '_>, patch: &mut Patch) {
    // Where the caller gave both, the server reads the one it knows.
    if root.get("max_tokens").is_some() {
        return;
    }
    if let Some((key, _)) = root.keyed_members().find(|(key, _)| key.text_is("max_completion_tokens")) {
        patch.replace(key.span(), *br#""max_tokens""#);
    }
}
