//! The Responses API over a WebSocket: what a client's frame asks, what stands for `previous_response_id`, and the
//! frames that only a socket has.
//!
//! Owns the way between a frame and the body of the same call over HTTP, and the memory of one connection, bounded.
//! Never opens a socket and decides nothing: the proxy's session does, and every call goes the way of all calls. Nothing
//! that a client wrote is changed on the way: members are carried as they are written.

use std::collections::VecDeque;

use bytes::Bytes;

use super::answer;
use crate::{
    json::{Kind, Limits, Tape, is_same_name, scan},
    llm::{
        error::ReadError,
        ir::StopReason,
        node::{Document, Node},
        write::JsonWriter,
    },
    sse::Frame,
};

/// The longest name of a lane, in bytes.
const LONGEST_LANE: usize = 128;

/// The most answers that a connection remembers.
const MOST_KEPT: usize = 32;

/// Members that say something about the socket, or about how an answer travels, and nothing about the answer.
const OF_THE_SOCKET: [&str; 5] = ["type", "stream", "background", "stream_id", "generate"];

/// A frame that asks for no answer, or wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCreate {
    /// What is wrong with it.
    pub error: ReadError,
    /// The lane that it names, for the answer.
    pub lane: Option<String>,
}

/// A `response.create`: one call.
#[derive(Debug)]
pub struct Create {
    bytes: Bytes,
    tape: Tape,
    previous: Option<String>,
    lane: Option<String>,
    generates: bool,
}

impl Create {
    /// Reads a frame. What the call's own reader checks is left to it.
    ///
    /// # Errors
    /// Where it is no strict JSON, of another type, or a member of the socket's is of another form.
    pub fn read(bytes: Bytes) -> Result<Self, NoCreate> {
        let tape = scan(&bytes, &Limits::default())
            .map_err(|error| NoCreate { error: ReadError::new(error.pointer(), error.to_string()), lane: None })?;
        let root = Node::new(&tape, &bytes, tape.root());
        let lane = root.get("stream_id").and_then(Node::text).filter(|lane| lane.len() <= LONGEST_LANE);
        let lane = lane.map(std::borrow::Cow::into_owned);
        match asked(root) {
            Ok((previous, generates)) => Ok(Self { lane, previous, generates, tape, bytes }),
            Err(error) => Err(NoCreate { error, lane }),
        }
    }

    /// The answer that this one goes on from, where it names one.
    #[must_use]
    pub fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    /// The lane that it names: every event of its answer names it too.
    #[must_use]
    pub fn lane(&self) -> Option<&str> {
        self.lane.as_deref()
    }

