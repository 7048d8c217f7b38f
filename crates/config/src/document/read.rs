//! From a tree of values to typed settings, with every mistake at once.
//!
//! Owns the walk: paths, unknown and missing fields, wrong types. Knows no object of the configuration. A field that
//! cannot be read is reported and taken as absent, so that one run reports them all. Called by the types in `document`.

use std::collections::{BTreeMap, HashMap};

use crate::{
    codes::{self, Code},
    node::{Entry, Node, Value, join},
    problem::{Problem, nearest, one_of, quote},
    source::Span,
};

/// After so many problems, further unknown fields are not reported.
const MOST_PROBLEMS: usize = 1_000;

/// Reads nodes, collects problems and remembers where everything stands.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    path: String,
    pub(crate) places: Places,
    pub(crate) problems: Vec<Problem>,
}

/// Where each value of a document stands, by configuration path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Places {
    values: HashMap<String, Span>,
    names: HashMap<String, Span>,
}

impl Places {
    /// Where the value at `path` stands; of a path that is not there, where the nearest thing around it stands.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<Span> {
        let mut path = path;
        loop {
            if let Some(span) = self.values.get(path) {
                return Some(*span);
            }
            if path.is_empty() {
                return None;
            }
            path = path.rfind(['.', '[']).and_then(|at| path.get(..at)).unwrap_or_default();
        }
    }

    /// Whether anything stands at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.values.contains_key(path)
    }

    /// Sets where the whole stands.
    pub(crate) fn root(&mut self, span: Span) {
        self.values.insert(String::new(), span);
    }

    /// Where the name at `path` stands: the member's name, not its value.
    #[must_use]
    pub fn name(&self, path: &str) -> Option<Span> {
        self.names.get(path).copied().or_else(|| self.value(path))
    }
}

impl Reader {
    /// Reports a problem with the value at the present path.
    pub(crate) fn problem(&mut self, code: Code, node: &Node, message: String, hint: impl Into<String>) {
        self.problems.push(Problem::new(code, Some(node.span), self.path.clone(), message).hint(hint));
    }

    /// The present path.
    pub(crate) fn here(&self) -> &str {
        &self.path
    }

    /// Reports that `node` is not what was expected.
    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str, hint: &str) {
        let secret = self.path.ends_with(".key") || self.path.ends_with(".secret");
        let found = if secret { node.kind().to_owned() } else { node.describe() };
        self.problem(codes::WRONG_TYPE, node, format!("expected {expected}, found {found}"), hint);
    }

    pub(crate) fn at<T>(&mut self, name: &str, entry: &Entry, read: impl FnOnce(&mut Self, &Node) -> T) -> T {
        let length = self.path.len();
        self.path = join(&self.path, name);
        self.places.names.insert(self.path.clone(), entry.name_span);
        self.places.values.insert(self.path.clone(), entry.value.span);
        let value = read(self, &entry.value);
        self.path.truncate(length);
        value
    }

    fn at_index<T>(&mut self, index: usize, node: &Node, read: impl FnOnce(&mut Self, &Node) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        self.places.values.insert(self.path.clone(), node.span);
        let value = read(self, node);
        self.path.truncate(length);
        value
    }

    /// The items of a list, read one by one; those that cannot be read are left out.
    pub(crate) fn list<T: Field>(&mut self, items: &[Node]) -> Vec<T> {
        items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| self.at_index(at, item, |reader, node| T::read(node, reader)))
            .collect()
    }

    /// The members of an object, or a report that this is none.
    pub(crate) fn members<'node>(&mut self, node: &'node Node, what: &str) -> Option<&'node [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong_type(node, what, "write `{ field: value }`, or the fields on lines of their own, indented");
                None
            }
        }
    }

    /// The field `name` of an object.
    pub(crate) fn field<T: Field>(&mut self, entries: &[Entry], name: &str) -> Option<T> {
        let entry = entries.iter().find(|entry| entry.name == name)?;
        self.at(name, entry, |reader, node| T::read(node, reader))
    }

    /// Reports that a required field is missing.
    pub(crate) fn missing(&mut self, node: &Node, name: &str, example: &str) {
        self.problem(
            codes::MISSING_FIELD,
            node,
            format!("`{name}` is missing"),
            format!("add it, for example `{name}: {example}`"),
        );
    }

    /// Reports every member that is not among `known`, and those that only later versions act on.
    pub(crate) fn unknown(&mut self, entries: &[Entry], known: &[&str], later: &[(&str, &str)]) {
        for entry in entries.iter().filter(|entry| !known.contains(&entry.name.as_str())) {
            if self.problems.len() >= MOST_PROBLEMS {
                return;
            }
            let path = join(&self.path, &entry.name);
            let name = quote(&entry.name);
            let problem = match later.iter().find(|(name, _)| *name == entry.name) {
                Some((_, instead)) => Problem::new(
                    codes::NOT_SUPPORTED,
                    Some(entry.name_span),
                    path,
                    format!("{name} is not supported yet"),
                )
                .hint(*instead),
                None => {
                    let hint = match nearest(&entry.name, known.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("fields here: {}", one_of(known.iter().copied())),
                    };
                    Problem::new(codes::UNKNOWN_FIELD, Some(entry.name_span), path, format!("unknown field {name}"))
                        .hint(hint)
                }
            };
            self.problems.push(problem);
        }
    }
}

/// What a field of the configuration may be.
pub(crate) trait Field: Sized {
    /// Reads the value, or reports why not and gives `None`.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self>;
}

