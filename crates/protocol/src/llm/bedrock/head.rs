//! What the gateway itself reads of a Converse request, and the walk over its texts.
//!
//! Owns validation of the members that are interpreted. Never looks at others. Called when a call comes in.

use tidegate_core::{ids::ToolName, segment::Origin};

use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        estimate,
        model_call::{Head, Operation},
        needs::Asked,
        node::Node,
        segments::{self, Found, MediaKind},
    },
};

/// What a request to count tokens wraps the conversation in; the conversation itself for others.
fn conversation<'tape, 'body>(root: Node<'tape, 'body>, operation: Operation) -> Result<Node<'tape, 'body>, ReadError> {
    if operation != Operation::CountTokens {
        return Ok(root);
    }
    let input = root.get("input").ok_or_else(|| root.error("`input` is missing; send `input.converse`"))?;
    match input.expect_object()?.get("converse") {
        Some(converse) => converse.expect_object(),
        None => Err(input.error("only `converse` can be counted here: send the conversation in it")),
    }
}

pub(super) fn read(root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
    let root = conversation(root, operation)?;
    // A stored prompt, which the path names, has messages of its own.
    if let Some(messages) = root.present("messages") {
        for message in messages.expect_array()?.items() {
            message.expect_object()?.required_text("role")?;
            let content = message.get("content").ok_or_else(|| message.error("`content` is missing"))?;
            blocks(content)?;
        }
    }
    if let Some(system) = root.present("system") {
        blocks(system)?;
    }
    let most = |parent: &str, name: &str| {
        let config = root.present(parent).map(Node::expect_object).transpose()?;
        config.and_then(|config| config.present(name)).map(|node| node.expect_count(1)).transpose()
    };
    let mut tools = Vec::new();
    if let Some(config) = root.present("toolConfig") {
        for tool in config
            .expect_object()?
            .present("tools")
            .map(Node::expect_array)
            .transpose()?
            .into_iter()
            .flat_map(Node::items)
        {
            tool.expect_object()?;
            for kind in ["toolSpec", "systemTool"] {
                if let Some(spec) = tool.present(kind) {
                    tools.push(ToolName::from(&*spec.expect_object()?.required_text("name")?));
                }
            }
        }
    }
    Ok(Head {
        // The path says it, and whether the answer is to stream.
        model_name: String::new(),
        stream: false,
        // Models of some vendors obey their own member.
        max_output: most("inferenceConfig", "maxTokens")?.max(most("additionalModelRequestFields", "max_tokens")?),
        choices: 1,
        wants_usage: true,
        tools,
    })
}

fn blocks(content: Node<'_, '_>) -> Result<(), ReadError> {
    content.expect_array()?.items().try_for_each(|block| block.expect_object().map(|_| ()))
}

pub(super) fn walk(root: Node<'_, '_>, operation: Operation, see: &mut dyn FnMut(Found)) {
    let Ok(root) = conversation(root, operation) else { return };
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
            "toolConfig" => {
                see(Found::Tools { node: value.id() });
                segments::tool_words(value, see);
            }
            "outputConfig" => {
                see(Found::Tools { node: value.id() });
                segments::tool_words(value, see);
                // The schema is a text here.
                let form = value.get("textFormat").and_then(|format| format.get("structure")?.get("jsonSchema"));
                let schema = form.and_then(|form| form.get("schema"));
                segments::text(schema, Origin::ToolDescription, see);
            }
            "additionalModelRequestFields" | "promptVariables" | "requestMetadata" => {
                segments::arguments(Some(value), Origin::Prompt, see);
            }
            _ => {}
        }
    }
}

/// Blocks of any sort: those of a request, of a tool's result and of an answer.
pub(super) fn walk_content(content: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    content.items().for_each(|block| walk_block(block, origin, see));
}

fn walk_block(block: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    for (kind, value) in block.members() {
        match &*kind {
            "text" => segments::text(Some(value), origin, see),
            "json" => segments::arguments(Some(value), origin, see),
            "reasoningContent" => {
                segments::text(value.get("reasoningText").and_then(|text| text.get("text")), origin, see);
            }
            "toolUse" => segments::arguments(value.get("input"), origin, see),
            "toolResult" => {
                if let Some(content) = value.get("content") {
                    walk_content(content, origin, see);
                }
            }
            "image" => see(Found::Media { kind: MediaKind::Image, tokens: estimate::IMAGE }),
            "video" => see(Found::Media { kind: MediaKind::Other, tokens: estimate::UNSEEN }),
            "audio" => {
                let tokens = estimate::sound(length(value).unwrap_or(0));
                see(Found::Media { kind: MediaKind::Sound, tokens });
            }
            "document" => walk_document(value, origin, see),
            "guardContent" => {
                segments::text(value.get("text").and_then(|text| text.get("text")), origin, see);
                if value.get("image").is_some() {
                    see(Found::Media { kind: MediaKind::Image, tokens: estimate::IMAGE });
                }
            }
            "cachePoint" => {}
            _ => segments::unknown(value, origin, see),
        }
    }
}

/// How much of it came with the request.
fn length(media: Node<'_, '_>) -> Option<usize> {
    media.get("source")?.get("bytes").filter(|bytes| bytes.kind() == Kind::String).map(|bytes| bytes.span().len())
}

fn walk_document(document: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    for name in ["name", "context"] {
        segments::text(document.get(name), origin, see);
    }
    let Some(source) = document.get("source") else { return };
    segments::text(source.get("text"), origin, see);
    if let Some(content) = source.get("content") {
        walk_content(content, origin, see);
    }
    match length(document) {
        Some(length) => see(Found::Media { kind: MediaKind::Document, tokens: estimate::document(length) }),
        None if source.get("s3Location").is_some() => {
            see(Found::Media { kind: MediaKind::Document, tokens: estimate::UNSEEN });
        }
        None => {}
    }
}

/// What the members of a request ask for, its messages and tools apart.
pub(super) fn asked(root: Node<'_, '_>) -> Asked {
    let mut asked = Asked::default();
    asked.format(root.present("outputConfig").and_then(|config| config.present("textFormat")));
    asked.service(root.present("serviceTier").and_then(|tier| tier.get("type")));
    asked
}
