//! OpenAI's Chat Completions API, and what is compatible with it.
//!
//! Owns the dialect's anatomy: `wire` names, `decode` to the representation, `encode` from it, `stream` both ways,
//! `quirks` for servers that depart from it. Reached only through `dialect`.

mod answer;
mod decode;
pub(super) mod encode;
mod head;
mod plain;
mod quirks;
mod stream;
pub(super) mod wire;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use tidegate_core::usage::Usage;

use crate::{
    json::NodeId,
    llm::{
        dialect::{Codec, FramePieces, ParamPlace, Patch},
        error::{AnswerError, ErrorView, PrepareError, ReadError, UpstreamError},
        ir,
        loss::Loss,
        model_call::{Head, Operation},
        models::ModelEntry,
        needs::Asked,
        node::Node,
        segments::Found,
        stream::FrameFacts,
        target::{Quirks, TargetWire},
        translate::{StreamDecoder, StreamEncoder, TranslateContext},
    },
    sse::Frame,
};

/// The dialect.
#[derive(Debug)]
pub(crate) struct OpenAiChat;

impl Codec for OpenAiChat {
    fn surface(&self) -> &'static str {
        "openai"
    }

    fn path(&self, operation: Operation, _: &str, _: bool) -> Result<Cow<'static, str>, PrepareError> {
        match operation {
            Operation::Generate => Ok("/chat/completions".into()),
            Operation::Complete => Ok("/completions".into()),
            Operation::Embed => Ok("/embeddings".into()),
            Operation::EmbedBatch => Err(PrepareError::Unsupported(
                "this provider's API takes several texts in one request for embeddings; send it as that",
            )),
            Operation::CountTokens => Err(PrepareError::Unsupported(
                "this provider's API cannot count tokens; ask one that speaks Anthropic's",
            )),
        }
    }

    fn param<'name>(&self, name: &'name str, operation: Operation, quirks: &Quirks) -> ParamPlace<'name> {
        match name {
            "max_tokens" if operation == Operation::Generate && !quirks.max_completion_tokens_as_max_tokens => {
                ParamPlace { parent: None, name: "max_completion_tokens", instead_of: Some("max_tokens") }
            }
            "max_tokens" => ParamPlace { instead_of: Some("max_completion_tokens"), ..ParamPlace::member(name) },
            _ => ParamPlace::member(name),
        }
    }

    fn head(&self, root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
        match operation {
            Operation::Complete | Operation::Embed | Operation::EmbedBatch => plain::read(root, operation),
            Operation::Generate | Operation::CountTokens => head::read(root),
        }
    }

    fn asked(&self, root: Node<'_, '_>) -> Asked {
        head::asked(root)
    }

    fn walk_request(&self, root: Node<'_, '_>, operation: Operation, see: &mut dyn FnMut(Found)) {
        match operation {
            Operation::Complete | Operation::Embed | Operation::EmbedBatch => plain::walk(root, see),
            Operation::Generate | Operation::CountTokens => head::walk(root, see),
        }
    }

    fn same_dialect(&self, root: Node<'_, '_>, to: &TargetWire<'_>, patch: &mut Patch) -> bool {
        quirks::patch(root, to, patch)
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
        self.path(operation, to.model, request.stream)?;
        encode::request(request, to, losses)
    }

    fn walk_answer(&self, root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
        answer::walk(root, see);
    }

    fn walk_completion(&self, root: Node<'_, '_>, see: &mut dyn FnMut(Found)) {
        plain::walk_answer(root, see);
    }

    fn embeddings_usage(&self, body: &[u8]) -> Result<Option<Usage>, AnswerError> {
        plain::embeddings_usage(body)
    }

    fn echoes(&self, root: Node<'_, '_>, see: &mut dyn FnMut(NodeId)) {
        for choice in root.get("choices").into_iter().flat_map(Node::items) {
            // The tokens themselves, one by one.
            if let Some(logprobs) = choice.present("logprobs") {
                see(logprobs.id());
            }
        }
    }

    fn answer_usage(&self, root: Node<'_, '_>) -> Option<Usage> {
        wire::usage(root)
    }

    fn decode_answer(&self, root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
        answer::decode(root)
    }

    fn encode_answer(&self, answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
        answer::encode(answer, context, losses)
    }

    fn is_done_marker(&self, data: &[u8]) -> bool {
        data.trim_ascii() == b"[DONE]"
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
        wire::error_json(view)
    }

    fn error_event(&self, view: &ErrorView<'_>) -> Frame {
        Frame::build(None, &wire::error_json(view))
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

    fn ping(&self) -> Frame {
        Frame::comment("ping")
    }
}
