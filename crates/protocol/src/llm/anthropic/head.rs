//! What the gateway itself reads of a Messages request, and the walk over its texts.
//!
//! Owns validation of the members that are interpreted. Never looks at others. Called when a call comes in.

use tidegate_core::{capability::Capability, ids::ToolName, segment::Origin, unit::Unit};

use super::thread;
use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        estimate,
        model_call::{Head, MOST_MODEL_NAME, Operation},
        needs::{Asked, MOST_SEARCHES},
        node::Node,
        segments::{self, Found, MediaKind},
    },
};

pub(super) fn read(root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
    let model = root.get("model").ok_or_else(|| root.error("`model` is missing; name one as in the list of models"))?;
    let model_name = model.expect_text()?;
    if model_name.is_empty() || model_name.len() > MOST_MODEL_NAME {
        return Err(model.error("must be a model's name of 1 to 256 bytes"));
    }
    Ok(Head { model_name: model_name.into_owned(), ..without_model(root, operation)? })
}

/// What [`read`] reads besides the model, which some envelopes name elsewhere.
pub(super) fn without_model(root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
    let messages = root.get("messages").ok_or_else(|| root.error("`messages` is missing; send at least one"))?;
    // What the vendor keeps may go on as it is, from a pause.
    let goes_on = root.present(thread::MEMBER).is_some_and(thread::goes_on);
    if messages.expect_array()?.items().next().is_none() && !goes_on {
        return Err(messages.error("must hold at least one message"));
    }
    for message in messages.items() {
        let message = message.expect_object()?;
        message.required_text("role")?;
        let content = message.get("content").ok_or_else(|| message.error("`content` is missing"))?;
        text_or_blocks(content)?;
    }
    if let Some(system) = root.present("system") {
        text_or_blocks(system)?;
    }
    let max_output = root.present("max_tokens").map(|node| node.expect_count(1)).transpose()?;
    if max_output.is_none() && operation == Operation::Generate {
        return Err(ReadError::new("/max_tokens", "`max_tokens` is missing; say how many tokens may be generated"));
    }
    let mut tools = Vec::new();
    if let Some(list) = root.present("tools") {
        for tool in list.expect_array()?.items() {
            tools.push(ToolName::from(&*tool.expect_object()?.required_text("name")?));
        }
    }
    Ok(Head {
        model_name: String::new(),
        stream: root.present("stream").map(Node::expect_bool).transpose()?.unwrap_or(false),
        max_output,
        choices: 1,
        wants_usage: true,
        tools,
    })
}

fn text_or_blocks(content: Node<'_, '_>) -> Result<(), ReadError> {
    match content.kind() {
        Kind::String => Ok(()),
        Kind::Array => content.items().try_for_each(|block| block.expect_object()?.required_text("type").map(|_| ())),
        _ => Err(content.error("must be a string or an array of blocks")),
    }
}

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for (name, value) in root.members() {
        match &*name {
            "system" => {
                see(Found::Message);
                walk_content(value, Origin::Prompt, see);
            }
            "messages" => {
                for message in value.items() {
                    see(Found::Message);
                    if let Some(content) = message.get("content") {
                        walk_content(content, Origin::Prompt, see);
                    }
                }
            }
            "tools" | "output_config" => {
                see(Found::Tools { node: value.id() });
                segments::tool_words(value, see);
            }
            thread::MEMBER if thread::goes_on(value) => {
                see(Found::Media { kind: MediaKind::Other, tokens: estimate::UNSEEN })
            }
            _ => {}
        }
    }
}

/// Text, or blocks of any type: those of a request and those of an answer.
pub(super) fn walk_content(content: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    if content.is_string() {
        segments::text(Some(content), origin, see);
    }
    content.items().for_each(|block| walk_block(block, origin, see));
}

pub(super) fn walk_block(block: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    let kind = block.get("type").and_then(Node::text).unwrap_or_default();
    match &*kind {
        "text" => segments::text(block.get("text"), origin, see),
        "thinking" => segments::text(block.get("thinking"), origin, see),
        "redacted_thinking" => {}
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            segments::arguments(block.get("input"), origin, see);
            segments::text(block.get("partial_json"), origin, see);
        }
        "tool_result" => {
            if let Some(content) = block.get("content") {
                walk_content(content, origin, see);
            }
        }
        "image" => see(Found::Media { kind: MediaKind::Image, tokens: estimate::IMAGE }),
        "document" => walk_document(block, origin, see),
        _ => segments::unknown(block, origin, see),
    }
}

fn walk_document(block: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    for name in ["title", "context"] {
        segments::text(block.get(name), origin, see);
    }
    let Some(source) = block.get("source") else { return };
    let kind = source.get("type").and_then(Node::text).unwrap_or_default();
    match &*kind {
        "text" => segments::text(source.get("data"), origin, see),
        "content" => {
            if let Some(content) = source.get("content") {
                walk_content(content, origin, see);
            }
        }
        "base64" => {
            let length = source.get("data").map_or(0, |data| data.span().len());
            see(Found::Media { kind: MediaKind::Document, tokens: estimate::document(length) });
        }
        _ => see(Found::Media { kind: MediaKind::Document, tokens: estimate::UNSEEN }),
    }
}

/// What the members of a request ask for, its messages and tools apart.
pub(super) fn asked(root: Node<'_, '_>) -> Asked {
    let mut asked = Asked::default();
    let config = root.present("output_config");
    asked.format(config.and_then(|config| config.present("format")).or_else(|| root.present("output_format")));
    let thinking = root.present("thinking").and_then(|thinking| thinking.get("type"));
    if thinking.is_some_and(|kind| kind.text_is("enabled") || kind.text_is("adaptive")) {
        asked.needs.add(Capability::Reasoning);
    }
    for tool in root.present("tools").into_iter().flat_map(Node::items) {
        if tool.get("type").and_then(Node::text).is_some_and(|kind| kind.starts_with("web_search")) {
            let most = tool.present("max_uses").and_then(Node::as_u64).unwrap_or(MOST_SEARCHES);
            asked.fees.add(Unit::WebSearch, most);
        }
    }
    asked.service(root.present("service_tier"));
    asked.service(root.present("speed").filter(|speed| speed.text_is("fast")));
    asked
}
