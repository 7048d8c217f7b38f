//! What a file of lines must be: found out once, before any line runs.
//!
//! Owns what is wrong with a line, and in which words. Pure but for the pieces that it asks for; blocks on them.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use serde_json::value::RawValue;
use tidegate_core::{
    batches::{BatchEndpoint, BatchError, BatchStoreError, Pieces},
    ids::Digest,
};

/// The most lines of a batch.
pub(super) const MOST_LINES: u32 = 50_000;
/// The longest name of a line, in bytes.
const LONGEST_ID: usize = 512;
/// The most errors that are told.
const MOST_ERRORS: usize = 100;

/// A line as it is written.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Line<'line> {
    #[serde(borrow)]
    pub(super) custom_id: Cow<'line, str>,
    #[serde(borrow)]
    method: Cow<'line, str>,
    #[serde(borrow)]
    url: Cow<'line, str>,
    #[serde(borrow)]
    pub(super) body: &'line RawValue,
}

#[derive(serde::Deserialize)]
struct Body<'line> {
    #[serde(borrow)]
    model: Option<Cow<'line, str>>,
}

/// The lines of a file that are not blank, each with its number among them, from 1.
pub(super) struct Lines {
    pieces: Box<dyn Pieces>,
    /// What is left of the last piece, and where its next line begins.
    rest: Vec<u8>,
    at: usize,
    /// How far behind that no line end was found: a long line comes in many pieces, and is searched once.
    searched: usize,
    ended: bool,
    number: u32,
    longest: usize,
}

impl Lines {
    /// The lines of `pieces`; one that is longer than `longest` bytes is an error.
    pub(super) fn new(pieces: Box<dyn Pieces>, longest: usize) -> Self {
        Self { pieces, rest: Vec::new(), at: 0, searched: 0, ended: false, number: 0, longest }
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Vec<u8>)>, BatchStoreError> {
        loop {
            let rest = self.rest.get(self.at..).unwrap_or_default();
            let unsearched = rest.get(self.searched..).unwrap_or_default();
            let end = memchr::memchr(b'\n', unsearched).map(|end| self.searched.saturating_add(end));
            if end.is_none() && !self.ended {
                if rest.len() > self.longest {
                    return Err(BatchStoreError("holds a line that is too long".to_owned()));
                }
                self.searched = rest.len();
                self.rest.drain(..self.at);
                self.at = 0;
                match self.pieces.next()? {
                    Some(piece) => self.rest.extend_from_slice(&piece),
                    None => self.ended = true,
                }
                continue;
            }
            if rest.is_empty() {
                return Ok(None);
            }
            let length = end.unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default().trim_ascii().to_vec();
            self.searched = 0;
            self.at = self.at.saturating_add(length).saturating_add(1).min(self.rest.len());
            if !line.is_empty() {
                self.number = self.number.saturating_add(1);
                return Ok(Some((self.number, line)));
            }
        }
    }
}

/// Reads one line.
pub(super) fn line(bytes: &[u8]) -> Result<Line<'_>, BatchError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let words =
            format!("This line is no request: {error}. It is a JSON object with custom_id, method, url and body.");
        problem("invalid_json_line", words, None)
    })
}

fn problem(code: &str, message: impl Into<String>, param: Option<&str>) -> BatchError {
    BatchError { code: Arc::from(code), message: message.into(), param: param.map(Arc::from), line: None }
}

/// Looks at every line; the number of lines, or what is wrong.
pub(super) fn check(
    mut lines: Lines,
    endpoint: BatchEndpoint,
) -> Result<Result<u32, Vec<BatchError>>, BatchStoreError> {
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut model: Option<String> = None;
    let mut errors = Vec::new();
    let mut count = 0_u32;
    while let Some((number, bytes)) = lines.next()? {
        count = number;
        if number > MOST_LINES {
            errors.push(problem("too_many_tasks", format!("A batch takes at most {MOST_LINES} lines."), None));
            break;
        }
        if let Err(wrong) = one(&bytes, endpoint, &mut seen, &mut model) {
            errors.push(BatchError { line: Some(number), ..wrong });
            if errors.len() >= MOST_ERRORS {
                break;
            }
        }
    }
    if count == 0 {
        errors.push(problem("empty_file", "The file has no line: write one request a line.", Some("input_file_id")));
    }
    Ok(if errors.is_empty() { Ok(count) } else { Err(errors) })
}

