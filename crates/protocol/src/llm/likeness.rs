//! What makes two questions alike but for their last words, and how words become numbers that can be compared.
//!
//! Owns which questions may be compared at all, and the requests and answers of embeddings as the gateway itself makes
//! and reads them. Never decides how alike is alike enough. Called where a model's entry has answers given again to
//! similar questions.

use bytes::Bytes;
use serde::Deserialize;
use tidegate_core::ids::Digest;

use crate::{
    body::EditableBody,
    json::Limits,
    llm::{
        Dialect, ModelCall, Named, Operation,
        ir::{Part, Role},
        node::Document,
    },
};

/// The longest text that is compared, in bytes: below the 8,192 tokens that common models of embeddings take.
const LONGEST: usize = 16 * 1024;

/// The most numbers of an embedding.
const MOST_NUMBERS: usize = 16 * 1024;

/// A question as it is compared with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// The SHA-256 of the body without its last words: what has to be the same.
    pub context: Digest,
    /// The last words of the user: what has to be similar.
    pub words: String,
}

impl ModelCall {
    /// What a similar question has in common with this one; `None` where none may be answered in its place. That is so
    /// with tools, with anything but text in the conversation, with several answers at once, and where the user does not
    /// have the last word.
    #[must_use]
    pub fn likeness(&self) -> Option<Likeness> {
        if self.operation() != Operation::Generate || !self.tools().is_empty() || self.choices() > 1 {
            return None;
        }
        let body = self.body();
        let document = Document::parse(&body).ok()?;
        let request = self.dialect().codec().decode_request(document.root()).ok()?;
        let plain = |part: &Part| matches!(part, Part::Text { .. });
        if !request.tools.is_empty() || !request.messages.iter().flat_map(|message| &message.parts).all(plain) {
            return None;
        }
        let last = request.messages.last().filter(|message| message.role == Role::User)?;
        let [Part::Text { text, .. }] = last.parts.as_slice() else { return None };
        if text.trim().is_empty() || text.len() > LONGEST {
            return None;
        }
        let mut rest = EditableBody::read(body.clone(), &Limits::default()).ok()?;
        // The last place that says so. Were it another than the user's last words, those would stand in the context,
        // where only the same question has them.
        let tape = rest.shared_tape();
        let at = tape.strings(tape.root()).filter(|node| tape.text_is(&body, *node, text)).last()?;
        rest.replace_text(at, "").then(|| Likeness { context: rest.digest(), words: text.clone() })
    }
}

/// The request for the numbers of a text, as a call; `None` where the dialect has no such request.
#[must_use]
pub fn embedding_of(dialect: Dialect, model: &str, text: &str) -> Option<ModelCall> {
    let (named, body) = match dialect {
        Dialect::OpenAiChat => (None, serde_json::json!({"model": model, "input": text})),
        Dialect::Gemini => (
            Some(Named { model: model.to_owned(), stream: false }),
            serde_json::json!({"content": {"parts": [{"text": text}]}}),
        ),
        _ => return None,
    };
    ModelCall::read_named(dialect, Operation::Embed, named, Bytes::from(body.to_string())).ok()
}

#[derive(Deserialize)]
struct Embeddings {
    #[serde(default)]
    data: Vec<Embedding>,
    embedding: Option<Values>,
}

