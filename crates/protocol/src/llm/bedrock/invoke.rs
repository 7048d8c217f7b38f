//! Anthropic's Messages in the envelope of Bedrock's InvokeModel: the model in the path, the version in the body, and
//! streamed events packed into messages of an AWS event stream.
//!
//! Owns the envelope; what is inside is Anthropic's codec, so that nothing of it is lost between the two. Bodies in
//! other vendors' own formats are refused: only Converse speaks for them. Reached only through `dialect`.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tidegate_core::usage::Usage;

use super::{stream, wire};
use crate::{
    eventstream::{self, EventStreamError},
    json::NodeId,
    llm::{
        anthropic::{self, Anthropic},
        dialect::{Codec, Dialect, FramePieces, ParamPlace, Patch},
        error::{AnswerError, ErrorView, PrepareError, ReadError, StreamError, UpstreamError},
        framing::Framing,
        ir,
        loss::Loss,
        model_call::{Head, Operation},
        models::ModelEntry,
        needs::Asked,
        node::{Document, Node},
        segments::Found,
        stream::{FrameFacts, UpstreamStreamError},
        target::{Quirks, TargetWire},
        translate::{StreamDecoder, StreamEncoder, TranslateContext},
        write::JsonWriter,
    },
    sse::Frame,
};

/// The version of the body's form that Bedrock knows.
const VERSION: &str = "bedrock-2023-05-31";

/// A message of InvokeModel's event stream that carries one event of Anthropic's.
#[must_use]
pub fn chunk(data: &[u8]) -> Frame {
    let mut frame = eventstream::event("chunk", &packed(data));
    frame.data = Some(Bytes::copy_from_slice(data));
    frame
}

fn packed(data: &[u8]) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(data.len().saturating_mul(4) / 3 + 16);
    json.object(|json| json.string_member("bytes", &STANDARD.encode(data)));
    json.into_bytes()
}

/// A frame as the parser of event streams gives it, with the event inside as its data. Exceptions are not packed.
pub(crate) fn chunk_data(mut frame: Frame) -> Result<Frame, EventStreamError> {
    if frame.event.as_deref() == Some(b"chunk") {
        let malformed = EventStreamError::Malformed("a chunk holds no event in base64");
        let payload = frame.data.take().unwrap_or_default();
        let document = Document::parse(&payload).map_err(|_| malformed)?;
        let bytes = document.root().get("bytes").and_then(Node::text).ok_or(malformed)?;
        frame.data = Some(STANDARD.decode(bytes.as_bytes()).map_err(|_| malformed)?.into());
    }
    Ok(frame)
}

/// The same message with another event inside.
pub(crate) fn with_chunk_data(frame: &Frame, data: Vec<u8>) -> Result<Frame, EventStreamError> {
    let mut changed = eventstream::with_payload(frame, &packed(&data))?;
    changed.data = Some(data.into());
    Ok(changed)
}

/// Whether bodies of one are bodies of the other in another envelope.
pub(crate) fn is_rewrapping(from: Dialect, to: Dialect) -> bool {
    matches!((from, to), (Dialect::Anthropic, Dialect::BedrockInvoke) | (Dialect::BedrockInvoke, Dialect::Anthropic))
}

/// A request in the other envelope; every member that is no part of the envelope stays as it is.
///
/// # Errors
/// Where it wants what Bedrock does not do for Anthropic.
pub(crate) fn rewrap(
    root: Node<'_, '_>,
    to: &TargetWire<'_>,
    stream: bool,
    losses: &mut Vec<Loss>,
) -> Result<Vec<u8>, ReadError> {
    if to.dialect == Dialect::BedrockInvoke {
        anthropic::elsewhere(root)?;
    }
    let mut json = JsonWriter::with_capacity(root.span().len().saturating_add(128));
    json.object(|json| {
        if to.dialect == Dialect::BedrockInvoke {
            json.string_member("anthropic_version", VERSION);
        } else {
            json.string_member("model", to.model);
            if stream {
                json.bool_member("stream", true);
            }
        }
        for (name, value) in root.members() {
            match &*name {
                "model" | "stream" | "anthropic_version" => {}
                "anthropic_beta" if to.dialect == Dialect::Anthropic => {
                    let why = "dropped: the target takes it as a header; send `anthropic-beta` as one";
                    losses.push(Loss::new("/anthropic_beta", "anthropic_beta", why));
                }
                _ => json.raw_member(&name, value.raw()),
            }
        }
    });
    Ok(json.into_bytes())
}

/// The frame of a stream in the other envelope.
pub(crate) fn rewrap_frame(frame: &Frame, to: Dialect) -> Result<Option<Frame>, StreamError> {
    let Some(data) = frame.data.as_deref() else { return Ok(None) };
    if to == Dialect::BedrockInvoke {
        return Ok(Some(chunk(data)));
    }
    let document = Document::parse(data).map_err(|error| crate::llm::dialect::malformed(&error))?;
    let name = document.root().get("type").and_then(Node::text).unwrap_or_default();
    Ok(Some(Frame::build(Some(&name), data)))
}

/// The dialect.
#[derive(Debug)]
pub(crate) struct BedrockInvoke;

