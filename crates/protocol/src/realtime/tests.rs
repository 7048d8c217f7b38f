//! What is read of both sides' events, and what a session comes to.

use bytes::Bytes;
use serde_json::json;
use tidegate_core::segment::Origin;

use super::*;
use crate::native::{NativeCall, Task};

fn client(event: &serde_json::Value) -> ClientEvent {
    ClientEvent::read(event.to_string().into()).unwrap()
}

fn server(event: &serde_json::Value) -> ServerEvent {
    ServerEvent::read(event.to_string().into()).unwrap()
}

#[test]
fn what_is_on_no_list_is_refused() {
    for wrong in [
        "",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"transcription_session.update"}"#,
        r#"{"type":"Response.create"}"#,
        r#"{"type":"response.create","type":"response.create"}"#,
        r#"{"type":"session.update"}"#,
        r#"{"type":"session.update","session":{"type":"transcription"}}"#,
        r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{}}}}}"#,
        r#"{"type":"session.update","session":{"max_output_tokens":"much"}}"#,
        r#"{"type":"session.update","session":{"tools":[{}]}}"#,
        r#"{"type":"conversation.item.create"}"#,
        r#"{"type":"input_audio_buffer.append"}"#,
        r#"{"type":"input_audio_buffer.append","audio":7}"#,
    ] {
        assert!(ClientEvent::read(Bytes::copy_from_slice(wrong.as_bytes())).is_err(), "{wrong}");
    }
}

#[test]
fn every_text_of_an_event_is_shown_where_it_comes_from() {
    let event = client(&json!({"type": "session.update", "event_id": "e", "session": {
        "instructions": "be kind", "voice": "marin", "prompt": {"id": "p", "variables": {"who": "jo"}},
        "tools": [{"type": "function", "name": "t", "description": "does", "parameters": {"type": "object"}}]}}));
    let texts: Vec<(Origin, String)> =
        event.segments().iter().map(|segment| (segment.origin, segment.text.to_string())).collect();
    for expected in [(Origin::Prompt, "be kind"), (Origin::Prompt, "jo"), (Origin::ToolDescription, "does")] {
        assert!(texts.contains(&(expected.0, expected.1.to_owned())), "{expected:?} in {texts:?}");
    }
    let event = client(&json!({"type": "conversation.item.create", "item": {
        "type": "function_call_output", "call_id": "c", "output": "a result"}}));
    assert_eq!(event.segments()[0].origin, Origin::ToolResult);
    // Words are no sound, whatever they are called.
    let event = client(
        &json!({"type": "input_audio_buffer.append", "audio": "my card is 4111 1111 1111 1111, and its owner is called Jo Doe of Rome"}),
    );
    assert_eq!(event.segments().len(), 1);
    let event = client(&json!({"type": "input_audio_buffer.append", "audio": "A".repeat(64_000)}));
    assert!(event.segments().is_empty() && event.is_unread());
}

#[test]
fn a_text_is_replaced_and_nothing_else() {
    let mut event = client(&json!({"type": "conversation.item.create", "item": {
        "type": "message", "role": "user", "content": [{"type": "input_text", "text": "secret"}]}}));
    let path = event.segments()[0].path;
    assert_eq!(event.pointer(path), "/item/content/0/text");
    assert!(event.replace_segment(path, "gone"));
    let body = String::from_utf8(event.body().to_vec()).unwrap();
    assert!(body.contains("gone") && !body.contains("secret"), "{body}");
}

#[test]
fn a_session_is_reserved_by_what_it_has_come_to() {
    let mut context = Context::default();
    assert!(context.is_automatic(), "a session that nobody set up listens and answers");
    let ask = client(&json!({"type": "response.create"}));
    let empty = context.turning("m".into(), &ask).input_tokens;
    context.sent(&client(&json!({"type": "session.update", "session": {
        "audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": false}}},
        "max_output_tokens": 7, "tools": [{"type": "function", "name": "t"}]}})));
    assert!(!context.is_automatic());
    context.sent(&client(&json!({"type": "input_audio_buffer.append", "audio": "A".repeat(640_000)})));
    let turning = context.turning("m".into(), &ask);
    assert!(turning.input_tokens > empty + 600, "{} {empty}", turning.input_tokens);
    assert_eq!((turning.max_output, turning.tools.len()), (Some(7), 1));
    let own = client(&json!({"type": "response.create", "response": {"max_output_tokens": "inf", "tools": []}}));
    let turning = context.turning("m".into(), &own);
    assert_eq!((turning.max_output, turning.tools.len()), (None, 0));
    context.sent(&client(&json!({"type": "session.update", "session": {"turn_detection": null}})));
    assert!(!context.is_automatic());
    context.sent(&client(&json!({"type": "session.update", "session": {"turn_detection": {"type": "semantic_vad"}}})));
    assert!(context.is_automatic());
}

