//! Edits that a Messages body needs on its way to a Messages server: thinking that nobody signed stays behind.
//!
//! Owns that edit. Such blocks come from answers of other vendors that this gateway translated; the API refuses them.
//! Called on the patched lane.

use crate::llm::{dialect::Patch, loss::Loss, node::Node, target::TargetWire, write::JsonWriter};

pub(super) fn patch(root: Node<'_, '_>, _: &TargetWire<'_>, patch: &mut Patch) {
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
        patch.losses.push(Loss::new(
            format!("/messages/{at}"),
            "thinking",
            "dropped: it has no signature, so another vendor's model wrote it",
        ));
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

fn unsigned(block: Node<'_, '_>) -> bool {
    block.get("type").is_some_and(|kind| kind.text_is("thinking"))
        && block.get("signature").is_none_or(|signature| signature.is_null() || signature.text_is(""))
}
