//! Anthropic's Messages API, and what is compatible with it.
//!
//! Owns the dialect's anatomy: `wire` names, `decode` to the representation, `encode` from it, `stream` both ways,
//! `quirks` for what its own bodies need on the way. Reached only through `dialect`.

mod answer;
mod decode;
mod encode;
mod head;
mod quirks;
mod stream;
mod thread;
mod wire;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use tidegate_core::usage::Usage;

use crate::{
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

/// What a request says besides its model: for envelopes that name the model elsewhere.
pub(crate) fn head_without_model(root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
    head::without_model(root, operation)
}

/// Refuses what only Anthropic's own servers can do, where a body is sent elsewhere as it is.
///
/// # Errors
/// Where the conversation is to be kept.
pub(crate) fn elsewhere(root: Node<'_, '_>) -> Result<(), ReadError> {
    thread::refuse(root)
}

/// The dialect.
#[derive(Debug)]
pub(crate) struct Anthropic;

impl Codec for Anthropic {
    fn surface(&self) -> &'static str {
        "anthropic"
    }

    fn path(&self, operation: Operation, _: &str, _: bool) -> Result<Cow<'static, str>, PrepareError> {
        Ok(match operation {
            Operation::Generate => "/messages".into(),
            Operation::CountTokens => "/messages/count_tokens".into(),
            Operation::Complete | Operation::Embed | Operation::EmbedBatch => {
                return Err(PrepareError::Unsupported(
                    "this provider's API has neither completions nor embeddings; ask one that speaks OpenAI's",
                ));
            }
        })
    }

    fn param<'name>(&self, name: &'name str, _: Operation, _: &Quirks) -> ParamPlace<'name> {
        ParamPlace::member(name)
    }

    fn head(&self, root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
        head::read(root, operation)
    }

    fn is_stateful(&self, root: Node<'_, '_>) -> bool {
        root.present(thread::MEMBER).is_some()
    }

    fn asked(&self, root: Node<'_, '_>) -> Asked {
        head::asked(root)
    }

    fn walk_request(&self, root: Node<'_, '_>, _: Operation, see: &mut dyn FnMut(Found)) {
        head::walk(root, see);
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
        answer::usage(root)
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
        Frame::build(Some("error"), &wire::error_json(view))
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
        Frame::build(Some("ping"), br#"{"type":"ping"}"#)
    }
}