fn one(
    bytes: &[u8],
    endpoint: BatchEndpoint,
    seen: &mut HashSet<Digest>,
    model: &mut Option<String>,
) -> Result<(), BatchError> {
    let line = line(bytes)?;
    let id = line.custom_id.as_bytes();
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(problem("invalid_custom_id", "The custom_id has 1 to 512 bytes.", Some("custom_id")));
    }
    if !seen.insert(Digest::of(id)) {
        let words = "Another line before this one has the same custom_id: give each line its own.";
        return Err(problem("duplicate_custom_id", words, Some("custom_id")));
    }
    if line.method != "POST" {
        return Err(problem("invalid_method", "The method of a line is POST.", Some("method")));
    }
    if line.url != endpoint.path() {
        let words = format!("The url of this line is not the endpoint of the batch, {}.", endpoint.path());
        return Err(problem("invalid_url", words, Some("url")));
    }
    let body: Body<'_> = serde_json::from_str(line.body.get()).map_err(|error| {
        problem(
            "invalid_request",
            format!("The body of this line is no JSON object with one model: {error}."),
            Some("body"),
        )
    })?;
    let Some(asked) = body.model else {
        return Err(problem("missing_required_parameter", "The body of this line names no model.", Some("body.model")));
    };
    match model {
        Some(model) if *model != asked => {
            let words = "This line asks another model than the first: a batch asks one.";
            Err(problem("mismatched_model", words, Some("body.model")))
        }
        Some(_) => Ok(()),
        None => {
            *model = Some(asked.into_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cut(Vec<Vec<u8>>);

    impl Pieces for Cut {
        fn next(&mut self) -> Result<Option<Vec<u8>>, BatchStoreError> {
            Ok(self.0.pop())
        }
    }

    fn lines(text: &str, step: usize) -> Lines {
        Lines::new(Box::new(Cut(text.as_bytes().chunks(step).rev().map(<[u8]>::to_vec).collect())), 1_000)
    }

    fn checked(text: &str) -> Result<u32, Vec<(String, Option<u32>)>> {
        let told =
            |errors: Vec<BatchError>| errors.into_iter().map(|error| (error.code.to_string(), error.line)).collect();
        check(lines(text, 7), BatchEndpoint::Chat).unwrap().map_err(told)
    }

    fn request(id: &str, model: &str) -> String {
        let url = "/v1/chat/completions";
        format!(r#"{{"custom_id":"{id}","method":"POST","url":"{url}","body":{{"model":"{model}"}}}}"#)
    }

    #[test]
    fn lines_are_the_same_however_they_come_and_blank_ones_are_none() {
        let text = "one\n\n  \r\ntwo\r\nthree";
        for step in 1..=text.len() {
            let mut all = lines(text, step);
            let mut found = Vec::new();
            while let Some((number, line)) = all.next().unwrap() {
                found.push((number, String::from_utf8(line).unwrap()));
            }
            let expected = [(1, "one"), (2, "two"), (3, "three")].map(|(number, line)| (number, line.to_owned()));
            assert_eq!(found, expected, "in pieces of {step}");
        }
        assert!(lines(&"x".repeat(2_000), 100).next().is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let good = request("a", "m");
        assert_eq!(checked(&good), Ok(1));
        assert_eq!(checked(&format!("{good}\n{}\n", request("b", "m"))), Ok(2));
        for (second, code) in [
            ("{".to_owned(), "invalid_json_line"),
            ("[]".to_owned(), "invalid_json_line"),
            (good.clone(), "duplicate_custom_id"),
            (request("", "m"), "invalid_custom_id"),
            (request("b", "n"), "mismatched_model"),
            (request("b", "m").replace("POST", "GET"), "invalid_method"),
            (request("b", "m").replace("chat/completions", "embeddings"), "invalid_url"),
            (request("b", "m").replace("model", "mode"), "missing_required_parameter"),
            (request("b", "m").replace(r#"{"model":"m"}"#, "7"), "invalid_request"),
            (request("b", "m").replace(r#""m"}"#, r#""m","model":"n"}"#), "invalid_request"),
        ] {
            assert_eq!(checked(&format!("{good}\n{second}")), Err(vec![(code.to_owned(), Some(2))]), "{second}");
        }
        assert_eq!(checked(" \n"), Err(vec![("empty_file".to_owned(), None)]));
    }

    #[test]
    fn there_is_an_end_to_lines_and_to_errors() {
        let many: Vec<String> = (0..=MOST_LINES).map(|at| request(&at.to_string(), "m")).collect();
        assert_eq!(checked(&many.join("\n")), Err(vec![("too_many_tasks".to_owned(), None)]));
        assert_eq!(checked(&"{\n".repeat(500)).unwrap_err().len(), MOST_ERRORS);
    }
}
