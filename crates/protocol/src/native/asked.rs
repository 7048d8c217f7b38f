//! The model that a call of a vendor's own API asks: such a call is one to a model, and `allow: models` decides it.
//!
//! Owns the table of paths that ask a model and what is read of each for reservations. Never reads an answer. Called when
//! a call is read.

use http::Method;
use tidegate_core::{
    ids::{ModelName, ToolName},
    usage::{Usage, UsageSource},
};

use crate::llm::{
    ReadError, estimate,
    node::{Document, Node},
};

/// What is asked of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// A session of live turns is opened (`/realtime`). Nothing is generated yet.
    Connect,
    /// One turn of such a session: its answer comes on the session's own connection.
    Turn,
    /// Pictures from words (`/images/generations`).
    DrawImages,
    /// Pictures from pictures (`/images/edits`, `/images/variations`).
    EditImages,
    /// Speech from words (`/audio/speech`).
    Speak,
    /// Words from speech (`/audio/transcriptions`, `/audio/translations`).
    Transcribe,
    /// What is wrong with a text or a picture (`/moderations`).
    Moderate,
    /// Documents by how well they answer (`/rerank`).
    Rerank,
    /// Such a turn, which the server begins by itself once it has heard enough: nothing is sent for it.
    Heard,
}

impl Task {
    /// The task's name in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "realtime_connect",
            Self::Turn | Self::Heard => "realtime",
            Self::DrawImages => "generate_images",
            Self::EditImages => "edit_images",
            Self::Speak => "speech",
            Self::Transcribe => "transcription",
            Self::Moderate => "moderation",
            Self::Rerank => "rerank",
        }
    }

    /// What a call of the vendor's own API asks a model for, where it does. However the path is spelt: what a server may
    /// take for one of these is one.
    pub(super) fn of(method: &Method, decoded: &str) -> Option<Self> {
        if *method != Method::POST {
            return None;
        }
        Some(match decoded.to_ascii_lowercase().as_str() {
            "/images/generations" => Self::DrawImages,
            "/images/edits" | "/images/variations" => Self::EditImages,
            "/audio/speech" => Self::Speak,
            "/audio/transcriptions" | "/audio/translations" => Self::Transcribe,
            "/moderations" => Self::Moderate,
            "/rerank" => Self::Rerank,
            _ => return None,
        })
    }
}

/// The tokens that a picture may cost at most, generated at the highest quality. OpenAI's largest is 6,240.
const DRAWN: u64 = 8_000;

/// The most pictures that one call may ask for.
const MOST_IMAGES: u64 = 16;

/// What is read of a body besides the model's name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    /// Tokens of all its words, at most.
    pub(super) words: u64,
    /// Letters of the text that is to be spoken.
    pub(super) letters: u64,
    /// How many pictures are asked for.
    pub(super) count: u64,
    /// Files, and their bytes.
    pub(super) files: (u64, u64),
    /// Documents that are to be sorted.
    pub(super) documents: u64,
}

/// A model and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub task: Task,
    /// The model as the caller named it.
    pub model: ModelName,
    /// The names of the tools that it is offered.
    pub tools: Vec<ToolName>,
    /// An upper bound of the prompt's tokens.
    pub input_tokens: u64,
    /// The most tokens that may be generated; `None` where the caller sets no bound.
    pub max_output: Option<u64>,
    /// What is taken to be used where the answer says nothing.
    pub assumed: Usage,
}