#[derive(Deserialize)]
struct Embedding {
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Values {
    values: Vec<f32>,
}

/// The numbers that an answer to [`embedding_of`] holds, scaled to the length 1; `None` where it holds none that can be
/// compared.
#[must_use]
pub fn embedding_in(answer: &[u8]) -> Option<Vec<f32>> {
    let read: Embeddings = serde_json::from_slice(answer).ok()?;
    let mut numbers =
        read.data.into_iter().next().map(|first| first.embedding).or(read.embedding.map(|values| values.values))?;
    let length = numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if numbers.len() > MOST_NUMBERS || !length.is_normal() {
        return None;
    }
    for number in &mut numbers {
        #[expect(clippy::cast_possible_truncation, reason = "a number of at most 1")]
        let scaled = (f64::from(*number) / length) as f32;
        *number = scaled;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(dialect: Dialect, body: &str) -> ModelCall {
        ModelCall::read(dialect, Operation::Generate, Bytes::from(body.to_owned())).unwrap()
    }

    fn chat(system: &str, words: &str, more: &str) -> ModelCall {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{words}"}}]{more}}}"#
        );
        call(Dialect::OpenAiChat, &body)
    }

    #[test]
    fn only_the_last_words_may_differ() {
        let one = chat("Be brief.", "How high is the tide?", "").likeness().unwrap();
        let other = chat("Be brief.", "How high does the tide get?", "").likeness().unwrap();
        assert_eq!(one.context, other.context);
        assert_eq!(one.words, "How high is the tide?");
        for different in [
            chat("Be long.", "How high is the tide?", ""),
            chat("Be brief.", "How high is the tide?", r#","temperature":1"#),
            chat("Be brief.", "How high is the tide?", r#","user":"ada""#),
        ] {
            assert_ne!(different.likeness().unwrap().context, one.context);
        }
    }

    #[test]
    fn a_text_that_stands_twice_never_makes_two_questions_one() {
        let tricky = |user: &str, words: &str| chat("s", words, &format!(r#","user":"{user}""#)).likeness().unwrap();
        assert_ne!(tricky("hello", "hello").context, tricky("other", "hello").context);
        assert_ne!(tricky("hello", "hello").context, tricky("other", "other").context);
    }

    #[test]
    fn tools_pictures_several_answers_and_other_endings_are_not_compared() {
        let tools = r#","tools":[{"type":"function","function":{"name":"f"}}]"#;
        assert_eq!(chat("s", "q", tools).likeness(), None);
        assert_eq!(chat("s", "q", r#","n":2"#).likeness(), None);
        assert_eq!(chat("s", "  ", "").likeness(), None);
        for messages in [
            r#"[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"q"},{"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]}]"#,
            r#"[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"},{"role":"user","content":"q"}]"#,
        ] {
            let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
            assert_eq!(call(Dialect::OpenAiChat, &body).likeness(), None, "{messages}");
        }
    }

    #[test]
    fn every_dialect_of_conversations_can_be_compared() {
        let anthropic = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"q"}]}"#;
        let responses = r#"{"model":"m","input":"q"}"#;
        for (dialect, body) in [(Dialect::Anthropic, anthropic), (Dialect::OpenAiResponses, responses)] {
            assert_eq!(call(dialect, body).likeness().map(|like| like.words).as_deref(), Some("q"), "{dialect:?}");
        }
    }

    #[test]
    fn numbers_are_asked_for_and_read() {
        let call = embedding_of(Dialect::OpenAiChat, "p/e", "a \"word\"").unwrap();
        assert_eq!((call.operation(), call.model().as_str()), (Operation::Embed, "p/e"));
        let call = embedding_of(Dialect::Gemini, "p/e", "a").unwrap();
        assert_eq!((call.operation(), call.model().as_str()), (Operation::Embed, "p/e"));
        assert!(embedding_of(Dialect::Anthropic, "p/e", "a").is_none());
        assert_eq!(embedding_in(br#"{"data":[{"embedding":[3,4]}]}"#), Some(vec![0.6, 0.8]));
        assert_eq!(embedding_in(br#"{"embedding":{"values":[0,-2]}}"#), Some(vec![0.0, -1.0]));
        for nothing in
            [r#"{}"#, r#"{"data":[]}"#, r#"{"data":[{"embedding":[0,0]}]}"#, r#"{"data":[{"embedding":[]}]}"#, "["]
        {
            assert_eq!(embedding_in(nothing.as_bytes()), None, "{nothing}");
        }
    }
}
