//! JSON with comments and trailing commas, changed in place: what is not meant stays as it is, byte by byte.
//!
//! Owns finding a place in such a text and cutting there. Never writes a file, never repairs what is malformed: a text
//! that does not parse is refused with its line. `connect` edits other programs' settings with it.

mod read;

use serde::Serialize as _;
use serde_json::Value;

use self::read::{Kind, Node, parse};

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsoncError {
    /// The text is no JSON with comments.
    #[error("line {line}: {problem}")]
    Malformed {
        /// Where, counted from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// On the way stands something that holds nothing.
    #[error("`{0}` is there already and is no {1}")]
    Other(String, &'static str),
}

/// The value at a path; `None` where there is none.
pub(crate) fn get(text: &str, path: &[&str]) -> Result<Option<Value>, JsoncError> {
    Ok(raw(text, path)?.and_then(|raw| plain(&raw).ok()))
}

/// The text of the value at a path, as it is written.
pub(crate) fn raw(text: &str, path: &[&str]) -> Result<Option<String>, JsoncError> {
    let root = parse(text)?;
    let mut node = &root;
    for name in path {
        match node.member(name) {
            Some(member) => node = &member.value,
            None => return Ok(None),
        }
    }
    Ok(text.get(node.span.clone()).map(str::to_owned))
}

/// The whole text as a value, without its comments.
pub(crate) fn plain(text: &str) -> Result<Value, JsoncError> {
    Ok(parse(text)?.value(text))
}

/// The text with `value` at `path`; objects on the way are made where they are missing.
pub(crate) fn set(text: &str, path: &[&str], value: &Value) -> Result<String, JsoncError> {
    change(text, path, value, false)
}

/// The text with `value` as the last item of the array at `path`, which is made where it is missing.
pub(crate) fn append(text: &str, path: &[&str], value: &Value) -> Result<String, JsoncError> {
    change(text, path, value, true)
}

fn change(text: &str, path: &[&str], value: &Value, item: bool) -> Result<String, JsoncError> {
    if text.trim().is_empty() {
        let empty = if item && path.is_empty() { "[]\n" } else { "{}\n" };
        return change(empty, path, value, item);
    }
    let root = parse(text)?;
    let mut node = &root;
    for (at, name) in path.iter().enumerate() {
        if !matches!(node.kind, Kind::Object(_)) {
            return Err(JsoncError::Other(path.get(..at).unwrap_or_default().join("."), "object"));
        }
        let Some(member) = node.member(name) else {
            let mut inner = if item { Value::Array(vec![value.clone()]) } else { value.clone() };
            for name in path.iter().skip(at.saturating_add(1)).rev() {
                inner = Value::Object(std::iter::once(((*name).to_owned(), inner)).collect());
            }
            return Ok(insert(text, node, Some(name), &inner));
        };
        node = &member.value;
    }
    if !item {
        let written = pretty(value, &unit(text), &indent_at(text, node.span.start), newline(text));
        return Ok(splice(text, node.span.clone(), &written));
    }
    match node.kind {
        Kind::Array(_) => Ok(insert(text, node, None, value)),
        _ => Err(JsoncError::Other(path.join("."), "array")),
    }
}

/// Puts a member or an item behind the last one of a container.
fn insert(text: &str, holder: &Node, name: Option<&str>, value: &Value) -> String {
    let (unit, newline) = (unit(text), newline(text));
    let labelled = |indent: &str| {
        let written = pretty(value, &unit, indent, newline);
        name.map_or_else(|| written.clone(), |name| format!("{}: {written}", Value::from(name)))
    };
    let Some(last) = holder.ends().last() else {
        let outer = indent_at(text, holder.span.start);
        let inner = format!("{outer}{unit}");
        let inside = holder.span.start.saturating_add(1)..holder.span.end.saturating_sub(1);
        let kept = text.get(inside.clone()).unwrap_or_default().trim_end();
        return splice(text, inside, &format!("{kept}{newline}{inner}{}{newline}{outer}", labelled(&inner)));
    };
    let one_line = !text.get(holder.span.clone()).unwrap_or_default().contains('\n');
    let (comma, end) = match holder.trailing_comma {
        Some(at) => ("", at.saturating_add(1)),
        None => (",", last),
    };
    if one_line {
        let compact = name.map_or_else(|| value.to_string(), |name| format!("{}: {value}", Value::from(name)));
        return splice(text, end..end, &format!("{comma} {compact}"));
    }
    let indent = indent_at(text, holder.starts().last().unwrap_or(last));
    let after = if comma.is_empty() { "," } else { "" };
    let line = end.saturating_add(rest_of_line(text.get(end..holder.span.end).unwrap_or_default()));
    let inserted = splice(text, line..line, &format!("{newline}{indent}{}{after}", labelled(&indent)));
    splice(&inserted, end..end, comma)
}

/// How much of a line's rest belongs to what stands before it: spaces and a comment.
fn rest_of_line(rest: &str) -> usize {
    let line = rest.split(['\n', '\r']).next().unwrap_or_default();
    let said = line.trim_start();
    let whole =
        said.is_empty() || said.starts_with("//") || (said.starts_with("/*") && said.trim_end().ends_with("*/"));
    if whole { line.trim_end().len() } else { 0 }
}

/// The text without the member at `path`. Nothing where it is not there.
pub(crate) fn remove(text: &str, path: &[&str]) -> Result<String, JsoncError> {
    let Some((name, way)) = path.split_last() else { return Ok(text.to_owned()) };
    let root = parse(text)?;
    let mut node = &root;
    for name in way {
        match node.member(name) {
            Some(member) => node = &member.value,
            None => return Ok(text.to_owned()),
        }
    }
    let Kind::Object(members) = &node.kind else { return Ok(text.to_owned()) };
    let at = members.iter().rposition(|member| member.name == *name);
    Ok(at.map_or_else(|| text.to_owned(), |at| cut(text, node, at)))
}

/// The text without the items of the array at `path` that are `value`.
pub(crate) fn remove_item(text: &str, path: &[&str], value: &Value) -> Result<String, JsoncError> {
    let mut text = text.to_owned();
    loop {
        let root = parse(&text)?;
        let mut node = &root;
        for name in path {
            match node.member(name) {
                Some(member) => node = &member.value,
                None => return Ok(text),
            }
        }
        let Kind::Array(items) = &node.kind else { return Ok(text) };
        match items.iter().position(|item| item.value(&text) == *value) {
            Some(at) => text = cut(&text, node, at),
            None => return Ok(text),
        }
    }
}

/// Cuts one part out of a container, with the comma that belongs to it; comments stay.
fn cut(text: &str, holder: &Node, at: usize) -> String {
    let (starts, ends): (Vec<usize>, Vec<usize>) = (holder.starts().collect(), holder.ends().collect());
    let (Some(start), Some(end)) = (starts.get(at).copied(), ends.get(at).copied()) else { return text.to_owned() };
    let next = starts.get(at.saturating_add(1)).copied().unwrap_or(holder.span.end);
    let behind = comma(text, end..next);
    let to = behind.map_or(end, |comma| comma.saturating_add(1));
    let tail = text.get(to..).unwrap_or_default();
    let head = text.get(..start).unwrap_or_default();
    let before = at.checked_sub(1).and_then(|before| ends.get(before).copied());
    let lone = before.filter(|_| behind.is_none()).and_then(|before| comma(text, before..start));
    // The line's begin goes too, unless what follows would then stand behind another line's comment.
    let alone = tail.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']);
    let kept = match (alone, lone) {
        (true, _) => head.trim_end(),
        (false, Some(_)) => head.trim_end_matches([' ', '\t']),
        (false, None) => head,
    };
    let head = lone.map_or_else(|| kept.to_owned(), |comma| splice(kept, comma..comma.saturating_add(1), ""));
    format!("{head}{tail}")
}

/// Where a comma stands in a part of the text that holds only blanks, comments and perhaps a comma.
fn comma(text: &str, span: std::ops::Range<usize>) -> Option<usize> {
    let mut at = span.start;
    loop {
        let rest = text.get(at..span.end)?;
        let passed = match rest {
            rest if rest.starts_with(',') => return Some(at),
            rest if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            rest if rest.starts_with("/*") => rest.find("*/")?.saturating_add(2),
            rest => rest.chars().next()?.len_utf8(),
        };
        at = at.saturating_add(passed);
    }
}

fn splice(text: &str, span: std::ops::Range<usize>, new: &str) -> String {
    let (head, tail) = (text.get(..span.start).unwrap_or_default(), text.get(span.end..).unwrap_or_default());
    format!("{head}{new}{tail}")
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The blanks at the begin of the line of a place.
fn indent_at(text: &str, at: usize) -> String {
    let line = text.get(..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
    line.chars().take_while(|letter| *letter == ' ' || *letter == '\t').collect()
}

/// What one level is indented by: as the first indented line has it, else two spaces.
fn unit(text: &str) -> String {
    let indented = text.lines().find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
    let blanks: String = indented.unwrap_or("  ").chars().take_while(|letter| " \t".contains(*letter)).collect();
    if blanks.starts_with('\t') { "\t".to_owned() } else { blanks }
}

fn pretty(value: &Value, unit: &str, indent: &str, newline: &str) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    if value.serialize(&mut writer).is_err() {
        return value.to_string();
    }
    String::from_utf8_lossy(&bytes).replace('\n', &format!("{newline}{indent}"))
}

#[cfg(test)]
mod tests;
