//! The traps of Messages streams and answers, signatures, error shapes and lists.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    llm::{
        Answer, Dialect, ErrorKind, ErrorView, Lane, ModelCall, ModelEntry, Operation, StreamReader, StreamTranslator,
        TargetWire, TranslateContext,
        tests::{
            CONTEXT,
            corpus::{MESSAGE_START, all, messages_stream},
            fold::{data, fold, frames},
            wire,
        },
        translate_answer,
    },
    sse::Frame,
};

const STOP: &str = r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#;
const END: &str = r#"{"type":"message_stop"}"#;

fn to_chat(events: &[&str], context: &TranslateContext<'_>) -> Vec<Frame> {
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAiChat, context);
    let mut out: Vec<Frame> =
        frames(messages_stream(events)).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    out.extend(translator.finish().unwrap());
    out
}

fn chat_call(message: &Value) -> ModelCall {
    let mut message = message.clone();
    message.as_object_mut().unwrap().remove("refusal");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}, message, {"role": "user", "content": "b"}]});
    ModelCall::read(Dialect::OpenAiChat, Operation::Generate, Bytes::from(body.to_string())).unwrap()
}

fn case(name: &str) -> crate::llm::tests::corpus::Case {
    all().into_iter().find(|case| case.dialect == Dialect::Anthropic && case.name == name).unwrap()
}

#[test]
fn trap_3_call_without_arguments_is_an_empty_object() {
    let case = case("call without arguments");
    let events: Vec<Frame> = frames(&case.stream);
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAiChat, &CONTEXT);
    let out: Vec<Frame> = events.iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    let folded = fold(Dialect::OpenAiChat, &out);
    let calls = folded["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.iter().map(|call| &call["function"]["arguments"]).collect::<Vec<_>>(), ["{}", "{}"]);
}

#[test]
fn trap_4_empty_fragment_is_no_text_and_no_fragment() {
    let events = [
        MESSAGE_START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    ];
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAiChat, &CONTEXT);
    let mut reader = StreamReader::new(Dialect::Anthropic);
    let input = frames(messages_stream(&events));
    let counts: Vec<usize> = input.iter().map(|frame| translator.push(frame).unwrap().len()).collect();
    assert_eq!(counts, [1, 1, 0]);
    assert!(input.iter().all(|frame| reader.read(frame).unwrap().pieces.is_empty()));
}

#[test]
fn trap_10_signatures_are_byte_identical_across_a_surface_round_trip() {
    let case = case("thinking, then text");
    let scoped = TranslateContext { reasoning_scope: Some("anthropic/claude"), ..CONTEXT };
    for context in [CONTEXT, scoped] {
        let answer = Answer::read(Dialect::Anthropic, Bytes::from(case.unary.clone())).unwrap();
        let (body, _) = translate_answer(&answer, Dialect::OpenAiChat, &context).unwrap();
        let unary: Value = serde_json::from_slice(&body).unwrap();
        let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAiChat, &context);
        let out: Vec<Frame> = frames(&case.stream).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
        let streamed = fold(Dialect::OpenAiChat, &out);
        for value in [unary, streamed] {
            let call = chat_call(&value["choices"][0]["message"]);
            let to = TargetWire { reasoning_scope: context.reasoning_scope, ..wire(Dialect::Anthropic, "claude") };
            let sent = call.prepare(&to).unwrap();
            let body: Value = serde_json::from_slice(&sent.body).unwrap();
            let original: Value = serde_json::from_str(&case.unary).unwrap();
            assert_eq!(body["messages"][1]["content"], original["content"]);
            assert!(sent.losses.is_empty(), "{:?}", sent.losses);
        }
    }
}

