//! The scanner: where each value of a text begins and ends.

use std::ops::Range;

use serde_json::{Map, Value};

use super::JsoncError;

/// How deep containers may stand in each other.
const DEEPEST: usize = 64;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
    /// Where the comma behind the last part stands, if there is one.
    pub(super) trailing_comma: Option<usize>,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Scalar,
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) start: usize,
    pub(super) value: Node,
}

impl Node {
    /// The member of this name; the last, as every reader of such files has it.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        match &self.kind {
            Kind::Object(members) => members.iter().rfind(|member| member.name == name),
            _ => None,
        }
    }

    /// Where each part begins.
    pub(super) fn starts(&self) -> Box<dyn DoubleEndedIterator<Item = usize> + '_> {
        match &self.kind {
            Kind::Object(members) => Box::new(members.iter().map(|member| member.start)),
            Kind::Array(items) => Box::new(items.iter().map(|item| item.span.start)),
            Kind::Scalar => Box::new(std::iter::empty()),
        }
    }

    /// Where each part ends.
    pub(super) fn ends(&self) -> Box<dyn DoubleEndedIterator<Item = usize> + '_> {
        match &self.kind {
            Kind::Object(members) => Box::new(members.iter().map(|member| member.value.span.end)),
            Kind::Array(items) => Box::new(items.iter().map(|item| item.span.end)),
            Kind::Scalar => Box::new(std::iter::empty()),
        }
    }

    /// The value, without comments.
    pub(super) fn value(&self, text: &str) -> Value {
        match &self.kind {
            Kind::Object(members) => {
                let member = |member: &Member| (member.name.clone(), member.value.value(text));
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
            Kind::Array(items) => items.iter().map(|item| item.value(text)).collect(),
            Kind::Scalar => {
                text.get(self.span.clone()).and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
            }
        }
    }
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Node, JsoncError> {
    let mut reader = Reader { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    reader.blanks()?;
    let node = reader.value(0)?;
    reader.blanks()?;
    if reader.at < text.len() { Err(reader.wrong("something stands behind the end")) } else { Ok(node) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, problem: &'static str) -> JsoncError {
        let read = self.text.as_bytes().get(..self.at).unwrap_or_default();
        JsoncError::Malformed { line: read.iter().filter(|byte| **byte == b'\n').count().saturating_add(1), problem }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self, by: usize) {
        self.at = self.at.saturating_add(by).min(self.text.len());
    }

    /// Passes over white space and comments.
    fn blanks(&mut self) -> Result<(), JsoncError> {
        loop {
            let rest = self.rest();
            let blank = rest.len().saturating_sub(rest.trim_start_matches([' ', '\t', '\r', '\n']).len());
            let length = match rest.get(blank..).unwrap_or_default() {
                line if line.starts_with("//") => line.find('\n').unwrap_or(line.len()),
                block if block.starts_with("/*") => match block.find("*/") {
                    Some(end) => end.saturating_add(2),
                    None => return Err(self.wrong("a comment has no end")),
                },
                _ => {
                    self.step(blank);
                    return Ok(());
                }
            };
            self.step(blank.saturating_add(length));
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, JsoncError> {
        if depth > DEEPEST {
            return Err(self.wrong("it is nested too deeply"));
        }
        let start = self.at;
        let (kind, trailing_comma) = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => {
                self.string()?;
                (Kind::Scalar, None)
            }
            Some(_) => {
                let end = self.rest().find(|letter: char| " \t\r\n,]}:/".contains(letter));
                self.step(end.unwrap_or_else(|| self.rest().len()));
                let raw = self.text.get(start..self.at).unwrap_or_default();
                if serde_json::from_str::<Value>(raw).is_err() {
                    return Err(self.wrong("a value is no JSON"));
                }
                (Kind::Scalar, None)
            }
            None => return Err(self.wrong("a value is missing")),
        };
        Ok(Node { span: start..self.at, kind, trailing_comma })
    }

    fn string(&mut self) -> Result<String, JsoncError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a name is missing"));
        }
        self.step(1);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.step(2),
                Some(b'\n') | None => return Err(self.wrong("a string has no end")),
                Some(_) => self.step(1),
            }
        }
        self.step(1);
        let raw = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(raw).map_err(|_| self.wrong("a string is malformed"))
    }

    fn object(&mut self, depth: usize) -> Result<(Kind, Option<usize>), JsoncError> {
        let mut members = Vec::new();
        let comma = self.parts(b'}', |reader| {
            let start = reader.at;
            let name = reader.string()?;
            reader.blanks()?;
            if reader.peek() != Some(b':') {
                return Err(reader.wrong("a colon is missing"));
            }
            reader.step(1);
            reader.blanks()?;
            members.push(Member { name, start, value: reader.value(depth.saturating_add(1))? });
            Ok(())
        })?;
        Ok((Kind::Object(members), comma))
    }

    fn array(&mut self, depth: usize) -> Result<(Kind, Option<usize>), JsoncError> {
        let mut items = Vec::new();
        let comma = self.parts(b']', |reader| {
            items.push(reader.value(depth.saturating_add(1))?);
            Ok(())
        })?;
        Ok((Kind::Array(items), comma))
    }

    /// The parts of a container, up to `end`; where the comma behind the last one stands.
    fn parts(
        &mut self,
        end: u8,
        mut part: impl FnMut(&mut Self) -> Result<(), JsoncError>,
    ) -> Result<Option<usize>, JsoncError> {
        self.step(1);
        let mut comma = None;
        let mut between = true;
        loop {
            self.blanks()?;
            match self.peek() {
                Some(byte) if byte == end => {
                    self.step(1);
                    return Ok(comma);
                }
                Some(b',') if !between => {
                    comma = Some(self.at);
                    between = true;
                    self.step(1);
                }
                Some(_) if between => {
                    part(self)?;
                    comma = None;
                    between = false;
                }
                Some(_) => return Err(self.wrong("a comma is missing")),
                None => return Err(self.wrong("the end is missing")),
            }
        }
    }
}
