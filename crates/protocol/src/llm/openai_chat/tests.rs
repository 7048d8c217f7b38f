//! The traps of Chat streams and answers, error shapes and lists.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    llm::{
        Answer, Dialect, ErrorKind, ErrorView, ModelEntry, StopReason, StreamReader, StreamTranslator,
        TranslateContext,
        tests::{
            CONTEXT,
            corpus::{CHAT_USAGE, chat_stream, delta, finish, usage_chunk},
            fold::{data, fold, frames},
        },
        translate_answer,
    },
    sse::Frame,
};

fn to_anthropic(chunks: &[&str]) -> Vec<Frame> {
    let mut translator = StreamTranslator::new(Dialect::OpenAiChat, Dialect::Anthropic, &CONTEXT);
    let mut out: Vec<Frame> =
        frames(chat_stream(chunks)).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    out.extend(translator.finish().unwrap());
    out
}

fn types(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|frame| frame.event_name().to_owned()).collect()
}

#[test]
fn trap_1_text_and_tool_in_one_chunk_become_two_blocks() {
    let one =
        delta(r#"{"content":"look","tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}"#);
    let out = to_anthropic(&[&one, &finish("tool_calls")]);
    assert_eq!(
        types(&out),
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
}

#[test]
fn trap_2_interleaved_calls_wait_for_the_open_block() {
    let call = |index: u32, rest: &str| delta(&format!(r#"{{"tool_calls":[{{"index":{index},{rest}}}]}}"#));
    let chunks = [
        call(0, r#""id":"a","function":{"name":"one","arguments":"{"}"#),
        call(1, r#""id":"b","function":{"name":"two","arguments":"{\"x\":"}"#),
        call(2, r#""id":"c","function":{"name":"three","arguments":""}"#),
        call(0, r#""function":{"arguments":"}"}"#),
        call(1, r#""function":{"arguments":"1}"}"#),
        delta(r#"{"content":"late words"}"#),
        finish("tool_calls"),
    ];
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    // The fold itself fails where blocks interleave.
    let folded = fold(Dialect::Anthropic, &to_anthropic(&chunks));
    assert_eq!(
        folded["content"],
        json!([
        {"type": "tool_use", "id": "a", "name": "one", "input": {}},
        {"type": "tool_use", "id": "b", "name": "two", "input": {"x": 1}},
        {"type": "tool_use", "id": "c", "name": "three", "input": {}},
        {"type": "text", "text": "late words"}])
    );
}

#[test]
fn trap_13_usage_after_finish_is_waited_for_until_the_end() {
    let chunks = [delta(r#"{"content":"a"}"#), finish("stop"), usage_chunk()];
    let text = chat_stream(&[&chunks[0], &chunks[1], &chunks[2]]);
    let mut translator = StreamTranslator::new(Dialect::OpenAiChat, Dialect::Anthropic, &CONTEXT);
    let input = frames(&text);
    let mut before = Vec::new();
    for frame in &input[..3] {
        before.extend(translator.push(frame).unwrap());
    }
    assert!(!types(&before).contains(&"message_delta".to_owned()));
    // The body ends without the marker: the model had stopped, so nothing is lost.
    let end = translator.finish().unwrap();
    assert_eq!(types(&end), ["message_delta", "message_stop"]);
    assert_eq!(data(&end[0])["usage"]["output_tokens"], 9);
}

#[test]
fn trap_14_cached_tokens_are_taken_out_of_the_prompt() {
    let body =
        format!(r#"{{"choices":[{{"message":{{"content":"a"}},"finish_reason":"stop"}}],"usage":{CHAT_USAGE}}}"#);
    let answer = Answer::read(Dialect::OpenAiChat, Bytes::from(body)).unwrap();
    let usage = answer.usage().unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output, usage.reasoning), (12, 8, 9, 4));
    let (body, _) = translate_answer(&answer, Dialect::Anthropic, &CONTEXT).unwrap();
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&value["usage"]["input_tokens"], &value["usage"]["cache_read_input_tokens"]), (&json!(12), &json!(8)));
}

#[test]
fn hostile_usage_never_underflows() {
    let body = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":18446744073709551615,"cache_write_tokens":9},"completion_tokens_details":{"reasoning_tokens":77}}}"#;
    let usage = Answer::read(Dialect::OpenAiChat, Bytes::from(body)).unwrap().usage().unwrap();
    assert_eq!((usage.prompt_total(), usage.input, usage.reasoning), (1, 0, 2));
}

#[test]
fn trap_17_end_before_finish_reason_is_no_success() {
    let text = format!("data: {{{}}}\n\ndata: [DONE]\n\n", delta(r#"{"content":"a"}"#));
    let mut translator = StreamTranslator::new(Dialect::OpenAiChat, Dialect::Anthropic, &CONTEXT);
    let input = frames(&text);
    translator.push(&input[0]).unwrap();
    assert!(translator.push(&input[1]).is_err());
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    reader.read(&input[0]).unwrap();
    assert!(reader.read(&input[1]).is_err());
    assert!(!reader.finished());
}

#[test]
fn trap_18_error_inside_a_good_stream_is_an_error_event() {
    for (error, kind) in [
        (r#"{"error":{"message":"slow down","type":"rate_limit_error","code":null}}"#, ErrorKind::RateLimit),
        (r#"{"error":{"message":"slow down","code":503}}"#, ErrorKind::Overloaded),
        (r#"{"error":"slow down"}"#, ErrorKind::Api),
    ] {
        let text = format!("data: {{{}}}\n\ndata: {error}\n\ndata: [DONE]\n\n", delta(r#"{"content":"a"}"#));
        let mut translator = StreamTranslator::new(Dialect::OpenAiChat, Dialect::Anthropic, &CONTEXT);
        let mut reader = StreamReader::new(Dialect::OpenAiChat);
        let mut out = Vec::new();
        let mut seen = None;
        for frame in &frames(&text) {
            out.extend(translator.push(frame).unwrap());
            let facts = reader.read(frame).unwrap();
            assert!(!facts.terminator);
            seen = facts.error.or(seen);
        }
        out.extend(translator.finish().unwrap());
        assert_eq!(seen.map(|error| (error.kind, error.message)), Some((kind, "slow down".to_owned())));
        assert_eq!(types(&out).last().map(String::as_str), Some("error"));
        assert!(!types(&out).contains(&"message_stop".to_owned()));
    }
}

#[test]
fn trap_19_call_cut_by_the_limit_is_marked_and_not_repaired() {
    let chunk = delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":\"unf"}}]}"#);
    let folded = fold(Dialect::Anthropic, &to_anthropic(&[&chunk, &finish("length")]));
    assert_eq!(folded["stop_reason"], "max_tokens");
    assert_eq!(folded["content"][0]["incomplete"], true);
    assert_eq!(folded["content"][0]["partial_json"], "{\"x\":\"unf");
}

#[test]
fn stop_with_tool_calls_is_tool_use() {
    let chunk = delta(r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}"#);
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    let stop =
        frames(chat_stream(&[&chunk, &finish("stop")])).iter().find_map(|frame| reader.read(frame).unwrap().stop);
    assert_eq!(stop, Some(StopReason::ToolUse));
    let folded = fold(Dialect::Anthropic, &to_anthropic(&[&chunk, &finish("stop")]));
    assert_eq!(folded["stop_reason"], "tool_use");
}

#[test]
fn calls_that_share_an_index_or_lack_an_id_stay_apart() {
    let one = delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#);
    let two = delta(r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]}"#);
    let three = delta(r#"{"tool_calls":[{"index":7,"function":{"name":"h","arguments":"{}"}}]}"#);
    let folded = fold(Dialect::Anthropic, &to_anthropic(&[&one, &two, &three, &finish("tool_calls")]));
    let ids: Vec<_> = folded["content"].as_array().unwrap().iter().map(|block| block["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "call_0_2"]);
}

#[test]
fn role_chunk_and_pings_are_not_semantic() {
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    let chunks = [delta(r#"{"role":"assistant","content":""}"#), delta(r#"{"content":"a"}"#)];
    let input = frames(format!(": ping\n\n{}", chat_stream(&[&chunks[0], &chunks[1]])));
    let semantic: Vec<bool> = input[..3].iter().map(|frame| reader.read(frame).unwrap().semantic).collect();
    assert_eq!(semantic, [false, false, true]);
    assert!(reader.usage().is_none() && reader.generated_tokens() == 1);
}

#[test]
fn usage_is_shown_only_to_clients_that_asked() {
    let context = TranslateContext { client_wants_usage: false, ..CONTEXT };
    let case = crate::llm::tests::corpus::all().into_iter().find(|case| case.dialect == Dialect::Anthropic).unwrap();
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAiChat, &context);
    let out: Vec<Frame> = frames(&case.stream).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    assert!(out.iter().all(|frame| data(frame).get("usage").is_none()));
}

#[test]
fn errors_have_the_shape_of_the_surface() {
    let view = ErrorView {
        status: 403,
        kind: ErrorKind::Permission,
        message: "no \"way\"",
        code: "policy_denied",
        param: Some("/model"),
        call_id: "call_0",
    };
    let expected = json!({"error": {"message": "no \"way\"", "type": "permission_error", "param": "/model", "code": "policy_denied", "call_id": "call_0"}});
    let body = Dialect::OpenAiChat.error_body(&view);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    let event = Dialect::OpenAiChat.error_event(&view);
    assert_eq!((event.event.as_deref(), data(&event)), (None, expected));
    let read = Dialect::OpenAiChat.read_error(403, &body);
    assert_eq!(
        (read.kind, &*read.message, read.code.as_deref()),
        (ErrorKind::Permission, "no \"way\"", Some("policy_denied"))
    );
    let html = Dialect::OpenAiChat.read_error(502, b"<html>bad gateway</html>");
    assert_eq!((html.kind, &*html.message), (ErrorKind::Api, "<html>bad gateway</html>"));
}

#[test]
fn models_are_listed_in_shape() {
    let model = ModelEntry { id: "openai/gpt".to_owned(), owned_by: "openai".to_owned(), created: 5 };
    let one = json!({"id": "openai/gpt", "object": "model", "created": 5, "owned_by": "openai"});
    let list: Value = serde_json::from_slice(&Dialect::OpenAiChat.models_list(std::slice::from_ref(&model))).unwrap();
    assert_eq!(list, json!({"object": "list", "data": [one]}));
    assert_eq!(serde_json::from_slice::<Value>(&Dialect::OpenAiChat.model(&model)).unwrap(), one);
}
