//! Reading an upstream's stream frame by frame: what is said, what it means, what it used. And rewriting a text inside
//! a frame without touching the rest of it.
//!
//! Owns the reader's state: usage so far, whether the model has stopped. Never changes or holds a frame. Called by the
//! attempt engine (commit point, errors, usage) and by the guards' hold-back.

mod known;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tidegate_core::usage::{Usage, UsageSource};

use crate::{
    eventstream::{self, EventStreamError},
    json::{Edit, Limits, NodeId, scan, splice, write_text},
    llm::{
        bedrock,
        dialect::{Dialect, FramePieces, malformed},
        error::{ErrorKind, StreamError},
        estimate,
        framing::Framing,
        ir::StopReason,
        node::{Document, Node},
    },
    sse::Frame,
};
use known::Known;

/// Which text of a stream a piece belongs to: the same for all pieces of one choice, block and kind.
pub(crate) type Channel = u32;

/// A piece of generated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'frame> {
    /// Which text it belongs to. Pieces of one channel, joined, are one text.
    pub channel: u32,
    /// The piece, unescaped; never empty.
    pub text: Cow<'frame, str>,
}

/// A tool call that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolStart<'frame> {
    /// The channel on which its arguments will come.
    pub channel: u32,
    /// The tool's name as the caller declared it.
    pub name: Cow<'frame, str>,
}

/// An error that an upstream reported inside a stream that had begun well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStreamError {
    /// The sort; [`ErrorKind::status`] gives the status it would have had.
    pub kind: ErrorKind,
    /// The vendor's message, at most 4 KiB. Not yet freed of secrets.
    pub message: String,
}

/// What one frame says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameFacts<'frame> {
    /// Its texts, in the order of the frame. Their positions are what [`rewrite_piece`] counts by.
    pub pieces: SmallVec<[Piece<'frame>; 2]>,
    /// Whether it is real content: from here on another attempt would be seen. Not so for pings, roles, starts.
    pub semantic: bool,
    /// Whether it is the successful end.
    pub terminator: bool,
    /// Whether its texts were all said before, in pieces, and are only said once more, whole.
    pub repeats: bool,
    /// An error that the upstream reports.
    pub error: Option<UpstreamStreamError>,
    /// Tool calls that begin in it.
    pub tool_starts: SmallVec<[ToolStart<'frame>; 1]>,
    /// Channels that end with this frame, from the first to the last of each range: nothing more comes on them. A
    /// server that goes on nevertheless begins another text.
    pub closes: SmallVec<[(u32, u32); 1]>,
    /// Why the model stopped, where it says so.
    pub stop: Option<StopReason>,
    /// Whether it carries usage and nothing else.
    pub usage_only: bool,
}

/// Reads the frames of one stream, in order.
#[derive(Debug)]
pub struct StreamReader {
    dialect: Dialect,
    usage: Option<Usage>,
    finished: bool,
    ended: bool,
    generated: u64,
    tools: bool,
    known: Known,
}

impl StreamReader {
    /// A reader for a stream of this dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            usage: None,
            finished: false,
            ended: false,
            generated: 0,
            tools: false,
            known: Known::default(),
        }
    }

    /// Reads a frame. Frames without data (comments), of unknown types, and after the terminator say nothing.
    ///
    /// # Errors
    /// Where the data is neither JSON nor the dialect's end marker.
    pub fn read<'frame>(&mut self, frame: &'frame Frame) -> Result<FrameFacts<'frame>, StreamError> {
        let mut facts = FrameFacts::default();
        let Some(data) = frame.data.as_deref().filter(|_| !self.ended) else { return Ok(facts) };
        let codec = self.dialect.codec();
        if let Some(error) = codec.frame_error(frame) {
            self.ended = true;
            facts.error = Some(error);
            return Ok(facts);
        }
        if let Some(piece) = self.known.read(data) {
            self.generated = self.generated.saturating_add(estimate::text(piece.text.as_bytes()));
            facts.semantic = true;
            facts.pieces.push(piece);
            return Ok(facts);
        }
        self.known.forget();
        if codec.is_done_marker(data) {
            // A marker before the model has stopped is no successful end.
            facts.terminator = self.finished;
            self.ended = true;
            return if self.finished { Ok(facts) } else { Err(StreamError::Truncated) };
        }
        let tape = scan(data, &Limits::default()).map_err(|error| malformed(&error))?;
        let root = Node::new(&tape, data, tape.root());
        codec.frame_facts(root, &mut facts, &mut self.usage);
        let mut places = FramePieces::new();
        codec.frame_pieces(root, &mut places);
        if let [(channel, place)] = *places
            && says_nothing_else(&facts)
        {
            self.known.learn(data, tape.span(place), channel);
        }
        for (channel, place) in places {
            let Some(text) = tape.text(data, place) else { continue };
            if !facts.repeats {
                self.generated = self.generated.saturating_add(estimate::text(text.as_bytes()));
            }
            facts.pieces.push(Piece { channel, text });
        }
        facts.semantic |= !(facts.pieces.is_empty() || facts.repeats) || !facts.tool_starts.is_empty();
        self.tools |= !facts.tool_starts.is_empty();
        if facts.stop == Some(StopReason::EndTurn) && self.tools {
            facts.stop = Some(StopReason::ToolUse);
        }
        self.finished |= facts.stop.is_some();
        if facts.terminator && !self.finished {
            self.ended = true;
            return Err(StreamError::Truncated);
        }
        self.ended |= facts.terminator || facts.error.is_some();
        Ok(facts)
    }

    /// Tokens used so far, as far as the vendor has said anything. Before the model has stopped, what it says of the
    /// answer lags behind, and what was seen is taken where it is more.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let usage = self.usage?;
        if self.finished || usage.output >= self.generated {
            return Some(usage);
        }
        Some(Usage { output: self.generated, source: UsageSource::Estimated, ..usage })
    }

    /// An upper bound of the tokens generated so far, from the bytes seen: for streams whose vendor says nothing.
    #[must_use]
    pub fn generated_tokens(&self) -> u64 {
        self.generated
    }

    /// Whether the end of the body, if it came now, would be the dialect's successful end.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.finished && !self.ended && self.dialect.ends_with_body()
    }

    /// Whether the model has stopped: an end of the body after this loses nothing that was generated.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }
}

