//! Embeddings: `embedContent` and `batchEmbedContents`.
//!
//! Owns what the gateway reads of them. Never translates them: numbers of one model mean nothing to another's. Called by
//! the dialect.

use tidegate_core::usage::Usage;

use super::{fields, head, wire};
use crate::llm::{
    error::{AnswerError, ReadError},
    model_call::{Head, Operation},
    node::{Document, Node},
    segments::Found,
};

pub(super) fn read(root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
    fields::spelled_once(root)?;
    if operation == Operation::EmbedBatch {
        let requests = fields::present(root, "requests")
            .ok_or_else(|| root.error("`requests` is missing; send at least one with its `content`"))?;
        for request in fields::expect_each(requests)? {
            check(request)?;
        }
    } else {
        check(root)?;
    }
    Ok(Head {
        model_name: String::new(),
        stream: false,
        max_output: Some(0),
        choices: 1,
        wants_usage: true,
        tools: Vec::new(),
    })
}

fn check(request: Node<'_, '_>) -> Result<(), ReadError> {
    let content = fields::present(request, "content").ok_or_else(|| request.error("`content` is missing"))?;
    head::check_content(content.expect_object()?)
}

pub(super) fn walk(root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
    for request in std::iter::once(root).chain(fields::list(root, "requests")) {
        if let Some(content) = fields::get(request, "content") {
            head::walk_content(content, see);
        }
    }
}

/// What an answer says it used: newer models say it, older ones do not.
pub(super) fn usage(body: &[u8]) -> Result<Option<Usage>, AnswerError> {
    let document = Document::parse(body).map_err(|error| AnswerError(error.to_string().into()))?;
    let root = document.root();
    if fields::get(root, "embedding").or_else(|| fields::get(root, "embeddings")).is_none() {
        return Err(AnswerError("it holds neither `embedding` nor `embeddings`".into()));
    }
    Ok(fields::get(root, "usageMetadata").and_then(wire::usage))
}
