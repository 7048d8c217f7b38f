//! Signed thoughts: where a `thoughtSignature` stands, and what becomes of those that other vendors signed.
//!
//! A signature belongs to the part that carries it, and goes back byte for byte on that part: on a function's call, on a
//! thought, or on a text. In the representation it is reasoning without words that stands before the call or after the
//! text. What another vendor signed is shown to this dialect's callers wrapped (the field holds base64), and is unwrapped
//! when it comes back. Never invents a signature; for calls that no model of this vendor made there is the value that
//! the vendor's documentation of thought signatures names for histories from elsewhere. Called by `decode`, `encode`,
//! `answer`, `stream` and `quirks`.

use crate::llm::{
    ir::Part,
    opaque::{self, Kind},
    target::TargetWire,
};

/// What tells the vendor not to look for a signature.
pub(super) const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Whether this gateway wrapped it: another vendor signed it.
pub(super) fn is_wrapped(signature: &str) -> bool {
    opaque::is_in_base64(signature)
}

/// What another vendor signed, for this dialect's field.
pub(super) fn wrap(kind: Kind, scope: Option<&str>, data: &str) -> String {
    opaque::to_base64(&opaque::wrap(kind, scope.unwrap_or_default(), data))
}

/// A thought of a caller's history, from its words and its signature.
pub(super) fn part(text: String, signature: Option<&str>) -> Part {
    let opened = signature.and_then(opaque::from_base64);
    let inner = opened.as_deref().and_then(opaque::unwrap);
    let scope = inner.map(|inner| inner.label).filter(|label| !label.is_empty()).map(str::to_owned);
    match inner {
        Some(inner) if inner.kind == Kind::Redacted => Part::RedactedReasoning { data: inner.data.to_owned(), scope },
        Some(inner) => Part::Reasoning { text, signature: Some(inner.data.to_owned()), scope },
        None => Part::Reasoning { text, signature: signature.map(str::to_owned), scope: None },
    }
}

/// Whether what was signed may be shown to the target.
pub(super) fn fits(signature: &str, scope: Option<&str>, to: &TargetWire<'_>) -> bool {
    !opaque::is_wrapped(signature) && to.reasoning_scope.is_none_or(|own| scope == Some(own))
}

/// For each part of a model's turn the signature that goes on it: one that stands by itself belongs to the call after
/// it, else to the first call of the turn that has none, else it stays where it is.
pub(super) fn placed<'turn>(parts: &'turn [Part], to: &TargetWire<'_>) -> Vec<Option<&'turn str>> {
    let mut placed: Vec<Option<&str>> = vec![None; parts.len()];
    let mut left = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let Part::Reasoning { text, signature: Some(signature), scope } = part else { continue };
        if !fits(signature, scope.as_deref(), to) {
            continue;
        }
        let next = at.saturating_add(1);
        if text.is_empty() && matches!(parts.get(next), Some(Part::ToolCall { .. })) {
            set(&mut placed, next, signature);
        } else if text.is_empty() {
            left.push((at, signature));
        } else {
            set(&mut placed, at, signature);
        }
    }
    // Of calls at once only the first is signed: a turn that has a signed call needs no other.
    let first = parts.iter().position(|part| matches!(part, Part::ToolCall { .. }));
    let is_signed =
        parts.iter().zip(&placed).any(|(part, place)| place.is_some() && matches!(part, Part::ToolCall { .. }));
    let mut call = first.filter(|_| !is_signed);
    for (at, signature) in left {
        set(&mut placed, call.take().unwrap_or(at), signature);
    }
    placed
}

fn set<'turn>(placed: &mut [Option<&'turn str>], at: usize, signature: &'turn str) {
    if let Some(place) = placed.get_mut(at) {
        *place = Some(signature);
    }
}
