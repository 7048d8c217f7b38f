//! The traps that Bedrock sets, its requests both ways, and the older envelope.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    eventstream,
    llm::{
        Answer, Dialect, ErrorKind, Framing, Lane, ModelCall, Named, Operation, Params, PrepareError, StopReason,
        StreamError, StreamReader, StreamTranslator, TargetWire, TranslateContext, rewrite_piece,
        tests::{
            CONTEXT,
            corpus::{converse_stream, delta},
            fold::{chunked_of, data, fold, frames, frames_of},
            wire,
        },
        translate_answer,
    },
    sse::Frame,
};

const START: (&str, &str) = ("messageStart", r#"{"role":"assistant"}"#);
const STOP: (&str, &str) = ("messageStop", r#"{"stopReason":"end_turn"}"#);
const METADATA: (&str, &str) =
    ("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":1}}"#);

fn text(text: &str) -> String {
    format!(r#"{{"delta":{{"text":"{text}"}},"contentBlockIndex":0}}"#)
}

fn events(events: &[(&str, &str)]) -> Vec<Frame> {
    frames_of(Dialect::Bedrock, converse_stream(events))
}

fn translated(from: Dialect, to: Dialect, input: &[Frame]) -> Vec<Frame> {
    let mut translator = StreamTranslator::new(from, to, &CONTEXT);
    let mut out: Vec<Frame> = input.iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    out.extend(translator.finish().unwrap());
    out
}

fn names(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(Frame::event_name).collect()
}

fn call(dialect: Dialect, stream: bool, body: &Value) -> ModelCall {
    let named = matches!(dialect, Dialect::Bedrock | Dialect::BedrockInvoke)
        .then(|| Named { model: "fast".to_owned(), stream });
    ModelCall::read_named(dialect, Operation::Generate, named, Bytes::from(body.to_string())).unwrap()
}

fn sent(from: Dialect, to: Dialect, body: &Value) -> (Value, Vec<String>) {
    let out = call(from, false, body).prepare(&wire(to, "up")).unwrap();
    let losses = out.losses.iter().map(|loss| format!("{} {}", loss.pointer, loss.what)).collect();
    (serde_json::from_slice(&out.body).unwrap(), losses)
}

#[test]
fn trap_5_text_without_a_start_opens_a_block_of_the_callers() {
    let delta = text("Hi");
    let input = events(&[
        START,
        ("contentBlockDelta", &delta),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        STOP,
        METADATA,
    ]);
    let out = translated(Dialect::Bedrock, Dialect::Anthropic, &input);
    let expected = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names(&out), expected);
    // And the other way no start is written for a text.
    let back = translated(Dialect::Anthropic, Dialect::Bedrock, &out);
    let expected = ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
    assert_eq!(names(&back), expected);
}

#[test]
fn trap_13_usage_after_the_stop_is_in_the_callers_last_event() {
    let input = events(&[START, STOP, METADATA]);
    let out = translated(Dialect::Bedrock, Dialect::Anthropic, &input);
    let last = out.iter().find(|frame| frame.event_name() == "message_delta").unwrap();
    assert_eq!(data(last)["usage"]["output_tokens"], 2);
    let chat = translated(Dialect::Bedrock, Dialect::OpenAiChat, &input);
    assert!(chat.iter().any(|frame| data(frame)["usage"]["completion_tokens"] == 2));
    let mut reader = StreamReader::new(Dialect::Bedrock);
    let facts: Vec<_> = input.iter().map(|frame| reader.read(frame).unwrap()).collect();
    assert_eq!(facts.iter().map(|facts| facts.terminator).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_body_that_ends_after_the_stop_ends_well_and_metadata_before_it_does_not() {
    let mut reader = StreamReader::new(Dialect::Bedrock);
    let input = events(&[START, STOP]);
    input.iter().for_each(|frame| drop(reader.read(frame).unwrap()));
    assert!(reader.may_end());
    let out = translated(Dialect::Bedrock, Dialect::Anthropic, &input);
    assert_eq!(names(&out).last(), Some(&"message_stop"));
    let mut reader = StreamReader::new(Dialect::Bedrock);
    assert_eq!(reader.read(&events(&[METADATA])[0]), Err(StreamError::Truncated));
}

#[test]
fn trap_17_a_body_that_ends_before_the_stop_is_an_error() {
    let delta = text("Hi");
    let input = events(&[START, ("contentBlockDelta", &delta)]);
    let mut reader = StreamReader::new(Dialect::Bedrock);
    input.iter().for_each(|frame| drop(reader.read(frame).unwrap()));
    assert!(!reader.may_end());
    for to in Dialect::ALL.into_iter().filter(|to| *to != Dialect::Bedrock) {
        let mut translator = StreamTranslator::new(Dialect::Bedrock, to, &CONTEXT);
        input.iter().for_each(|frame| drop(translator.push(frame).unwrap()));
        assert_eq!(translator.finish(), Err(StreamError::Truncated), "{to:?}");
    }
}

#[test]
fn trap_18_an_exception_inside_the_stream_is_an_error_of_its_sort() {
    for (name, kind) in [
        ("throttlingException", ErrorKind::RateLimit),
        ("validationException", ErrorKind::InvalidRequest),
        ("serviceUnavailableException", ErrorKind::Overloaded),
        ("modelStreamErrorException", ErrorKind::Api),
        ("internalServerException", ErrorKind::Api),
    ] {
        let frame = eventstream::exception(name, br#"{"message":"so it is"}"#);
        for dialect in [Dialect::Bedrock, Dialect::BedrockInvoke] {
            let frame = frames_of(dialect, &frame.raw).remove(0);
            let error = StreamReader::new(dialect).read(&frame).unwrap().error.unwrap();
            assert_eq!((error.kind, &*error.message), (kind, "so it is"), "{name}");
        }
    }
    // An event of an unknown type is no error, and what a model says is never one.
    let future = eventstream::event("futureEvent", br#"{"message":"hello"}"#);
    assert_eq!(StreamReader::new(Dialect::Bedrock).read(&future).unwrap().error, None);
    // The other way: the error of another upstream is an exception to the caller.
    let input = frames(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
    );
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::Bedrock, &CONTEXT);
    let out = translator.push(&input[0]).unwrap();
    assert_eq!(names(&out), ["serviceUnavailableException"]);
    assert!(eventstream::is_error(&out[0].raw));
    assert_eq!(data(&out[0]), json!({"message": "busy"}));
}

#[test]
fn trap_19_a_call_cut_by_the_limit_is_incomplete_and_never_mended() {
    let chunks = [
        delta(
            r#"{"role":"assistant","tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":\"unfin"}}]}"#,
        ),
        crate::llm::tests::corpus::finish("length"),
    ];
    let text = crate::llm::tests::corpus::chat_stream(&[&chunks[0], &chunks[1]]);
    let out = translated(Dialect::OpenAiChat, Dialect::Bedrock, &frames(&text));
    let folded = fold(Dialect::Bedrock, &out);
    assert_eq!(folded["stopReason"], "max_tokens");
    assert_eq!(folded["output"]["message"]["content"][0]["toolUse"]["input"], "{\"a\":\"unfin");
    // And from there it is as incomplete as it was.
    let answer = Answer::read(Dialect::Bedrock, Bytes::from(folded.to_string())).unwrap();
    assert_eq!(answer.proposed_calls()[0].arguments, "{\"a\":\"unfin");
}

#[test]
fn trap_21_turns_are_merged_and_results_go_first() {
    let (body, _) = sent(
        Dialect::OpenAiChat,
        Dialect::Bedrock,
        &json!({"model": "m", "messages": [
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "x", "content": "1"}, {"role": "user", "content": "c"}]}),
    );
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "x", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "x", "content": [{"text": "1"}]}}, {"text": "c"}]}])
    );
}

