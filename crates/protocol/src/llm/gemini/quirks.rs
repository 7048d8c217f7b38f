//! What a Gemini server needs of bodies of its own dialect, and what its generations of models differ in.
//!
//! Owns those edits: the model's name where bodies repeat it, and signatures of other vendors, which this gateway wrapped
//! for its callers. Never touches a part that needs nothing. Called on the patched lane and by `encode`.

use super::{fields, head, thoughts, wire};
use crate::llm::{dialect::Patch, loss::Loss, node::Node, write::JsonWriter};

/// Writes the target's name for the model wherever the body names it beside the path.
pub(super) fn name_model(root: Node<'_, '_>, model: &str, patch: &mut Patch) {
    let within = fields::present(root, head::WRAPPED);
    for place in std::iter::once(root).chain(within).chain(fields::list(root, "requests")) {
        let Some(named) = place.get("model").filter(|named| named.is_string()) else { continue };
        let resource = wire::resource(model);
        if !named.text_is(&resource) {
            let mut name = JsonWriter::default();
            name.string(&resource);
            patch.replace(named.span(), name.into_bytes());
        }
    }
}

pub(super) fn patch(root: Node<'_, '_>, patch: &mut Patch) {
    for (at, content) in fields::list(head::inner(root), "contents").enumerate() {
        let Some(parts) = fields::get(content, "parts") else { continue };
        if !fields::each(parts).any(foreign) {
            continue;
        }
        patch.losses.push(Loss::new(
            format!("/contents/{at}"),
            "thoughtSignature",
            "dropped: signed reasoning goes back only to the model that wrote it",
        ));
        let mut kept = JsonWriter::with_capacity(parts.span().len());
        kept.begin_array();
        let mut any = false;
        for part in fields::each(parts) {
            if !foreign(part) {
                kept.raw(part.raw());
                any = true;
            } else if !fields::is_true(part, "thought") {
                any = true;
                kept.object(|kept| {
                    for (name, value) in
                        part.members().filter(|(name, _)| fields::camel(name.clone()) != "thoughtSignature")
                    {
                        kept.key(&name);
                        kept.raw(value.raw());
                    }
                });
            }
        }
        if !any {
            // A content without parts is refused; one that says nothing is not.
            kept.raw(r#"{"text":" "}"#);
        }
        kept.end_array();
        patch.replace(parts.span(), kept.into_bytes());
    }
}

/// Whether another vendor signed the part.
fn foreign(part: Node<'_, '_>) -> bool {
    fields::text(part, "thoughtSignature").is_some_and(|signature| thoughts::is_wrapped(&signature))
}

/// Models before the third generation: they take a budget of thinking, not a level, and want no signatures.
fn is_older(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    ["gemini-1", "gemini-2", "gemma", "learnlm"].iter().any(|start| name.starts_with(start))
}

/// Whether the model takes a level of thinking.
pub(super) fn has_levels(model: &str) -> bool {
    !is_older(model)
}

/// Whether the model refuses a call in the history that no signature stands on.
pub(super) fn wants_signatures(model: &str) -> bool {
    !is_older(model)
}

/// The least budget of thinking that the model takes.
pub(super) fn least_budget(model: &str) -> u64 {
    if model.rsplit('/').next().is_some_and(|name| name.contains("-pro")) { 128 } else { 0 }
}
