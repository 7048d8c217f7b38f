//! One model call as it came in: what the gateway reads of it, what guards may change, and how it is sent on.
//!
//! Owns the caller's body and its version. Never forwards what it did not check, never changes a byte that no edit
//! names on the same dialect. Called by the proxy's decode and guard stages; `upstream` calls [`ModelCall::prepare`]
//! for each attempt.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use tidegate_core::{
    capability::{Capability, Needs},
    facts::{Action, Facts, Resource},
    ids::{Digest, Digester, ModelName, ToolName},
    segment::{Origin, Segment, SegmentPath},
    unit::Units,
    usage::Service,
};

use crate::{
    body::EditableBody,
    json::{Limits, NodeId, splice},
    llm::{
        bedrock, check,
        dialect::{Dialect, Patch},
        error::{PrepareError, ReadError},
        estimate,
        needs::{self, Asked},
        node::{Document, Node},
        segments::{self, Found},
        target::{Lane, Outgoing, TargetWire},
    },
    places::{self, Place},
};

/// The longest name of a model that is taken, in bytes.
pub(crate) const MOST_MODEL_NAME: usize = 256;

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An answer.
    Generate,
    /// Only how many tokens the prompt has.
    CountTokens,
    /// The continuation of a text (OpenAI's `/completions`).
    Complete,
    /// The numbers that stand for a text (OpenAI's `/embeddings`).
    Embed,
    /// As [`Operation::Embed`] for several texts, in dialects that ask that elsewhere (Gemini's `:batchEmbedContents`).
    EmbedBatch,
}

impl Operation {
    /// The operation's name in OpenTelemetry's conventions for generative AI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "chat",
            Self::CountTokens => "count_tokens",
            Self::Complete => "text_completion",
            Self::Embed | Self::EmbedBatch => "embeddings",
        }
    }

    /// Whether only a provider of the caller's own dialect can do it.
    fn is_native(self) -> bool {
        matches!(self, Self::Complete | Self::Embed | Self::EmbedBatch)
    }
}

/// What a request's path says, in dialects that say it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The model as the caller named it.
    pub model: String,
    /// Whether the answer is asked for as a stream.
    pub stream: bool,
}

/// What a dialect reads of a request for the gateway itself.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) model_name: String,
    pub(crate) stream: bool,
    pub(crate) max_output: Option<u64>,
    pub(crate) choices: u64,
    /// Whether the caller's stream is to carry usage.
    pub(crate) wants_usage: bool,
    pub(crate) tools: Vec<ToolName>,
}

/// A model call.
#[derive(Debug, Clone)]
pub struct ModelCall {
    dialect: Dialect,
    operation: Operation,
    body: EditableBody,
    model: ModelName,
    /// Whether the path said what is asked of which model, and not the body.
    in_path: bool,
    stream: bool,
    max_output: Option<u64>,
    choices: u64,
    wants_usage: bool,
    tools: Vec<ToolName>,
    places: Arc<[Place]>,
    estimate: u64,
    needs: Needs,
}

impl ModelCall {
    /// Reads a request body: scans it once and checks what the gateway itself interprets. Members it does not know stay
    /// as they are.
    ///
    /// # Errors
    /// Where the body is no strict JSON (see [`crate::json::scan`]), or a member that is interpreted is missing or of
    /// another type; the pointer names it.
    pub fn read(dialect: Dialect, operation: Operation, body: Bytes) -> Result<Self, ReadError> {
        Self::read_named(dialect, operation, None, body)
    }

    /// Whether a body names a model at all.
    #[must_use]
    pub fn names_model(body: &[u8]) -> bool {
        Document::parse(body).is_ok_and(|document| document.root().present("model").is_some())
    }

