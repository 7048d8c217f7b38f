//! The model that a call of a vendor's own API asks: such a call is one to a model, and `allow: models` decides it.
//!
//! Owns the table of paths that ask a model and what is read of each for reservations. Never reads an answer. Called when
//! a call is read.

use http::Method;
use tidegate_core::{
    ids::{ModelName, ToolName},
    unit::{Picture, Unit, Units, Word},
    usage::{Usage, UsageSource},
};

use super::sound;
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
    /// A document as text (`/ocr`).
    ReadDocument,
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
            Self::ReadDocument => "ocr",
        }
    }

    /// Whether it is asked for in a form as well as in JSON.
    pub(super) fn takes_form(self) -> bool {
        matches!(self, Self::EditImages | Self::Transcribe)
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
            "/ocr" => Self::ReadDocument,
            _ => return None,
        })
    }
}

/// The tokens that a picture may cost at most, generated at the highest quality. OpenAI's largest is 6,240.
const DRAWN: u64 = 8_000;

/// The most pictures that one call may ask for.
const MOST_IMAGES: u64 = 16;

/// The most pages of a document that a vendor reads at once; Mistral takes a thousand.
const MOST_PAGES: u64 = 1_000;

/// Vendors that count searches cut long documents into pieces of so many tokens, the question in each, and count a hundred
/// pieces as one search.
const PIECE: u64 = 500;
const PIECES: u64 = 100;

/// What is read of a body besides the model's name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    /// Tokens of all its words, at most.
    pub(super) words: u64,
    /// Letters of the text that is to be spoken.
    pub(super) letters: u64,
    /// How many pictures are asked for; `None` where that is no whole number.
    pub(super) count: Option<u64>,
    /// Files, and their bytes.
    pub(super) files: (u64, u64),
    /// Milliseconds of the sounds among them, probably.
    pub(super) sound: u64,
    /// Whether a sound is named that is not in the request, but at an address.
    pub(super) elsewhere: bool,
    /// Documents that are to be sorted, and the tokens of the question at most.
    pub(super) documents: u64,
    pub(super) question: u64,
    /// The sort of pictures that is asked for.
    pub(super) picture: Picture,
    /// How many pages of a document are to be read, where that is said.
    pub(super) pages: Option<u64>,
    /// Whether they are to be described in a form too.
    pub(super) annotated: bool,
}

impl Read {
    /// The length of all sounds, where those in the request have `own`.
    fn heard(&self, own: u64) -> u64 {
        if self.elsewhere || self.files.1 == 0 { own.saturating_add(sound::UNSEEN) } else { own }
    }

