//! A whole answer of an upstream: what it says, what it used, and the same answer in another dialect.
//!
//! Owns the answer's body and the edits of guards. Never changes a byte that no edit names on the same dialect. Called
//! by the attempt engine and the proxy's response stages.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use tidegate_core::{
    ids::ToolName,
    segment::{Segment, SegmentPath},
    usage::{Usage, UsageSource},
};

use crate::{
    body::EditableBody,
    json::{Edit, Kind, Limits, NodeId, Tape},
    llm::{
        dialect::Dialect,
        error::AnswerError,
        ir::{self, Part, StopReason},
        loss::Loss,
        model_call::Operation,
        node::{Document, Node},
        translate::TranslateContext,
    },
    places::{self, Place},
};

/// A tool call that an answer proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedCall {
    /// The tool's name as the caller declared it.
    pub name: ToolName,
    /// Its arguments as the model wrote them: JSON text, unless the model was cut short.
    pub arguments: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    dialect: Dialect,
    body: EditableBody,
    places: Arc<[Place]>,
    echoes: Arc<[NodeId]>,
    usage: Option<Usage>,
    stop: Option<StopReason>,
    id: Option<String>,
    model: Option<String>,
    calls: Vec<ProposedCall>,
    counted: Option<u64>,
}

impl Answer {
    /// Reads the body of a successful answer: to a request to generate, or to count tokens.
    ///
    /// # Errors
    /// Where it is no strict JSON or no answer of its dialect.
    pub fn read(dialect: Dialect, body: Bytes) -> Result<Self, AnswerError> {
        let body =
            EditableBody::read(body, &Limits::default()).map_err(|error| AnswerError(error.to_string().into()))?;
        let root = Node::new(body.tape(), body.original(), body.tape().root());
        let codec = dialect.codec();
        let counted = codec.counted(root);
        let mut id = None;
        let (mut places, mut echoes) = (Vec::new(), Vec::new());
        let (mut calls, mut stop, mut usage) = (Vec::new(), None, None);
        if counted.is_none() {
            let (decoded, _) = codec.decode_answer(root)?;
            id = Some(decoded.id).filter(|id| !id.is_empty());
            stop = decoded.stop;
            calls = decoded.parts.into_iter().filter_map(proposed).collect();
            usage = codec.answer_usage(root);
            codec.walk_answer(root, &mut |found| {
                places.extend(found.place());
            });
            places::sort(&mut places);
            codec.echoes(root, &mut |node| echoes.push(node));
        }
        Ok(Self {
            dialect,
            places: places.into(),
            echoes: echoes.into(),
            usage,
            stop,
            id,
            model: codec.answer_model(root),
            calls,
            counted,
            body,
        })
    }

