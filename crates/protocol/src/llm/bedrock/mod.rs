//! Amazon Bedrock's Converse API: one shape for the models of many vendors, streamed as AWS events.
//!
//! Owns the dialect's anatomy: `wire` names, `decode` to the representation, `encode` from it, `stream` both ways,
//! `quirks` for what its own bodies need on the way. Reached only through `dialect`. The model stands in the path and
//! the type of an event in a header, so that no body says either. `invoke` is the older envelope.

mod answer;
mod blocks;
mod decode;
mod encode;
mod head;
mod invoke;
mod quirks;
mod stream;
mod wire;

#[cfg(test)]
mod tests;

pub use invoke::chunk;
pub(crate) use invoke::{BedrockInvoke, chunk_data, is_rewrapping, rewrap, rewrap_frame, with_chunk_data};

use std::borrow::Cow;

use bytes::Bytes;
use tidegate_core::usage::Usage;

use crate::{
    eventstream,
    llm::{
        dialect::{Codec, FramePieces, ParamPlace, Patch},
        error::{AnswerError, ErrorView, PrepareError, ReadError, UpstreamError},
        framing::Framing,
        ir,
        loss::Loss,
        model_call::{Head, Operation},
        models::ModelEntry,
        needs::Asked,
        node::Node,
        segments::Found,
        stream::{FrameFacts, UpstreamStreamError},
        target::{Quirks, TargetWire},
        translate::{StreamDecoder, StreamEncoder, TranslateContext},
    },
    sse::Frame,
};

/// The dialect.
#[derive(Debug)]
pub(crate) struct Bedrock;

impl Codec for Bedrock {
    fn surface(&self) -> &'static str {
        "bedrock"
    }

    fn path(&self, operation: Operation, model: &str, stream: bool) -> Result<Cow<'static, str>, PrepareError> {
        let action = match operation {
            Operation::Generate if stream => "converse-stream",
            Operation::Generate => "converse",
            Operation::CountTokens => "count-tokens",
            Operation::Complete | Operation::Embed | Operation::EmbedBatch => {
                return Err(PrepareError::Unsupported(
                    "this provider's API has neither completions nor embeddings; ask one that speaks OpenAI's",
                ));
            }
        };
        Ok(wire::path(model, action))
    }

    fn model_in_body(&self) -> bool {
        false
    }

    fn framing(&self) -> Framing {
        Framing::EventStream
    }

    fn ends_with_body(&self) -> bool {
        true
    }

    fn param<'name>(&self, name: &'name str, _: Operation, _: &Quirks) -> ParamPlace<'name> {
        let place = |name| ParamPlace { parent: Some("inferenceConfig"), name, instead_of: None };
        match name {
            "max_tokens" | "maxTokens" => place("maxTokens"),
            "temperature" => place("temperature"),
            "top_p" | "topP" => place("topP"),
            "stop" | "stop_sequences" | "stopSequences" => place("stopSequences"),
            "reasoning_effort" => ParamPlace { parent: Some("outputConfig"), name: "effort", instead_of: None },
            // What only one vendor's models know is handed to the model as it is.
            name if name.contains('_') => {
                ParamPlace { parent: Some("additionalModelRequestFields"), name, instead_of: None }
            }
            name => ParamPlace::member(name),
        }
    }

    fn error_headers(&self, view: &ErrorView<'_>) -> Vec<(&'static str, String)> {
        vec![
            ("x-amzn-errortype", wire::error_name(view.kind).to_owned()),
            ("x-amzn-requestid", view.call_id.to_owned()),
        ]
    }

    fn head(&self, root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
        head::read(root, operation)
    }

    fn asked(&self, root: Node<'_, '_>) -> Asked {
        head::asked(root)
    }

    fn walk_request(&self, root: Node<'_, '_>, operation: Operation, see: &mut dyn FnMut(Found)) {
        head::walk(root, operation, see);
    }

    fn same_dialect(&self, root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) -> bool {
        quirks::patch(root, to, patch);
        false
    }

    fn decode_request(&self, root: Node<'_, '_>) -> Result<ir::Request, PrepareError> {
        Ok(decode::request(root)?)
    }

    fn encode_request(
        &self,
        request: &ir::Request,
        to: &TargetWire<'_>,
        operation: Operation,
        losses: &mut Vec<Loss>,
    ) -> Result<Vec<u8>, PrepareError> {
        encode::request(request, to, operation, losses)
    }

    fn walk_answer(&self, root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
        answer::walk(root, see);
    }

    fn answer_usage(&self, root: Node<'_, '_>) -> Option<Usage> {
        wire::usage_of(root)
    }

    fn counted(&self, root: Node<'_, '_>) -> Option<u64> {
        root.get("inputTokens").and_then(Node::as_u64)
    }

    fn encode_count(&self, tokens: u64) -> Vec<u8> {
        format!("{{\"inputTokens\":{tokens}}}").into_bytes()
    }

    fn decode_answer(&self, root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
        answer::decode(root)
    }

    fn encode_answer(&self, answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
        answer::encode(answer, context, losses)
    }

    fn is_done_marker(&self, _: &[u8]) -> bool {
        false
    }

    fn frame_error(&self, frame: &Frame) -> Option<UpstreamStreamError> {
        stream::error(frame)
    }

    fn frame_pieces(&self, root: Node<'_, '_>, out: &mut FramePieces) {
        stream::pieces(root, out);
    }

    fn frame_facts<'frame>(&self, root: Node<'_, 'frame>, facts: &mut FrameFacts<'frame>, usage: &mut Option<Usage>) {
        stream::facts(root, facts, usage);
    }

    fn stream_decoder(&self, context: &TranslateContext<'_>) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::new(context))
    }

    fn stream_encoder(&self, context: &TranslateContext<'_>) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(context))
    }

    fn error_json(&self, view: &ErrorView<'_>) -> Vec<u8> {
        wire::error_json(view.message)
    }

    fn error_event(&self, view: &ErrorView<'_>) -> Frame {
        eventstream::exception(wire::exception_name(view.kind), &wire::error_json(view.message))
    }

    fn read_error(&self, status: u16, body: &[u8]) -> UpstreamError {
        wire::read_error(status, body)
    }

    fn models_list(&self, models: &[ModelEntry]) -> Bytes {
        wire::models_list(models)
    }

    fn model(&self, model: &ModelEntry) -> Bytes {
        wire::model(model)
    }

    /// This format has nothing that every client passes over: a silent stream stays silent.
    fn ping(&self) -> Frame {
        Frame { raw: Bytes::new(), event: None, data: None, id: None, retry: None }
    }
}