    /// Whether it asks for an answer, and not only to be remembered.
    #[must_use]
    pub fn generates(&self) -> bool {
        self.generates
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The model, as it is written; nothing where none is named.
    #[must_use]
    pub fn model(&self) -> String {
        self.root().get("model").and_then(Node::text).unwrap_or_default().into_owned()
    }

    /// The body of the same call over HTTP, which streams. `before` is the conversation so far, in place of
    /// `previous_response_id`.
    #[must_use]
    pub fn body(&self, before: Option<&[u8]>) -> Vec<u8> {
        let mut json = JsonWriter::with_capacity(self.bytes.len().saturating_add(before.map_or(0, <[u8]>::len)));
        json.object(|json| {
            for (name, value) in self.root().members() {
                let replaced = before.is_some() && matches!(&*name, "previous_response_id" | "input");
                if !replaced && !OF_THE_SOCKET.contains(&&*name) {
                    json.raw_member(&name, value.raw());
                }
            }
            json.bool_member("stream", true);
            if before.is_some() {
                json.key("input");
                json.written(&[b"[".as_slice(), &self.conversation(before, b""), b"]"].concat());
            }
        });
        json.into_bytes()
    }

    /// The conversation that an answer ends: what was `before`, what this asks, and the answer's `output`. Items,
    /// separated by commas.
    #[must_use]
    pub fn conversation(&self, before: Option<&[u8]>, output: &[u8]) -> Vec<u8> {
        let own = self.items();
        let parts = [before.unwrap_or_default(), &own, output];
        parts.into_iter().filter(|part| !part.trim_ascii().is_empty()).collect::<Vec<_>>().join(&b',')
    }

    fn root(&self) -> Node<'_, '_> {
        Node::new(&self.tape, &self.bytes, self.tape.root())
    }

    /// What it asks, as items.
    fn items(&self) -> Vec<u8> {
        let Some(input) = self.root().present("input") else { return Vec::new() };
        if input.kind() == Kind::String {
            let mut json = JsonWriter::default();
            json.object(|json| {
                json.string_member("type", "message");
                json.string_member("role", "user");
                json.raw_member("content", input.raw());
            });
            return json.into_bytes();
        }
        let raw = input.raw().as_bytes();
        raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default().to_vec()
    }
}

/// Reads the members that are the socket's.
fn asked(root: Node<'_, '_>) -> Result<(Option<String>, bool), ReadError> {
    root.expect_object()?;
    let kind = root.required_text("type")?;
    if kind != "response.create" {
        return Err(ReadError::new("/type", "this socket takes `response.create` and nothing else"));
    }
    if root.present("background").map(Node::expect_bool).transpose()? == Some(true) {
        let words = "an answer over a socket cannot be made in the background; ask for it with POST /v1/responses";
        return Err(ReadError::new("/background", words));
    }
    if let Some(lane) = root.optional_text("stream_id")?
        && (lane.is_empty() || lane.len() > LONGEST_LANE)
    {
        return Err(ReadError::new("/stream_id", "must be a name of 1 to 128 bytes"));
    }
    if let Some(input) = root.present("input")
        && !matches!(input.kind(), Kind::String | Kind::Array)
    {
        return Err(input.error("must be a string or an array of items"));
    }
    let generates = root.present("generate").map(Node::expect_bool).transpose()?.unwrap_or(true);
    Ok((root.optional_text("previous_response_id")?.map(std::borrow::Cow::into_owned), generates))
}

/// The answers of one connection that a later one may go on from, with the conversations that they ended.
#[derive(Debug)]
pub struct Memory {
    kept: VecDeque<(String, Bytes)>,
    bytes: usize,
    most: usize,
}

impl Memory {
    /// A memory of at most `most` bytes: the oldest answers are forgotten first.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, most }
    }

    /// Remembers the conversation that the answer `id` ended. One that is too long is not remembered.
    pub fn keep(&mut self, id: String, conversation: Vec<u8>) {
        let length = conversation.len().saturating_add(id.len());
        if length > self.most {
            return;
        }
        self.bytes = self.bytes.saturating_add(length);
        self.kept.push_back((id, conversation.into()));
        while self.kept.len() > MOST_KEPT || self.bytes > self.most {
            let Some((id, oldest)) = self.kept.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.len().saturating_add(id.len()));
        }
    }

    /// The conversation that the answer `id` ended.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Bytes> {
        self.kept.iter().rev().find(|(known, _)| known == id).map(|(_, conversation)| conversation.clone())
    }
}

/// The end of an answer that may be gone on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The answer's id.
    pub id: String,
    /// Its items, separated by commas.
    pub output: Vec<u8>,
}

impl Ended {
    /// The end that an event tells of; `None` where it tells of none, or of a failure.
    #[must_use]
    pub fn of(event: &Frame) -> Option<Self> {
        let data = event.data.as_deref()?;
        let named = |name: &[u8]| {
            let head = data.get(..256).unwrap_or(data);
            event.event.as_deref() == Some(name) || memchr::memmem::find(head, name).is_some()
        };
        if !named(b"response.completed") && !named(b"response.incomplete") {
            return None;
        }
        let document = Document::parse(data).ok()?;
        let root = document.root();
        let kind = root.get("type")?;
        if !kind.text_is("response.completed") && !kind.text_is("response.incomplete") {
            return None;
        }
        Self::of_response(root.get("response")?)
    }

    /// The same of a whole answer.
    #[must_use]
    pub fn of_whole(answer: &[u8]) -> Option<Self> {
        Self::of_response(Document::parse(answer).ok()?.root())
    }

