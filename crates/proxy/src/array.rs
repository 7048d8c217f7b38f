//! A stream as one JSON array: how Google's API answers `streamGenerateContent` where no `alt=sse` is asked for.
//!
//! Owns the commas. Each event of the stream is one element, as it is; an error is the last element, as the vendor's is.
//! Called by whoever writes the body of an answer.

use bytes::Bytes;
use tidegate_protocol::sse::{DEFAULT_MAX_EVENT, SseParser};

/// An array in the making.
pub(crate) struct Array {
    parser: SseParser,
    any: bool,
}

impl Array {
    pub(crate) fn new() -> Self {
        Self { parser: SseParser::new(DEFAULT_MAX_EVENT), any: false }
    }

    /// The elements that the events in `raw` are, with what parts them from those before.
    pub(crate) fn elements(&mut self, raw: Bytes) -> Bytes {
        self.parser.push(raw);
        let mut out = Vec::new();
        // An event that is too large was refused before it came here.
        while let Some(Ok(frame)) = self.parser.next_frame() {
            let Some(data) = frame.data.filter(|data| !data.trim_ascii().is_empty()) else { continue };
            out.extend_from_slice(if std::mem::replace(&mut self.any, true) { b",\r\n" } else { b"[" });
            out.extend_from_slice(&data);
        }
        out.into()
    }

    /// Its end.
    pub(crate) fn end(&self) -> Bytes {
        Bytes::from_static(if self.any { b"\r\n]\r\n" } else { b"[]\r\n" })
    }
}

/// A whole body as the only element.
pub(crate) fn of_one(body: &[u8]) -> Bytes {
    [b"[".as_slice(), body, b"\r\n]\r\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::sse::Frame;

    use super::*;

    #[test]
    fn events_become_elements_whatever_way_they_come() {
        let mut array = Array::new();
        let mut out = Vec::new();
        for raw in [
            Frame::build(None, br#"{"a":1}"#).raw,
            Frame::comment("ping").raw,
            Bytes::from_static(b"data: {\"b\":\ndata: 2}\n\ndata: {\"c\":3}\r\n\r\n"),
            Bytes::from_static(b"data: {\"d\""),
            Bytes::from_static(b":4}\n\n\n"),
        ] {
            out.extend_from_slice(&array.elements(raw));
        }
        out.extend_from_slice(&array.end());
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read, serde_json::json!([{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&Array::new().end()).unwrap(), serde_json::json!([]));
        assert_eq!(serde_json::from_slice::<Vec<u8>>(&of_one(b"7")).unwrap(), [7]);
    }
}
