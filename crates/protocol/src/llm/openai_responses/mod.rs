//! OpenAI's Responses API, and what is compatible with it.
//!
//! Owns the dialect's anatomy: `wire` names, `walk` over items, `decode` (with `items` and `tools`) to the representation,
//! `encode` (with `parts`) from it, `stream` both ways, `quirks` for what its own bodies need on the way. Reached only
//! through `dialect`.

mod answer;
mod decode;
mod encode;
mod head;
mod items;
mod parts;
mod quirks;
pub mod socket;
mod stream;
mod tools;
mod walk;
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
        openai_chat::wire as chat,
        segments::Found,
        stream::FrameFacts,
        target::{Quirks, TargetWire},
        translate::{StreamDecoder, StreamEncoder, TranslateContext},
        write::JsonWriter,
    },
    sse::Frame,
};

/// What stands between the parts of reasoning where they are one text.
const BETWEEN_PARTS: &str = "\n\n";

/// The dialect.
#[derive(Debug)]
pub(crate) struct OpenAiResponses;

impl Codec for OpenAiResponses {
    fn surface(&self) -> &'static str {
        "openai"
    }

    fn path(&self, operation: Operation, _: &str, _: bool) -> Result<Cow<'static, str>, PrepareError> {
        match operation {
            Operation::Generate => Ok("/responses".into()),
            Operation::CountTokens => Ok("/responses/input_tokens".into()),
            Operation::Complete | Operation::Embed | Operation::EmbedBatch => Err(PrepareError::Unsupported(
                "this provider's API has neither completions nor embeddings; ask one that speaks OpenAI's older one",
            )),
        }
    }

    fn param<'name>(&self, name: &'name str, _: Operation, _: &Quirks) -> ParamPlace<'name> {
        match name {
            "max_tokens" => ParamPlace::member("max_output_tokens"),
            "reasoning_effort" => ParamPlace { parent: Some("reasoning"), name: "effort", instead_of: None },
            "verbosity" => ParamPlace { parent: Some("text"), name, instead_of: None },
            _ => ParamPlace::member(name),
        }
    }

    fn keeps_answers(&self) -> bool {
        true
    }

    fn path_without_model(&self, operation: Operation) -> Option<&'static str> {
        // A stored prompt may name the model, and the input.
        match operation {
            Operation::Generate => Some("/responses"),
            Operation::CountTokens => Some("/responses/input_tokens"),
            Operation::Complete | Operation::Embed | Operation::EmbedBatch => None,
        }
    }

    fn head(&self, root: Node<'_, '_>, _: Operation) -> Result<Head, ReadError> {
        head::read(root)
    }

    fn asked(&self, root: Node<'_, '_>) -> Asked {
        head::asked(root)
    }

    fn walk_request(&self, root: Node<'_, '_>, _: Operation, see: &mut dyn FnMut(Found)) {
        head::walk(root, see);
    }

    fn is_stateful(&self, root: Node<'_, '_>) -> bool {
        head::is_stateful(root)
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

    fn echoes(&self, root: Node<'_, '_>, see: &mut dyn FnMut(NodeId)) {
        stream::echoes(root, see);
    }

    fn answer_usage(&self, root: Node<'_, '_>) -> Option<Usage> {
        wire::usage(root)
    }

    fn answer_failure(&self, root: Node<'_, '_>) -> Option<UpstreamError> {
        let failed = root.get("status").is_some_and(|status| status.text_is("failed"));
        root.present("error").filter(|_| failed).map(wire::failure)
    }

    fn decode_answer(&self, root: Node<'_, '_>) -> Result<(ir::Answer, Vec<Loss>), AnswerError> {
        answer::decode(root)
    }

    fn encode_answer(&self, answer: &ir::Answer, context: &TranslateContext<'_>, losses: &mut Vec<Loss>) -> Vec<u8> {
        answer::encode(answer, context, losses)
    }

    fn encode_count(&self, tokens: u64) -> Vec<u8> {
        let mut json = JsonWriter::default();
        json.object(|json| {
            json.string_member("object", "response.input_tokens");
            json.number_member("input_tokens", tokens);
        });
        json.into_bytes()
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
        chat::error_json(view)
    }

    fn error_event(&self, view: &ErrorView<'_>) -> Frame {
        wire::error_event(view, &answer::id("", view.call_id), 0)
    }

    fn read_error(&self, status: u16, body: &[u8]) -> UpstreamError {
        chat::read_error(status, body)
    }

    fn models_list(&self, models: &[ModelEntry]) -> Bytes {
        chat::models_list(models)
    }

    fn model(&self, model: &ModelEntry) -> Bytes {
        chat::model(model)
    }

    fn ping(&self) -> Frame {
        Frame::comment("ping")
    }
}