    /// Reads a request body as [`Self::read`] does. `named` is what the path says of it, and wins.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_named(
        dialect: Dialect,
        operation: Operation,
        named: Option<Named>,
        body: Bytes,
    ) -> Result<Self, ReadError> {
        let body = EditableBody::read(body, &Limits::default())
            .map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
        let root = Node::new(body.tape(), body.original(), body.tape().root());
        root.expect_object()?;
        let mut head = dialect.codec().head(root, operation)?;
        let in_path = named.is_some();
        if let Some(named) = named {
            if named.model.is_empty() || named.model.len() > MOST_MODEL_NAME {
                return Err(ReadError::new("", "the path must name a model of 1 to 256 bytes"));
            }
            (head.model_name, head.stream) = (named.model, named.stream);
        } else if head.model_name.is_empty() {
            return Err(ReadError::new("", "the path must name a model"));
        }
        let mut places = Vec::new();
        let mut tokens = 0_u64;
        let mut needs = Needs::default();
        dialect.codec().walk_request(root, operation, &mut |found| {
            places.extend(found.place());
            let more = match found {
                // The words of tools are counted with the whole definition.
                Found::Text { origin: Origin::ToolDescription, .. } => 0,
                Found::Text { node, .. } | Found::Value(Place { node, .. }) => {
                    estimate::text(body.tape().raw(body.original(), node))
                }
                Found::Media { kind, tokens } => {
                    if let Some(capability) = kind.needs() {
                        needs.add(capability);
                    }
                    tokens
                }
                Found::Message => estimate::PER_MESSAGE,
                Found::Tools { node } => {
                    estimate::TOOL_PREAMBLE.saturating_add(estimate::text(body.tape().raw(body.original(), node)))
                }
            };
            tokens = tokens.saturating_add(more);
        });
        if !head.tools.is_empty() {
            needs.add(Capability::Tools);
        }
        places::sort(&mut places);
        let known: Vec<NodeId> = places.iter().map(|place| place.node).collect();
        segments::rest(root, &known, &mut |place| places.push(place));
        places::sort(&mut places);
        Ok(Self {
            dialect,
            operation,
            model: head.model_name.into(),
            in_path,
            stream: head.stream,
            max_output: head.max_output,
            choices: head.choices,
            wants_usage: head.wants_usage,
            tools: head.tools,
            places: places.into(),
            estimate: tokens,
            needs,
            body,
        })
    }

    /// The model as the caller named it.
    #[must_use]
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// Whether the answer is asked for as a stream.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// The dialect the caller speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is asked of the model.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The action that policy decides on.
    #[must_use]
    pub fn action(&self) -> Action {
        Action::InvokeModel
    }

    /// A placeholder: each candidate target takes its place when it is decided on.
    #[must_use]
    pub fn resource(&self) -> Resource {
        Resource::Gateway
    }

    /// What policies see of the call.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::new(self.dialect.surface(), self.action(), self.resource());
        facts.model = Some(self.model.clone());
        facts.stream = self.stream;
        facts.input_tokens = self.estimate();
        facts.max_output_tokens = self.max_output_tokens().unwrap_or(0);
        facts.tools.clone_from(&self.tools);
        facts
    }

    /// The names of the tools that the model is offered.
    #[must_use]
    pub fn tools(&self) -> &[ToolName] {
        &self.tools
    }

    /// An upper bound of the prompt's tokens; how it is counted stands in `estimate.rs`.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.estimate
    }

    fn asked(&self) -> Asked {
        let root = Node::new(self.body.tape(), self.body.original(), self.body.tape().root());
        match self.operation {
            Operation::Generate | Operation::CountTokens => self.dialect.codec().asked(root),
            Operation::Complete | Operation::Embed | Operation::EmbedBatch => Asked::default(),
        }
    }

    /// What the call needs of a model beside words, as far as it says so itself.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs.and(self.asked().needs)
    }

    /// The level of service that it asks for, where it names one.
    #[must_use]
    pub fn service(&self) -> Option<Service> {
        self.asked().service
    }

    /// How often its vendor's own tools may be used for it, of those that vendors charge for.
    #[must_use]
    pub fn fees(&self) -> Units {
        self.asked().fees
    }

    /// Whether sounds or images are in it or asked for.
    #[must_use]
    pub fn has_media(&self) -> bool {
        self.needs.has(Capability::Vision) || self.needs.has(Capability::Audio) || self.asked().media
    }

    /// How many tokens the words of its prompt are at least, whatever the vocabulary: what has more than a model takes
    /// certainly does not fit. Far below [`Self::estimate`], since it counts words and no media.
    #[must_use]
    pub fn fewest_tokens(&self) -> u64 {
        let root = Node::new(self.body.tape(), self.body.original(), self.body.tape().root());
        let mut tokens = 0_u64;
        self.dialect.codec().walk_request(root, self.operation, &mut |found| {
            if let Found::Text { node, origin } = found
                && origin != Origin::ToolDescription
            {
                tokens = tokens.saturating_add(needs::fewest_tokens(self.body.tape().raw(self.body.original(), node)));
            }
        });
        tokens
    }

    /// The most tokens that may be generated, over all choices that were asked for; `None` where the caller set no
    /// limit, and 0 where tokens are only counted.
    #[must_use]
    pub fn max_output_tokens(&self) -> Option<u64> {
        match self.operation {
            Operation::CountTokens | Operation::Embed | Operation::EmbedBatch => Some(0),
            Operation::Generate | Operation::Complete => self.max_output.map(|most| most.saturating_mul(self.choices)),
        }
    }

    /// Whether the same call again is the same question: not so where it goes on from what its vendor keeps, or is
    /// answered later.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        let root = Node::new(self.body.tape(), self.body.original(), self.body.tape().root());
        !self.dialect.codec().is_stateful(root)
    }

    /// How many answers were asked for: `n` of the Chat dialect, 1 elsewhere.
    #[must_use]
    pub fn choices(&self) -> u64 {
        self.choices
    }

    /// Whether the caller's stream is to carry usage: what [`crate::llm::TranslateContext`] wants to know.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        self.wants_usage
    }

    /// Every text that a guard should see, in the order of the body, as it stands now.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        self.places.iter().filter_map(|place| place.segment(&self.body)).collect()
    }

    /// Puts another text in the place of a segment and counts the version up. A path that no segment of this call has
    /// changes nothing.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) {
        if let Some(place) = places::find(&self.places, path) {
            let before = self.body.text(place.node).map_or(0, |text| estimate::text(text.as_bytes()));
            self.estimate = self.estimate.saturating_add(estimate::text(text.as_bytes()).saturating_sub(before));
            place.replace(&mut self.body, text);
        }
    }

    /// The JSON pointer (RFC 6901) of a segment.
    #[must_use]
    pub fn pointer(&self, path: SegmentPath) -> String {
        self.body.pointer(NodeId::from_index(path.0))
    }

    /// How often the body was changed.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.body.version()
    }

    /// The SHA-256 of the body as it stands; where the path says what is asked of which model, over both.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let body = self.body.digest();
        if !self.in_path {
            return body;
        }
        let mut digester = Digester::new();
        let how = if self.stream { "stream" } else { "whole" };
        for part in [self.operation.as_str(), how, self.model.as_str()] {
            digester.update(part.as_bytes());
            digester.update(b"\n");
        }
        digester.update(body.as_bytes());
        digester.digest()
    }

    /// The body as it stands, in the caller's dialect and with the model as the caller named it.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.current()
    }

    /// Writes the body for a target, on the lane that changes least.
    ///
    /// # Errors
    /// Where the target's dialect has no such operation, or the body holds what no translation can carry over.
    pub fn prepare(&self, to: &TargetWire<'_>) -> Result<Outgoing, PrepareError> {
        let path = to.dialect.codec().path(self.operation, to.model, self.stream)?;
        if self.body.is_original() {
            let root = Node::new(self.body.tape(), self.body.original(), self.body.tape().root());
            return self.prepare_from(root, self.body.original(), to, path);
        }
        let current = self.body.current();
        let document = Document::parse(&current).map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
        self.prepare_from(document.root(), &current, to, path)
    }

    fn prepare_from(
        &self,
        root: Node<'_, '_>,
        bytes: &[u8],
        to: &TargetWire<'_>,
        path: Cow<'static, str>,
    ) -> Result<Outgoing, PrepareError> {
        if self.dialect != to.dialect {
            if self.operation.is_native() {
                return Err(PrepareError::Unsupported(
                    "completions and embeddings are asked of providers that speak the caller's own dialect",
                ));
            }
            return self.translate(root, to, path);
        }
        let mut patch = Patch::default();
        let asked_usage = match self.operation {
            Operation::Generate | Operation::Complete => to.dialect.codec().same_dialect(root, to, &mut patch),
            Operation::CountTokens | Operation::Embed | Operation::EmbedBatch => false,
        };
        let verbatim = self.body.is_original() && patch.edits.is_empty();
        // There the path names the model, and the body a version.
        if !(to.quirks.anthropic_on_vertex && self.operation == Operation::Generate) {
            to.dialect.codec().name_model(root, to.model, &mut patch);
        }
        let body = if patch.edits.is_empty() {
            self.body.current()
        } else {
            splice(bytes, patch.edits)
                .map_err(|error| ReadError::new("", format!("the body could not be rewritten: {error}")))?
                .into()
        };
        let lane = if verbatim { Lane::Verbatim } else { Lane::Patched };
        Ok(Outgoing { body, lane, losses: patch.losses, path, asked_usage, forms: Vec::new() })
    }

    fn translate(
        &self,
        root: Node<'_, '_>,
        to: &TargetWire<'_>,
        path: Cow<'static, str>,
    ) -> Result<Outgoing, PrepareError> {
        if bedrock::is_rewrapping(self.dialect, to.dialect) {
            let mut losses = Vec::new();
            let body = bedrock::rewrap(root, to, self.stream, &mut losses)?.into();
            return Ok(Outgoing { body, lane: Lane::Patched, losses, path, asked_usage: false, forms: Vec::new() });
        }
        let mut request = self.dialect.codec().decode_request(root)?;
        request.stream = self.stream;
        check::conversation(&mut request)?;
        let mut losses = Vec::new();
        let body = to.dialect.codec().encode_request(&request, to, self.operation, &mut losses)?;
        // The translator knows itself which frames are for the caller.
        let forms = request.forms;
        Ok(Outgoing { body: body.into(), lane: Lane::Translated, losses, path, asked_usage: false, forms })
    }
}
