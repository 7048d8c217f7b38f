//! Edits that a Responses body needs on its way to a Responses server: reasoning of another vendor stays behind.
//!
//! Owns those edits. Never touches an item that needs none. Called on the patched lane.

use super::{walk::type_of, wire::OWN_REASONING};
use crate::llm::{dialect::Patch, loss::Loss, node::Node, opaque, target::TargetWire, write::JsonWriter};

pub(super) fn patch(root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) {
    if to.quirks.no_reasoning_effort
        && let Some(effort) = root.present("reasoning").and_then(|reasoning| reasoning.present("effort"))
    {
        patch.losses.push(Loss::new("/reasoning/effort", "effort", "dropped: the target refuses it"));
        patch.replace(effort.span(), *b"null");
    }
    let Some(input) = root.get("input").filter(|input| input.items().any(foreign)) else { return };
    let mut kept = JsonWriter::with_capacity(input.span().len());
    kept.begin_array();
    for (at, item) in input.items().enumerate() {
        if foreign(item) {
            patch.losses.push(Loss::new(
                format!("/input/{at}"),
                "reasoning",
                "dropped: another vendor's model wrote it, and only that one may be shown it again",
            ));
        } else {
            kept.raw(item.raw());
        }
    }
    kept.end_array();
    patch.replace(input.span(), kept.into_bytes());
}

/// Reasoning that this gateway put into an answer: the vendor knows neither its id nor its ciphertext.
fn foreign(item: Node<'_, '_>) -> bool {
    let text = |name| item.get(name).and_then(Node::text);
    type_of(item) == "reasoning"
        && (text("encrypted_content").is_some_and(|data| opaque::is_wrapped(&data))
            || text("id").is_some_and(|id| id.starts_with(OWN_REASONING)))
}
