//! The targets of what comes over sockets and in forms: events of clients and servers, frames that ask for answers.
//!
//! Each says in its first lines which promise it holds the code to; `assert!` is how it says no.

use bytes::Bytes;
use http::{HeaderValue, Method};
use tidegate_protocol::{
    json::{Limits, scan},
    llm::{
        Dialect,
        socket::{Create, Ended, Memory, error_event, on_lane},
    },
    native::{NativeCall, NativePath, NativeRequest, ResultLine, ResultLines},
    realtime::{ClientEvent, Context, ServerEvent},
    sse::Frame,
};

fn is_json(bytes: &[u8]) -> bool {
    scan(bytes, &Limits::default()).is_ok()
}

/// What a guard takes out of a client's event is not in what is relayed, which is an event of the same type.
pub fn live_client(bytes: &[u8]) {
    let Ok(mut event) = ClientEvent::read(Bytes::copy_from_slice(bytes)) else { return };
    let paths: Vec<_> = event.segments().iter().map(|segment| segment.path).take(16).collect();
    for path in &paths {
        assert!(event.replace_segment(*path, "[redacted]"));
    }
    let mut replaced = event.segments().into_iter().filter(|segment| paths.contains(&segment.path));
    assert!(replaced.all(|segment| segment.text.starts_with("[redacted]")));
    event.name_models("m", Some("t"));
    let mut context = Context::default();
    context.sent(&event);
    let _ = context.turning("m".into(), &event);
}

/// The same of a server's event, whose texts are looked at whatever its type is.
pub fn live_server(bytes: &[u8]) {
    let Ok(mut event) = ServerEvent::read(Bytes::copy_from_slice(bytes)) else { return };
    assert!(ServerEvent::channels().contains(&event.channel()));
    let paths: Vec<_> = event.segments().iter().map(|segment| segment.path).take(16).collect();
    for path in &paths {
        assert!(event.replace_segment(*path, "[redacted]"));
    }
    let body = event.body();
    assert!(is_json(&body));
    assert!(paths.is_empty() || String::from_utf8_lossy(&body).contains("[redacted]"));
}

/// A file of results is the same lines however it is cut; the first byte says where, and how long a line may be.
pub fn batch_results(bytes: &[u8]) {
    let Some((cut, file)) = bytes.split_first() else { return };
    let longest = if cut.is_multiple_of(2) { 1 << 20 } else { usize::from(*cut) };
    let read = |size: usize| {
        let (mut reader, mut found) = (ResultLines::new(longest), Vec::<ResultLine>::new());
        for piece in file.chunks(size.max(1)) {
            reader.push(piece, &mut |line| found.push(line));
        }
        reader.finish(&mut |line| found.push(line));
        found
    };
    let whole = read(file.len());
    assert!(whole.len() <= file.iter().filter(|byte| **byte == b'\n').count().saturating_add(1));
    assert_eq!(read(usize::from(cut % 61)), whole);
    assert_eq!(read(1), whole);
}

/// What guards see of a form is what is sent, and another reading of it finds the same.
pub fn form(bytes: &[u8]) {
    let Ok(path) = NativePath::parse("/audio/transcriptions") else { return };
    let request = |body: Bytes| NativeRequest {
        method: Method::POST,
        path: path.clone(),
        query: None,
        content_type: Some(HeaderValue::from_static("multipart/form-data; boundary=b")),
        body,
    };
    let Ok(mut call) = NativeCall::read(Dialect::OpenAiChat, request(Bytes::copy_from_slice(bytes))) else { return };
    let model = call.model().map(std::borrow::Cow::into_owned);
    let paths: Vec<_> = call.segments().iter().map(|segment| segment.path).take(16).collect();
    for path in &paths {
        assert!(call.replace_segment(*path, "[redacted]"));
    }
    let again = NativeCall::read(Dialect::OpenAiChat, request(call.body()));
    assert!(again.is_ok(), "{again:?}");
    let Ok(again) = again else { return };
    assert_eq!(again.model().map(std::borrow::Cow::into_owned), model);
    let texts = |call: &NativeCall| call.segments().iter().map(|it| it.text.to_string()).collect::<Vec<_>>();
    assert_eq!(texts(&again), texts(&call));
}

/// A frame's call is a JSON object with or without what came before, and goes on from itself.
pub fn response_create(bytes: &[u8]) {
    let event = Bytes::copy_from_slice(bytes);
    let _ = Ended::of(&Frame::build(Some("response.completed"), bytes));
    assert!(is_json(&error_event(400, bytes, &[("retry-after", "1")])));
    let Ok(create) = Create::read(event.clone()) else { return };
    let answered = Bytes::from(create.body(None));
    assert!(is_json(&on_lane(answered, create.lane().or(Some("lane")))));
    assert!(is_json(&on_lane(event, Some("lane"))));
    assert!(is_json(&create.body(None)));
    let conversation = create.conversation(Some(br#"{"type":"message"}"#), br#"{"type":"reasoning"}"#);
    assert!(is_json(&[b"[".as_slice(), &conversation, b"]"].concat()));
    let mut memory = Memory::new(1 << 20);
    memory.keep("id".to_owned(), conversation);
    if let Some(before) = memory.find("id") {
        assert!(is_json(&create.body(Some(&before))));
    }
}