#[test]
fn trap_11_foreign_reasoning_is_dropped_and_noted() {
    let block = |scope: &str| json!({"role": "assistant", "content": "x", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s", "tidegate_scope": scope}]});
    let to = TargetWire { reasoning_scope: Some("mine"), ..wire(Dialect::Anthropic, "claude") };
    for (scope, kept) in [("mine", true), ("other", false)] {
        let sent = chat_call(&block(scope)).prepare(&to).unwrap();
        assert_eq!(String::from_utf8_lossy(&sent.body).contains("\"signature\""), kept);
        assert_eq!(sent.losses.is_empty(), kept);
    }
    // The same conversation goes to a server of the caller's own dialect without it.
    let sent = chat_call(&block("mine")).prepare(&wire(Dialect::OpenAiChat, "gpt")).unwrap();
    assert!(!String::from_utf8_lossy(&sent.body).contains("thinking_blocks"));
    assert_eq!((sent.lane, sent.losses.len()), (Lane::Patched, 1));
}

#[test]
fn unsigned_thinking_of_another_vendor_is_dropped_on_the_way_back() {
    let body = r#"{"model":"claude","max_tokens":5,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},{"type":"text","text":"é \u00e9","x":1.0}]},{"role":"user","content":"b"},{"role":"assistant","content":[{"type":"thinking","thinking":"alone","signature":""}]},{"role":"user","content":[{"type":"text","text":"c"}]}]}"#;
    let call = ModelCall::read(Dialect::Anthropic, Operation::Generate, Bytes::from(body)).unwrap();
    let sent = call.prepare(&wire(Dialect::Anthropic, "claude")).unwrap();
    let expected = body
        .replace(r#"{"type":"thinking","thinking":"t","signature":""},"#, "")
        .replace(r#"{"role":"assistant","content":[{"type":"thinking","thinking":"alone","signature":""}]},"#, "");
    assert_eq!(sent.body, expected);
    assert_eq!((sent.lane, sent.losses.len()), (Lane::Patched, 2));
}

#[test]
fn trap_12_redacted_thinking_is_never_text() {
    let case = case("redacted thinking, then a call");
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(case.unary.clone())).unwrap();
    assert!(answer.segments().iter().all(|segment| !segment.text.contains("b3Bh")));
    let (body, _) = translate_answer(&answer, Dialect::OpenAiChat, &CONTEXT).unwrap();
    let value: Value = serde_json::from_slice(&body).unwrap();
    let message = &value["choices"][0]["message"];
    assert!(message["content"].is_null() && message.get("reasoning_content").is_none());
    assert_eq!(message["thinking_blocks"], json!([{"type": "redacted_thinking", "data": "b3BhcXVl+/=="}]));
    let mut reader = StreamReader::new(Dialect::Anthropic);
    for frame in &frames(&case.stream) {
        assert!(reader.read(frame).unwrap().pieces.iter().all(|piece| !piece.text.contains("b3Bh")));
    }
    assert_eq!(answer.proposed_calls()[0].arguments, r#"{"a": [1,2]}"#);
}

#[test]
fn trap_14_cache_tokens_are_added_to_the_prompt() {
    let body = r#"{"id":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_read_input_tokens":3,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":5},"output_tokens":4}}"#;
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(body)).unwrap();
    let usage = answer.usage().unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h), (10, 3, 2, 5));
    let (body, _) = translate_answer(&answer, Dialect::OpenAiChat, &CONTEXT).unwrap();
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["usage"]["prompt_tokens"], 20);
    assert_eq!(value["usage"]["prompt_tokens_details"], json!({"cached_tokens": 3, "cache_write_tokens": 7}));
}

#[test]
fn cumulative_usage_replaces_and_never_adds() {
    let events = [
        MESSAGE_START,
        r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":8,"input_tokens":13}}"#,
        END,
    ];
    let mut reader = StreamReader::new(Dialect::Anthropic);
    for frame in &frames(messages_stream(&events)) {
        reader.read(frame).unwrap();
    }
    let usage = reader.usage().unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.cache_write_5m, usage.output), (13, 3, 5, 8));
}

#[test]
fn cut_stream_is_not_billed_at_the_first_event_s_count() {
    let text = "word ".repeat(40);
    let events = [
        MESSAGE_START.to_owned(),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#.to_owned(),
        format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#),
    ];
    let mut reader = StreamReader::new(Dialect::Anthropic);
    for frame in &frames(messages_stream(&[&events[0], &events[1], &events[2]])) {
        reader.read(frame).unwrap();
    }
    let usage = reader.usage().unwrap();
    assert_eq!(usage.input, 12);
    assert!(usage.output >= 40, "{usage:?}");
    assert_eq!(usage.source, tidegate_core::usage::UsageSource::Estimated);
}

#[test]
fn trap_18_error_event_inside_a_good_stream() {
    let events = [MESSAGE_START, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, END];
    let out = to_chat(&events, &CONTEXT);
    let last = data(out.last().unwrap());
    assert_eq!(last["error"]["message"], "Overloaded");
    assert_eq!(last["error"]["type"], "overloaded_error");
    assert!(out.iter().all(|frame| frame.data.as_deref() != Some(b"[DONE]")));
    let mut reader = StreamReader::new(Dialect::Anthropic);
    let facts: Vec<_> = frames(messages_stream(&events))
        .iter()
        .map(|frame| {
            let facts = reader.read(frame).unwrap();
            (facts.terminator, facts.error.map(|error| error.kind.status()))
        })
        .collect();
    assert_eq!(facts, [(false, None), (false, Some(529)), (false, None)]);
}

