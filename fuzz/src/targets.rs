//! The targets of the protocol crate.
//!
//! Each says in its first lines which promise it holds the code to; `assert!` is how it says no.

use bytes::Bytes;
use tidegate_core::ids::ServerName;
use tidegate_protocol::{
    body::EditableBody,
    eventstream::{self, EventStreamError, EventStreamParser},
    json::{Kind, Limits, NodeId, Tape, canonical, scan},
    jsonrpc::{Message, Parts, Payload, read, read_one},
    llm::{Dialect, StreamReader},
    mcp::{Answer, Direction, Method, ToolCall},
    sse::{Frame, SseError, SseParser},
};

fn nodes(tape: &Tape) -> impl Iterator<Item = NodeId> {
    (0..u32::try_from(tape.len()).unwrap_or(u32::MAX)).map(NodeId::from_index)
}

/// What a step gives that must never fail on what the step before gave.
#[expect(clippy::panic, reason = "a fuzz target says no by a panic")]
fn sound<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the product cannot read what it wrote: {error}"))
}

fn message_of(written: Vec<u8>) -> Message {
    sound(read_one(Bytes::from(written), &Limits::default()))
}

/// A scan gives an answer for any bytes, and every node of a tape is a value of its own within its bytes.
pub fn json_scan(bytes: &[u8]) {
    let limits = Limits { max_bytes: 1 << 20, max_depth: 128, max_nodes: 1 << 16 };
    let tape = match scan(bytes, &limits) {
        Ok(tape) => tape,
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(std::str::from_utf8(bytes).is_ok());
    for node in nodes(&tape).take(64) {
        let span = tape.span(node);
        assert!(span.start < span.end && span.end <= bytes.len());
        // Below a schema the letter case of names counts; on its own the value has lost that place.
        if let Ok(alone) = scan(tape.raw(bytes, node), &limits) {
            assert_eq!(alone, tape.below(node));
        }
        match tape.kind(node) {
            Kind::String => assert!(tape.text(bytes, node).is_some()),
            Kind::Object => {
                for member in tape.members(bytes, node).take(16) {
                    assert_eq!(tape.member(bytes, node, &member.name), Some(member.value));
                }
            }
            _ => {}
        }
    }
    let _ = tape.value(bytes, tape.root());
}

/// Replaced strings read as what they were replaced with, and everything else as before.
pub fn json_edit(bytes: &[u8]) {
    let Ok(mut body) = EditableBody::read(Bytes::copy_from_slice(bytes), &Limits::default()) else { return };
    let strings: Vec<NodeId> = body.tape().strings(body.tape().root()).take(32).collect();
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(9)).unwrap_or_default()).into_owned();
    for node in strings.iter().step_by(2) {
        assert!(body.replace_text(*node, &text));
    }
    let current = body.current();
    let tape = sound(scan(&current, &Limits::default()));
    assert_eq!(tape.len(), body.tape().len());
    let root = tape.root();
    assert_eq!(tape.value(&current, root), body.value(root));
    assert_eq!(canonical(&current, &tape, root), body.canonical(root));
}

/// The canonical form is its own canonical form.
pub fn json_canonical(bytes: &[u8]) {
    let Ok(tape) = scan(bytes, &Limits::default()) else { return };
    let once = canonical(bytes, &tape, tape.root());
    let again = sound(scan(&once, &Limits::default()));
    assert_eq!(canonical(&once, &again, again.root()), once);
}

fn frames(chunks: &[&[u8]], max_event: usize) -> (Vec<Result<Frame, SseError>>, Option<Frame>) {
    let mut parser = SseParser::new(max_event);
    let mut found = Vec::new();
    for chunk in chunks {
        parser.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = parser.next_frame() {
            found.push(frame);
        }
    }
    (found, parser.finish())
}

/// What a stream says does not depend on where it is cut, and no byte of it is lost. The first byte chooses the cuts.
pub fn sse_chunks(bytes: &[u8]) {
    let Some((choice, stream)) = bytes.split_first() else { return };
    let max_event = if choice & 1 == 0 { 1 << 20 } else { 32 };
    let whole = frames(&[stream], max_event);
    let size = usize::from(choice >> 1).max(1);
    let cut: Vec<&[u8]> = stream.chunks(size).collect();
    assert_eq!(whole, frames(&cut, max_event));
    if whole.0.iter().all(Result::is_ok) {
        let frames = whole.0.iter().flatten().chain(&whole.1);
        let raw: Vec<u8> = frames.flat_map(|frame| frame.raw.to_vec()).collect();
        assert_eq!(raw, stream);
    }
}