#[test]
fn a_turn_says_its_name_and_its_model_is_part_of_its_digest() {
    let turning = |model: &str| Context::default().turning(model.into(), &client(&json!({"type": "response.create"})));
    let event = || client(&json!({"type": "response.create"}));
    let call = NativeCall::turn(Task::Turn, event(), turning("a"));
    assert_eq!(&call.event("call-1")[..], br#"{"event_id":"call-1","type":"response.create"}"#);
    let named =
        NativeCall::turn(Task::Turn, client(&json!({"event_id": "mine", "type": "response.create"})), turning("a"));
    assert_eq!(&named.event("call-1")[..], br#"{"event_id":"mine","type":"response.create"}"#);
    assert_ne!(call.digest(), NativeCall::turn(Task::Turn, event(), turning("b")).digest());
    assert_eq!(call.facts().model.unwrap().as_str(), "a");
    assert_eq!(call.action(), tidegate_core::facts::Action::InvokeModel);
}

#[test]
fn a_servers_words_are_shown_on_the_channel_of_their_text() {
    let place = json!({"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0});
    let with = |kind: &str, delta: &str| {
        let mut event = place.clone();
        event["type"] = kind.into();
        event["delta"] = delta.into();
        server(&event)
    };
    let text = with("response.output_text.delta", "hel");
    assert_eq!((text.kind, text.response.as_deref()), (ServerKind::Piece, Some("r")));
    assert_eq!(text.segments()[0].text, "hel");
    assert_eq!(text.channel(), with("response.output_text.delta", "lo").channel());
    let spoken = with("response.output_audio_transcript.delta", "hel");
    assert!(spoken.is_spoken() && spoken.channel() != text.channel());
    let sound = with("response.output_audio.delta", &"A".repeat(900));
    assert!(sound.kind == ServerKind::Sound && sound.segments().is_empty());
    let unknown = with("response.something_new.delta", "words");
    assert_eq!(unknown.segments().len(), 1, "a new kind of event is no way around guards");
    let item = server(&json!({"type": "response.output_item.done", "response_id": "r", "output_index": 1, "item": {
        "id": "i", "type": "function_call", "name": "f", "call_id": "c", "arguments": "{\"a\":1}"}}));
    assert_eq!((item.tools.as_slice(), item.is_end()), (["f".to_owned()].as_slice(), true));
    assert_eq!(item.segments()[0].text, "{\"a\":1}");
    let added = server(&json!({"type": "conversation.item.done", "item": {"id": "i", "type": "message",
        "content": [{"type": "output_audio", "transcript": "words"}]}}));
    assert!(added.response.is_none() && added.segments().len() == 1);
}

#[test]
fn the_end_of_a_turn_says_what_it_used() {
    let done = server(&json!({"type": "response.done", "response": {"id": "r", "status": "completed", "output": [],
        "usage": {"input_tokens": 100, "output_tokens": 20, "input_token_details": {"cached_tokens": 40,
            "text_tokens": 30, "audio_tokens": 60, "image_tokens": 10,
            "cached_tokens_details": {"text_tokens": 15, "audio_tokens": 25, "image_tokens": 0}},
            "output_token_details": {"text_tokens": 5, "audio_tokens": 15}}}}));
    let usage = done.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output), (60, 40, 20));
    assert_eq!((usage.audio_input, usage.audio_cache_read, usage.image_input, usage.audio_output), (35, 25, 10, 15));
    assert_eq!((done.kind, done.ended), (ServerKind::Done, Some(Ended::Complete)));
    let failed = server(&json!({"type": "response.done", "response": {"id": "r", "status": "failed",
        "status_details": {"error": {"message": "why"}}}}));
    assert_eq!((failed.ended, failed.message.as_deref()), (Some(Ended::Failed), Some("why")));
    let mut error = server(&json!({"type": "error", "error": {"message": "sk-1", "event_id": "mine"}}));
    assert_eq!((error.kind, error.about.as_deref()), (ServerKind::Error, Some("mine")));
    assert!(error.replace_message("[removed]"));
    assert!(!String::from_utf8(error.body().to_vec()).unwrap().contains("sk-1"));
}
