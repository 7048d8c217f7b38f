//! What a translation could not carry over: kept with its place and the reason, for the audit record, a response
//! header, and strict routes that refuse.
//!
//! Owns the type, and the one loss that every dialect without hints of caching tells. A loss never holds content, only names and places.

use std::borrow::Cow;

use crate::llm::ir::{Part, Request};

/// Something of a request or an answer that the other dialect cannot express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood in the source body, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What it is, in the words of the source dialect: `logprobs`, `cache_control`.
    pub what: Cow<'static, str>,
    /// What became of it and why, in one clause.
    pub why: &'static str,
}

impl Loss {
    pub(crate) fn new(pointer: impl Into<String>, what: impl Into<Cow<'static, str>>, why: &'static str) -> Self {
        Self { pointer: pointer.into(), what: what.into(), why }
    }
}

/// One loss for all hints: a conversation holds many, and they change the price, not the answer.
pub(crate) fn of_cache_hints(request: &Request, losses: &mut Vec<Loss>) {
    let hinted = |part: &Part| {
        matches!(
            part,
            Part::Text { cache: Some(_), .. }
                | Part::Image { cache: Some(_), .. }
                | Part::Document { cache: Some(_), .. }
                | Part::ToolCall { cache: Some(_), .. }
                | Part::ToolResult { cache: Some(_), .. }
        )
    };
    let system = request.system.iter().any(|(_, cache)| cache.is_some());
    let tools = request.tools.iter().find(|tool| tool.cache.is_some()).map(|tool| tool.pointer.clone());
    let message =
        request.messages.iter().find(|message| message.parts.iter().any(hinted)).map(|message| message.pointer.clone());
    if let Some(pointer) = tools.or(system.then(|| "/system".to_owned())).or(message) {
        losses.push(Loss::new(pointer, "cache_control", "dropped: the target caches by itself"));
    }
}
