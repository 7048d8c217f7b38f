//! What stays the same from frame to frame of a stream: everything around its one text.
//!
//! Owns the short way of reading: a frame that begins and ends with the very bytes of the one before says the same, but
//! for the text between. Never takes a frame that would have to be read in full to be understood: another name, number
//! or place of a text makes it another frame. The reader forgets what it knew with every frame that it reads in full,
//! so that whatever that frame changed in the reader, a frame of the same form would change again to the same.

use std::{borrow::Cow, ops::Range};

use crate::llm::stream::Piece;

/// The most bytes that are kept of a frame: one of the usual forms has a few hundred.
const MOST: usize = 2048;

/// What surrounds the text of the frame that was read in full last.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What stands before the text, its quote included, and what stands after it, from its quote on.
    around: Vec<u8>,
    before: usize,
    channel: u32,
}

impl Known {
    /// Learns a frame whose only text stands at `place`, quotes included, and that says nothing else.
    pub(super) fn learn(&mut self, data: &[u8], place: Range<usize>, channel: u32) {
        let (Some(before), Some(after)) = (place.start.checked_add(1), place.end.checked_sub(1)) else { return };
        let (Some(head), Some(tail)) = (data.get(..before), data.get(after..)) else { return };
        if head.len().saturating_add(tail.len()) <= MOST {
            self.around.extend_from_slice(head);
            self.around.extend_from_slice(tail);
            self.before = before;
            self.channel = channel;
        }
    }

    /// Knows nothing any more.
    pub(super) fn forget(&mut self) {
        self.around.clear();
    }

    /// The text of a frame of the known form, if it is one and its text needs no unescaping.
    pub(super) fn read<'frame>(&self, data: &'frame [u8]) -> Option<Piece<'frame>> {
        let (head, tail) = self.around.split_at_checked(self.before).filter(|(head, _)| !head.is_empty())?;
        let text = data.strip_prefix(head)?.strip_suffix(tail)?;
        // An empty text is no piece, and what is not plain is the scanner's to judge.
        if text.is_empty() || !crate::json::is_plain(text) {
            return None;
        }
        let text = simdutf8::basic::from_utf8(text).ok()?;
        Some(Piece { channel: self.channel, text: Cow::Borrowed(text) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use crate::{
        llm::{Dialect, StreamReader},
        sse::Frame,
    };

    /// Frames of several dialects with something in their places, well formed and not.
    fn data() -> impl Strategy<Value = String> {
        let text = prop_oneof![
            4 => "[a-z ]{0,12}",
            1 => "\\PC{0,8}",
            1 => prop::sample::select(vec!["\\n", "\\\\", "\\\"", "\\u00e9", "\\x", "\n", "\"", "a\",\"content\":\"b", "\\"]).prop_map(str::to_owned),
        ];
        let number = prop_oneof![4 => Just(0), 1 => 0..3];
        let form = prop::sample::select(vec![
            r#"{"id":"c","choices":[{"index":N,"delta":{"content":"T"},"finish_reason":null}]}"#,
            r#"{"id":"c","choices":[{"index":N,"delta":{"content":"T"},"finish_reason":null}],"usage":null}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"T"}}],"usage":{"prompt_tokens":N,"completion_tokens":2}}"#,
            r#"{"id":"c","choices":[{"index":N,"delta":{"content":"T","reasoning_content":"T"}}]}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"T":"x"}}]}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"T"},"finish_reason":"stop"}]}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":N,"function":{"arguments":"T"}}]}}]}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":N,"id":"i","function":{"name":"f","arguments":"T"}}]}}]}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"T","content":"T"}}]}"#,
            r#"{"id":"c","choices":[{"index":0,"delta":{"content":"T"}}]"#,
            r#"{"type":"content_block_delta","index":N,"delta":{"type":"text_delta","text":"T"}}"#,
            r#"{"type":"content_block_delta","index":N,"delta":{"type":"input_json_delta","partial_json":"T"}}"#,
            r#"{"type":"content_block_stop","index":N}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":N}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"T"}],"role":"model"},"index":N}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"T","thought":true}]}}],"usageMetadata":{"promptTokenCount":N}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"T"},{"functionCall":{"name":"f","args":{"a":"T"}}}]},"index":N}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"T"}]},"finishReason":"STOP"}]}"#,
            r#"{"error":{"message":"T"}}"#,
            "[DONE]",
        ]);
        (form, number, text).prop_map(|(form, number, text)| form.replace('N', &number.to_string()).replace('T', &text))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_short_way_reads_what_the_long_way_reads(frames in prop::collection::vec(data(), 1..24), dialect in prop::sample::select(Dialect::ALL.to_vec())) {
            let (mut short, mut long) = (StreamReader::new(dialect), StreamReader::new(dialect));
            for data in frames {
                let data = Bytes::from(data);
                let frame = Frame { raw: data.clone(), event: None, data: Some(data), id: None, retry: None };
                long.known.forget();
                prop_assert_eq!(short.read(&frame), long.read(&frame));
                prop_assert_eq!(short.usage(), long.usage());
                prop_assert_eq!(
                    (short.generated, short.finished, short.ended, short.tools),
                    (long.generated, long.finished, long.ended, long.tools)
                );
            }
        }
    }

    #[test]
    fn frames_of_one_form_take_the_short_way() {
        let frame = |text: &str| {
            let data = format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
            );
            Frame::build(Some("content_block_delta"), data.as_bytes())
        };
        let mut reader = StreamReader::new(Dialect::Anthropic);
        let (first, second, escaped) = (frame("one"), frame("two \u{e9}"), frame("\\n"));
        reader.read(&first).unwrap();
        let text = |frame: &Frame, reader: &StreamReader| {
            reader.known.read(frame.data.as_deref().unwrap_or_default()).map(|piece| piece.text.into_owned())
        };
        assert_eq!(text(&second, &reader).as_deref(), Some("two \u{e9}"));
        assert_eq!(text(&escaped, &reader), None);
        assert_eq!(text(&frame(""), &reader), None);
        reader.read(&escaped).unwrap();
        assert_eq!(text(&second, &reader).as_deref(), Some("two \u{e9}"));
    }
}
