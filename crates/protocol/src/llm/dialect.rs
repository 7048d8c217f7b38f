//! The dialects, each with the folder that knows it.
//!
//! Owns the only match on the dialect: a new one is one folder and one line here. Called by everything in `llm`.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;
use tidegate_core::usage::Usage;

use crate::{
    json::NodeId,
    llm::{
        anthropic::Anthropic,
        bedrock::{Bedrock, BedrockInvoke},
        error::{AnswerError, ErrorView, PrepareError, ReadError, StreamError, UpstreamError},
        framing::Framing,
        gemini::Gemini,
        ir,
        loss::Loss,
        model_call::{Head, Operation},
        models::ModelEntry,
        needs::Asked,
        node::Node,
        openai_chat::OpenAiChat,
        openai_responses::OpenAiResponses,
        segments::Found,
        stream::{Channel, FrameFacts, UpstreamStreamError},
        target::{Quirks, TargetWire},
        translate::{StreamDecoder, StreamEncoder, TranslateContext},
        write::JsonWriter,
    },
    sse::Frame,
};

/// A wire format of model calls, spoken by clients and upstreams alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// OpenAI's Chat Completions and what is compatible with it.
    OpenAiChat,
    /// Anthropic's Messages and what is compatible with it.
    Anthropic,
    /// Google's Gemini API, and Vertex AI's form of it.
    Gemini,
    /// OpenAI's Responses and what is compatible with it.
    OpenAiResponses,
    /// Amazon Bedrock's Converse.
    Bedrock,
    /// Anthropic's Messages in the envelope of Amazon Bedrock's InvokeModel.
    BedrockInvoke,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 6] =
        [Self::OpenAiChat, Self::Anthropic, Self::OpenAiResponses, Self::Gemini, Self::Bedrock, Self::BedrockInvoke];

    pub(crate) fn codec(self) -> &'static dyn Codec {
        match self {
            Self::OpenAiChat => &OpenAiChat,
            Self::Anthropic => &Anthropic,
            Self::Gemini => &Gemini,
            Self::OpenAiResponses => &OpenAiResponses,
            Self::Bedrock => &Bedrock,
            Self::BedrockInvoke => &BedrockInvoke,
        }
    }

    /// The dialect of this name in catalogue files: `openai_chat`, `anthropic`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Its own name, as catalogue files have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::OpenAiResponses => "openai_responses",
            Self::Bedrock => "bedrock",
            Self::BedrockInvoke => "bedrock_invoke",
        }
    }

    /// How its streams are cut into frames.
    #[must_use]
    pub fn framing(self) -> Framing {
        self.codec().framing()
    }

    /// Whether a stream's successful end is the end of its body after the model has stopped, not a frame of its own.
    #[must_use]
    pub fn ends_with_body(self) -> bool {
        self.codec().ends_with_body()
    }

    /// The path below the version of a call that names no model, where the dialect has such calls: something that the
    /// vendor stores says it then, and the call is one of the vendor's own API.
    #[must_use]
    pub fn path_without_model(self, operation: Operation) -> Option<&'static str> {
        self.codec().path_without_model(operation)
    }

    /// Whether vendors keep answers of this dialect, which are asked for later by their ids.
    #[must_use]
    pub fn keeps_answers(self) -> bool {
        self.codec().keeps_answers()
    }

    /// Headers that this dialect's clients expect beside an error's body.
    #[must_use]
    pub fn error_headers(self, view: &ErrorView<'_>) -> Vec<(&'static str, String)> {
        self.codec().error_headers(view)
    }

    /// The surface's name in facts, records and metrics: `openai`, `anthropic`.
    #[must_use]
    pub fn surface(self) -> &'static str {
        self.codec().surface()
    }

    /// The body of an error answer in this dialect's shape.
    #[must_use]
    pub fn error_body(self, view: &ErrorView<'_>) -> Bytes {
        self.codec().error_json(view).into()
    }

    /// The event that ends a stream of this dialect with an error.
    #[must_use]
    pub fn error_event(self, view: &ErrorView<'_>) -> Frame {
        self.codec().error_event(view)
    }

    /// Reads the body of an upstream's error answer. Never fails: a body of another shape becomes the message.
    #[must_use]
    pub fn read_error(self, status: u16, body: &[u8]) -> UpstreamError {
        self.codec().read_error(status, body)
    }

    /// The answer to a request for the list of models.
    #[must_use]
    pub fn models_list(self, models: &[ModelEntry]) -> Bytes {
        self.codec().models_list(models)
    }

    /// The answer to a request for one model.
    #[must_use]
    pub fn model(self, model: &ModelEntry) -> Bytes {
        self.codec().model(model)
    }

    /// A sign of life for a stream in which nothing happens.
    #[must_use]
    pub fn ping(self) -> Frame {
        self.codec().ping()
    }
}