    /// What is used beside tokens at most.
    fn units(&self, task: Task) -> Units {
        match task {
            Task::DrawImages | Task::EditImages => Units::of(Unit::Image, self.count.unwrap_or(MOST_IMAGES)),
            Task::Speak => Units::of(Unit::Character, self.letters),
            Task::Transcribe => Units::of(Unit::Audio, self.heard(sound::most(self.files.1))),
            Task::Rerank => {
                let words = self.words.saturating_add(self.documents.saturating_mul(self.question));
                let pieces = self.documents.saturating_add(words.div_ceil(PIECE));
                Units::of(Unit::SearchUnit, pieces.div_ceil(PIECES).max(1))
            }
            Task::ReadDocument => {
                let pages = self.pages.unwrap_or(MOST_PAGES).min(MOST_PAGES);
                Units::of(if self.annotated { Unit::AnnotatedPage } else { Unit::Page }, pages)
            }
            Task::Moderate | Task::Connect | Task::Turn | Task::Heard => Units::NONE,
        }
    }
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
    /// What may be used beside tokens, at most.
    pub units: Units,
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
        let draws = matches!(task, Task::DrawImages | Task::EditImages);
        let count = match read.count {
            Some(count @ 1..=MOST_IMAGES) => count,
            _ if draws => return Err(ReadError::new("/n", "must be a whole number from 1 to 16")),
            _ => 1,
        };
        let Read { words, letters, files: (files, bytes), documents, .. } = read;
        let pictures = files.saturating_mul(estimate::IMAGE);
        // A second of sound is at most ten tokens, and has at least a kilobyte.
        let heard = bytes.div_ceil(100);
        let (input_tokens, max_output) = match task {
            Task::DrawImages | Task::EditImages => (words.saturating_add(pictures), count.saturating_mul(DRAWN)),
            Task::Speak => (words, letters.saturating_mul(4)),
            Task::Transcribe => (words.saturating_add(heard), heard.max(1_000)),
            Task::Moderate => (words.saturating_add(pictures), 0),
            Task::ReadDocument => (words, 0),
            Task::Rerank => (words.saturating_mul(documents.max(1)), 0),
            Task::Connect | Task::Turn | Task::Heard => (words, 0),
        };
        let quarter = |count: u64| count.div_ceil(4);
        let assumed = match task {
            Task::DrawImages | Task::EditImages => (quarter(words), count.saturating_mul(DRAWN)),
            // Ten tokens and fifteen letters a second.
            Task::Speak => (quarter(letters), letters),
            Task::Transcribe => (bytes.div_ceil(400), bytes.div_ceil(800)),
            Task::Moderate | Task::Rerank | Task::ReadDocument => (quarter(words), 0),
            Task::Connect | Task::Turn | Task::Heard => (quarter(words), 0),
        };
        let units = read.units(task);
        let mut likely = units;
        if task == Task::Transcribe {
            likely.set(Unit::Audio, read.heard(read.sound).min(units.get(Unit::Audio)));
        }
        let assumed = Usage {
            input: assumed.0,
            output: assumed.1,
            units: likely,
            picture: read.picture,
            source: UsageSource::Estimated,
            ..Usage::default()
        };
        let (tools, max_output) = (Vec::new(), Some(max_output));
        Ok(Self { task, model: model.into(), tools, input_tokens, max_output, units, assumed })
    }

    /// What was used: `told`, as far as the answer tells it, and what is taken to be used where it does not. `beside` is
    /// what it tells beside tokens, `picture` what it calls the pictures.
    #[must_use]
    pub fn used(&self, told: Option<Usage>, beside: (Units, Picture)) -> Usage {
        let mut usage = told.unwrap_or(self.assumed);
        let (mut units, picture) = beside;
        if self.assumed.units.get(Unit::AnnotatedPage) > 0 && units.get(Unit::Page) > 0 {
            units = Units::of(Unit::AnnotatedPage, units.get(Unit::Page));
        }
        let said = units.over(told.map(|told| told.units).unwrap_or_default());
        usage.units = said.over(self.assumed.units);
        let or = |said: Word, asked: Word| if said.is_none() { asked } else { said };
        let asked = self.assumed.picture;
        usage.picture = Picture { size: or(picture.size, asked.size), quality: or(picture.quality, asked.quality) };
        self.task.classed(usage)
    }
}

/// What an answer to `task` says it used beside tokens, and what sort of pictures it calls those that it made.
pub(super) fn beside(task: Task, root: Node<'_, '_>) -> (Units, Picture) {
    let count = |holder: &str, name: &str| root.present(holder).and_then(|node| node.get(name)).and_then(Node::as_u64);
    let of = |unit, count: Option<u64>| count.map_or(Units::NONE, |count| Units::of(unit, count));
    let word = |name| root.present(name).and_then(Node::text).map(|text| Word::new(&text)).unwrap_or_default();
    let units = match task {
        Task::DrawImages | Task::EditImages => {
            let made = root.get("data").map(|list| u64::try_from(list.items().count()).unwrap_or(u64::MAX));
            return (of(Unit::Image, made), Picture { size: word("size"), quality: word("quality") });
        }
        // OpenAI counts whole seconds; others tell how long the sound was.
        Task::Transcribe => {
            let seconds = ["seconds", "prompt_audio_seconds"].into_iter().find_map(|name| count("usage", name));
            let whole = seconds.map(|seconds| seconds.saturating_mul(1_000));
            of(Unit::Audio, whole.or_else(|| millis(root.present("duration")?)))
        }
        Task::Rerank => {
            let units = root.present("meta").and_then(|meta| meta.present("billed_units"));
            of(Unit::SearchUnit, units.and_then(|units| units.get("search_units")).and_then(Node::as_u64))
        }
        Task::ReadDocument => of(Unit::Page, count("usage_info", "pages_processed")),
        Task::Speak | Task::Moderate | Task::Connect | Task::Turn | Task::Heard => Units::NONE,
    };
    (units, Picture::default())
}

/// Seconds as a plain decimal, a number or a text, in whole milliseconds, rounded up; none where it is no such decimal.
fn millis(seconds: Node<'_, '_>) -> Option<u64> {
    let text = seconds.text();
    let text = text.as_deref().unwrap_or_else(|| seconds.raw());
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(rest) {
        return None;
    }
    let (thousandths, finer) = rest.split_at_checked(3).unwrap_or((rest, ""));
    let thousandths: u64 = format!("{thousandths:0<3}").parse().ok()?;
    let up = u64::from(finer.bytes().any(|digit| digit != b'0'));
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(thousandths)?.checked_add(up)
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
