//! YAML and JSON as a tree in which every value knows its place.
//!
//! The only module that touches the YAML parser. Bounds size, depth, values and aliases; refuses duplicate names, merge
//! keys and several documents; translates what the parser says into words. Called by `document`.

use std::{fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::{
    codes,
    problem::{Problem, quote},
    source::{Source, Span},
};

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 32;
/// The most values of one file, aliases expanded.
const MAX_VALUES: usize = 200_000;

/// The most values that aliases of one file expand to.
const MAX_REPLAYED: usize = 20_000;

/// The most repeated names of one file that are reported.
const MOST_PROBLEMS: usize = 100;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    /// A number with a fraction or exponent.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A member of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) name_span: Span,
    pub(crate) value: Node,
}

impl Node {
    /// What kind of value this is.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// What this is, in words, without its content where that may be a secret.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null | Value::List(_) | Value::Map(_) => self.kind().to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Integer(number) => format!("the number {number}"),
            Value::Number(number) => format!("the number {number}"),
            Value::Text(text) => format!("the text {}", quote(text)),
        }
    }
}

/// Reads one file. Duplicate names are reported all at once, with the tree that keeps the first of each.
pub(crate) fn parse(file: u32, source: &Source) -> (Option<Node>, Vec<Problem>) {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::MergeKeyPolicy::AsOrdinary,
        with_snippet: false,
        budget: Some(budget()),
        alias_limits: alias_limits(),
    };
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let shift = source.text.len().saturating_sub(text.len());
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => {
            let mut place = Place { file, shift, source, problems: Vec::new() };
            let node = place.node(raw, "");
            (Some(node), place.problems)
        }
        Err(error) => (None, vec![translate(&error, file, shift, source)]),
    }
}

fn budget() -> serde_saphyr::Budget {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    budget.max_nodes = MAX_VALUES;
    budget.max_events = MAX_VALUES.saturating_mul(2);
    budget.max_aliases = 1_000;
    budget.max_anchors = 1_000;
    budget.max_documents = 1;
    budget
}

fn alias_limits() -> serde_saphyr::options::AliasLimits {
    let mut limits = serde_saphyr::options::AliasLimits::default();
    limits.max_total_replayed_events = MAX_REPLAYED;
    limits.max_replay_stack_depth = 16;
    limits
}

/// What the parser gives, before places are turned into spans.
enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor(PhantomData))
    }
}

struct RawVisitor(PhantomData<Raw>);

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Raw, E> {
        i128::try_from(value).map(Raw::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            if map.len() >= MAX_VALUES {
                return Err(A::Error::custom("a mapping has too many members"));
            }
            map.push(member);
        }
        Ok(Raw::Map(map))
    }
}

struct Place<'source> {
    file: u32,
    shift: usize,
    source: &'source Source,
    problems: Vec<Problem>,
}

impl Place<'_> {
    fn span(&self, location: Location, scalar: bool) -> Span {
        span(location, scalar, self.file, self.shift, self.source)
    }

    fn node(&mut self, raw: Spanned<Raw>, path: &str) -> Node {
        let scalar = !matches!(raw.value, Raw::List(_) | Raw::Map(_));
        let span = self.span(raw.defined, scalar);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Integer(number) => Value::Integer(number),
            Raw::Number(number) => Value::Number(number),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(
                items.into_iter().enumerate().map(|(at, item)| self.node(item, &format!("{path}[{at}]"))).collect(),
            ),
            Raw::Map(members) => Value::Map(self.members(members, path)),
        };
        Node { span, value }
    }

    fn members(&mut self, members: Vec<(Spanned<String>, Spanned<Raw>)>, path: &str) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(members.len());
        let mut seen: std::collections::HashMap<String, Span> = std::collections::HashMap::new();
        for (name, value) in members {
            let name_span = self.span(name.defined, true);
            let here = join(path, &name.value);
            if name.value == "<<" {
                self.problems.push(
                    Problem::new(codes::MERGE_KEY, Some(name_span), here, "merge keys are not part of YAML 1.2")
                        .hint("repeat the fields, or refer to a named object"),
                );
                continue;
            }
            if let Some(first) = seen.get(&name.value) {
                if self.problems.len() >= MOST_PROBLEMS {
                    continue;
                }
                let line = line_of(self.source, *first);
                self.problems.push(
                    Problem::new(
                        codes::DUPLICATE,
                        Some(name_span),
                        here,
                        format!("{} stands twice", quote(&name.value)),
                    )
                    .hint(format!("the first one is at line {line}: remove one of the two")),
                );
                continue;
            }
            let value = self.node(value, &here);
            seen.insert(name.value.clone(), name_span);
            entries.push(Entry { name: name.value, name_span, value });
        }
        entries
    }
}

fn line_of(source: &Source, span: Span) -> usize {
    let start = crate::source::floor(&source.text, usize::try_from(span.start).unwrap_or(0));
    source.text.get(..start).unwrap_or_default().bytes().filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// A path and one more name: `models.chat`; names that would be misread are quoted.
pub(crate) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let name = if plain { name.to_owned() } else { quote(name).replace('`', "\"") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The bytes of a location. The parser gives the whole of a scalar; of a list or mapping the first line is enough.
fn span(location: Location, scalar: bool, file: u32, shift: usize, source: &Source) -> Span {
    let text = source.text.as_str();
    let by_bytes =
        location.span().byte_offset().map(|at| usize::try_from(at).unwrap_or(usize::MAX).saturating_add(shift));
    let start = crate::source::floor(text, by_bytes.unwrap_or_else(|| offset(text, location)));
    let length = location.span().byte_len().map_or(1, |len| usize::try_from(len).unwrap_or(1));
    let mut end = crate::source::floor(text, start.saturating_add(length.max(1)));
    if !scalar {
        let line = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| at.saturating_add(start));
        end = end.min(line);
    }
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: narrow(start), end: narrow(end.max(start)) }
}

