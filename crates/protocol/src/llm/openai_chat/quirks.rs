//! Edits that a Chat body needs on its way to a Chat server: usage in streams, other names of members, no reasoning
//! that belongs to another vendor.
//!
//! Owns those edits. Never touches a member that needs none. Called on the patched lane.

use super::wire::{REASONING_BLOCKS, REASONING_SCOPE};
use crate::llm::{dialect::Patch, loss::Loss, node::Node, target::TargetWire, write::JsonWriter};

/// Whether usage was asked for in the caller's stead.
pub(super) fn patch(root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) -> bool {
    if to.quirks.max_completion_tokens_as_max_tokens {
        rename_limit(root, patch);
    }
    if to.quirks.no_reasoning_effort
        && let Some(effort) = root.present("reasoning_effort")
    {
        patch.losses.push(Loss::new("/reasoning_effort", "reasoning_effort", "dropped: the target refuses it"));
        patch.replace(effort.span(), *b"null");
    }
    drop_foreign_reasoning(root, patch);
    let stream = root.get("stream").and_then(Node::as_bool).unwrap_or(false);
    stream && !to.quirks.no_stream_usage && ask_usage(root, patch)
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

/// Signed reasoning that this gateway put into an answer belongs to the vendor that signed it.
fn drop_foreign_reasoning(root: Node<'_, '_>, patch: &mut Patch) {
    for (at, message) in root.get("messages").into_iter().flat_map(Node::items).enumerate() {
        let Some(blocks) = message.get(REASONING_BLOCKS) else { continue };
        if !blocks.items().any(|block| block.get(REASONING_SCOPE).is_some()) {
            continue;
        }
        patch.losses.push(Loss::new(
            format!("/messages/{at}/{REASONING_BLOCKS}"),
            REASONING_BLOCKS,
            "dropped: signed reasoning goes back only to the model that wrote it",
        ));
        let mut kept = JsonWriter::default();
        kept.object(|kept| {
            for (key, value) in message.keyed_members().filter(|(key, _)| !key.text_is(REASONING_BLOCKS)) {
                kept.key(&key.text().unwrap_or_default());
                kept.raw(value.raw());
            }
        });
        patch.replace(message.span(), kept.into_bytes());
    }
}