impl Asked {
    /// A call that asks `model` for `task`.
    ///
    /// # Errors
    /// Where what is asked for is more than is taken.
    pub(super) fn of(task: Task, model: &str, read: Read) -> Result<Self, ReadError> {
        if model.is_empty() || model.len() > 256 || model.contains(char::is_control) {
            return Err(ReadError::new("/model", "must be a model's name of 1 to 256 bytes"));
        }
        if read.count > MOST_IMAGES {
            return Err(ReadError::new("/n", "at most 16 are taken at once"));
        }
        let Read { words, letters, count, files: (files, bytes), documents } = read;
        let pictures = files.saturating_mul(estimate::IMAGE);
        // A second of sound is at most ten tokens, and has at least a kilobyte.
        let heard = bytes.div_ceil(100);
        let (input_tokens, max_output) = match task {
            Task::DrawImages | Task::EditImages => (words.saturating_add(pictures), count.saturating_mul(DRAWN)),
            Task::Speak => (words, letters.saturating_mul(4)),
            Task::Transcribe => (words.saturating_add(heard), heard.max(1_000)),
            Task::Moderate => (words.saturating_add(pictures), 0),
            Task::Rerank => (words.saturating_mul(documents.max(1)), 0),
            Task::Connect | Task::Turn | Task::Heard => (words, 0),
        };
        let quarter = |count: u64| count.div_ceil(4);
        let assumed = match task {
            Task::DrawImages | Task::EditImages => (quarter(words), count.saturating_mul(DRAWN)),
            // Ten tokens and fifteen letters a second.
            Task::Speak => (quarter(letters), letters),
            Task::Transcribe => (bytes.div_ceil(400), bytes.div_ceil(800)),
            Task::Moderate | Task::Rerank | Task::Connect | Task::Turn | Task::Heard => (quarter(words), 0),
        };
        let assumed = Usage { input: assumed.0, output: assumed.1, source: UsageSource::Estimated, ..Usage::default() };
        let (tools, max_output) = (Vec::new(), Some(max_output));
        Ok(Self { task, model: model.into(), tools, input_tokens, max_output, assumed })
    }
}

/// What an answer says it used, in the forms of these tasks.
pub(super) fn usage(root: Node<'_, '_>) -> Option<Usage> {
    let count = |node: Option<Node<'_, '_>>, name: &str| node.and_then(|node| node.get(name)?.as_u64());
    let part = |node: Option<Node<'_, '_>>, name: &str| count(node, name).unwrap_or(0);
    if let Some(usage) = root.present("usage") {
        // That is how Chat counts, which its own dialect reads in full.
        if usage.present("completion_tokens").is_some() {
            return None;
        }
        let of = |names: [&str; 2]| names.into_iter().find_map(|name| usage.present(name));
        let (input, output) = (
            of(["input_tokens_details", "input_token_details"]),
            of(["output_tokens_details", "output_token_details"]),
        );
        let whole = ["input_tokens", "prompt_tokens", "total_tokens"].into_iter();
        return Some(Usage {
            input: whole.into_iter().find_map(|name| count(Some(usage), name))?,
            output: part(Some(usage), "output_tokens"),
            audio_input: part(input, "audio_tokens"),
            image_input: part(input, "image_tokens"),
            audio_output: part(output, "audio_tokens"),
            image_output: part(output, "image_tokens"),
            source: UsageSource::Vendor,
            ..Usage::default()
        });
    }
    let tokens = root.present("meta")?.present("tokens");
    let (input, output) = (count(tokens, "input_tokens")?, part(tokens, "output_tokens"));
    Some(Usage { input, output, source: UsageSource::Vendor, ..Usage::default() })
}

impl Task {
    /// Usage of this task with what is sound and what is a picture in it, where the vendor does not tell them apart.
    #[must_use]
    pub fn classed(self, mut usage: Usage) -> Usage {
        match self {
            Self::DrawImages | Self::EditImages if usage.image_output == 0 => usage.image_output = usage.output,
            Self::Speak if usage.audio_output == 0 => usage.audio_output = usage.output,
            Self::Transcribe if usage.audio_input == 0 => usage.audio_input = usage.input,
            _ => {}
        }
        usage
    }
}

/// What an event of a stream says was used.
#[must_use]
pub fn event_usage(data: &[u8]) -> Option<Usage> {
    memchr::memmem::find(data, b"\"usage\"")?;
    usage(Document::parse(data).ok()?.root())
}
