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
    while let Some((plain, escape)) = first_backslash(rest.as_bytes()).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(plain);
        let after = escape.get(2..).unwrap_or_default();
        rest = after;
        match escape.as_bytes().get(1) {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let (character, used) = unicode_escape(after);
                out.push(character);
                rest = after.get(used..).unwrap_or_default();
            }
            Some(other) => out.push(char::from(*other)),
            None => {}
        }
    }
    out.push_str(rest);
    out
}

/// Where the first backslash stands. Escapes stand close together in text that has any, so that setting up a search
/// that is faster over long distances would cost more than it saves.
fn first_backslash(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const BACKSLASHES: u64 = ONES * b'\\' as u64;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let other = u64::from_le_bytes(*word) ^ BACKSLASHES;
        // Borrows go upwards only, so the lowest hit is exact.
        let hits = other.wrapping_sub(ONES) & !other & (ONES << 7);
        if hits != 0 {
            return Some(at + (hits.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    tail.iter().position(|byte| *byte == b'\\').map(|place| at + place)
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