/// Everything a dialect knows how to do.
pub(crate) trait Codec: Sync {
    fn surface(&self) -> &'static str;

    /// The path of an operation below a base URL, with its query. `model` is the provider's name for the model, and
    /// `stream` says how the answer is asked for: some dialects say both in the path.
    fn path(&self, operation: Operation, model: &str, stream: bool) -> Result<Cow<'static, str>, PrepareError>;

    /// See [`Dialect::path_without_model`].
    fn path_without_model(&self, _: Operation) -> Option<&'static str> {
        None
    }

    /// See [`Dialect::keeps_answers`].
    fn keeps_answers(&self) -> bool {
        false
    }

    /// Whether a request names its model in the body, as `model`.
    fn model_in_body(&self) -> bool {
        true
    }

    /// A member by its name in this dialect, also where it may be spelled in another way.
    fn member<'tape, 'body>(&self, node: Node<'tape, 'body>, name: &str) -> Option<Node<'tape, 'body>> {
        node.get(name)
    }

    /// Writes the target's name for the model where the body names it.
    fn name_model(&self, root: Node<'_, '_>, model: &str, patch: &mut Patch) {
        let named = root.get("model").filter(|named| self.model_in_body() && !named.text_is(model));
        if let Some(named) = named {
            let mut name = JsonWriter::default();
            name.string(model);
            patch.replace(named.span(), name.into_bytes());
        }
    }

    /// How streams are cut into frames.
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    /// See [`Dialect::ends_with_body`].
    fn ends_with_body(&self) -> bool {
        false
    }

    /// Where a parameter that a target's configuration sets stands in a request: it is named as in the Chat dialect,
    /// or as in this one.
    fn param<'name>(&self, name: &'name str, operation: Operation, quirks: &Quirks) -> ParamPlace<'name>;

    /// Headers beside an error's body.
    fn error_headers(&self, _: &ErrorView<'_>) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Checks and reads what the gateway itself needs of a request.
    fn head(&self, root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError>;

    /// Shows every text, image and tool of a request, in the order of the body.
    fn walk_request(&self, root: Node<'_, '_>, operation: Operation, see: &mut dyn FnMut(Found));

    /// What the members of a request ask for, its messages and tools apart.
    fn asked(&self, root: Node<'_, '_>) -> Asked;

    /// Whether a request goes on from, or leaves behind, something that its vendor keeps: asked twice, it is not the same.
    fn is_stateful(&self, _: Node<'_, '_>) -> bool {
        false
    }

    /// Edits that the target needs in a body of its own dialect, the model's name apart. Answers whether usage was
    /// asked for that the caller did not ask for.
    fn same_dialect(&self, root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) -> bool;

    fn decode_request(&self, root: Node<'_, '_>) -> Result<ir::Request, PrepareError>;

    fn encode_request(
        &self,
        request: &ir::Request,
        to: &TargetWire<'_>,
        operation: Operation,
        losses: &mut Vec<Loss>,
    ) -> Result<Vec<u8>, PrepareError>;

    /// Shows every text of an answer.
    fn walk_answer(&self, root: Node<'_, '_>, see: &mut dyn FnMut(Found));

    /// Shows every text of the answer to [`Operation::Complete`].
    fn walk_completion(&self, _: Node<'_, '_>, _: &mut dyn FnMut(Found)) {}

    /// What the answer to [`Operation::Embed`] used.
    fn embeddings_usage(&self, _: &[u8]) -> Result<Option<Usage>, AnswerError> {
        Ok(None)
    }

    /// Values of an answer or a frame that say its texts once more, in pieces: they go when a text is rewritten.
    fn echoes(&self, _: Node<'_, '_>, _: &mut dyn FnMut(NodeId)) {}

    fn answer_usage(&self, root: Node<'_, '_>) -> Option<Usage>;

    /// The model that an answer names.
    fn answer_model(&self, root: Node<'_, '_>) -> Option<String> {
        root.get("model").and_then(Node::text).map(Cow::into_owned)
    }

    /// The tokens that an answer to [`Operation::CountTokens`] tells.
    fn counted(&self, root: Node<'_, '_>) -> Option<u64> {
        root.get("input_tokens").and_then(Node::as_u64)
    }

    /// The error of an answer that came with a good status and says that the model failed.
    fn answer_failure(&self, _: Node<'_, '_>) -> Option<UpstreamError> {
        None
    }

    fn decode_answer(&self, root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError>;

    fn encode_answer(&self, answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8>;

    /// The answer to [`Operation::CountTokens`].
    fn encode_count(&self, tokens: u64) -> Vec<u8> {
        let mut json = JsonWriter::default();
        json.object(|json| json.number_member("input_tokens", tokens));
        json.into_bytes()
    }

    /// Whether the data of a frame is the successful end by itself, without being JSON.
    fn is_done_marker(&self, data: &[u8]) -> bool;

    /// The error that a frame reports by something else than its data.
    fn frame_error(&self, _: &Frame) -> Option<UpstreamStreamError> {
        None
    }

    /// Where the texts of a frame stand.
    fn frame_pieces(&self, root: Node<'_, '_>, out: &mut FramePieces);

    /// What else a frame says; pieces are not its business.
    fn frame_facts<'frame>(&self, root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>);

    fn stream_decoder(&self, context: &TranslateContext<'_>) -> Box<dyn StreamDecoder>;

    fn stream_encoder(&self, context: &TranslateContext<'_>) -> Box<dyn StreamEncoder>;

    fn error_json(&self, view: &ErrorView<'_>) -> Vec<u8>;

    fn error_event(&self, view: &ErrorView<'_>) -> Frame;

    fn read_error(&self, status: u16, body: &[u8]) -> UpstreamError;

    fn models_list(&self, models: &[ModelEntry]) -> Bytes;

    fn model(&self, model: &ModelEntry) -> Bytes;

    fn ping(&self) -> Frame;
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParamPlace<'name> {
    /// The object of the body that it is a member of, where it is not the body itself.
    pub(crate) parent: Option<&'static str>,
    /// Its name there.
    pub(crate) name: &'name str,
    /// A member of the same object that means the same and is to say nothing.
    pub(crate) instead_of: Option<&'static str>,
}

impl<'name> ParamPlace<'name> {
    /// A member of the body itself.
    pub(crate) fn member(name: &'name str) -> Self {
        Self { parent: None, name, instead_of: None }
    }
}

/// The texts of a frame by channel and place.
pub(crate) type FramePieces = SmallVec<[(Channel, NodeId); 2]>;

/// Edits on one sending of a body, and what was dropped on the way.
#[derive(Debug, Default)]
pub(crate) struct Patch {
    pub(crate) edits: Vec<crate::json::Edit>,
    pub(crate) losses: Vec<Loss>,
}

impl Patch {
    pub(crate) fn replace(&mut self, span: std::ops::Range<usize>, replacement: impl Into<Vec<u8>>) {
        self.edits.push(crate::json::Edit { span, replacement: replacement.into() });
    }
}

/// The data of a frame, read as JSON.
pub(crate) fn malformed(error: &crate::json::JsonError) -> StreamError {
    StreamError::Malformed(error.to_string().into())
}