#[test]
fn trap_22_orphan_result_and_dangling_call_are_refused_by_id() {
    for (content, id) in [
        (json!([{"role": "user", "content": [{"toolResult": {"toolUseId": "lost", "content": []}}]}]), "`lost`"),
        (
            json!([{"role": "assistant", "content": [{"toolUse": {"toolUseId": "open", "name": "f", "input": {}}}]}]),
            "`open`",
        ),
    ] {
        let call = call(Dialect::Bedrock, false, &json!({"messages": content}));
        match call.prepare(&wire(Dialect::OpenAiChat, "up")) {
            Err(PrepareError::Invalid { message, .. }) => assert!(message.contains(id), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn trap_23_names_and_ids_that_do_not_fit_are_replaced_and_names_come_back() {
    let long = "n".repeat(70);
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "call/1 é", "type": "function", "function": {"name": "files.read", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call/1 é", "content": "1"}],
        "tools": [{"type": "function", "function": {"name": "files.read"}}, {"type": "function", "function": {"name": long}}]});
    let call = call(Dialect::OpenAiChat, false, &body);
    let out: Value = serde_json::from_slice(&call.prepare(&wire(Dialect::Bedrock, "up")).unwrap().body).unwrap();
    let told = out["toolConfig"]["tools"][0]["toolSpec"]["name"].as_str().unwrap().to_owned();
    let fits =
        |text: &str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    assert!(fits(&told) && fits(out["toolConfig"]["tools"][1]["toolSpec"]["name"].as_str().unwrap()));
    let used = &out["messages"][1]["content"][0]["toolUse"];
    assert_eq!(used["name"], told);
    assert!(fits(used["toolUseId"].as_str().unwrap()));
    assert_eq!(used["toolUseId"], out["messages"][2]["content"][0]["toolResult"]["toolUseId"]);
    let context = TranslateContext { tools: call.tools(), ..CONTEXT };
    let answer = json!({"output": {"message": {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": told, "input": {}}}]}}, "stopReason": "tool_use"});
    let answer = Answer::read(Dialect::Bedrock, Bytes::from(answer.to_string())).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::OpenAiChat, &context).unwrap();
    assert!(String::from_utf8(body.to_vec()).unwrap().contains(r#""name":"files.read""#));
    let start = format!(r#"{{"start":{{"toolUse":{{"toolUseId":"t","name":"{told}"}}}},"contentBlockIndex":0}}"#);
    let mut translator = StreamTranslator::new(Dialect::Bedrock, Dialect::OpenAiChat, &context);
    let frames = events(&[START, ("contentBlockStart", &start)]);
    let out: Vec<Frame> = frames.iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    assert!(
        out.iter().any(|frame| data(frame)["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "files.read")
    );
}

#[test]
fn trap_25_text_cut_between_bytes_and_a_large_message_are_read_as_they_were() {
    let long = text(&"é😀".repeat(300_000));
    let stream = converse_stream(&[START, ("contentBlockDelta", &long), STOP, METADATA]);
    let whole = frames_of(Dialect::Bedrock, &stream);
    assert_eq!(chunked_of(Dialect::Bedrock, &stream, &[1_000_003, 7]), whole);
    assert_eq!(whole.len(), 4);
    let twice = eventstream::event("contentBlockDelta", br#"{"delta":{"text":"a","text":"b"},"contentBlockIndex":0}"#);
    assert!(matches!(StreamReader::new(Dialect::Bedrock).read(&twice), Err(StreamError::Malformed(_))));
}

#[test]
fn a_rewritten_piece_has_new_checksums_and_the_old_headers() {
    let frame =
        eventstream::event("contentBlockDelta", br#"{"delta":{"text":"secret"},"contentBlockIndex":0,"p":"xyz"}"#);
    let out = rewrite_piece(Dialect::Bedrock, &frame, 0, "[x]").unwrap();
    assert_eq!(frames_of(Dialect::Bedrock, &out.raw), std::slice::from_ref(&out));
    assert_eq!(data(&out), json!({"delta": {"text": "[x]"}, "contentBlockIndex": 0, "p": "xyz"}));
    let event = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"secret"}}"#;
    let packed = super::invoke::chunk(event.as_bytes());
    let out = rewrite_piece(Dialect::BedrockInvoke, &packed, 0, "[x]").unwrap();
    let read = frames_of(Dialect::BedrockInvoke, &out.raw).remove(0);
    assert_eq!(data(&read)["delta"]["text"], "[x]");
    assert!(!String::from_utf8_lossy(&out.raw).contains("c2VjcmV0"));
}

#[test]
fn the_path_names_the_model_and_whether_it_streams() {
    let body = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    let model = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.x.y-v1:0";
    for (stream, action) in [(false, "converse"), (true, "converse-stream")] {
        let out = call(Dialect::Bedrock, stream, &body).prepare(&wire(Dialect::Bedrock, model)).unwrap();
        let id = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.x.y-v1%3A0";
        assert_eq!((&*out.path, out.lane), (&*format!("/model/{id}/{action}"), Lane::Verbatim));
        assert_eq!(out.body, body.to_string());
    }
}

fn every_setting() -> Value {
    json!({
        "system": [{"text": "be brief"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "inferenceConfig": {"maxTokens": 99, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 5000}, "top_k": 5},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "x", "schema": "{\"type\":\"object\"}"}}}},
        "messages": [
            {"role": "user", "content": [{"text": "see"}, {"image": {"format": "png", "source": {"bytes": "QUJD"}}}, {"document": {"format": "pdf", "name": "report", "source": {"bytes": "QUJD"}}}]},
            {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}, {"text": "ok"}, {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"n": 12_345_678_901_234_567_890_u64}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"json": {"a": 1}}], "status": "error"}}, {"cachePoint": {"type": "default"}}]}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"any": {}}}})
}

#[test]
fn a_converse_request_is_said_in_anthropic_and_in_chat() {
    let (body, mut losses) = sent(Dialect::Bedrock, Dialect::Anthropic, &every_setting());
    losses.sort();
    assert_eq!(
        body["system"],
        json!([{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}])
    );
    assert_eq!((&body["max_tokens"], &body["stop_sequences"]), (&json!(99), &json!(["END"])));
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 5000}));
    assert_eq!(body["output_config"]["format"]["schema"], json!({"type": "object"}));
    assert_eq!(body["messages"][0]["content"][2]["source"]["media_type"], "application/pdf");
    assert_eq!(body["messages"][1]["content"][0], json!({"type": "thinking", "thinking": "t", "signature": "s"}));
    assert_eq!(
        body["messages"][2]["content"][0],
        json!({"type": "tool_result", "tool_use_id": "c1", "content": "{\"a\":1}", "is_error": true, "cache_control": {"type": "ephemeral"}})
    );
    let expected = [
        "/additionalModelRequestFields/top_k additionalModelRequestFields/top_k",
        "/guardrailConfig guardrailConfig",
        "/performanceConfig performanceConfig",
        "/service_tier service_tier",
    ];
    assert_eq!(losses, expected);
    let (body, _) = sent(Dialect::Bedrock, Dialect::OpenAiChat, &every_setting());
    assert_eq!((&body["max_completion_tokens"], &body["service_tier"]), (&json!(99), &json!("flex")));
    assert_eq!(body["tool_choice"], "required");
    assert_eq!(body["messages"][2]["tool_calls"][0]["function"]["arguments"], "{\"n\":12345678901234567890}");
    assert_eq!(body["messages"][1]["content"][1]["image_url"]["url"], "data:image/png;base64,QUJD");
}