    fn of_response(response: Node<'_, '_>) -> Option<Self> {
        let id = response.get("id")?.text()?.into_owned();
        // What is kept nowhere is found by no id: reasoning that came without its words cannot be shown again.
        let stored = response.get("store").and_then(Node::as_bool) == Some(true);
        let may_return = |item: &Node<'_, '_>| {
            let sealed = item.present("encrypted_content").and_then(Node::text).is_some_and(|text| !text.is_empty());
            stored || sealed || !item.get("type").is_some_and(|kind| kind.text_is("reasoning"))
        };
        let items: Vec<&[u8]> =
            response.get("output")?.items().filter(may_return).map(|item| item.raw().as_bytes()).collect();
        Some(Self { id, output: items.join(&b',') })
    }
}

/// An event as it leaves on a lane, which is this one and no other that the event names. Events are objects; what is none
/// is left as it is.
#[must_use]
pub fn on_lane(event: Bytes, lane: Option<&str>) -> Bytes {
    const NAME: &str = "stream_id";
    let Some((lane, rest)) = lane.zip(event.trim_ascii_start().strip_prefix(b"{")) else { return event };
    let mut json = JsonWriter::with_capacity(event.len().saturating_add(lane.len()).saturating_add(24));
    let document = Document::parse(&event).ok();
    let root = document.as_ref().map(Document::root);
    if let Some(root) = root.filter(|root| root.members().any(|(name, _)| is_same_name(&name, NAME))) {
        json.object(|json| {
            json.string_member(NAME, lane);
            let others = root.members().filter(|(name, _)| !is_same_name(name, NAME));
            others.for_each(|(name, value)| json.raw_member(&name, value.raw()));
        });
        return json.into_bytes().into();
    }
    json.object(|json| json.string_member(NAME, lane));
    let mut out = json.into_bytes();
    out.pop();
    if !rest.trim_ascii_start().starts_with(b"}") {
        out.push(b',');
    }
    out.extend_from_slice(rest);
    out.into()
}

/// The event that a refusal is: `{"type":"error","status":…,"error":…}`. `body` is what the same call over HTTP is
/// answered with, `headers` what is told beside it.
#[must_use]
pub fn error_event(status: u16, body: &[u8], headers: &[(&str, &str)]) -> Vec<u8> {
    let document = Document::parse(body).ok();
    let error = document.as_ref().and_then(|document| document.root().present("error"));
    let mut json = JsonWriter::with_capacity(body.len().saturating_add(256));
    json.object(|json| {
        json.string_member("type", "error");
        json.number_member("status", status.into());
        json.object_member("error", |json| match error.filter(|error| error.kind() == Kind::Object) {
            Some(error) => of_the_dialect(error, json),
            None => {
                json.string_member("type", if status < 500 { "invalid_request_error" } else { "server_error" });
                json.string_member("message", "The upstream refused this call and did not say why.");
            }
        });
        json.object_member("headers", |json| {
            headers.iter().for_each(|(name, value)| json.string_member(name, value));
        });
    });
    json.into_bytes()
}

/// The error's members. Clients know by its code that they are to send the whole conversation.
fn of_the_dialect(error: Node<'_, '_>, json: &mut JsonWriter) {
    let forgotten = error.get("param").is_some_and(|param| param.text_is("/previous_response_id"));
    for (name, value) in error.members() {
        if forgotten && name == "code" {
            json.string_member("code", "previous_response_not_found");
        } else {
            json.raw_member(&name, value.raw());
        }
    }
}

/// The event that a connection which has lasted too long is ended with.
#[must_use]
pub fn too_old(words: &str) -> Vec<u8> {
    let mut json = JsonWriter::default();
    json.object(|json| {
        json.string_member("type", "error");
        json.number_member("status", 400);
        json.object_member("error", |json| {
            json.string_member("type", "invalid_request_error");
            json.string_member("code", "websocket_connection_limit_reached");
            json.string_member("message", words);
        });
    });
    json.into_bytes()
}

/// The event that a whole answer is where one in pieces was asked for.
#[must_use]
pub fn whole(answer: &[u8]) -> Vec<u8> {
    let kind =
        match Document::parse(answer).ok().and_then(|it| it.root().get("status")?.text().map(|it| it.into_owned())) {
            Some(status) if status == "incomplete" => "response.incomplete",
            Some(status) if status == "failed" => "response.failed",
            _ => "response.completed",
        };
    let mut json = JsonWriter::with_capacity(answer.len().saturating_add(64));
    json.object(|json| {
        json.string_member("type", kind);
        json.number_member("sequence_number", 0);
        json.key("response");
        json.written(answer);
    });
    json.into_bytes()
}