/// The byte that a line and column name.
fn offset(text: &str, location: Location) -> usize {
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let within: usize =
        text.get(start..).unwrap_or_default().chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    start.saturating_add(within)
}

/// What the parser found, in words.
fn translate(error: &serde_saphyr::Error, file: u32, shift: usize, source: &Source) -> Problem {
    use serde_saphyr::Error as Yaml;
    let error = error.without_snippet();
    if let Yaml::AliasError { error: inner, .. } = error {
        // Where the alias stands says more than where what it names does.
        let at = error.location().map(|location| span(location, false, file, shift, source));
        let problem = translate(inner, file, shift, source);
        return Problem { span: at.or(problem.span), ..problem };
    }
    let at = error.location().map(|location| span(location, false, file, shift, source));
    let (code, message, hint) = match error {
        Yaml::MultipleDocuments { .. } => {
            (codes::DOCUMENTS, String::from("the file holds several documents"), "remove the `---` line between them")
        }
        Yaml::Eof { .. } => {
            (codes::EMPTY, String::from("the file is empty"), "start with `version: 1`, or run `tidegate init`")
        }
        Yaml::AliasReplayCounterOverflow { .. }
        | Yaml::AliasReplayLimitExceeded { .. }
        | Yaml::AliasExpansionLimitExceeded { .. }
        | Yaml::AliasReplayStackDepthExceeded { .. }
        | Yaml::RecursiveReferencesRequireWeakTypes { .. } => (
            codes::ALIASES,
            String::from("the anchors and aliases expand to too much"),
            "write the values out where they are needed",
        ),
        Yaml::UnknownAnchor { .. } => (
            codes::SYNTAX,
            String::from("an alias names an anchor that is not defined"),
            "put quotes around a text that starts with `*`",
        ),
        Yaml::UnsupportedTag { .. } | Yaml::TaggedEnumMismatch { .. } | Yaml::InvalidBinaryBase64 { .. } => {
            (codes::TAG, String::from("tags have no meaning here"), "remove the tag")
        }
        Yaml::Budget { .. } => over_budget(&error.to_string()),
        Yaml::InvalidUtf8Input => {
            (codes::UNREADABLE, String::from("the file is not UTF-8"), "save it with the encoding UTF-8")
        }
        other => syntax(&other.to_string(), at, source),
    };
    Problem::new(code, at, "", message).hint(hint)
}

fn over_budget(said: &str) -> (codes::Code, String, &'static str) {
    let said = said.to_ascii_lowercase();
    if said.contains("depth") || said.contains("nesting") {
        (codes::TOO_DEEP, format!("more than {MAX_DEPTH} levels of nesting"), "name parts of it as models of their own")
    } else if said.contains("alias") || said.contains("anchor") {
        (
            codes::ALIASES,
            String::from("the anchors and aliases expand to too much"),
            "write the values out where they are needed",
        )
    } else if said.contains("document") {
        (codes::DOCUMENTS, String::from("the file holds several documents"), "remove the `---` line between them")
    } else {
        (
            codes::TOO_LARGE,
            format!("more than {MAX_VALUES} values in one file"),
            "split it: `-c` takes a folder of files",
        )
    }
}

/// A mistake in the text itself.
fn syntax(said: &str, at: Option<Span>, source: &Source) -> (codes::Code, String, &'static str) {
    let lower = said.to_ascii_lowercase();
    let here = at
        .and_then(|span| source.text.get(crate::source::floor(&source.text, usize::try_from(span.start).ok()?)..))
        .and_then(|rest| rest.chars().next());
    let found = here.map_or_else(|| String::from("the end of the file"), |letter| quote(&letter.to_string()));
    match here {
        _ if lower.contains("nesting") || lower.contains("recursion") => {}
        Some('[' | '{') => {
            return (
                codes::SYNTAX,
                String::from("the bracket that opens here is not closed"),
                "close every `{` and `[`, and part entries by `,`",
            );
        }
        Some('"' | '\'') => {
            return (
                codes::SYNTAX,
                String::from("the quoted text that begins here is not closed, or something follows it"),
                "close the quotes on the same line",
            );
        }
        _ => {}
    }
    let known = [
        ("nesting", "too many levels of nesting", "name parts of it as models of their own"),
        ("recursion", "too many levels of nesting", "name parts of it as models of their own"),
        ("tab", "a tab is used for indentation", "indent with spaces"),
        ("anchor", "an alias names an anchor that is not defined", "put quotes around a text that starts with `*`"),
        ("quoted scalar", "a quoted text is not closed", "close the quotes on the same line"),
        ("simple key", "a `:` or a line break is missing here", "write `name: value`, one to a line"),
        ("mapping values", "a second `:` on one line", "put quotes around a text that holds `: `"),
        ("flow", "a bracket is not closed, or a comma is missing", "close every `{` and `[`, and part entries by `,`"),
        ("block", "the indentation does not fit the lines above", "indent entries of one mapping or list alike"),
        ("indent", "the indentation does not fit the lines above", "indent entries of one mapping or list alike"),
    ];
    for (sign, message, hint) in known {
        if lower.contains(sign) {
            let code = if message.contains("levels") { codes::TOO_DEEP } else { codes::SYNTAX };
            return (code, message.to_owned(), hint);
        }
    }
    (codes::SYNTAX, format!("this is not valid YAML at {found}"), "check brackets, quotes, colons and indentation here")
}

#[cfg(test)]
mod tests;
