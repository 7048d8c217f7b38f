//! What the gateway itself reads of a Responses request, and the walk over its texts.
//!
//! Owns validation of the members that are interpreted. Never looks at others. Called when a call comes in.

use tidegate_core::{ids::ToolName, segment::Origin, unit::Unit};

use super::walk::{self, type_of};
use super::wire;
use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        estimate,
        model_call::{Head, MOST_MODEL_NAME},
        needs::{Asked, MOST_SEARCHES},
        node::Node,
        segments::{self, Found, MediaKind},
    },
};

/// Members by which a request goes on from something that the vendor keeps.
pub(super) const STORED: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

pub(super) fn read(root: Node<'_, '_>) -> Result<Head, ReadError> {
    let model = root.get("model").ok_or_else(|| root.error("`model` is missing; name one as in the list of models"))?;
    let model_name = model.expect_text()?;
    if model_name.is_empty() || model_name.len() > MOST_MODEL_NAME {
        return Err(model.error("must be a model's name of 1 to 256 bytes"));
    }
    input(root)?;
    if let Some(instructions) = root.present("instructions") {
        instructions.expect_text()?;
    }
    root.present("background").map(Node::expect_bool).transpose()?;
    let mut tools = Vec::new();
    if let Some(list) = root.present("tools") {
        names(list, &mut tools)?;
    }
    for item in root.present("input").into_iter().flat_map(Node::items) {
        if matches!(&*type_of(item), "additional_tools" | "tool_search_output")
            && let Some(list) = item.present("tools")
        {
            names(list, &mut tools)?;
        }
    }
    Ok(Head {
        model_name: model_name.into_owned(),
        stream: root.present("stream").map(Node::expect_bool).transpose()?.unwrap_or(false),
        max_output: root.present("max_output_tokens").map(|node| node.expect_count(1)).transpose()?,
        choices: 1,
        wants_usage: true,
        tools,
    })
}

/// Whether a request goes on from something that the vendor keeps, or is answered later.
pub(super) fn is_stateful(root: Node<'_, '_>) -> bool {
    STORED.iter().any(|name| root.present(name).is_some())
        || root.get("background").and_then(Node::as_bool) == Some(true)
        || root.get("input").into_iter().flat_map(Node::items).any(|item| type_of(item) == "item_reference")
}

fn input(root: Node<'_, '_>) -> Result<(), ReadError> {
    let stored = STORED.iter().any(|name| root.present(name).is_some());
    let Some(input) = root.present("input") else {
        let missing = || root.error("`input` is missing; send a text or an array of items");
        return if stored { Ok(()) } else { Err(missing()) };
    };
    match input.kind() {
        Kind::String => Ok(()),
        Kind::Array => {
            let mut empty = true;
            for item in input.items() {
                empty = false;
                item.expect_object()?;
                item.optional_text("type")?;
                if let Some(content) = item.present("content")
                    && !matches!(content.kind(), Kind::String | Kind::Array)
                {
                    return Err(content.error("must be a string or an array of parts"));
                }
            }
            if empty && !stored { Err(input.error("must hold at least one item")) } else { Ok(()) }
        }
        _ => Err(input.error("must be a string or an array of items")),
    }
}

/// The names of tools: functions and custom tools by their own, also those inside namespaces; what the vendor runs by
/// its type.
fn names(list: Node<'_, '_>, names: &mut Vec<ToolName>) -> Result<(), ReadError> {
    for tool in list.expect_array()?.items() {
        let kind = tool.expect_object()?.required_text("type")?;
        match &*kind {
            "function" | "custom" => names.push(ToolName::from(&*tool.required_text("name")?)),
            "namespace" => {
                tool.required_text("name")?;
                let inner = tool.get("tools").ok_or_else(|| tool.error("`tools` is missing; list the namespace's"))?;
                for tool in inner.expect_array()?.items() {
                    names.push(ToolName::from(&*tool.expect_object()?.required_text("name")?));
                }
            }
            _ => names.push(ToolName::from(&*kind)),
        }
    }
    Ok(())
}

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for (name, value) in root.members() {
        match &*name {
            "instructions" => {
                see(Found::Message);
                segments::text(Some(value), Origin::Prompt, see);
            }
            "input" if value.is_string() => {
                see(Found::Message);
                segments::text(Some(value), Origin::Prompt, see);
            }
            "input" => {
                for item in value.items() {
                    see(Found::Message);
                    walk::item(item, Origin::Prompt, &mut |shown| see(walk::found(shown, Origin::Prompt)));
                }
            }
            "tools" | "text" => {
                see(Found::Tools { node: value.id() });
                segments::tool_words(value, see);
            }
            name if STORED.contains(&name) && !value.is_null() => {
                see(Found::Media { kind: MediaKind::Other, tokens: estimate::UNSEEN });
            }
            _ => {}
        }
    }
}

/// What the members of a request ask for, its input and tools apart.
pub(super) fn asked(root: Node<'_, '_>) -> Asked {
    let mut asked = Asked::default();
    asked.format(root.present("text").and_then(|text| text.present("format")));
    asked.effort(root.present("reasoning").and_then(|reasoning| reasoning.present("effort")));
    asked.service(root.present("service_tier"));
    let most = root.present("max_tool_calls").and_then(Node::as_u64).unwrap_or(MOST_SEARCHES);
    for tool in root.present("tools").into_iter().flat_map(Node::items) {
        let kind = tool.get("type").and_then(Node::text).unwrap_or_default();
        match wire::fee(&kind) {
            Some(Unit::CodeSession) => asked.fees.add(Unit::CodeSession, 1),
            Some(unit) => asked.fees.set(unit, most),
            None => {}
        }
    }
    asked
}