/// The events of an answer that says nothing: the input is remembered under `id`.
#[must_use]
pub fn remembered(id: &str, model: &str, created: u64) -> [Vec<u8>; 2] {
    let event = |kind: &str, sequence: u64, stop: Option<&StopReason>| {
        let mut json = JsonWriter::default();
        json.object(|json| {
            json.string_member("type", kind);
            json.number_member("sequence_number", sequence);
            json.key("response");
            let usage = stop.map(|_| tidegate_core::usage::Usage::default());
            let frame = answer::Frame { id, created, model, stop, refused: false, usage: usage.as_ref() };
            answer::write(&frame, json, |_| {});
        });
        json.into_bytes()
    };
    [event("response.created", 0, None), event("response.completed", 1, Some(&StopReason::EndTurn))]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn create(frame: &Value) -> Create {
        Create::read(frame.to_string().into()).unwrap()
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    fn ended(kind: &str, response: &Value) -> Option<Ended> {
        Ended::of(&Frame::build(Some(kind), json!({"type": kind, "response": response}).to_string().as_bytes()))
    }

    #[test]
    fn a_frame_is_the_call_over_http_without_what_is_the_sockets() {
        let asked = create(&json!({"type": "response.create", "stream_id": "a", "generate": true, "stream": false,
            "background": false, "model": "m", "input": "hello", "store": false, "unknown": [1.50]}));
        let body = json!({"model": "m", "input": "hello", "store": false, "unknown": [1.50], "stream": true});
        assert_eq!(value(&asked.body(None)), body);
        assert_eq!((asked.lane(), asked.previous(), asked.generates()), (Some("a"), None, true));
        let raw = Create::read(r#"{"type":"response.create","model":"m","input":[],"n":1.500,"s":"\u0041"}"#.into());
        let body = raw.unwrap().body(None);
        assert_eq!(body, br#"{"model":"m","input":[],"n":1.500,"s":"\u0041","stream":true}"#);
    }

    #[test]
    fn what_is_no_create_is_refused_with_its_place_and_its_lane() {
        for (frame, pointer) in [
            (json!({"type": "session.update", "stream_id": "a"}), "/type"),
            (json!({"type": "response.create", "stream_id": "a", "background": true}), "/background"),
            (json!({"type": "response.create", "stream_id": "a", "input": 7}), "/input"),
            (json!({"type": "response.create", "stream_id": "a", "generate": "no"}), "/generate"),
            (json!({"type": "response.create", "stream_id": "a", "previous_response_id": 1}), "/previous_response_id"),
        ] {
            let refused = Create::read(frame.to_string().into()).unwrap_err();
            assert_eq!((&*refused.error.pointer, refused.lane.as_deref()), (pointer, Some("a")), "{frame}");
        }
        for broken in ["", "[]", "{", "{\"type\":\"response.create\",\"type\":\"x\"}", "\u{feff}{}", "null", "7"] {
            assert!(Create::read(broken.into()).is_err(), "{broken}");
        }
        let long = json!({"type": "response.create", "stream_id": "a".repeat(129)});
        assert_eq!(Create::read(long.to_string().into()).unwrap_err().error.pointer, "/stream_id");
    }

    #[test]
    fn an_answer_is_gone_on_from_with_the_whole_conversation() {
        let first = create(&json!({"type": "response.create", "model": "m", "input": "hello"}));
        let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
        let end = ended("response.completed", &json!({"id": "resp_1", "output": [call]})).unwrap();
        let mut memory = Memory::new(1_000);
        memory.keep(end.id, first.conversation(None, &end.output));
        let result = json!({"type": "function_call_output", "call_id": "c", "output": "x"});
        let next = create(&json!({"type": "response.create", "model": "m", "previous_response_id": "resp_1",
            "instructions": "new ones", "input": [result]}));
        let before = memory.find(next.previous().unwrap()).unwrap();
        let body = value(&next.body(Some(&before)));
        let hello = json!({"type": "message", "role": "user", "content": "hello"});
        let input = json!([hello, call, result]);
        assert_eq!(body, json!({"model": "m", "instructions": "new ones", "stream": true, "input": input}));
        // Nothing new, and nothing said, leave no hole between the commas.
        let silent = create(&json!({"type": "response.create", "model": "m", "input": [ ]}));
        assert_eq!(value(&silent.body(Some(&before)))["input"], json!([hello, call]));
        assert_eq!(silent.conversation(None, b""), b"");
        assert_eq!(memory.find("resp_2"), None);
    }

    #[test]
    fn a_memory_is_bounded_and_forgets_the_oldest_first() {
        let mut memory = Memory::new(100);
        memory.keep("big".into(), vec![b'x'; 200]);
        assert!(memory.find("big").is_none());
        for number in 0..5 {
            memory.keep(format!("r{number}"), vec![b'x'; 30]);
        }
        let found: Vec<bool> = (0..5).map(|number| memory.find(&format!("r{number}")).is_some()).collect();
        assert_eq!(found, [false, false, true, true, true]);
        assert!(memory.bytes <= 100);
        let mut many = Memory::new(1 << 20);
        (0..100).for_each(|number| many.keep(number.to_string(), vec![b'x']));
        assert_eq!(many.kept.len(), MOST_KEPT);
    }

    #[test]
    fn reasoning_returns_where_it_can_be_found_or_is_sealed() {
        let bare = json!({"type": "reasoning", "id": "rs_1", "summary": []});
        let sealed = json!({"type": "reasoning", "id": "rs_2", "encrypted_content": "e"});
        let output = json!([bare, sealed]);
        let items = |store: bool| {
            let end = ended("response.incomplete", &json!({"id": "r", "store": store, "output": output})).unwrap();
            value(&[b"[".as_slice(), &end.output, b"]"].concat())
        };
        assert_eq!(items(true), output);
        assert_eq!(items(false), json!([sealed]));
        assert_eq!(ended("response.failed", &json!({"id": "r", "output": []})), None);
        let text = r#"{"type":"response.output_text.delta","delta":"response.completed"}"#;
        assert_eq!(Ended::of(&Frame::build(None, text.as_bytes())), None);
    }

    #[test]
    fn events_name_their_lane_and_errors_are_those_of_the_dialect() {
        assert_eq!(on_lane(Bytes::from_static(b"{\"a\":1}"), Some("x\"y")), &b"{\"stream_id\":\"x\\\"y\",\"a\":1}"[..]);
        assert_eq!(on_lane(Bytes::from_static(b"{}"), Some("x")), &b"{\"stream_id\":\"x\"}"[..]);
        assert_eq!(on_lane(Bytes::from_static(b"{\"a\":1}"), None), &b"{\"a\":1}"[..]);
        for other in ["stream_id", "stream_iD", "\u{17f}tream_id", "\\u0073tream_id"] {
            let event = format!("{{\"a\":1,\"{other}\":\"y\",\"b\":[1.0]}}");
            let on_its_lane = on_lane(event.into(), Some("x"));
            assert_eq!(on_its_lane, &b"{\"stream_id\":\"x\",\"a\":1,\"b\":[1.0]}"[..], "{other}");
        }
        let body = json!({"error": {"message": "no", "param": "/previous_response_id", "code": "invalid_request"}});
        let event = value(&error_event(400, body.to_string().as_bytes(), &[("retry-after", "1")]));
        assert_eq!(event["error"]["code"], "previous_response_not_found");
        assert_eq!((&event["status"], &event["headers"]["retry-after"]), (&json!(400), &json!("1")));
        for odd in [&b"<html>"[..], b"{}", b"{\"error\":\"text\"}"] {
            assert_eq!(value(&error_event(502, odd, &[]))["error"]["type"], "server_error");
        }
        let [created, completed] = remembered("resp_1", "m", 1);
        assert_eq!(value(&created)["type"], "response.created");
        assert_eq!(value(&completed)["response"]["status"], "completed");
        assert_eq!(value(&whole(br#"{"status":"incomplete"}"#))["type"], "response.incomplete");
    }
}
