//! OpenAI's two older ways of asking: `/completions` (a text is continued) and `/embeddings` (a text becomes numbers).
//!
//! Owns what the gateway reads of both, requests and answers. Never looks at members that it does not interpret. Their
//! streams are read by `stream`, since a chunk of a completion differs from one of a chat only in where its text stands.

use serde::{Deserialize, de::IgnoredAny};
use tidegate_core::{
    segment::Origin,
    usage::{Usage, UsageSource},
};

use crate::{
    json::Kind,
    llm::{
        error::{AnswerError, ReadError},
        estimate,
        model_call::{Head, MOST_MODEL_NAME, Operation},
        node::Node,
        segments::{self, Found, MediaKind},
    },
};

/// The most prompts of one completion, and inputs of one request for embeddings: as OpenAI has it.
const MOST_INPUTS: usize = 2048;

pub(super) fn read(root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
    let model = root.get("model").ok_or_else(|| root.error("`model` is missing; name one as in the list of models"))?;
    let model_name = model.expect_text()?;
    if model_name.is_empty() || model_name.len() > MOST_MODEL_NAME {
        return Err(model.error("must be a model's name of 1 to 256 bytes"));
    }
    let head = Head {
        model_name: model_name.into_owned(),
        stream: false,
        max_output: Some(0),
        choices: 1,
        wants_usage: false,
        tools: Vec::new(),
    };
    if operation == Operation::Embed {
        inputs(root, "input", true)?;
        return Ok(head);
    }
    let prompts = inputs(root, "prompt", false)?;
    let count = |name, least| root.present(name).map(|node: Node<'_, '_>| node.expect_count(least)).transpose();
    let stream = root.present("stream").map(Node::expect_bool).transpose()?.unwrap_or(false);
    let options = root.present("stream_options").map(Node::expect_object).transpose()?;
    let wants_usage =
        options.and_then(|options| options.present("include_usage")).map(Node::expect_bool).transpose()?;
    // `best_of` answers are generated, and paid for, where `n` are given.
    let each = count("n", 0)?.max(count("best_of", 0)?).unwrap_or(1).max(1);
    Ok(Head {
        stream,
        max_output: count("max_tokens", 0)?,
        choices: each.saturating_mul(prompts),
        wants_usage: wants_usage.unwrap_or(false),
        ..head
    })
}

/// How many texts are asked about. Each is a string or an array of tokens; several stand in an array.
fn inputs(root: Node<'_, '_>, name: &str, required: bool) -> Result<u64, ReadError> {
    let Some(node) = root.present(name) else {
        let missing = || root.error(format!("`{name}` is missing; send a text or an array of texts"));
        return if required { Err(missing()) } else { Ok(1) };
    };
    match node.kind() {
        Kind::String => Ok(1),
        Kind::Array => {
            let mut items = node.items();
            let Some(first) = items.next() else { return Err(node.error("must hold at least one text")) };
            if first.kind() == Kind::Number {
                tokens(node)?;
                return Ok(1);
            }
            let mut length = 0_usize;
            for item in node.items() {
                length = length.saturating_add(1);
                match item.kind() {
                    Kind::String => {}
                    Kind::Array => tokens(item)?,
                    _ => return Err(item.error("must be a text or an array of tokens")),
                }
            }
            if length > MOST_INPUTS {
                return Err(node.error(format!("must hold at most {MOST_INPUTS} texts")));
            }
            Ok(u64::try_from(length).unwrap_or(u64::MAX))
        }
        _ => Err(node.error("must be a text, an array of texts, or tokens")),
    }
}

fn tokens(node: Node<'_, '_>) -> Result<(), ReadError> {
    match node.items().find(|item| item.as_u64().is_none()) {
        Some(other) => Err(other.error("must be a token: a whole number that is not negative")),
        None => Ok(()),
    }
}

/// Shows the texts of a request; tokens are only counted, since no guard can read them.
pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for (name, value) in root.members() {
        match &*name {
            "input" | "prompt" => walk_input(value, see),
            "suffix" => segments::text(Some(value), Origin::Prompt, see),
            _ => {}
        }
    }
}

fn walk_input(value: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    let count = |node: Node<'_, '_>| {
        u64::try_from(node.items().filter(|item| item.kind() == Kind::Number).count()).unwrap_or(u64::MAX)
    };
    match value.kind() {
        Kind::String => {
            see(Found::Message);
            segments::text(Some(value), Origin::Prompt, see);
        }
        Kind::Array => {
            see(Found::Media { kind: MediaKind::Other, tokens: count(value).saturating_add(estimate::PER_MESSAGE) });
            for item in value.items() {
                see(Found::Media { kind: MediaKind::Other, tokens: count(item).saturating_add(estimate::PER_MESSAGE) });
                segments::text(Some(item), Origin::Prompt, see);
            }
        }
        _ => {}
    }
}

/// Shows the texts of a completion's answer.
pub(super) fn walk_answer(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for choice in root.get("choices").into_iter().flat_map(Node::items) {
        for (name, value) in choice.members() {
            // What stands beside the text, and is not numbers about it, may be text as well.
            if &*name != "logprobs" {
                segments::unknown(value, Origin::Completion, see);
            }
        }
    }
}

/// What is read of the answer to a request for embeddings. Its numbers may be millions, so they are passed over and not
/// put on a tape.
#[derive(Deserialize)]
struct Embeddings {
    #[expect(dead_code, reason = "it must be there, and nothing in it is looked at")]
    data: Vec<IgnoredAny>,
    usage: Option<EmbeddingsUsage>,
}

#[derive(Deserialize)]
struct EmbeddingsUsage {
    prompt_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

/// The tokens that an answer with embeddings used, where it says so.
pub(super) fn embeddings_usage(body: &[u8]) -> Result<Option<Usage>, AnswerError> {
    let answer: Embeddings =
        serde_json::from_slice(body).map_err(|error| AnswerError(format!("it holds no embeddings: {error}").into()))?;
    let counted = answer.usage.and_then(|usage| usage.prompt_tokens.or(usage.total_tokens));
    Ok(counted.map(|input| Usage { input, source: UsageSource::Vendor, ..Usage::default() }))
}

#[cfg(test)]
mod tests;
