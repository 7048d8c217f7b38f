//! Values that a model sees only as tokens, and the way back, for as long as one exchange lasts.
//!
//! Owns the map from tokens to the caller's own values. A token is the value's kind and letters of a keyed hash, so that
//! the same value is the same token in every call of one organisation and says nothing to anybody else. Never outlives
//! the exchange, is never written down, and has no `Debug` of what it holds. The proxy's guard stages make one per
//! call; [`crate::Hold`] restores with it inside streams.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{
    chain::{Raw, RawHit, RawOpen},
    finding::Finding,
    guard::{Input, Peek},
};

/// How many letters of the hash a token has: four bits each.
const LETTERS: usize = 16;
/// The longest kind.
const MOST_KIND: usize = 40;
/// What finds a token.
const DETECTOR: &str = "token";

/// The keyed hash of a kind and a value: 64 bits of it.
pub type Seal = Box<dyn Fn(&str, &str) -> [u8; 8] + Send + Sync>;

/// The tokens of one exchange.
pub struct Tokens {
    guardrail: GuardrailName,
    seal: Seal,
    values: HashMap<Box<str>, Arc<str>>,
    own: HashSet<Arc<str>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.values.len())
    }
}

impl Tokens {
    /// None yet; `guardrail` is named where a token comes back that was not given.
    #[must_use]
    pub fn new(guardrail: GuardrailName, seal: Seal) -> Self {
        Self { guardrail, seal, values: HashMap::new(), own: HashSet::new() }
    }

    /// Gives every finding that is to be tokenized its token, which [`crate::redact`] then puts in its place. A value
    /// that does not stand in JSON as it is written gets none and is redacted, since it may come back inside of
    /// arguments.
    pub fn issue(&mut self, text: &str, findings: &mut [Finding]) {
        for finding in findings.iter_mut().filter(|finding| finding.action == GuardAction::Tokenize) {
            let Some(value) = text.get(finding.range.clone()).filter(|value| is_plain(value)) else { continue };
            let token = token(finding.kind(), (self.seal)(finding.kind(), value));
            let value: Arc<str> = value.into();
            self.own.insert(Arc::clone(&value));
            self.values.insert(token.clone().into(), value);
            finding.replacement = Some(token.into());
        }
    }

    /// Changes what was found in an answer: tokens are restored or, where they are not of this exchange, redacted; the
    /// caller's own values may pass.
    pub fn restore(&self, origin: Origin, text: &str, found: &mut Vec<Finding>) {
        let mut raw = Raw::default();
        let failures: Vec<Finding> = found.extract_if(.., |finding| finding.is_failure()).collect();
        raw.hits.extend(found.drain(..).map(|finding| RawHit { anchor: finding.range.start, finding }));
        self.look(origin, &Input::new(text, 0, true), &mut raw);
        *found = crate::finding::resolve(raw.hits.into_iter().map(|hit| hit.finding).collect());
        found.extend(failures);
    }

    /// As [`Self::restore`], for what is found and open in unfinished text.
    pub(crate) fn look(&self, origin: Origin, input: &Input<'_>, raw: &mut Raw) {
        raw.hits.retain(|hit| {
            let text = input.text().get(hit.finding.range.clone()).unwrap_or_default();
            hit.finding.action != GuardAction::Tokenize || !self.own.contains(text)
        });
        for offset in memchr::memchr_iter(b'[', input.slice(input.from(), input.len())) {
            let start = input.from() + offset;
            let finding = |end: usize, kind: &str, replacement| Finding {
                range: start..end,
                detector: DETECTOR,
                category: format!("token.{kind}").into(),
                guardrail: self.guardrail.clone(),
                action: GuardAction::Tokenize,
                origin,
                replacement,
            };
            match read(input, start) {
                Err(()) => raw.opens.push(RawOpen {
                    anchor: start,
                    certain: None,
                    finding: finding(input.len(), "unfinished", None),
                }),
                Ok(None) => {}
                Ok(Some((kind, end))) => {
                    let value = input.text().get(start..end).and_then(|token| self.values.get(token));
                    raw.hits.push(RawHit { anchor: start, finding: finding(end, kind, value.cloned()) });
                }
            }
        }
    }
}

/// `[email#…]`, in letters from a to p: no detector takes it for anything.
fn token(kind: &str, hash: [u8; 8]) -> String {
    let letter = |nibble: u8| char::from(b'a' + (nibble & 0xF));
    let mut token = format!("[{kind}#");
    for byte in hash {
        token.push(letter(byte >> 4));
        token.push(letter(byte));
    }
    token.push(']');
    token
}

/// The kind and the end of the token that starts at `start`; `Err` where the text ends inside it.
fn read<'t>(input: &Input<'t>, start: usize) -> Result<Option<(&'t str, usize)>, ()> {
    let mut at = start + 1;
    let mut run = |most: usize, fits: fn(u8) -> bool| {
        let from = at;
        loop {
            match input.peek(at) {
                Peek::Byte(byte) if fits(byte) && at - from < most => at += 1,
                Peek::More => return Err(()),
                Peek::Byte(byte) => {
                    at += 1;
                    return Ok((at - 1 - from, byte));
                }
                Peek::End => return Ok((at - from, 0)),
            }
        }
    };
    let kind = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let (length, stop) = run(MOST_KIND, kind)?;
    if length == 0 || stop != b'#' {
        return Ok(None);
    }
    let (letters, stop) = run(LETTERS, |byte| (b'a'..=b'p').contains(&byte))?;
    if letters != LETTERS || stop != b']' {
        return Ok(None);
    }
    Ok(input.text().get(start + 1..start + 1 + length).map(|kind| (kind, at)))
}

/// Whether a value stands in a JSON string as it is.
fn is_plain(value: &str) -> bool {
    !value.chars().any(|character| character.is_control() || matches!(character, '"' | '\\'))
}

#[cfg(test)]
mod tests;