#[test]
fn trap_20_pause_has_a_chat_value_and_keeps_its_name() {
    let case = case("paused");
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(case.unary)).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::OpenAiChat, &CONTEXT).unwrap();
    let value: Value = serde_json::from_slice(&body).unwrap();
    let choice = &value["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["native_finish_reason"]), (&json!("stop"), &json!("pause_turn")));
}

#[test]
fn message_stop_without_a_stop_reason_is_no_success() {
    let input = frames(messages_stream(&[MESSAGE_START, END]));
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAiChat, &CONTEXT);
    translator.push(&input[0]).unwrap();
    assert!(translator.push(&input[1]).is_err());
    let mut reader = StreamReader::new(Dialect::Anthropic);
    reader.read(&input[0]).unwrap();
    assert!(reader.read(&input[1]).is_err());
}

#[test]
fn blocks_that_only_the_vendor_knows_are_left_out_of_the_translation_and_seen_by_guards() {
    let events = [
        MESSAGE_START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"web_search_tool_result","tool_use_id":"srv","content":[{"type":"web_search_result","title":"found words","url":"https://x","encrypted_content":"zzz"}]}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        STOP,
        END,
    ];
    let folded = fold(Dialect::OpenAiChat, &to_chat(&events, &CONTEXT));
    assert!(folded["choices"][0]["message"]["content"].is_null());
    let mut reader = StreamReader::new(Dialect::Anthropic);
    let input = frames(messages_stream(&events));
    reader.read(&input[0]).unwrap();
    let facts = reader.read(&input[1]).unwrap();
    assert!(facts.semantic);
    assert_eq!(facts.pieces.iter().map(|piece| &*piece.text).collect::<Vec<_>>(), ["found words", "https://x"]);
}

#[test]
fn pings_and_starts_are_not_semantic() {
    let mut reader = StreamReader::new(Dialect::Anthropic);
    let events = [
        MESSAGE_START,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
    ];
    let semantic: Vec<bool> =
        frames(messages_stream(&events)).iter().map(|frame| reader.read(frame).unwrap().semantic).collect();
    assert_eq!(semantic, [false, false, false, true]);
}

#[test]
fn count_of_tokens_is_read_and_passed_on() {
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(r#"{"input_tokens": 42}"#)).unwrap();
    assert_eq!((answer.counted_tokens(), answer.body()), (Some(42), Bytes::from(r#"{"input_tokens": 42}"#)));
}

#[test]
fn errors_have_the_shape_of_the_surface() {
    let view = ErrorView {
        status: 429,
        kind: ErrorKind::RateLimit,
        message: "wait",
        code: "rate_limited",
        param: None,
        call_id: "call_0",
    };
    let expected = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "wait", "code": "rate_limited"}, "request_id": "call_0"});
    let body = Dialect::Anthropic.error_body(&view);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    let event = Dialect::Anthropic.error_event(&view);
    assert_eq!((event.event_name(), data(&event)), ("error", expected));
    let read = Dialect::Anthropic
        .read_error(529, br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#);
    assert_eq!(
        (read.kind, read.type_name.as_deref(), &*read.message),
        (ErrorKind::Overloaded, Some("overloaded_error"), "Overloaded")
    );
}

#[test]
fn models_are_listed_in_shape() {
    let model = |id: &str, created| ModelEntry { id: id.to_owned(), owned_by: "x".to_owned(), created };
    let list = Dialect::Anthropic.models_list(&[model("claude-a", 951_782_400), model("claude-b", 0)]);
    let value: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(
        value,
        json!({"data": [
        {"type": "model", "id": "claude-a", "display_name": "claude-a", "created_at": "2000-02-29T00:00:00Z"},
        {"type": "model", "id": "claude-b", "display_name": "claude-b", "created_at": "1970-01-01T00:00:00Z"}],
        "has_more": false, "first_id": "claude-a", "last_id": "claude-b"})
    );
    let empty: Value = serde_json::from_slice(&Dialect::Anthropic.models_list(&[])).unwrap();
    assert!(empty["first_id"].is_null());
}
