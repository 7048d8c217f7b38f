//! What the upstream answers, before any dialect: pieces of text, tool calls, a stop reason, token counts.

use std::time::Duration;

use super::script::Script;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The text in the pieces it is streamed in.
    pub(super) pieces: Vec<String>,
    /// Tool calls: name and arguments as JSON text.
    pub(super) tools: Vec<(String, String)>,
    /// Whether `max_tokens` cut the text.
    pub(super) cut_short: bool,
    /// How long to wait before each piece.
    pub(super) pause: Duration,
    /// Tokens of the prompt.
    pub(super) input_tokens: u64,
    /// Tokens of the whole answer.
    pub(super) output_tokens: u64,
}

impl Answer {
    /// Nothing said, nothing counted.
    pub(super) fn nothing() -> Self {
        Self {
            pieces: Vec::new(),
            tools: Vec::new(),
            cut_short: false,
            pause: Duration::ZERO,
            input_tokens: 0,
            output_tokens: 0,
        }
    }
}

/// What is asked, before any dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Question {
    /// The model without its provider.
    pub(super) model: String,
    /// All text of the prompt, joined by newlines.
    pub(super) prompt: String,
    /// The last message of the user, which is what is echoed.
    pub(super) last_user_text: String,
    /// Whether the last message carries tool results: then the answer is text, so that a tool loop ends.
    pub(super) has_tool_result: bool,
    /// The tools on offer.
    pub(super) tools: Vec<String>,
    /// Most tokens to generate.
    pub(super) max_tokens: u64,
    /// Whether to stream.
    pub(super) stream: bool,
}

/// Tokens generated where the caller sets no limit.
pub(super) const DEFAULT_MAX_TOKENS: u64 = 256;

/// A card number that passes the Luhn check and belongs to nobody (the schemes' own documentation uses it), and a
/// secret that opens nothing: for showing what guards do.
const LEAK: &str = "The card is 4111 1111 1111 1111 and the key is AKIAIOSFODNN7CANARYQ, keep them safe.";

/// Tokens of a text: four bytes each, rounded up.
pub(super) fn tokens(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX).div_ceil(4)
}

/// Counts the tokens of a text that is sent in pieces, so that they add up to what the whole text counts for.
#[derive(Default)]
pub(super) struct Running {
    bytes: usize,
    counted: u64,
}

impl Running {
    /// The tokens that the next piece adds.
    pub(super) fn add(&mut self, piece: &str) -> u64 {
        self.bytes = self.bytes.saturating_add(piece.len());
        let whole = u64::try_from(self.bytes).unwrap_or(u64::MAX).div_ceil(4);
        let added = whole.saturating_sub(self.counted);
        self.counted = whole;
        added
    }
}

/// The answer of `question.model` to `question` as `script` wants it.
pub(super) fn answer(question: &Question, script: &Script) -> Answer {
    let tools = proposed_tools(question, script);
    let text = match (&script.say, question.model.as_str()) {
        (Some(text), _) => text.clone(),
        (None, _) if !tools.is_empty() => String::new(),
        (None, "leaky") => LEAK.to_owned(),
        (None, _) => format!("echo: {}", question.last_user_text),
    };
    let (text, cut_short) = limit(&text, question.max_tokens);
    let (count, pause) = script.stream.unwrap_or(match question.model.as_str() {
        "slow" => (8, Duration::from_millis(250)),
        "stream" => (32, Duration::from_millis(10)),
        _ => (0, Duration::ZERO),
    });
    let pieces = if script.stream.is_some() { numbered(count) } else { split(&text, count) };
    let arguments: u64 = tools.iter().map(|(name, arguments)| tokens(name).saturating_add(tokens(arguments))).sum();
    let whole: String = pieces.concat();
    Answer {
        input_tokens: tokens(&question.prompt),
        output_tokens: tokens(&whole).saturating_add(arguments),
        pieces,
        tools,
        cut_short,
        pause,
    }
}

fn proposed_tools(question: &Question, script: &Script) -> Vec<(String, String)> {
    if question.has_tool_result {
        return Vec::new();
    }
    if !script.tools.is_empty() {
        return script.tools.clone();
    }
    match (question.model.as_str(), question.tools.first()) {
        ("tools", Some(first)) => vec![(first.clone(), "{}".to_owned())],
        _ => Vec::new(),
    }
}

/// Cuts `text` to `most` tokens at a character's border; says whether something was cut.
fn limit(text: &str, most: u64) -> (String, bool) {
    let most = usize::try_from(most.saturating_mul(4)).unwrap_or(usize::MAX);
    if text.len() <= most {
        return (text.to_owned(), false);
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    (text.get(..end).unwrap_or_default().to_owned(), true)
}

/// `count` pieces that name their place, so that a lost or merged one shows.
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("piece {index} ")).collect()
}

/// `text` in pieces of whole words; in about `count` pieces where that is not zero.
fn split(text: &str, count: usize) -> Vec<String> {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    if words.is_empty() {
        return Vec::new();
    }
    let each = if count == 0 { 1 } else { words.len().div_ceil(count).max(1) };
    words.chunks(each).map(<[&str]>::concat).collect()
}
