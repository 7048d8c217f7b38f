//! Writes JSON text (RFC 8259) piece by piece, without building a tree first.
//!
//! The caller keeps begin and end in balance; commas and escapes are this file's business. Called by the dialects'
//! encoders, the error shapes and the model lists.

use std::io::Write as _;

use crate::json::write_text;

/// JSON in the making.
#[derive(Debug, Default)]
pub(crate) struct JsonWriter {
    out: Vec<u8>,
    comma: bool,
}

impl JsonWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), comma: false }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn value(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    pub(crate) fn begin_object(&mut self) {
        self.value();
        self.out.push(b'{');
        self.comma = false;
    }

    pub(crate) fn end_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    pub(crate) fn begin_array(&mut self) {
        self.value();
        self.out.push(b'[');
        self.comma = false;
    }

    pub(crate) fn end_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
    }

    pub(crate) fn key(&mut self, name: &str) {
        self.value();
        write_text(&mut self.out, name);
        self.out.push(b':');
        self.comma = false;
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.value();
        write_text(&mut self.out, text);
    }

    pub(crate) fn raw(&mut self, json: &str) {
        self.value();
        self.out.extend_from_slice(json.as_bytes());
    }

    /// What another writer wrote.
    pub(crate) fn written(&mut self, json: &[u8]) {
        self.value();
        self.out.extend_from_slice(json);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.value();
        // Writing to a vector cannot fail.
        let _ = write!(self.out, "{number}");
    }

    pub(crate) fn string_member(&mut self, name: &str, text: &str) {
        self.key(name);
        self.string(text);
    }

    pub(crate) fn raw_member(&mut self, name: &str, json: &str) {
        self.key(name);
        self.raw(json);
    }

    pub(crate) fn number_member(&mut self, name: &str, number: u64) {
        self.key(name);
        self.number(number);
    }

    pub(crate) fn bool_member(&mut self, name: &str, yes: bool) {
        self.raw_member(name, if yes { "true" } else { "false" });
    }

    /// A member that may be absent: then it is null.
    pub(crate) fn nullable_member(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.string_member(name, text),
            None => self.raw_member(name, "null"),
        }
    }

    /// `"name":{ … }`
    pub(crate) fn object_member(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        self.key(name);
        self.object(members);
    }

    /// `{ … }`
    pub(crate) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.begin_object();
        members(self);
        self.end_object();
    }

    /// `"name":[ … ]`
    pub(crate) fn array_member(&mut self, name: &str, items: impl FnOnce(&mut Self)) {
        self.key(name);
        self.begin_array();
        items(self);
        self.end_array();
    }
}
