//! The one representation that dialects translate through: requests, answers and stream events of typed parts.
//!
//! Owns plain types only. Never reads or writes wire bytes, and never appears on the verbatim or patched lane: it is
//! built where the caller's dialect and the upstream's differ. Called by the dialects' `decode`, `encode` and `stream`.

use std::sync::Arc;

use tidegate_core::usage::Usage;

use crate::llm::{error::ErrorKind, forms::ToolForm};

/// A JSON text as its author wrote it; it came out of the strict scanner, or is known to be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawJson(pub(crate) String);

impl RawJson {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a model stopped, whatever its dialect calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// It had said everything.
    EndTurn,
    /// A stop sequence was reached (only Anthropic tells it from [`StopReason::EndTurn`]).
    StopSequence,
    /// The limit of tokens was reached; a tool call that was being written is incomplete.
    MaxTokens,
    /// It wants tools to be run.
    ToolUse,
    /// It, or a filter of its vendor, declined.
    Refusal,
    /// It wants to be called again to go on (Anthropic's `pause_turn` and `compaction`).
    Pause,
    /// The context window is full.
    ContextWindow,
    /// A reason this gateway has no name for, as the vendor wrote it.
    Other(Arc<str>),
}

/// A hint that everything up to here may be cached, as the caller wrote it (Anthropic's `cache_control` object).
pub(crate) type CacheHint = Option<RawJson>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part>,
    /// Where the message stands in the source body, for errors and losses.
    pub(crate) pointer: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text {
        text: String,
        cache: CacheHint,
    },
    Image {
        source: Media,
        detail: Option<String>,
        cache: CacheHint,
    },
    Document {
        source: Media,
        title: Option<String>,
        cache: CacheHint,
    },
    Audio {
        data: String,
        format: String,
    },
    ToolCall {
        id: String,
        name: String,
        arguments: Arguments,
        cache: CacheHint,
    },
    ToolResult {
        id: String,
        content: Vec<Part>,
        is_error: bool,
        cache: CacheHint,
    },
    Reasoning {
        text: String,
        signature: Option<String>,
        scope: Option<String>,
    },
    RedactedReasoning {
        data: String,
        scope: Option<String>,
    },
    Refusal {
        text: String,
    },
    /// A part that only its own dialect knows: `kind` for the loss, `raw` for nothing else.
    Foreign {
        kind: String,
        pointer: String,
    },
}

/// Arguments of a tool call. Chat carries them as text, which a model may have cut short; Anthropic as an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments(pub(crate) String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Media {
    Base64 {
        media_type: String,
        data: String,
    },
    Url(String),
    Text(String),
    /// A file that a provider keeps; its id means nothing to another.
    File(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) schema: RawJson,
    pub(crate) strict: Option<bool>,
    pub(crate) cache: CacheHint,
    pub(crate) pointer: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    Auto,
    None,
    Any,
    Named(String),
}

/// How much a model may think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thinking {
    Disabled,
    Adaptive,
    Budget(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// Any JSON object (only Chat has it).
    JsonObject,
    Schema {
        name: Option<String>,
        schema: RawJson,
        strict: Option<bool>,
    },
}

/// A setting of sampling that some dialects have and some do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SamplingKind {
    TopK,
    Seed,
    PresencePenalty,
    FrequencyPenalty,
}

/// Such a setting. It is among the extensions too, so that an encoder that does not know it tells the loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sampling {
    pub(crate) kind: SamplingKind,
    pub(crate) value: RawJson,
    pub(crate) pointer: String,
}

/// A member of the source body that has no place in the representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) pointer: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Request {
    /// System text that stands before the conversation, with its cache hints.
    pub(crate) system: Vec<(String, CacheHint)>,
    pub(crate) messages: Vec<Message>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) parallel_tools: Option<bool>,
    pub(crate) max_output: Option<u64>,
    pub(crate) temperature: Option<RawJson>,
    pub(crate) top_p: Option<RawJson>,
    pub(crate) stop: Vec<String>,
    pub(crate) thinking: Option<Thinking>,
    pub(crate) effort: Option<String>,
    pub(crate) format: Option<OutputFormat>,
    pub(crate) user: Option<String>,
    pub(crate) service_tier: Option<String>,
    pub(crate) stream: bool,
    /// Tools that stand here under another name or in another form than the caller declared them in.
    pub(crate) forms: Vec<ToolForm>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) sampling: Vec<Sampling>,
}

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) parts: Vec<Part>,
    pub(crate) stop: Option<StopReason>,
    pub(crate) stop_sequence: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) created: Option<u64>,
}

/// One thing that happens in a stream. A slot names a block (or a tool call) of the upstream and stays the same while
/// it lasts; blocks of different slots may interleave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StreamEvent {
    Start {
        id: String,
        created: Option<u64>,
        usage: Option<Usage>,
    },
    Text {
        slot: u32,
        text: String,
    },
    Refusal {
        slot: u32,
        text: String,
    },
    Reasoning {
        slot: u32,
        text: String,
    },
    Signature {
        slot: u32,
        signature: String,
    },
    Redacted {
        slot: u32,
        data: String,
    },
    ToolStart {
        slot: u32,
        id: String,
        name: String,
    },
    ToolArguments {
        slot: u32,
        fragment: String,
    },
    /// The slot will say no more.
    BlockEnd {
        slot: u32,
    },
    Stop {
        reason: StopReason,
        sequence: Option<String>,
    },
    /// Everything used so far; replaces what was known.
    Usage(Usage),
    /// The successful end.
    End,
    Error {
        kind: ErrorKind,
        message: String,
    },
    Ping,
}

impl StreamEvent {
    /// Whether the model says something with it.
    pub(crate) fn is_said(&self) -> bool {
        match self {
            Self::Text { .. }
            | Self::Refusal { .. }
            | Self::Reasoning { .. }
            | Self::Signature { .. }
            | Self::Redacted { .. }
            | Self::ToolStart { .. }
            | Self::ToolArguments { .. } => true,
            Self::Start { .. }
            | Self::BlockEnd { .. }
            | Self::Stop { .. }
            | Self::Usage(_)
            | Self::End
            | Self::Error { .. }
            | Self::Ping => false,
        }
    }
}
