//! The JSON answer of a vendor's own API: its texts for guards, and what it says it used. Never interprets anything
//! else.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::{
    segment::{Origin, Segment, SegmentPath},
    unit::{Picture, Units},
    usage::Usage,
};

use super::asked::{self, Task};
use crate::{
    body::EditableBody,
    json::{Limits, NodeId},
    llm::{AnswerError, Dialect, node::Node, texts_of, usage_of},
    places::Place,
};

/// The id of a provider's batch, and its files of results, where `body` is such a batch and has any.
#[must_use]
pub fn batch_results(body: &[u8]) -> Option<(String, Vec<String>)> {
    let body = EditableBody::read(Bytes::copy_from_slice(body), &Limits::default()).ok()?;
    let root = Node::new(body.tape(), body.original(), body.tape().root());
    let text = |name: &str| root.present(name).and_then(Node::text).map(std::borrow::Cow::into_owned);
    let id = text("id").filter(|_| text("object").as_deref() == Some("batch"))?;
    let files: Vec<String> = text("output_file_id").into_iter().collect();
    (!files.is_empty()).then_some((id, files))
}

/// The model that a line of a batch's results names, and what it used; `None` for one that was not answered.
#[must_use]
pub fn result_of_batch(line: &Bytes) -> Option<(String, Usage)> {
    let body = EditableBody::read(line.clone(), &Limits::default()).ok()?;
    let root = Node::new(body.tape(), body.original(), body.tape().root());
    let answer = root.present("response")?.present("body")?;
    let model = answer.present("model").and_then(Node::text)?.into_owned();
    let is_response = answer.present("object").and_then(Node::text).as_deref() == Some("response");
    let span = body.tape().span(answer.id());
    let answer = EditableBody::read(line.slice(span), &Limits::default()).ok()?;
    let of = |dialect| usage_of(dialect, answer.tape(), answer.original());
    let usage = if is_response { of(Dialect::OpenAiResponses) } else { of(Dialect::OpenAiChat) };
    let own = || asked::usage(Node::new(answer.tape(), answer.original(), answer.tape().root()));
    Some((model, usage.or_else(own)?))
}

/// A whole answer in JSON.
#[derive(Debug, Clone)]
pub struct NativeAnswer {
    body: EditableBody,
    texts: Arc<[NodeId]>,
    usage: Option<Usage>,
}

/// What an answer tells beside its tokens: what else was used, and what sort of pictures it made.
pub type Beside = (Units, Picture);

impl NativeAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// Where it is no strict JSON within the limits.
    pub fn read(dialect: Dialect, bytes: Bytes) -> Result<Self, AnswerError> {
        let body =
            EditableBody::read(bytes, &Limits::default()).map_err(|error| AnswerError(error.to_string().into()))?;
        let texts = texts_of(body.tape(), body.original()).into();
        let own = asked::usage(Node::new(body.tape(), body.original(), body.tape().root()));
        let usage = own.or_else(|| usage_of(dialect, body.tape(), body.original()));
        Ok(Self { body, texts, usage })
    }

    /// Tokens used, where the answer says so in its dialect's way.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What an answer to `task` says it used beside tokens.
    #[must_use]
    pub fn beside(&self, task: Task) -> Beside {
        asked::beside(task, Node::new(self.body.tape(), self.body.original(), self.body.tape().root()))
    }

    /// The vendor's id of what was made.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let root = Node::new(self.body.tape(), self.body.original(), self.body.tape().root());
        root.get("id").and_then(Node::text).map(std::borrow::Cow::into_owned)
    }

    /// Every text, as it stands now.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        self.texts.iter().filter_map(|node| Place::text(*node, Origin::Completion).segment(&self.body)).collect()
    }

    /// Puts another text in the place of a segment; says whether it is one of this answer's.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) -> bool {
        let node = NodeId::from_index(path.0);
        self.texts.binary_search(&node).is_ok() && self.body.replace_text(node, text)
    }

    /// The body as it stands.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.current()
    }
}
