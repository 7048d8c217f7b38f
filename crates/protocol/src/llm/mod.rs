//! Model calls: reading them, sending them on in three lanes, and reading, translating and writing their answers.
//!
//! Same dialect and nothing changed: the original bytes with the model's name spliced in. Same dialect with edits:
//! splices at the edited spans. Different dialects: through the representation in `ir`. Never opens a socket, never
//! reads a clock. The proxy decodes and responds with it, the upstream crate prepares and reads answers with it.

mod answer;
mod anthropic;
mod bedrock;
mod check;
mod dialect;
mod error;
pub(crate) mod estimate;
mod forms;
mod framing;
mod gemini;
mod ir;
mod likeness;
mod loss;
mod model_call;
mod models;
mod names;
mod needs;
pub(crate) mod node;
mod opaque;
mod openai_chat;
mod openai_responses;
mod params;
mod refused;
pub(crate) mod segments;
mod stream;
mod target;
mod translate;
mod turns;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use answer::usage_of;
pub use answer::{Answer, ProposedCall, translate_answer};
pub use bedrock::chunk as invoke_chunk;
pub use dialect::Dialect;
pub use error::{AnswerError, ErrorKind, ErrorView, PrepareError, ReadError, StreamError, UpstreamError};
pub use forms::ToolForm;
pub use framing::{FrameParser, Framing, FramingError};
pub use ir::StopReason;
pub use likeness::{Likeness, embedding_in, embedding_of};
pub use loss::Loss;
pub use model_call::{ModelCall, Named, Operation};
pub use models::ModelEntry;
pub use openai_responses::socket;
pub use params::Params;
pub use refused::Members;
pub(crate) use segments::texts_of;
pub use stream::{
    FrameFacts, Piece, StreamReader, ToolStart, UpstreamStreamError, answer_id, rewrite_piece, rewrite_pieces,
};
pub use target::{Lane, Outgoing, Quirks, TargetWire};
pub use translate::{StreamTranslator, TranslateContext};
