//! What a client makes of an event stream, in the two dialects of model calls.

use serde_json::{Value, json};

/// A dialect of model calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
}

/// Where in its events an answer puts its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Text,
    Thinking,
    /// The arguments of a tool call.
    Arguments,
}

impl Channel {
    pub(crate) const ALL: [Self; 3] = [Self::Text, Self::Thinking, Self::Arguments];
}

impl Dialect {
    pub(crate) const BOTH: [Self; 2] = [Self::OpenAi, Self::Anthropic];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// The provider's type in the configuration.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// A whole stream that says `pieces` as text.
    pub(crate) fn stream(self, pieces: &[&str]) -> String {
        self.stream_in(Channel::Text, pieces)
    }

    /// The delta of an OpenAI chunk that says `piece`.
    fn delta(channel: Channel, piece: &str) -> Value {
        match channel {
            Channel::Text => json!({"content": piece}),
            Channel::Thinking => json!({"reasoning_content": piece}),
            Channel::Arguments => {
                json!({"tool_calls": [{"index": 0, "id": "t", "type": "function",
                    "function": {"name": "f", "arguments": piece}}]})
            }
        }
    }

    /// The block that an Anthropic stream begins, and the delta that says `piece` in it.
    fn block(channel: Channel, piece: &str) -> (Value, Value) {
        match channel {
            Channel::Text => (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": piece})),
            Channel::Thinking => (
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                json!({"type": "thinking_delta", "thinking": piece}),
            ),
            Channel::Arguments => (
                json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
                json!({"type": "input_json_delta", "partial_json": piece}),
            ),
        }
    }

    /// A whole stream that says `pieces` in this channel.
    pub(crate) fn stream_in(self, channel: Channel, pieces: &[&str]) -> String {
        let event = |value: &Value| match self {
            Self::OpenAi => format!("data: {value}\n\n"),
            Self::Anthropic => format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default()),
        };
        let mut text = String::new();
        match self {
            Self::OpenAi => {
                let chunk = |delta: Value, finish: Value| {
                    event(&json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
                };
                text.push_str(&chunk(json!({"role": "assistant", "content": ""}), Value::Null));
                pieces.iter().for_each(|piece| text.push_str(&chunk(Self::delta(channel, piece), Value::Null)));
                text.push_str(&chunk(json!({}), json!("stop")));
                text.push_str("data: [DONE]\n\n");
            }
            Self::Anthropic => {
                text.push_str(&event(&json!({"type": "message_start", "message": {"id": "m", "type": "message",
                    "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null,
                    "usage": {"input_tokens": 3, "output_tokens": 1}}})));
                text.push_str(&event(&json!({"type": "content_block_start", "index": 0,
                    "content_block": Self::block(channel, "").0})));
                for piece in pieces {
                    text.push_str(&event(&json!({"type": "content_block_delta", "index": 0,
                        "delta": Self::block(channel, piece).1})));
                }
                text.push_str(&event(&json!({"type": "content_block_stop", "index": 0})));
                text.push_str(&event(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn",
                    "stop_sequence": null}, "usage": {"output_tokens": 5}})));
                text.push_str(&event(&json!({"type": "message_stop"})));
            }
        }
        text
    }
}

/// A stream as read.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The text of all deltas, joined, whatever channel they stand in.
    pub(crate) text: String,
    /// How many events had data.
    pub(crate) frames: usize,
    /// The successful end was there.
    pub(crate) terminated: bool,
    /// The types or codes of errors.
    pub(crate) errors: Vec<String>,
}

/// Reads a stream of either dialect.
pub(crate) fn hear(bytes: &[u8]) -> Heard {
    let mut heard = Heard::default();
    for line in String::from_utf8_lossy(bytes).lines() {
        let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
        heard.frames += 1;
        if data == "[DONE]" {
            heard.terminated = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        heard.terminated |= event["type"] == "message_stop";
        if !event["error"].is_null() {
            heard.errors.push(event["error"].to_string());
        }
        let (openai, anthropic) = (&event["choices"][0]["delta"], &event["delta"]);
        let texts = [
            &openai["content"],
            &openai["reasoning_content"],
            &openai["tool_calls"][0]["function"]["arguments"],
            &anthropic["text"],
            &anthropic["thinking"],
            &anthropic["partial_json"],
        ];
        texts.into_iter().filter_map(Value::as_str).for_each(|text| heard.text.push_str(text));
    }
    heard
}