#[test]
fn a_chat_request_is_said_in_converse() {
    let (body, mut losses) = sent(
        Dialect::OpenAiChat,
        Dialect::Bedrock,
        &json!({
        "model": "fast", "max_completion_tokens": 99, "temperature": 1.5, "stop": "END", "user": "u", "stream": true,
        "parallel_tool_calls": false, "tool_choice": {"type": "function", "function": {"name": "f"}}, "service_tier": "priority",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}, "reasoning_effort": "high",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                {"type": "file", "file": {"filename": "a/b.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
                {"type": "file", "file": {"filename": "a/b.pdf", "file_data": "data:application/pdf;base64,QUJD"}}]}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object"}}}]}),
    );
    assert_eq!(
        body,
        json!({
        "messages": [{"role": "user", "content": [{"text": "see"}, {"image": {"format": "png", "source": {"bytes": "QUJD"}}},
            {"document": {"format": "pdf", "name": "a b pdf", "source": {"bytes": "QUJD"}}},
            {"document": {"format": "pdf", "name": "a b pdf 2", "source": {"bytes": "QUJD"}}}]}],
        "system": [{"text": "be brief"}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}, "strict": true}}], "toolChoice": {"tool": {"name": "f"}}},
        "inferenceConfig": {"maxTokens": 99, "temperature": 1, "stopSequences": ["END"]},
        "outputConfig": {"effort": "high", "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{\"type\":\"object\"}", "name": "x"}}}},
        "serviceTier": {"type": "priority"}})
    );
    losses.sort();
    assert_eq!(losses, ["/parallel_tool_calls parallel_tool_calls", "/temperature temperature", "/user user"]);
}

