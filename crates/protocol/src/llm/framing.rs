//! How a dialect cuts a stream into frames: one parser for all of them.
//!
//! Owns the choice alone; the formats are `sse`'s and their like. Called by the attempt engine, and by whoever says what
//! a stream's media type is.

use bytes::Bytes;

use crate::{
    eventstream::{EventStreamError, EventStreamParser},
    llm::bedrock,
    sse::{Frame, SseError, SseParser},
};

/// A way to cut a body into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Server-sent events (WHATWG HTML, section 9.2).
    Sse,
    /// Messages of an AWS event stream whose payload is the event.
    EventStream,
    /// The same, each with an event inside its payload, in base64.
    EventChunks,
}

impl Framing {
    /// The media type of such a body, without parameters.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::EventStream | Self::EventChunks => "application/vnd.amazon.eventstream",
        }
    }

    /// A parser that refuses frames of more than `max_frame` bytes.
    #[must_use]
    pub fn parser(self, max_frame: usize) -> FrameParser {
        match self {
            Self::Sse => FrameParser::Sse(SseParser::new(max_frame)),
            Self::EventStream => FrameParser::EventStream(EventStreamParser::new(max_frame)),
            Self::EventChunks => FrameParser::EventChunks(EventStreamParser::new(max_frame)),
        }
    }
}

/// Why a stream cannot be cut any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// As server-sent events.
    #[error(transparent)]
    Sse(#[from] SseError),
    /// As an AWS event stream.
    #[error(transparent)]
    EventStream(#[from] EventStreamError),
}

/// Cuts a stream into frames. Bounded, whatever the format.
#[derive(Debug)]
pub enum FrameParser {
    /// Server-sent events.
    Sse(SseParser),
    /// An AWS event stream.
    EventStream(EventStreamParser),
    /// An AWS event stream with an event inside each message.
    EventChunks(EventStreamParser),
}

impl FrameParser {
    /// Hands over the next bytes of the stream. Take all frames before pushing more.
    pub fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Sse(parser) => parser.push(chunk),
            Self::EventStream(parser) | Self::EventChunks(parser) => parser.push(&chunk),
        }
    }

    /// The next whole frame; `None` until more is pushed.
    ///
    /// # Errors
    /// Once, where a frame is beyond its limit or malformed; after that nothing more comes.
    pub fn next_frame(&mut self) -> Option<Result<Frame, FramingError>> {
        match self {
            Self::Sse(parser) => parser.next_frame().map(|next| next.map_err(Into::into)),
            Self::EventStream(parser) => parser.next_frame().map(|next| next.map_err(Into::into)),
            Self::EventChunks(parser) => {
                parser.next_frame().map(|next| next.and_then(bedrock::chunk_data).map_err(Into::into))
            }
        }
    }
}
