//! Private keys in PEM (RFC 7468, and the older forms with headers) and PGP armour.
//!
//! A block counts from its first line, as soon as base64 or a header follows, up to its last line; where that is
//! missing, up to the first character that no such block holds. Line ends may be written as escapes. A first line
//! alone, as documentation quotes it, is none.

use std::sync::Arc;

use crate::guard::{Class, Input, Peek, Sink};

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
/// The longest first line after `BEGIN`.
const MAX_LABEL: usize = 48;
/// How many spaces and line ends may stand between the first line and the body.
const MAX_GAP: usize = 32;
/// How many characters of base64 make a body.
const MIN_BODY: usize = 24;
const HEADERS: [&[u8]; 6] = [b"Proc-Type:", b"DEK-Info:", b"Version:", b"Comment:", b"Charset:", b"Hash:"];

/// The part that looks for private keys.
pub(super) struct Pem {
    private_key: Arc<str>,
    service_account: Arc<str>,
}

impl Pem {
    pub(super) fn new() -> Self {
        Self {
            private_key: Arc::from("secret.private_key"),
            service_account: Arc::from("secret.gcp_service_account_key"),
        }
    }

    /// Looks at a run of dashes.
    pub(super) fn look(&self, input: &Input<'_>, start: usize, end: usize, out: &mut Sink) {
        let at = end.saturating_sub(DASHES.len()).max(start);
        if at < input.from() {
            return;
        }
        match self.begin(input, at) {
            Err(()) => out.open(at, &self.private_key),
            Ok(None) => {}
            Ok(Some(body)) => {
                let category = self.category(input, at);
                match end_of(input, body) {
                    Err(()) => out.certain(at, body + MIN_BODY, category),
                    Ok(end) => out.hit(at, at..end, category),
                }
            }
        }
    }

    fn category(&self, input: &Input<'_>, at: usize) -> &Arc<str> {
        let before = input.slice(at.saturating_sub(24), at);
        if memchr::memmem::find(before, b"private_key\"").is_some()
            || memchr::memmem::find(before, b"private_key\\\"").is_some()
        {
            &self.service_account
        } else {
            &self.private_key
        }
    }

    /// Where the body starts of a block that begins at `at`.
    fn begin(&self, input: &Input<'_>, at: usize) -> Result<Option<usize>, ()> {
        match input.literal(at, BEGIN) {
            Some(true) => {}
            Some(false) => return Ok(None),
            None => return Err(()),
        }
        let label = at + BEGIN.len();
        let mut place = label;
        loop {
            match input.peek(place) {
                Peek::Byte(byte) if byte == b' ' || byte.is_ascii_uppercase() || byte.is_ascii_digit() => place += 1,
                Peek::Byte(b'-') => break,
                Peek::More if place - label <= MAX_LABEL => return Err(()),
                _ => return Ok(None),
            }
            if place - label > MAX_LABEL {
                return Ok(None);
            }
        }
        let name = input.slice(label, place);
        if !name.ends_with(b"PRIVATE KEY") && !name.ends_with(b"PRIVATE KEY BLOCK") {
            return Ok(None);
        }
        match input.literal(place, DASHES) {
            Some(true) => {}
            Some(false) => return Ok(None),
            None => return Err(()),
        }
        body(input, place + DASHES.len())
    }
}

/// Where the body starts, if one follows the first line that ends at `at`.
fn body(input: &Input<'_>, at: usize) -> Result<Option<usize>, ()> {
    let mut place = at;
    loop {
        match input.peek(place) {
            Peek::Byte(byte) if byte.is_ascii_whitespace() => place += 1,
            Peek::Byte(b'\\') => match input.peek(place + 1) {
                Peek::Byte(b'n' | b'r' | b't' | b'\\') => place += 2,
                Peek::More => return Err(()),
                _ => return Ok(None),
            },
            Peek::Byte(_) => break,
            Peek::End => return Ok(None),
            Peek::More => return Err(()),
        }
        if place - at > MAX_GAP {
            return Ok(None);
        }
    }
    // After `\\` the letter of the escape was passed as well, so `place` is where base64 starts.
    let mut open = false;
    for header in HEADERS {
        match input.literal(place, header) {
            Some(true) => return Ok(Some(place)),
            Some(false) => {}
            None => open = true,
        }
    }
    let run = input.slice(place, input.len().min(place + MIN_BODY));
    let length = run.iter().take_while(|byte| Class::BASE64.has(**byte)).count();
    match () {
        () if length >= MIN_BODY => Ok(Some(place)),
        () if open || (length == run.len() && !input.is_complete()) => Err(()),
        () => Ok(None),
    }
}

/// Where the block ends whose body starts at `body`.
fn end_of(input: &Input<'_>, body: usize) -> Result<usize, ()> {
    let stop = input.run_end(Class::PEM, body);
    let inside = input.slice(body, stop);
    let Some(dashes) = memchr::memmem::find(inside, DASHES).map(|offset| body + offset) else {
        return if stop == input.len() && !input.is_complete() { Err(()) } else { Ok(trimmed(input, body, stop)) };
    };
    match input.literal(dashes, b"-----END ") {
        None => Err(()),
        Some(false) => Ok(trimmed(input, body, dashes)),
        Some(true) => {
            let label = dashes + b"-----END ".len();
            let limit = label + MAX_LABEL;
            let rest = input.slice(label, input.len().min(limit));
            match memchr::memmem::find(rest, DASHES) {
                Some(offset) => Ok(label + offset + DASHES.len()),
                None if label + rest.len() < limit && !input.is_complete() => Err(()),
                None => Ok(label),
            }
        }
    }
}

/// `end` without the spaces before it.
fn trimmed(input: &Input<'_>, start: usize, end: usize) -> usize {
    start + input.slice(start, end).trim_ascii_end().len()
}

#[cfg(test)]
mod tests;