impl Field for String {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(_) | Value::Integer(_) | Value::Number(_) => {
                reader.wrong_type(node, "text", "put it in quotes");
                None
            }
            Value::Null => {
                reader.wrong_type(node, "text", "write the value, or remove the field");
                None
            }
            Value::List(_) | Value::Map(_) => {
                reader.wrong_type(node, "text", "write one plain value");
                None
            }
        }
    }
}

impl Field for bool {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            _ => {
                reader.wrong_type(node, "`true` or `false`", "`yes`, `no`, `on` and `off` are texts in YAML 1.2");
                None
            }
        }
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
                match &node.value {
                    Value::Integer(number) => {
                        let read = <$number>::try_from(*number).ok();
                        if read.is_none() {
                            let message = format!("{number} is not between 0 and {}", <$number>::MAX);
                            reader.problem(codes::OUT_OF_RANGE, node, message, "write a smaller whole number");
                        }
                        read
                    }
                    _ => {
                        reader.wrong_type(node, "a whole number", "write it without quotes, unit or fraction");
                        None
                    }
                }
            }
        }
    )*};
}

whole_number!(u16, u32, u64);

impl<T: Field> Field for Option<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        T::read(node, reader).map(Some)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::List(items) => Some(reader.list(items)),
            _ => {
                reader.wrong_type(node, "a list", "write `[one, two]`, or each entry on a line of its own after `- `");
                None
            }
        }
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let entries = reader.members(node, "a mapping of names")?;
        Some(
            entries
                .iter()
                .filter_map(|entry| {
                    reader
                        .at(&entry.name, entry, |reader, node| T::read(node, reader))
                        .map(|value| (entry.name.clone(), value))
                })
                .collect(),
        )
    }
}

/// Whether a value is the default, and so is left out of the canonical form.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines an object of the configuration: the type, its schema, its canonical form and how it is read.
macro_rules! object {
    (
        $(#[$meta:meta])*
        pub struct $name:ident ($what:literal) {
            required { $($(#[$required_meta:meta])* pub $required:ident: $required_type:ty = $example:literal,)* }
            optional { $($(#[$optional_meta:meta])* pub $optional:ident: $optional_type:ty,)* }
            later { $($later:literal: $instead:literal,)* }
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$required_meta])* pub $required: $required_type,)*
            $(
                $(#[$optional_meta])*
                #[serde(default, skip_serializing_if = "crate::document::read::is_default")]
                pub $optional: $optional_type,
            )*
        }

        impl $name {
            /// The fields that can be written here.
            pub(crate) const FIELDS: &'static [&'static str] = &[
                $($crate::document::read::plain(stringify!($required)),)*
                $($crate::document::read::plain(stringify!($optional)),)*
            ];
            /// Fields that later versions act on, and what to do until then.
            pub(crate) const LATER: &'static [(&'static str, &'static str)] = &[$(($later, $instead)),*];
        }

        impl $crate::document::read::Field for $name {
            fn read(node: &$crate::node::Node, reader: &mut $crate::document::read::Reader) -> Option<Self> {
                let entries = reader.members(node, $what)?;
                reader.unknown(entries, Self::FIELDS, Self::LATER);
                $(
                    let name = $crate::document::read::plain(stringify!($required));
                    let $required: Option<$required_type> = if entries.iter().any(|entry| entry.name == name) {
                        reader.field(entries, name)
                    } else {
                        reader.missing(node, name, $example);
                        None
                    };
                )*
                $(
                    let $optional: Option<$optional_type> =
                        reader.field(entries, $crate::document::read::plain(stringify!($optional)));
                )*
                Some(Self {
                    $($required: $required?,)*
                    $($optional: $optional.unwrap_or_default(),)*
                })
            }
        }
    };
}
pub(crate) use object;

/// A field's name without the mark that Rust needs for its keywords.
pub(crate) const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => match name.split_at_checked(2) {
            Some((_, rest)) => rest,
            None => name,
        },
        _ => name,
    }
}

/// Defines a choice of words.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* }
        later { $($later:literal: $instead:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// The words.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word for this choice.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl $crate::document::read::Field for $name {
            fn read(node: &$crate::node::Node, reader: &mut $crate::document::read::Reader) -> Option<Self> {
                let text = $crate::document::read::word(node, reader, Self::WORDS)?;
                let later: &[(&str, &str)] = &[$(($later, $instead)),*];
                match text {
                    $($word => Some(Self::$variant),)*
                    other => {
                        $crate::document::read::no_choice(node, reader, other, Self::WORDS, later);
                        None
                    }
                }
            }
        }
    };
}
pub(crate) use choice;

/// The text of a choice, or a report that this is none.
pub(crate) fn word<'node>(node: &'node Node, reader: &mut Reader, words: &[&str]) -> Option<&'node str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => {
            reader.wrong_type(node, &one_of(words.iter().copied()), "write one of these words");
            None
        }
    }
}

/// Reports a word that is none of the choices.
pub(crate) fn no_choice(node: &Node, reader: &mut Reader, word: &str, words: &[&str], later: &[(&str, &str)]) {
    if let Some((word, instead)) = later.iter().find(|(known, _)| *known == word) {
        reader.problem(codes::NOT_SUPPORTED, node, format!("`{word}` is not supported yet"), *instead);
        return;
    }
    let hint = match nearest(word, words.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("write {}", one_of(words.iter().copied())),
    };
    reader.problem(
        codes::BAD_CHOICE,
        node,
        format!("{} is none of {}", quote(word), one_of(words.iter().copied())),
        hint,
    );
}

#[cfg(test)]
mod tests;
