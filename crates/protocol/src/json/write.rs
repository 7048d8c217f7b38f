//! Writing JSON: strings, and the canonical form that argument digests are taken of.
//!
//! Owns escaping. Never writes a float that it did not read. Called by edits, error bodies and digests.

use std::io::Write as _;

use tidegate_core::blocks::{ONES, first};

use super::tape::{Kind, NodeId, Tape};

/// Appends `text` as a JSON string with the fewest escapes (RFC 8785, section 3.2.2.2).
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len().saturating_add(2));
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = first_special(rest) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        match *byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0A => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            0x0D => out.extend_from_slice(b"\\r"),
            control => {
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte stands that is not written as it is: a quote, a backslash or a control character. Prompts are
/// long, and nearly every byte of them is plain.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let hits = |word: u64| {
        // A zero byte borrows, and borrows go upwards only. Bytes beyond ASCII are none.
        let is = |byte: u8| {
            let other = word ^ (ONES * u64::from(byte));
            other.wrapping_sub(ONES) & !other
        };
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        is(b'"') | is(b'\\') | control
    };
    first(bytes, hits, |byte| byte < 0x20 || byte == b'"' || byte == b'\\')
}

/// The canonical form of a value, after RFC 8785: members sorted by the UTF-16 units of their names, no white space,
/// fewest escapes. Integers stay exact however long they are; other numbers of up to 15 digits are written as
/// ECMAScript writes them, longer ones stay as they were, so that two numbers never share a form unless they are equal.
#[must_use]
pub fn canonical(bytes: &[u8], tape: &Tape, node: NodeId) -> Vec<u8> {
    canonical_with(bytes, tape, node, &|_| None)
}

/// The canonical form with others, canonical themselves, in the place of some values.
pub(crate) fn canonical_with(
    bytes: &[u8],
    tape: &Tape,
    node: NodeId,
    replaced: &dyn Fn(NodeId) -> Option<Vec<u8>>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(tape.span(node).len());
    append(&mut out, bytes, tape, node, replaced);
    out
}

fn append(out: &mut Vec<u8>, bytes: &[u8], tape: &Tape, node: NodeId, replaced: &dyn Fn(NodeId) -> Option<Vec<u8>>) {
    if let Some(written) = replaced(node) {
        out.extend_from_slice(&written);
        return;
    }
    match tape.kind(node) {
        Kind::Null | Kind::Bool => out.extend_from_slice(tape.raw(bytes, node)),
        Kind::Number => append_number(out, tape.raw(bytes, node), tape.is_integer(node)),
        Kind::String => write_text(out, &tape.text(bytes, node).unwrap_or_default()),
        Kind::Array => {
            out.push(b'[');
            for (index, element) in tape.elements(node).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                append(out, bytes, tape, element, replaced);
            }
            out.push(b']');
        }
        Kind::Object => {
            let mut members: Vec<_> = tape.members(bytes, node).collect();
            for member in &mut members {
                let renamed = replaced(member.key).and_then(|written| {
                    let name = super::scan(&written, &super::Limits::default()).ok()?;
                    name.text(&written, name.root()).map(std::borrow::Cow::into_owned)
                });
                if let Some(name) = renamed {
                    member.name = name.into();
                }
            }
            members.sort_by(|a, b| a.name.encode_utf16().cmp(b.name.encode_utf16()));
            out.push(b'{');
            for (index, member) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(out, &member.name);
                out.push(b':');
                append(out, bytes, tape, member.value, replaced);
            }
            out.push(b'}');
        }
    }
}

fn append_number(out: &mut Vec<u8>, raw: &[u8], integer: bool) {
    if integer {
        out.extend_from_slice(if raw == b"-0" { b"0" } else { raw });
        return;
    }
    match ecmascript(raw) {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => out.extend_from_slice(raw),
    }
}

/// `Number::toString` of ECMA-262 (section 6.1.6.1.20) for a decimal of up to 15 significant digits. `None` where the
/// nearest double would say something else than the text: more digits, or out of range.
fn ecmascript(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let mantissa = text.split(['e', 'E']).next()?;
    let significant = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    let number: f64 = text.parse().ok()?;
    let zero = significant == 0;
    if significant > 15 || !number.is_finite() || (!zero && number.abs() < f64::MIN_POSITIVE) {
        return None;
    }
    if zero {
        return Some("0".to_owned());
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e')?;
    let point = exponent.parse::<i32>().ok()?.checked_add(1)?;
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).ok()?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let body = if count <= point && point <= 21 {
        format!("{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at_checked(usize::try_from(point).ok()?)?;
        format!("{whole}.{fraction}")
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let sign = if point > 0 { '+' } else { '-' };
        let (first, rest) = digits.split_at_checked(1)?;
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{sign}{}", (point - 1).abs())
    };
    Some(if number < 0.0 { format!("-{body}") } else { body })
}
