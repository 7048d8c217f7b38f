//! What the gateway itself reads of a `generateContent` request, and the walk over its texts.
//!
//! Owns validation of the members that are interpreted. Never looks at others, but refuses a body that spells one of its
//! members in both ways. Called when a call comes in. The model and whether the answer streams stand in the path.

use tidegate_core::{capability::Capability, ids::ToolName, segment::Origin, unit::Unit};

use super::{fields, media};
use crate::{
    json::Kind,
    llm::{
        error::ReadError,
        estimate,
        model_call::Head,
        needs::{Asked, MOST_SEARCHES},
        node::Node,
        segments::{self, Found, MediaKind},
    },
};

/// What a request to count tokens may wrap the request in that is counted.
pub(super) const WRAPPED: &str = "generateContentRequest";

/// The request that is meant: one to count tokens may hold it.
pub(super) fn inner<'tape, 'body>(root: Node<'tape, 'body>) -> Node<'tape, 'body> {
    fields::present(root, WRAPPED).unwrap_or(root)
}

pub(super) fn read(root: Node<'_, '_>) -> Result<Head, ReadError> {
    fields::spelled_once(root)?;
    let request = inner(root).expect_object()?;
    let contents = fields::present(request, "contents")
        .ok_or_else(|| request.error("`contents` is missing; send at least one"))?;
    let mut any = false;
    for content in fields::expect_each(contents)? {
        any = true;
        check_content(content)?;
    }
    if !any {
        return Err(contents.error("must hold at least one content"));
    }
    if let Some(system) = fields::present(request, "systemInstruction") {
        check_content(system.expect_object()?)?;
    }
    let config = fields::present(request, "generationConfig").map(Node::expect_object).transpose()?;
    let count = |name, least| {
        let node = config.and_then(|config| fields::present(config, name));
        node.map(|node: Node<'_, '_>| node.expect_count(least)).transpose()
    };
    Ok(Head {
        model_name: String::new(),
        stream: false,
        max_output: count("maxOutputTokens", 1)?,
        choices: count("candidateCount", 1)?.unwrap_or(1),
        wants_usage: true,
        tools: tools(request)?,
    })
}

pub(super) fn check_content(content: Node<'_, '_>) -> Result<(), ReadError> {
    match fields::present(content, "parts") {
        Some(parts) => fields::expect_each(parts).map(|_| ()),
        None => Ok(()),
    }
}

/// Functions by their names, and what the vendor runs by the name of its member: `googleSearch`.
fn tools(request: Node<'_, '_>) -> Result<Vec<ToolName>, ReadError> {
    let mut names = Vec::new();
    let Some(tools) = fields::present(request, "tools") else { return Ok(names) };
    for tool in fields::expect_each(tools)? {
        for (name, value) in fields::members(tool).filter(|(_, value)| !value.is_null()) {
            if name == "functionDeclarations" {
                for function in fields::expect_each(value)? {
                    names.push(ToolName::from(&*fields::required_text(function, "name")?));
                }
            } else {
                names.push(ToolName::from(&*name));
            }
        }
    }
    Ok(names)
}

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for (name, value) in fields::members(root) {
        match &*name {
            WRAPPED => walk(value, see),
            "systemInstruction" => walk_content(value, see),
            "contents" => fields::each(value).for_each(|content| walk_content(content, see)),
            "tools" => definition(value, see),
            "generationConfig" => {
                for (name, value) in fields::members(value) {
                    if matches!(&*name, "responseSchema" | "responseJsonSchema") {
                        definition(value, see);
                    }
                }
            }
            // What was cached is part of the prompt, and nobody here can see how long it is.
            "cachedContent" if value.is_string() => {
                see(Found::Media { kind: MediaKind::Other, tokens: estimate::UNSEEN });
            }
            _ => {}
        }
    }
}

fn definition(value: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    see(Found::Tools { node: value.id() });
    segments::tool_words(value, see);
}

/// A content of a request.
pub(super) fn walk_content(content: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    see(Found::Message);
    if content.is_string() {
        segments::text(Some(content), Origin::Prompt, see);
    }
    fields::list(content, "parts").for_each(|part| walk_part(part, Origin::Prompt, see));
}

/// A part of a request or of an answer. One part may hold several things, whatever the API says of it.
pub(super) fn walk_part(part: Node<'_, '_>, origin: Origin, see: &mut dyn FnMut(Found)) {
    for (name, value) in fields::members(part) {
        match &*name {
            "text" => segments::text(Some(value), origin, see),
            "functionCall" | "toolCall" => {
                for (name, value) in fields::members(value) {
                    match &*name {
                        "args" => segments::arguments(Some(value), origin, see),
                        "partialArgs" => {
                            for piece in fields::each(value) {
                                segments::text(fields::get(piece, "stringValue"), origin, see);
                            }
                        }
                        _ => {}
                    }
                }
            }
            "functionResponse" | "toolResponse" => {
                segments::arguments(fields::get(value, "response"), origin, see);
                fields::list(value, "parts").for_each(|part| walk_part(part, origin, see));
            }
            "executableCode" => segments::text(value.get("code"), origin, see),
            "codeExecutionResult" => segments::text(value.get("output"), origin, see),
            "inlineData" => {
                let kind = fields::text(value, "mimeType").unwrap_or_default();
                let length = value.get("data").map_or(0, |data| data.span().len());
                see(Found::Media { kind: media::kind(&kind), tokens: media::tokens(&kind, length) });
            }
            "fileData" => {
                let kind = fields::text(value, "mimeType").unwrap_or_default();
                see(Found::Media { kind: media::kind(&kind), tokens: estimate::UNSEEN });
            }
            "thought" | "thoughtSignature" | "videoMetadata" | "mediaResolution" => {}
            _ if matches!(value.kind(), Kind::Array | Kind::Object | Kind::String) => {
                segments::unknown(value, origin, see);
            }
            _ => {}
        }
    }
}

/// What the members of a request ask for, its contents and tools apart.
pub(super) fn asked(root: Node<'_, '_>) -> Asked {
    let mut asked = Asked::default();
    asked.service(fields::present(root, "serviceTier"));
    let tools = fields::list(root, "tools");
    let search =
        |name: &str| matches!(name, "googleSearch" | "googleSearchRetrieval" | "enterpriseWebSearch" | "googleMaps");
    if tools.flat_map(fields::members).any(|(name, _)| search(&name)) {
        asked.fees.set(Unit::GroundedPrompt, 1);
        asked.fees.set(Unit::WebSearch, MOST_SEARCHES);
    }
    let Some(config) = fields::present(root, "generationConfig") else { return asked };
    let schema = ["responseSchema", "responseJsonSchema"].iter().any(|name| fields::present(config, name).is_some());
    if schema {
        asked.needs.add(Capability::StructuredOutput);
    }
    let thinking = fields::present(config, "thinkingConfig");
    let budget = thinking.and_then(|thinking| fields::get(thinking, "thinkingBudget"));
    if thinking.is_some() && budget.and_then(Node::as_u64) != Some(0) {
        asked.needs.add(Capability::Reasoning);
    }
    asked.modalities(fields::present(config, "responseModalities"));
    asked
}
