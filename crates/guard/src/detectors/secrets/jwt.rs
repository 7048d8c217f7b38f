//! JSON Web Tokens (RFC 7519) in compact form: signed (RFC 7515) and encrypted (RFC 7516).
//!
//! Known by the header, which is decoded and must be a JSON object that names an algorithm or a type. From then on it
//! is one whatever follows, up to the end of the run; the signature is not checked.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::guard::{Class, Input, Peek, Sink};

/// The longest header that is decoded, in characters.
const MAX_HEADER: usize = 2048;
/// How much of the second part must be there.
const MIN_PAYLOAD: usize = 8;

/// The part that looks for JSON Web Tokens.
pub(super) struct Jwt {
    category: Arc<str>,
}

impl Jwt {
    pub(super) fn new() -> Self {
        Self { category: Arc::from("secret.jwt") }
    }

    /// Looks at a place where a word starts.
    pub(super) fn look(&self, input: &Input<'_>, at: usize, out: &mut Sink) {
        if input.before(at).is_some_and(|byte| matches!(byte, b'_' | b'-')) {
            return;
        }
        match input.literal(at, b"eyJ") {
            Some(true) => {}
            Some(false) => return,
            None => return out.open(at, &self.category),
        }
        let header_end = input.run_end(Class::WORD, at);
        if header_end - at > MAX_HEADER {
            return;
        }
        match input.peek(header_end) {
            Peek::Byte(b'.') => {}
            Peek::More => return out.open(at, &self.category),
            _ => return,
        }
        if !is_header(input.slice(at, header_end)) {
            return;
        }
        let payload = header_end + 1;
        let payload_end = input.run_end(Class::WORD, payload);
        if payload_end - payload < MIN_PAYLOAD {
            if payload_end == input.len() && !input.is_complete() {
                out.open(at, &self.category);
            }
            return;
        }
        let mut end = input.run_end(Class::DOTTED, at);
        if end == input.len() && !input.is_complete() {
            out.certain(at, payload + MIN_PAYLOAD, &self.category);
            return;
        }
        while input.before(end) == Some(b'.') {
            end -= 1;
        }
        out.hit(at, at..end, &self.category);
    }
}

/// Whether these characters encode the header of a token.
fn is_header(encoded: &[u8]) -> bool {
    let Ok(header) = URL_SAFE_NO_PAD.decode(encoded) else { return false };
    let names = |name: &[u8]| memchr::memmem::find(&header, name).is_some();
    header.starts_with(b"{") && header.ends_with(b"}") && (names(b"\"alg\"") || names(b"\"typ\"") || names(b"\"enc\""))
}

#[cfg(test)]
mod tests;
