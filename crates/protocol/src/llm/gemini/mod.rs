//! Google's Gemini API: `generateContent`, `streamGenerateContent`, `countTokens` and embeddings.
//!
//! Owns the dialect's anatomy: `wire` names, `fields` in either of their spellings, `head` for what the gateway reads,
//! `decode` to the representation and `encode` from it with `settings`, `tools`, `schema` and `thoughts` for their parts,
//! `stream` both ways, `quirks` for what its own bodies need on the way. Reached only through `dialect`.

mod answer;
mod decode;
mod embed;
mod encode;
mod errors;
mod fields;
mod head;
mod media;
mod quirks;
mod schema;
mod settings;
mod stream;
mod thoughts;
mod tools;
mod wire;

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
pub(crate) struct Gemini;

impl Codec for Gemini {
    fn surface(&self) -> &'static str {
        "gemini"
    }

    fn path(&self, operation: Operation, model: &str, stream: bool) -> Result<Cow<'static, str>, PrepareError> {
        wire::path(operation, model, stream).map(Into::into)
    }

    fn model_in_body(&self) -> bool {
        false
    }

    fn ends_with_body(&self) -> bool {
        true
    }

    fn member<'tape, 'body>(&self, node: Node<'tape, 'body>, name: &str) -> Option<Node<'tape, 'body>> {
        fields::get(node, name)
    }

    fn name_model(&self, root: Node<'_, '_>, model: &str, patch: &mut Patch) {
        quirks::name_model(root, model, patch);
    }

    fn param<'name>(&self, name: &'name str, _: Operation, _: &Quirks) -> ParamPlace<'name> {
        ParamPlace { parent: Some("generationConfig"), name: settings::param(name), instead_of: None }
    }

    fn head(&self, root: Node<'_, '_>, operation: Operation) -> Result<Head, ReadError> {
        match operation {
            Operation::Embed | Operation::EmbedBatch => embed::read(root, operation),
            Operation::Generate | Operation::CountTokens | Operation::Complete => head::read(root),
        }
    }

    fn asked(&self, root: Node<'_, '_>) -> Asked {
        head::asked(root)
    }

    fn walk_request(&self, root: Node<'_, '_>, operation: Operation, see: &mut dyn FnMut(Found)) {
        match operation {
            Operation::Embed | Operation::EmbedBatch => embed::walk(root, see),
            Operation::Generate | Operation::CountTokens | Operation::Complete => head::walk(root, see),
        }
    }

    fn same_dialect(&self, root: Node<'_, '_>, _: &TargetWire<'_>, patch: &mut Patch) -> bool {
        quirks::patch(root, patch);
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

    fn embeddings_usage(&self, body: &[u8]) -> Result<Option<Usage>, AnswerError> {
        embed::usage(body)
    }

    fn echoes(&self, root: Node<'_, '_>, see: &mut dyn FnMut(NodeId)) {
        answer::echoes(root, see);
    }

    fn answer_usage(&self, root: Node<'_, '_>) -> Option<Usage> {
        wire::usage_of(root)
    }

    fn answer_model(&self, root: Node<'_, '_>) -> Option<String> {
        fields::text(root, "modelVersion").map(Cow::into_owned)
    }

    fn counted(&self, root: Node<'_, '_>) -> Option<u64> {
        fields::get(root, "totalTokens").and_then(Node::as_u64)
    }

    fn encode_count(&self, tokens: u64) -> Vec<u8> {
        answer::count_json(tokens)
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
        errors::json(view)
    }

    fn error_event(&self, view: &ErrorView<'_>) -> Frame {
        Frame::build(None, &errors::json(view))
    }

    fn read_error(&self, status: u16, body: &[u8]) -> UpstreamError {
        errors::read(status, body)
    }

    fn models_list(&self, models: &[ModelEntry]) -> Bytes {
        wire::models_list(models)
    }

    fn model(&self, model: &ModelEntry) -> Bytes {
        wire::model(model)
    }

    fn ping(&self) -> Frame {
        stream::ping()
    }
}
