//! The inside of strings: taking escapes out, and writing pointer tokens.
//!
//! Owns unescaping. Never sees a string that the scanner did not accept. Called by the tape and the scanner.

use std::borrow::Cow;

use super::tape::{Node, Tag};

/// The text of a string node, unescaped.
pub(super) fn text<'body>(node: Option<&Node>, bytes: &'body [u8]) -> Option<Cow<'body, str>> {
    let node = node.filter(|node| matches!(node.tag, Tag::Text | Tag::EscapedText))?;
    let inner = bytes.get((node.start as usize).checked_add(1)?..(node.end as usize).checked_sub(1)?)?;
    let text = simdutf8::basic::from_utf8(inner).ok()?;
    Some(if node.tag == Tag::Text { Cow::Borrowed(text) } else { Cow::Owned(unescape(text)) })
}

pub(super) fn push_token(out: &mut String, token: &str) {
    out.push('/');
    if token.contains(['~', '/']) {
        out.push_str(&token.replace('~', "~0").replace('/', "~1"));
    } else {
        out.push_str(token);
    }
}

/// Takes the escapes out of the inside of a string that the scanner accepted.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = memchr::memchr(b'\\', rest.as_bytes()).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(plain);
        let escape = escape.get(1..).unwrap_or_default();
        let mut characters = escape.chars();
        match characters.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (character, used) = unicode_escape(characters.as_str());
                out.push(character);
                rest = characters.as_str().get(used..).unwrap_or_default();
                continue;
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out
}

fn unicode_escape(after_u: &str) -> (char, usize) {
    let unit = |from: usize| after_u.get(from..from + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let high = unit(0);
    if (0xD800..0xDC00).contains(&high) {
        let low = unit(6);
        let scalar = 0x1_0000 + ((high - 0xD800) << 10) + low.saturating_sub(0xDC00);
        (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 10)
    } else {
        (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
    }
}