#[test]
fn what_converse_cannot_hold_refuses_the_call() {
    for content in [
        json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
        json!({"type": "file", "file": {"file_id": "file_1"}}),
        json!({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,QUJD"}}),
    ] {
        let call = call(
            Dialect::OpenAiChat,
            false,
            &json!({"model": "m", "messages": [{"role": "user", "content": [content]}]}),
        );
        assert!(matches!(call.prepare(&wire(Dialect::Bedrock, "up")), Err(PrepareError::Invalid { .. })), "{content}");
    }
    // The other way: a place in S3 means something to Bedrock alone.
    let body = json!({"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}}]}]});
    assert!(call(Dialect::Bedrock, false, &body).prepare(&wire(Dialect::Anthropic, "up")).is_err());
}

#[test]
fn guards_see_every_text_and_no_bytes() {
    let body = json!({
        "system": [{"text": "S1"}, {"guardContent": {"text": {"text": "S2"}}}],
        "messages": [
            {"role": "user", "content": [{"text": "S3"}, {"document": {"format": "txt", "name": "S4", "context": "S5", "source": {"content": [{"text": "S6"}]}}}, {"image": {"format": "png", "source": {"bytes": "c2VjcmV0"}}}, {"novel": {"deep": ["S7"]}}]},
            {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "S8", "signature": "no"}}}, {"toolUse": {"toolUseId": "i", "name": "f", "input": {"q": ["S9"]}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "i", "content": [{"json": {"x": "S10"}}, {"text": "S11"}]}}]}],
        "additionalModelRequestFields": {"prompt": "S12"}, "requestMetadata": {"team": "S13"}, "promptVariables": {"v": {"text": "S14"}},
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "S15", "inputSchema": {"json": {"type": "object", "properties": {"q": {"type": "string", "description": "S16", "enum": ["S17"]}}}}}}]}});
    let call = call(Dialect::Bedrock, false, &body);
    let segments = call.segments();
    for number in 1..=17 {
        let name = format!("S{number}");
        assert_eq!(segments.iter().filter(|segment| segment.text == name).count(), 1, "{name}");
    }
    assert!(segments.iter().all(|segment| !["no", "c2VjcmV0"].contains(&&*segment.text)));
    let facts = call.facts();
    assert_eq!((facts.surface, &*facts.tools), ("bedrock", &["f".into()][..]));
    assert!(call.estimate() > 6_000);
}