    /// Reads the body of a successful answer to `operation`.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_for(dialect: Dialect, operation: Operation, body: Bytes) -> Result<Self, AnswerError> {
        match operation {
            Operation::Generate | Operation::CountTokens => Self::read(dialect, body),
            Operation::Complete => Self::completion(dialect, body),
            Operation::Embed | Operation::EmbedBatch => Self::embeddings(dialect, body),
        }
    }

    fn completion(dialect: Dialect, body: Bytes) -> Result<Self, AnswerError> {
        let body =
            EditableBody::read(body, &Limits::default()).map_err(|error| AnswerError(error.to_string().into()))?;
        let root = Node::new(body.tape(), body.original(), body.tape().root());
        if root.get("choices").is_none_or(|choices| choices.kind() != Kind::Array) {
            return Err(AnswerError("it holds no `choices`".into()));
        }
        let codec = dialect.codec();
        let (mut places, mut echoes) = (Vec::new(), Vec::new());
        codec.walk_completion(root, &mut |found| {
            places.extend(found.place());
        });
        places::sort(&mut places);
        codec.echoes(root, &mut |node| echoes.push(node));
        let text = |name| root.get(name).and_then(Node::text).map(Cow::into_owned);
        let (usage, id, model) = (codec.answer_usage(root), text("id"), text("model"));
        let (places, echoes) = (places.into(), echoes.into());
        Ok(Self { dialect, places, echoes, usage, stop: None, id, model, calls: Vec::new(), counted: None, body })
    }

    /// An answer without words: nothing in it is looked at but what it used, and it passes as it came.
    fn embeddings(dialect: Dialect, bytes: Bytes) -> Result<Self, AnswerError> {
        let usage = dialect.codec().embeddings_usage(&bytes)?;
        let body = EditableBody::opaque(bytes).map_err(|error| AnswerError(error.to_string().into()))?;
        let (places, echoes) = (Arc::from([]), Arc::from([]));
        let (calls, counted) = (Vec::new(), None);
        Ok(Self { dialect, places, echoes, usage, stop: None, id: None, model: None, calls, counted, body })
    }

    /// The dialect it is written in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Tokens used, where the vendor says so.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Why the model stopped.
    #[must_use]
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.stop.as_ref()
    }

    /// The vendor's id of the answer.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The model as the vendor names it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The tool calls that it proposes.
    #[must_use]
    pub fn proposed_calls(&self) -> &[ProposedCall] {
        &self.calls
    }

    /// The tokens of the prompt, where that is what was asked for.
    #[must_use]
    pub fn counted_tokens(&self) -> Option<u64> {
        self.counted
    }

    /// Every generated text, as it stands now: text, reasoning, arguments of tool calls.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        self.places.iter().filter_map(|place| place.segment(&self.body)).collect()
    }

    /// Puts another text in the place of a segment; what repeats the texts of the answer token by token (`logprobs`)
    /// becomes null with it. A path that no segment of this answer has changes nothing.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) {
        if let Some(place) = places::find(&self.places, path) {
            place.replace(&mut self.body, text);
        }
    }

    /// The JSON pointer (RFC 6901) of a segment.
    #[must_use]
    pub fn pointer(&self, path: SegmentPath) -> String {
        self.body.pointer(NodeId::from_index(path.0))
    }

    /// How often the answer was changed.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.body.version()
    }

    /// The body as it stands: the original bytes where nothing was replaced.
    #[must_use]
    pub fn body(&self) -> Bytes {
        if self.body.is_original() || self.echoes.is_empty() {
            return self.body.current();
        }
        let silence = |echo: &NodeId| Edit { span: self.body.tape().span(*echo), replacement: b"null".to_vec() };
        // A text never stands inside what repeats it, so the edits cannot overlap.
        self.body.with(self.echoes.iter().map(silence).collect()).map_or_else(|_| Bytes::new(), Bytes::from)
    }
}

fn proposed(part: Part) -> Option<ProposedCall> {
    match part {
        Part::ToolCall { name, arguments, .. } => {
            Some(ProposedCall { name: name.as_str().into(), arguments: arguments.0 })
        }
        _ => None,
    }
}

/// The answer in the caller's dialect, replacements included. In its own dialect: the body as it stands.
///
/// # Errors
/// Where the answer cannot be read any more, which no replacement brings about.
pub fn translate_answer(
    answer: &Answer,
    to: Dialect,
    context: &TranslateContext<'_>,
) -> Result<(Bytes, Vec<Loss>), AnswerError> {
    let current = answer.body();
    if answer.dialect == to {
        return Ok((current, Vec::new()));
    }
    if let Some(tokens) = answer.counted {
        return Ok((to.codec().encode_count(tokens).into(), Vec::new()));
    }
    let document = Document::parse(&current).map_err(|error| AnswerError(error.to_string().into()))?;
    if let Some(error) = answer.dialect.codec().answer_failure(document.root()) {
        return Err(AnswerError(format!("the model failed: {}", error.message).into()));
    }
    let (mut decoded, mut losses): (ir::Answer, _) = answer.dialect.codec().decode_answer(document.root())?;
    name_calls(&mut decoded.parts, context.call_id);
    let body = to.codec().encode_answer(&decoded, context, &mut losses);
    Ok((body.into(), losses))
}

/// Gives the calls that came without one an id, as a stream's decoder does: the call's own and their number.
fn name_calls(parts: &mut [Part], call_id: &str) {
    let ids = parts.iter_mut().filter_map(|part| match part {
        Part::ToolCall { id, .. } => Some(id),
        _ => None,
    });
    for (number, id) in ids.enumerate().filter(|(_, id)| id.is_empty()) {
        *id = format!("{call_id}_{number}");
    }
}

/// The tokens that a body says it used, in its dialect's way: Chat's names, or those of the newer APIs that count
/// `input_tokens` and `output_tokens` under `usage`.
pub(crate) fn usage_of(dialect: Dialect, tape: &Tape, bytes: &[u8]) -> Option<Usage> {
    let root = Node::new(tape, bytes, tape.root());
    let own = dialect.codec().answer_usage(root);
    own.or_else(|| {
        let usage = root.present("usage")?;
        let count = |name| usage.get(name).and_then(Node::as_u64);
        let input = count("input_tokens")?;
        let source = UsageSource::Vendor;
        Some(Usage { input, output: count("output_tokens").unwrap_or(0), source, ..Usage::default() })
    })
}