fn messages(chunks: &[&[u8]]) -> Vec<Result<Frame, EventStreamError>> {
    let mut parser = EventStreamParser::new(1 << 20);
    let mut found = Vec::new();
    for chunk in chunks {
        parser.push(chunk);
        while let Some(frame) = parser.next_frame() {
            found.push(frame);
        }
    }
    found
}

/// What an AWS event stream says does not depend on where it is cut, every message stays readable with another payload,
/// and any bytes can be a payload. The first byte chooses the cuts.
pub fn event_stream(bytes: &[u8]) {
    let Some((choice, stream)) = bytes.split_first() else { return };
    let whole = messages(&[stream]);
    let cut: Vec<&[u8]> = stream.chunks(usize::from(*choice).max(1)).collect();
    assert_eq!(whole, messages(&cut));
    let written = eventstream::event("chunk", stream);
    for frame in whole.into_iter().flatten().chain([written]) {
        let changed = sound(eventstream::with_payload(&frame, bytes));
        assert_eq!(changed.data.as_deref(), Some(bytes));
        assert_eq!(messages(&[&changed.raw]), [Ok(changed)]);
    }
    for dialect in [Dialect::Bedrock, Dialect::BedrockInvoke] {
        let mut reader = StreamReader::new(dialect);
        let mut parser = dialect.framing().parser(1 << 20);
        parser.push(eventstream::event("contentBlockDelta", stream).raw);
        parser.push(Bytes::copy_from_slice(stream));
        while let Some(Ok(frame)) = parser.next_frame() {
            let _ = reader.read(&frame);
        }
    }
}

/// Another id gives the same message with that id.
pub fn jsonrpc_read(bytes: &[u8]) {
    let messages = match read(Bytes::copy_from_slice(bytes), &Limits::default()) {
        Ok(Payload::One(message)) => vec![message],
        Ok(Payload::Batch(messages)) => messages,
        Err(error) => {
            assert!(error.code() < 0);
            return;
        }
    };
    for message in messages {
        let renamed = message.with_id(b"\"leg\"");
        let again = message_of(renamed);
        assert_eq!(again.method(), message.method());
        assert_eq!(again.params().map(|node| again.raw(node)), message.params().map(|node| message.raw(node)));
    }
}

/// What policies and guards saw is what is sent.
pub fn mcp_tool_call(bytes: &[u8]) {
    let Ok(mut call) = ToolCall::read(ServerName::from("s"), Bytes::copy_from_slice(bytes)) else { return };
    let paths: Vec<_> = call.segments().iter().map(|segment| segment.path).take(16).collect();
    for path in paths.iter().step_by(2) {
        assert!(call.replace_segment(*path, "[redacted]"));
        assert!(call.pointer(*path).starts_with("/params"));
    }
    let sent = sound(ToolCall::read(ServerName::from("s"), Bytes::from(call.outgoing(b"77"))));
    assert_eq!(sent.facts(), call.facts());
    assert_eq!(sent.arguments_digest(), call.arguments_digest());
    assert_eq!(sent.segments().len(), call.segments().len());
    assert!(sent.is_notification() || sent.raw_id() == b"77");
}

/// A filtered answer holds what was kept and nothing else; the first byte chooses the method and what is kept.
pub fn mcp_answer(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let Ok(Payload::One(message)) = read(Bytes::copy_from_slice(body), &Limits::default()) else { return };
    if !matches!(message.parts(), Parts::Response { .. } | Parts::ErrorResponse { .. }) {
        assert!(Answer::new(Method::ToolsList, message.clone()).segments().is_empty());
        let _ = ToolCall::from_message(ServerName::from("s"), message, Direction::ToClient);
        return;
    }
    let method = Method::REQUESTS.get(usize::from(choice & 0x0F)).copied().unwrap_or(Method::ToolsList);
    let mut answer = Answer::new(method, message);
    let keep = |name: &str| (name.len() & 1 == 0) ^ (choice & 0x10 != 0);
    let expected: Vec<String> = answer.items().iter().filter(|name| keep(name)).map(|name| name.to_string()).collect();
    answer.retain(keep);
    let paths: Vec<_> = answer.segments().iter().map(|segment| segment.path).take(16).collect();
    for path in &paths {
        if choice & 0x20 != 0 {
            // A name that is replaced stays one that guards look at.
            assert!(answer.replace_segment(*path, "even at 12:00 o'clock"));
        }
    }
    let again = Answer::new(method, message_of(answer.outgoing(b"5")));
    assert_eq!(again.items().len(), expected.len());
    if choice & 0x20 == 0 {
        assert_eq!(again.items(), expected);
    }
    assert_eq!(again.segments().len(), answer.segments().len());
}