#[test]
fn parameters_of_a_target_stand_where_converse_has_them() {
    let body =
        json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 9}});
    let to = wire(Dialect::Bedrock, "up");
    let call = call(Dialect::Bedrock, false, &body);
    let values = [("max_tokens", "5"), ("temperature", "0.2"), ("top_k", "3")];
    let params = Params::new(values.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
    let out = call.tune(call.prepare(&to).unwrap(), &to, &params).unwrap();
    let out: Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!(out["inferenceConfig"], json!({"maxTokens": 5, "temperature": 0.2}));
    assert_eq!(out["additionalModelRequestFields"], json!({"top_k": 3}));
}

#[test]
fn tokens_are_counted_in_the_shape_of_each() {
    let body = json!({"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}}});
    let named = Named { model: "fast".to_owned(), stream: false };
    let read = |body: &Value| {
        let bytes = Bytes::from(body.to_string());
        ModelCall::read_named(Dialect::Bedrock, Operation::CountTokens, Some(named.clone()), bytes)
    };
    let call = read(&body).unwrap();
    assert_eq!(call.segments()[0].text, "hi");
    let out = call.prepare(&wire(Dialect::Anthropic, "up")).unwrap();
    assert_eq!(&*out.path, "/messages/count_tokens");
    assert_eq!(&*call.prepare(&wire(Dialect::Bedrock, "up")).unwrap().path, "/model/up/count-tokens");
    let counted = Answer::read(Dialect::Anthropic, Bytes::from_static(br#"{"input_tokens":7}"#)).unwrap();
    let (bytes, _) = translate_answer(&counted, Dialect::Bedrock, &CONTEXT).unwrap();
    assert_eq!(bytes, r#"{"inputTokens":7}"#);
    assert_eq!(Answer::read(Dialect::Bedrock, bytes).unwrap().counted_tokens(), Some(7));
    // Packed bodies could hide from guards what they hold.
    assert_eq!(read(&json!({"input": {"invokeModel": {"body": "e30="}}})).unwrap_err().pointer, "/input");
}

#[test]
fn signed_reasoning_comes_back_to_the_model_that_signed_it_and_to_no_other() {
    let context = TranslateContext { reasoning_scope: Some("anthropic/a"), ..CONTEXT };
    let answer = json!({"id": "m", "type": "message", "role": "assistant", "model": "a", "stop_reason": "tool_use",
        "content": [{"type": "thinking", "thinking": "Hm", "signature": "Eq+/="}, {"type": "redacted_thinking", "data": "op"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}]});
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(answer.to_string())).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::Bedrock, &context).unwrap();
    let shown: Value = serde_json::from_slice(&body).unwrap();
    let content = &shown["output"]["message"]["content"];
    let next = json!({"messages": [{"role": "user", "content": [{"text": "a"}]}, {"role": "assistant", "content": content},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "1"}]}}]}]});
    let call = call(Dialect::Bedrock, false, &next);
    let to = |dialect, scope| TargetWire { reasoning_scope: Some(scope), ..wire(dialect, "up") };
    let sent = |to: &TargetWire<'_>| {
        let out = call.prepare(to).unwrap();
        (serde_json::from_slice::<Value>(&out.body).unwrap(), out.losses.len())
    };
    let (same, losses) = sent(&to(Dialect::Anthropic, "anthropic/a"));
    assert_eq!(losses, 0);
    assert_eq!(same["messages"][1]["content"][0], json!({"type": "thinking", "thinking": "Hm", "signature": "Eq+/="}));
    assert_eq!(same["messages"][1]["content"][1], json!({"type": "redacted_thinking", "data": "op"}));
    let (other, losses) = sent(&to(Dialect::Anthropic, "anthropic/b"));
    assert_eq!((losses, other["messages"][1]["content"].as_array().unwrap().len()), (2, 1));
    let (bedrock, losses) = sent(&to(Dialect::Bedrock, "bedrock/x"));
    assert_eq!((losses, bedrock["messages"][1]["content"].as_array().unwrap().len()), (1, 1));
}

