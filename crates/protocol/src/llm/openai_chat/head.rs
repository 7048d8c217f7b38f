//! What the gateway itself reads of a Chat request, and the walk over its texts.
//!
//! Owns validation of the members that are interpreted. Never looks at others. Called when a call comes in.

use tidegate_core::{ids::ToolName, segment::Origin};

use super::wire::{REASONING_BLOCKS, REASONING_TEXT};
use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        estimate,
        model_call::{Head, MOST_MODEL_NAME},
        needs::Asked,
        node::Node,
        segments::{self, Found, MediaKind},
    },
};

pub(super) fn read(root: Node<'_, '_>) -> Result<Head, ReadError> {
    let model = root.get("model").ok_or_else(|| root.error("`model` is missing; name one as in the list of models"))?;
    let model_name = model.expect_text()?;
    if model_name.is_empty() || model_name.len() > MOST_MODEL_NAME {
        return Err(model.error("must be a model's name of 1 to 256 bytes"));
    }
    let messages = root.get("messages").ok_or_else(|| root.error("`messages` is missing; send at least one"))?;
    if messages.expect_array()?.items().next().is_none() {
        return Err(messages.error("must hold at least one message"));
    }
    for message in messages.items() {
        let message = message.expect_object()?;
        message.required_text("role")?;
        if let Some(content) = message.present("content")
            && !matches!(content.kind(), Kind::String | Kind::Array)
        {
            return Err(content.error("must be a string or an array of parts"));
        }
    }
    let count = |name, least| root.present(name).map(|node: Node<'_, '_>| node.expect_count(least)).transpose();
    let newer = count("max_completion_tokens", 0)?;
    let older = count("max_tokens", 0)?;
    let stream = root.present("stream").map(Node::expect_bool).transpose()?.unwrap_or(false);
    let options = root.present("stream_options").map(Node::expect_object).transpose()?;
    let wants_usage = match options.and_then(|options| options.present("include_usage")) {
        Some(node) => node.expect_bool()?,
        None => false,
    };
    Ok(Head {
        model_name: model_name.into_owned(),
        stream,
        // Where both are given, a server may obey either.
        // Zero is no limit to count on: what a server makes of it is its own affair.
        max_output: newer.max(older).filter(|most| *most > 0),
        choices: count("n", 1)?.unwrap_or(1),
        wants_usage,
        tools: tools(root)?,
    })
}

fn tools(root: Node<'_, '_>) -> Result<Vec<ToolName>, ReadError> {
    let mut names = Vec::new();
    if let Some(tools) = root.present("tools") {
        for tool in tools.expect_array()?.items() {
            let kind = tool.expect_object()?.required_text("type")?;
            let named = tool.present(&kind).filter(|inner| inner.kind() == Kind::Object);
            names.push(match named {
                Some(inner) => ToolName::from(&*inner.required_text("name")?),
                // Tools that the vendor runs have a type and no name.
                None => ToolName::from(&*kind),
            });
        }
    }
    if let Some(functions) = root.present("functions") {
        for function in functions.expect_array()?.items() {
            names.push(ToolName::from(&*function.expect_object()?.required_text("name")?));
        }
    }
    Ok(names)
}

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for (name, value) in root.members() {
        match &*name {
            "messages" => value.items().for_each(|message| walk_message(message, see)),
            "tools" | "functions" => {
                see(Found::Tools { node: value.id() });
                segments::tool_words(value, see);
            }
            "response_format" => {
                see(Found::Tools { node: value.id() });
                segments::tool_words(value, see);
            }
            // The text that a predicted output starts from.
            "prediction" => segments::unknown(value, Origin::Prompt, see),
            _ => {}
        }
    }
}

fn walk_message(message: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    see(Found::Message);
    for (name, value) in message.members() {
        match &*name {
            "content" if value.is_string() => segments::text(Some(value), Origin::Prompt, see),
            "content" => value.items().for_each(|part| walk_part(part, see)),
            "refusal" | "name" | REASONING_TEXT | "reasoning" => segments::text(Some(value), Origin::Prompt, see),
            REASONING_BLOCKS => {
                for block in value.items() {
                    segments::text(block.get("thinking"), Origin::Prompt, see);
                }
            }
            "tool_calls" => {
                for call in value.items() {
                    for kind in ["function", "custom"] {
                        let inner = call.get(kind);
                        segments::text(inner.and_then(|inner| inner.get("arguments")), Origin::Prompt, see);
                        segments::text(inner.and_then(|inner| inner.get("input")), Origin::Prompt, see);
                    }
                }
            }
            "function_call" => segments::text(value.get("arguments"), Origin::Prompt, see),
            "role" | "tool_call_id" => {}
            _ => segments::unknown(value, Origin::Prompt, see),
        }
    }
}

fn walk_part(part: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    let kind = part.get("type").and_then(Node::text).unwrap_or_default();
    match &*kind {
        "text" => segments::text(part.get("text"), Origin::Prompt, see),
        "refusal" => segments::text(part.get("refusal"), Origin::Prompt, see),
        "image_url" => see(Found::Media { kind: MediaKind::Image, tokens: estimate::IMAGE }),
        "input_audio" => {
            let data = part.get("input_audio").and_then(|audio| audio.get("data"));
            let tokens = estimate::sound(data.map_or(0, |data| data.span().len()));
            see(Found::Media { kind: MediaKind::Sound, tokens });
        }
        "file" => {
            let file = part.get("file");
            let data = file.and_then(|file| file.present("file_data"));
            let tokens = data.map_or(estimate::UNSEEN, |data| estimate::document(data.span().len()));
            see(Found::Media { kind: MediaKind::Document, tokens });
            segments::text(file.and_then(|file| file.get("filename")), Origin::Prompt, see);
        }
        _ => segments::unknown(part, Origin::Prompt, see),
    }
}

/// What the members of a request ask for, its messages and tools apart.
pub(super) fn asked(root: Node<'_, '_>) -> Asked {
    let mut asked = Asked::default();
    asked.format(root.present("response_format"));
    asked.effort(root.present("reasoning_effort"));
    asked.service(root.present("service_tier"));
    asked.modalities(root.present("modalities"));
    asked
}
