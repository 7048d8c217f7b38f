//! A provider's own batches, in the forms of OpenAI's and Anthropic's APIs: where the results of a batch are, and what each
//! line of them says was used.
//!
//! Owns the cutting of a file that comes in pieces into lines, never more than one of them at a time. Never asks for a
//! file, never knows a price. Called by the proxy where answers of a vendor's own API leave.

use bytes::BytesMut;
use tidegate_core::usage::Usage;

use super::asked;
use crate::llm::{
    Dialect,
    node::{Document, Node},
};

/// Collections that stand below another one.
const NESTED: [&str; 1] = ["messages/batches"];

/// The longest name of a model that counts as one.
const LONGEST_NAME: usize = 256;

/// The most batches that are read of one list; vendors give a hundred (OpenAI) or a thousand (Anthropic) at once.
const MOST_LISTED: usize = 1_000;

/// Whether a path without its first slash is a collection: what is posted there is asked for by an id later.
pub(super) fn is_collection(path: &str) -> bool {
    !path.contains('/') || NESTED.contains(&path)
}

/// What a path (`/v1/files/file-1/content`) names: a collection and an id in it.
#[must_use]
pub fn kept_at(path: &str) -> Option<(&str, &str)> {
    let below = path.strip_prefix("/v1/")?;
    let nested = NESTED.into_iter().find_map(|name| Some((name, below.strip_prefix(name)?.strip_prefix('/')?)));
    let (collection, below) = nested.or_else(|| below.split_once('/'))?;
    let id = below.split('/').next().filter(|id| !id.is_empty())?;
    Some((collection, id))
}

/// The same, where the path is one that results of a batch are fetched at: a file's content, or Anthropic's results.
#[must_use]
pub fn results_at(path: &str) -> Option<(&str, &str)> {
    let (collection, id) = kept_at(path)?;
    let below = path.strip_prefix("/v1/")?.strip_prefix(collection)?.strip_prefix('/')?.strip_prefix(id)?;
    matches!((collection, below), ("files", "/content") | ("messages/batches", "/results")).then_some((collection, id))
}

/// Whether what stands at the path is a batch or a list of batches.
#[must_use]
pub fn tells_batches(path: &str) -> bool {
    let below = path.strip_prefix("/v1/").unwrap_or_default();
    ["batches", "messages/batches"].into_iter().any(|name| {
        let rest = below.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The batch that a body is, or those of the list that it is.
pub(super) fn batches<'tape, 'body>(root: Node<'tape, 'body>) -> impl Iterator<Item = Node<'tape, 'body>> {
    let listed = root.present("data").into_iter().flat_map(Node::items);
    std::iter::once(root).chain(listed).take(MOST_LISTED)
}

/// A batch's id and the file of its results, where OpenAI's form of one has any.
pub(super) fn output_of(batch: Node<'_, '_>) -> Option<(String, String)> {
    let text = |name: &str| batch.present(name).and_then(Node::text).map(std::borrow::Cow::into_owned);
    let is_batch = batch.present("object").is_some_and(|object| object.text_is("batch"));
    Some((text("id").filter(|_| is_batch)?, text("output_file_id").filter(|file| !file.is_empty())?))
}

/// Where Anthropic's form of a batch says that its results are: the id, and the address.
pub(super) fn led_to<'tape, 'body>(batch: Node<'tape, 'body>) -> Option<(String, Node<'tape, 'body>)> {
    batch.present("type").filter(|kind| kind.text_is("message_batch"))?;
    let id = batch.present("id")?.text()?.into_owned();
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let address = batch.present("results_url").filter(|address| address.is_string())?;
    plain.then_some((id, address))
}

/// What a line of results says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultLine {
    /// A request was answered: by which model, as far as the answer names it, and what that used.
    Answered(Option<String>, Box<Usage>),
    /// It was not, or by an answer that tells of no use: vendors charge neither.
    Nothing,
    /// It is longer than what is taken, or no strict JSON.
    Unreadable,
}

/// The lines of a file of results that comes in pieces.
#[derive(Debug)]
pub struct ResultLines {
    /// The begin of a line whose end has not come.
    waiting: BytesMut,
    /// The most bytes of a line.
    longest: usize,
    /// Whether the line is longer: the rest of it is passed over.
    passing: bool,
}

impl ResultLines {
    /// A file of which nothing has come. Lines longer than `longest` bytes are not read.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        Self { waiting: BytesMut::new(), longest, passing: false }
    }

    /// Takes the next piece, and shows each line that has come to its end. Empty lines are none.
    pub fn push(&mut self, piece: &[u8], see: &mut dyn FnMut(ResultLine)) {
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, more) = rest.split_at(end);
            self.ended(line, see);
            rest = more.get(1..).unwrap_or_default();
        }
        if self.passing || self.waiting.len().saturating_add(rest.len()) > self.longest {
            self.passing = true;
            self.waiting.clear();
        } else {
            self.waiting.extend_from_slice(rest);
        }
    }

    /// The end of the file: shows the last line, where no line feed ended it.
    pub fn finish(&mut self, see: &mut dyn FnMut(ResultLine)) {
        self.ended(b"", see);
    }

    fn ended(&mut self, last: &[u8], see: &mut dyn FnMut(ResultLine)) {
        let long = self.waiting.len().saturating_add(last.len()) > self.longest;
        if std::mem::take(&mut self.passing) || long {
            self.waiting.clear();
            return see(ResultLine::Unreadable);
        }
        let line = if self.waiting.is_empty() {
            read(last)
        } else {
            self.waiting.extend_from_slice(last);
            read(&self.waiting)
        };
        self.waiting.clear();
        line.into_iter().for_each(see);
    }
}

/// Reads one line; `None` where nothing stands in it.
fn read(line: &[u8]) -> Option<ResultLine> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let answered = Document::parse(line).ok().map(|line| {
        let root = line.root();
        let answer = match root.present("result") {
            Some(result) => result.present("message"),
            None => root.present("response").filter(|response| succeeded(*response))?.present("body"),
        };
        answered(answer?.raw().as_bytes())
    });
    Some(answered.map_or(ResultLine::Unreadable, |answered| answered.unwrap_or(ResultLine::Nothing)))
}

fn succeeded(response: Node<'_, '_>) -> bool {
    response.present("status_code").and_then(Node::as_u64).is_none_or(|status| (200..300).contains(&status))
}

/// What an answer in a line says it used, in its own dialect.
fn answered(answer: &[u8]) -> Option<ResultLine> {
    let answer = Document::parse(answer).ok()?;
    let root = answer.root();
    let is = |name: &str, word: &str| root.present(name).is_some_and(|value| value.text_is(word));
    let dialect = if is("object", "response") {
        Dialect::OpenAiResponses
    } else if is("type", "message") {
        Dialect::Anthropic
    } else {
        Dialect::OpenAiChat
    };
    let usage = dialect.codec().answer_usage(root).or_else(|| asked::usage(root))?;
    let named = |model: &str| !model.is_empty() && model.len() <= LONGEST_NAME && !model.contains(char::is_control);
    let model = root.present("model").and_then(Node::text).filter(|model| named(model));
    Some(ResultLine::Answered(model.map(std::borrow::Cow::into_owned), Box::new(usage)))
}

#[cfg(test)]
mod tests;