#[test]
fn the_older_envelope_is_anthropic_inside() {
    let body = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "context_management": {"edits": []},
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}]}, {"role": "user", "content": "go"}]});
    let call = call(Dialect::BedrockInvoke, true, &body);
    assert_eq!((call.model().as_str(), call.stream(), call.facts().surface), ("fast", true, "bedrock"));
    let same = call.prepare(&wire(Dialect::BedrockInvoke, "a.b-v1:0")).unwrap();
    assert_eq!((&*same.path, same.lane), ("/model/a.b-v1%3A0/invoke-with-response-stream", Lane::Verbatim));
    assert_eq!(same.body, body.to_string());
    // Nothing of it is lost on the way to Anthropic itself, which has the model and the stream in the body.
    let to = TargetWire { reasoning_scope: Some("anthropic/up"), ..wire(Dialect::Anthropic, "up") };
    let out = call.prepare(&to).unwrap();
    let value: Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!((&*out.path, out.losses.len()), ("/messages", 0));
    assert_eq!((&value["model"], &value["stream"], value.get("anthropic_version")), (&json!("up"), &json!(true), None));
    assert_eq!((&value["messages"], &value["context_management"]), (&body["messages"], &body["context_management"]));
    // Another vendor's own format is refused, by name.
    let llama = Bytes::from_static(br#"{"prompt":"hi","max_gen_len":9}"#);
    let named = Named { model: "meta.llama".to_owned(), stream: false };
    let error = ModelCall::read_named(Dialect::BedrockInvoke, Operation::Generate, Some(named), llama).unwrap_err();
    assert!(error.message.contains("`anthropic_version`") && error.message.contains("converse"), "{error}");
}

#[test]
fn errors_have_bedrocks_names_and_statuses() {
    let error = Dialect::Bedrock.read_error(429, br#"{"message":"Too many requests"}"#);
    assert_eq!((error.kind, &*error.message), (ErrorKind::RateLimit, "Too many requests"));
    assert_eq!(Dialect::Bedrock.read_error(424, b"{}").kind, ErrorKind::Api);
    assert_eq!(Dialect::Bedrock.read_error(500, b"<html>").message, "<html>");
    assert_eq!(Framing::EventStream.media_type(), "application/vnd.amazon.eventstream");
    let stop =
        json!({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "guardrail_intervened"});
    let answer = Answer::read(Dialect::Bedrock, Bytes::from(stop.to_string())).unwrap();
    assert_eq!(answer.stop_reason(), Some(&StopReason::Refusal));
}
