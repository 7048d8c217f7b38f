//! The JSON answer of a vendor's own API: its texts for guards, and what it says it used. Never interprets anything
//! else.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::{
    segment::{Origin, Segment, SegmentPath},
    unit::{Picture, Units},
    usage::Usage,
};

use super::{
    asked::{self, Task},
    batch,
};
use crate::{
    body::EditableBody,
    json::{Limits, NodeId},
    llm::{AnswerError, Dialect, node::Node, texts_of, usage_of},
    places::Place,
};

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

    /// The batches that the answer tells of which have results, each with the file that they are in.
    #[must_use]
    pub fn results_of_batches(&self) -> Vec<(String, String)> {
        let root = Node::new(self.body.tape(), self.body.original(), self.body.tape().root());
        batch::batches(root).filter_map(batch::output_of).collect()
    }

    /// Leads to results of batches by another address than the vendor's own, which clients would ask directly and show
    /// their key to: `to` gives it for a batch's id.
    pub fn lead_to_results(&mut self, to: impl Fn(&str) -> String) {
        let root = Node::new(self.body.tape(), self.body.original(), self.body.tape().root());
        let found = batch::batches(root).filter_map(batch::led_to);
        let places: Vec<(NodeId, String)> = found.map(|(id, address)| (address.id(), to(&id))).collect();
        for (place, address) in places {
            self.body.replace_text(place, &address);
        }
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