impl Codec for BedrockInvoke {
    fn surface(&self) -> &'static str {
        "bedrock"
    }

    fn path(&self, operation: Operation, model: &str, stream: bool) -> Result<Cow<'static, str>, PrepareError> {
        match operation {
            Operation::Generate if stream => Ok(wire::path(model, "invoke-with-response-stream")),
            Operation::Generate => Ok(wire::path(model, "invoke")),
            Operation::CountTokens | Operation::Complete | Operation::Embed | Operation::EmbedBatch => {
                Err(PrepareError::Unsupported("this form of the provider's API only generates; ask in another"))
            }
        }
    }

    fn model_in_body(&self) -> bool {
        false
    }

    fn framing(&self) -> Framing {
        Framing::EventChunks
    }

    fn param<'name>(&self, name: &'name str, operation: Operation, quirks: &Quirks) -> ParamPlace<'name> {
        Anthropic.param(name, operation, quirks)
    }

    fn error_headers(&self, view: &ErrorView<'_>) -> Vec<(&'static str, String)> {
        super::Bedrock.error_headers(view)
    }

    fn head(&self, root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
        if root.get("anthropic_version").is_none_or(|version| !version.is_string()) {
            return Err(root.error(
                "`anthropic_version` is missing: of the vendors' own formats only Anthropic's is taken here; send \
                 other models' requests to `converse`",
            ));
        }
        anthropic::head_without_model(root, operation)
    }

    fn asked(&self, root: Node<'_, '_>) -> Asked {
        Anthropic.asked(root)
    }

    fn walk_request(&self, root: Node<'_, '_>, operation: Operation, see: &mut dyn FnMut(Found)) {
        Anthropic.walk_request(root, operation, see);
    }

    fn same_dialect(&self, root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) -> bool {
        Anthropic.same_dialect(root, to, patch)
    }

    fn decode_request(&self, root: Node<'_, '_>) -> Result<ir::Request, PrepareError> {
        let mut request = Anthropic.decode_request(root)?;
        request.extensions.retain(|extension| extension.pointer != "/anthropic_version");
        Ok(request)
    }

    fn encode_request(
        &self,
        request: &ir::Request,
        to: &TargetWire<'_>,
        operation: Operation,
        losses: &mut Vec<Loss>,
    ) -> Result<Vec<u8>, PrepareError> {
        let body = Anthropic.encode_request(request, to, operation, losses)?;
        let document = Document::parse(&body).map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
        Ok(rewrap(document.root(), to, request.stream, losses)?)
    }

    fn walk_answer(&self, root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
        Anthropic.walk_answer(root, see);
    }

    fn echoes(&self, root: Node<'_, '_>, see: &mut dyn FnMut(NodeId)) {
        Anthropic.echoes(root, see);
    }

    fn answer_usage(&self, root: Node<'_, '_>) -> Option<Usage> {
        Anthropic.answer_usage(root)
    }

    fn decode_answer(&self, root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
        Anthropic.decode_answer(root)
    }

    fn encode_answer(&self, answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
        Anthropic.encode_answer(answer, context, losses)
    }

    fn is_done_marker(&self, _: &[u8]) -> bool {
        false
    }

    fn frame_error(&self, frame: &Frame) -> Option<UpstreamStreamError> {
        stream::error(frame)
    }

    fn frame_pieces(&self, root: Node<'_, '_>, out: &mut FramePieces) {
        Anthropic.frame_pieces(root, out);
    }

    fn frame_facts<'frame>(&self, root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
        Anthropic.frame_facts(root, facts, usage);
    }

    fn stream_decoder(&self, context: &TranslateContext<'_>) -> Box<dyn StreamDecoder> {
        Anthropic.stream_decoder(context)
    }

    fn stream_encoder(&self, context: &TranslateContext<'_>) -> Box<dyn StreamEncoder> {
        Box::new(Encoder(Anthropic.stream_encoder(context)))
    }

    fn error_json(&self, view: &ErrorView<'_>) -> Vec<u8> {
        super::Bedrock.error_json(view)
    }

    fn error_event(&self, view: &ErrorView<'_>) -> Frame {
        super::Bedrock.error_event(view)
    }

    fn read_error(&self, status: u16, body: &[u8]) -> UpstreamError {
        super::Bedrock.read_error(status, body)
    }

    fn models_list(&self, models: &[ModelEntry]) -> Bytes {
        wire::models_list(models)
    }

    fn model(&self, model: &ModelEntry) -> Bytes {
        wire::model(model)
    }

    fn ping(&self) -> Frame {
        chunk(br#"{"type":"ping"}"#)
    }
}

/// Packs what Anthropic's encoder writes.
struct Encoder(Box<dyn StreamEncoder>);

impl StreamEncoder for Encoder {
    fn push(&mut self, event: ir::StreamEvent, out: &mut Vec<Frame>) -> Result<(), StreamError> {
        if let ir::StreamEvent::Error { kind, message } = &event {
            out.push(eventstream::exception(wire::exception_name(*kind), &wire::error_json(message)));
            return Ok(());
        }
        let mut frames = Vec::new();
        self.0.push(event, &mut frames)?;
        out.extend(frames.iter().filter_map(|frame| frame.data.as_deref()).map(chunk));
        Ok(())
    }
}
