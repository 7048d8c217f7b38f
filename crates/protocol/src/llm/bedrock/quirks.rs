//! What a Converse body needs on its way to Bedrock itself.
//!
//! Owns one thing: reasoning that this gateway signed as another vendor's stays behind. Called on the patched lane.

use crate::llm::{dialect::Patch, loss::Loss, node::Node, target::TargetWire, write::JsonWriter};

use super::blocks;

pub(super) fn patch(root: Node<'_, '_>, _: &TargetWire<'_>, patch: &mut Patch) {
    for (at, message) in root.get("messages").into_iter().flat_map(Node::items).enumerate() {
        let Some(content) = message.get("content") else { continue };
        if !content.items().any(blocks::is_foreign_reasoning) {
            continue;
        }
        patch.losses.push(Loss::new(
            format!("/messages/{at}"),
            "reasoningContent",
            "dropped: reasoning goes back only to the model that wrote it",
        ));
        let mut kept = JsonWriter::with_capacity(content.span().len());
        kept.begin_array();
        content.items().filter(|block| !blocks::is_foreign_reasoning(*block)).for_each(|block| kept.raw(block.raw()));
        kept.end_array();
        patch.replace(content.span(), kept.into_bytes());
    }
}