/// Whether a frame, read but for its texts, says no more than them.
fn says_nothing_else(facts: &FrameFacts<'_>) -> bool {
    let FrameFacts { pieces: _, semantic: _, terminator, repeats, error, tool_starts, closes, stop, usage_only } =
        facts;
    !terminator
        && !repeats
        && !usage_only
        && error.is_none()
        && tool_starts.is_empty()
        && closes.is_empty()
        && stop.is_none()
}

/// The id of the answer that a stream's first frame announces, in dialects whose vendors keep answers by their ids.
#[must_use]
pub fn answer_id(frame: &Frame) -> Option<String> {
    let document = Document::parse(frame.data.as_deref()?).ok()?;
    document.root().get("response")?.get("id")?.text().map(Cow::into_owned)
}

/// The frame with another text in the place of its piece number `piece`, counted as in [`FrameFacts::pieces`].
///
/// # Errors
/// As for [`rewrite_pieces`].
pub fn rewrite_piece(dialect: Dialect, frame: &Frame, piece: usize, text: &str) -> Result<Frame, StreamError> {
    rewrite_pieces(dialect, frame, &[(piece, text)])
}

/// The frame with other texts in the place of some pieces. What repeats the
/// texts token by token (`logprobs`) becomes null. Every other byte stays; only where the data was spread over
/// several lines, they are written anew. A text may be empty: the frame then still stands in its place.
///
/// # Errors
/// Where the frame holds no such piece, or is malformed.
pub fn rewrite_pieces(dialect: Dialect, frame: &Frame, texts: &[(usize, &str)]) -> Result<Frame, StreamError> {
    let data = frame.data.clone().unwrap_or_default();
    let tape = scan(&data, &Limits::default()).map_err(|error| malformed(&error))?;
    let root = Node::new(&tape, &data, tape.root());
    let mut places = FramePieces::new();
    dialect.codec().frame_pieces(root, &mut places);
    let mut edits = Vec::with_capacity(texts.len());
    for (piece, text) in texts {
        let (_, place): &(Channel, NodeId) = places.get(*piece).ok_or(StreamError::NoSuchPiece(*piece))?;
        let mut replacement = Vec::with_capacity(text.len().saturating_add(2));
        write_text(&mut replacement, text);
        edits.push(Edit { span: tape.span(*place), replacement });
    }
    dialect.codec().echoes(root, &mut |node| edits.push(Edit { span: tape.span(node), replacement: b"null".to_vec() }));
    let changed = splice(&data, edits).map_err(|error| StreamError::Malformed(error.to_string().into()))?;
    match dialect.framing() {
        Framing::Sse => Ok(with_data(frame, &data, changed)),
        Framing::EventStream => eventstream::with_payload(frame, &changed).map_err(reframed),
        Framing::EventChunks => bedrock::with_chunk_data(frame, changed).map_err(reframed),
    }
}

fn reframed(error: EventStreamError) -> StreamError {
    StreamError::Malformed(error.to_string().into())
}

/// The frame with other data. Where the old data stands in the raw bytes in one piece, only that is replaced.
fn with_data(frame: &Frame, old: &Bytes, new: Vec<u8>) -> Frame {
    let place = memchr::memmem::find(&frame.raw, old).filter(|_| !old.is_empty());
    let Some((head, tail)) =
        place.and_then(|at| Some((frame.raw.get(..at)?, frame.raw.get(at.saturating_add(old.len())..)?)))
    else {
        return Frame::build(frame.event.as_deref().and_then(|name| std::str::from_utf8(name).ok()), &new);
    };
    let mut raw = BytesMut::with_capacity(frame.raw.len().saturating_add(new.len()));
    raw.extend_from_slice(head);
    raw.extend_from_slice(&new);
    raw.extend_from_slice(tail);
    Frame { raw: raw.freeze(), data: Some(new.into()), ..frame.clone() }
}
