//! What is particular to this dialect: its traps by number, its thoughts, its errors; requests are in `requests`.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::{
    segment::{Origin, SegmentKind},
    usage::{Usage, UsageSource},
};

mod requests;

use super::thoughts::{self, NO_SIGNATURE};
use crate::{
    llm::{
        Answer, Dialect, ErrorKind, ErrorView, Lane, ModelCall, Named, Operation, Params, PrepareError, ReadError,
        StopReason, StreamError, StreamReader, StreamTranslator, TargetWire, TranslateContext,
        opaque::Kind,
        rewrite_piece,
        tests::{
            CONTEXT,
            corpus_gemini::{gemini_stream, gemini_unary},
            fold::{chunked, data, fold, frames},
            wire,
        },
        translate_answer,
    },
    sse::Frame,
};

fn read_as(operation: Operation, body: &str) -> Result<ModelCall, ReadError> {
    let named = Named { model: "fast".to_owned(), stream: false };
    ModelCall::read_named(Dialect::Gemini, operation, Some(named), Bytes::copy_from_slice(body.as_bytes()))
}

fn read(body: &Value) -> Result<ModelCall, ReadError> {
    read_as(Operation::Generate, &body.to_string())
}

/// What is sent to a target, and the losses.
fn sent(call: &ModelCall, to: &TargetWire<'_>) -> (Value, Vec<String>) {
    let out = call.prepare(to).unwrap();
    assert_eq!(out.lane, Lane::Translated);
    let mut losses: Vec<String> = out.losses.iter().map(|loss| format!("{} {}", loss.pointer, loss.what)).collect();
    losses.sort();
    (serde_json::from_slice(&out.body).unwrap(), losses)
}

fn from_chat(body: &Value, model: &str) -> (Value, Vec<String>) {
    let body = Bytes::from(body.to_string());
    let call = ModelCall::read(Dialect::OpenAiChat, Operation::Generate, body).unwrap();
    sent(&call, &wire(Dialect::Gemini, model))
}

fn answered(unary: &str, to: Dialect) -> Value {
    let answer = Answer::read(Dialect::Gemini, Bytes::copy_from_slice(unary.as_bytes())).unwrap();
    serde_json::from_slice(&translate_answer(&answer, to, &CONTEXT).unwrap().0).unwrap()
}

fn streamed(stream: &str, from: Dialect, to: Dialect) -> Result<Vec<Frame>, StreamError> {
    let mut translator = StreamTranslator::new(from, to, &CONTEXT);
    let mut out = Vec::new();
    for frame in frames(stream) {
        out.extend(translator.push(&frame)?);
    }
    out.extend(translator.finish()?);
    Ok(out)
}

#[test]
fn trap_6_stop_with_a_call_is_a_call_for_tools() {
    let unary = gemini_unary(r#"[{"functionCall":{"name":"f","args":{}}}]"#, "STOP");
    assert_eq!(answered(&unary, Dialect::OpenAiChat)["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(answered(&unary, Dialect::Anthropic)["stop_reason"], "tool_use");
    let stream = gemini_stream(&[r#"[{"functionCall":{"name":"f"}}]"#, r#"[{"text":""}]"#], "STOP");
    let mut reader = StreamReader::new(Dialect::Gemini);
    let stops: Vec<_> = frames(&stream).iter().filter_map(|frame| reader.read(frame).unwrap().stop).collect();
    assert_eq!(stops, [StopReason::ToolUse]);
    assert!(reader.may_end());
}

#[test]
fn trap_7_ids_are_made_for_calls_without_and_stay_with_this_gateway() {
    let unary = gemini_unary(r#"[{"text":"x"},{"functionCall":{"name":"f"}},{"functionCall":{"name":"f"}}]"#, "STOP");
    let call_id = format!("call_{}", "0a".repeat(16));
    let context = TranslateContext { call_id: &call_id, ..CONTEXT };
    let answer = Answer::read(Dialect::Gemini, Bytes::from(unary)).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::OpenAiChat, &context).unwrap();
    let message = serde_json::from_slice::<Value>(&body).unwrap()["choices"][0]["message"].clone();
    let ids: Vec<_> = (0..2).map(|at| message["tool_calls"][at]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, [format!("{call_id}_0"), format!("{call_id}_1")]);
    let result = |at: usize| json!({"role": "tool", "tool_call_id": ids[at], "content": format!("{{\"at\":{at}}}")});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}, message, result(1), result(0)]});
    let (gemini, _) = from_chat(&body, "gemini-2.5-flash");
    let parts = &gemini["contents"][2]["parts"];
    assert_eq!(gemini["contents"][1]["parts"][1]["functionCall"], json!({"name": "f", "args": {}}));
    assert_eq!(parts[0]["functionResponse"], json!({"name": "f", "response": {"at": 1}}));
    // Without ids a caller's results find their calls by name, in order.
    let turns = json!({"contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "a"}}, {"functionCall": {"name": "b"}}, {"functionCall": {"name": "a"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "b", "response": {}}}, {"functionResponse": {"name": "a", "response": {"error": "no"}}}, {"functionResponse": {"name": "a", "response": {"x": 1}}}]}]});
    let (anthropic, _) = sent(&read(&turns).unwrap(), &wire(Dialect::Anthropic, "up"));
    let of = |at: usize| anthropic["messages"][1]["content"][at]["tool_use_id"].as_str().unwrap().to_owned();
    assert_eq!([of(0), of(1), of(2)], ["call_2", "call_1", "call_3"]);
    assert_eq!(anthropic["messages"][1]["content"][1]["is_error"], true);
}

fn scoped<'a>(scope: &'a str, to: TargetWire<'a>) -> TargetWire<'a> {
    TargetWire { reasoning_scope: Some(scope), ..to }
}

#[test]
fn trap_8_the_signature_goes_back_on_the_first_of_parallel_calls() {
    let unary = gemini_unary(
        r#"[{"text":"Look."},{"functionCall":{"name":"a","args":{}},"thoughtSignature":"c2ln+/8="},{"functionCall":{"name":"b","args":{}}}]"#,
        "STOP",
    );
    let answer = Answer::read(Dialect::Gemini, Bytes::from(unary)).unwrap();
    let context = TranslateContext { reasoning_scope: Some("google/g"), ..CONTEXT };
    for dialect in [Dialect::OpenAiChat, Dialect::Anthropic] {
        let (body, _) = translate_answer(&answer, dialect, &context).unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let body = if dialect == Dialect::OpenAiChat {
            let tool = |at: usize| json!({"role": "tool", "tool_call_id": format!("call_0_{at}"), "content": "1"});
            json!({"model": "m", "messages": [{"role": "user", "content": "a"}, answer["choices"][0]["message"], tool(0), tool(1)]})
        } else {
            let result =
                |at: usize| json!({"type": "tool_result", "tool_use_id": format!("call_0_{at}"), "content": "1"});
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"},
                {"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result(0), result(1)]}]})
        };
        let call = ModelCall::read(dialect, Operation::Generate, Bytes::from(body.to_string())).unwrap();
        let (own, losses) = sent(&call, &scoped("google/g", wire(Dialect::Gemini, "gemini-3-pro")));
        let parts = &own["contents"][1]["parts"];
        assert_eq!(parts[0], json!({"text": "Look."}));
        assert_eq!(
            (&parts[1]["functionCall"]["name"], &parts[1]["thoughtSignature"]),
            (&json!("a"), &json!("c2ln+/8="))
        );
        assert_eq!((&parts[2]["functionCall"]["name"], &parts[2]["thoughtSignature"]), (&json!("b"), &Value::Null));
        assert!(losses.is_empty(), "{losses:?}");
        // Another model is not shown it, and is told not to look for one.
        let (other, losses) = sent(&call, &scoped("google/h", wire(Dialect::Gemini, "gemini-3-flash")));
        let parts = &other["contents"][1]["parts"];
        assert_eq!(
            (&parts[1]["thoughtSignature"], &parts[2]["thoughtSignature"]),
            (&json!(NO_SIGNATURE), &Value::Null)
        );
        assert!(losses.iter().any(|loss| loss.ends_with(" thoughtSignature")), "{losses:?}");
        let (older, _) = sent(&call, &scoped("google/h", wire(Dialect::Gemini, "gemini-2.5-pro")));
        assert!(!older.to_string().contains("thoughtSignature"));
    }
}

#[test]
fn trap_9_a_signature_on_an_empty_text_is_kept() {
    let stream = gemini_stream(&[r#"[{"text":"Done"}]"#, r#"[{"text":"","thoughtSignature":"EqQB+/a=="}]"#], "STOP");
    let out = streamed(&stream, Dialect::Gemini, Dialect::OpenAiChat).unwrap();
    let message = fold(Dialect::OpenAiChat, &out)["choices"][0]["message"].clone();
    assert_eq!(message["thinking_blocks"][0]["signature"], "EqQB+/a==");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}, message, {"role": "user", "content": "b"}]});
    let (gemini, _) = from_chat(&body, "gemini-3-pro");
    let parts = gemini["contents"][1]["parts"].as_array().unwrap();
    assert!(parts.contains(&json!({"text": "", "thoughtSignature": "EqQB+/a=="})), "{parts:?}");
    let mut reader = StreamReader::new(Dialect::Gemini);
    assert!(frames(&stream).iter().all(|frame| reader.read(frame).unwrap().semantic));
}

#[test]
fn trap_10_and_11_what_others_signed_comes_back_to_them_byte_for_byte_and_goes_to_nobody_else() {
    let unary = r#"{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[{"type":"thinking","thinking":"Hm","signature":"EqQ+/é=="},{"type":"redacted_thinking","data":"b3Bh"},{"type":"text","text":"Yes"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(unary)).unwrap();
    let context = TranslateContext { reasoning_scope: Some("a/c"), ..CONTEXT };
    let (body, _) = translate_answer(&answer, Dialect::Gemini, &context).unwrap();
    let parts = serde_json::from_slice::<Value>(&body).unwrap()["candidates"][0]["content"]["parts"].clone();
    assert_eq!((&parts[0]["text"], &parts[0]["thought"]), (&json!("Hm"), &json!(true)));
    assert!(thoughts::is_wrapped(parts[0]["thoughtSignature"].as_str().unwrap()));
    // As a stream the thought comes in pieces, the signature last.
    let signed = parts[0]["thoughtSignature"].clone();
    let pieces = json!([{"text": "H", "thought": true}, {"text": "m", "thought": true}, {"text": "", "thought": true, "thoughtSignature": signed}, parts[1], parts[2]]);
    for parts in [parts, pieces] {
        let call = read(&json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": parts}, {"role": "user", "parts": [{"text": "b"}]}]})).unwrap();
        let (own, losses) = sent(&call, &scoped("a/c", wire(Dialect::Anthropic, "c")));
        let content = &own["messages"][1]["content"];
        assert_eq!(content[0], json!({"type": "thinking", "thinking": "Hm", "signature": "EqQ+/é=="}));
        assert_eq!(content[1], json!({"type": "redacted_thinking", "data": "b3Bh"}));
        assert!(losses.is_empty());
        let (other, losses) = sent(&call, &scoped("a/d", wire(Dialect::Anthropic, "d")));
        assert_eq!(other["messages"][1]["content"], json!([{"type": "text", "text": "Yes"}]));
        assert!(!losses.is_empty());
        let google = call.prepare(&scoped("google/g", wire(Dialect::Gemini, "g"))).unwrap();
        assert_eq!(google.losses.len(), 1);
        let body: Value = serde_json::from_slice(&google.body).unwrap();
        let parts = body["contents"][1]["parts"].as_array().unwrap();
        assert!(parts.last() == Some(&json!({"text": "Yes"})) && !body.to_string().contains("thoughtSignature"));
    }
}

#[test]
fn wrapped_thoughts_of_this_dialect_never_reach_an_anthropic_server() {
    let context = TranslateContext { reasoning_scope: Some("google/g"), ..CONTEXT };
    let unary = gemini_unary(r#"[{"text":"x"},{"text":"","thoughtSignature":"c2ln"}]"#, "STOP");
    let answer = Answer::read(Dialect::Gemini, Bytes::from(unary)).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::Anthropic, &context).unwrap();
    let content = serde_json::from_slice::<Value>(&body).unwrap()["content"].clone();
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": content}, {"role": "user", "content": "b"}]});
    let call = ModelCall::read(Dialect::Anthropic, Operation::Generate, Bytes::from(body.to_string())).unwrap();
    let out = call.prepare(&wire(Dialect::Anthropic, "c")).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&out.body).unwrap()["messages"][1]["content"],
        json!([{"type": "text", "text": "x"}])
    );
}

#[test]
fn trap_12_redacted_thoughts_are_never_shown_as_text() {
    let wrapped = thoughts::wrap(Kind::Redacted, Some("a/c"), "b3Bh");
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "", "thought": true, "thoughtSignature": wrapped}, {"text": "ok"}]}, {"role": "user", "parts": [{"text": "b"}]}]});
    let call = read(&body).unwrap();
    let shown: Vec<_> = call
        .segments()
        .iter()
        .filter(|segment| segment.kind == SegmentKind::Text && segment.text.len() > 2)
        .map(|segment| segment.text.to_string())
        .collect();
    assert!(shown.is_empty(), "{shown:?}");
    let (chat, _) = sent(&call, &wire(Dialect::OpenAiChat, "up"));
    assert_eq!(chat["messages"][1], json!({"role": "assistant", "content": "ok"}));
}

#[test]
fn trap_15_output_is_what_was_said_and_what_was_thought() {
    let body = json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 20,
        "cachedContentTokenCount": 8, "toolUsePromptTokenCount": 3, "candidatesTokenCount": 5, "thoughtsTokenCount": 4, "totalTokenCount": 32}});
    let answer = Answer::read(Dialect::Gemini, Bytes::from(body.to_string())).unwrap();
    let usage =
        Usage { input: 15, cache_read: 8, output: 9, reasoning: 4, source: UsageSource::Vendor, ..Usage::default() };
    assert_eq!(answer.usage(), Some(usage));
    let anthropic = answered(&body.to_string(), Dialect::Anthropic)["usage"].clone();
    assert_eq!(
        (&anthropic["input_tokens"], &anthropic["cache_read_input_tokens"], &anthropic["output_tokens"]),
        (&json!(15), &json!(8), &json!(9))
    );
}

#[test]
fn trap_17_a_body_that_ends_early_is_an_error_and_no_end() {
    let stream = gemini_stream(&[r#"[{"text":"a"}]"#, r#"[{"text":"b"}]"#], "STOP");
    let all = frames(&stream);
    for to in Dialect::ALL {
        let mut translator = StreamTranslator::new(Dialect::Gemini, to, &CONTEXT);
        translator.push(&all[0]).unwrap();
        assert_eq!(translator.finish(), Err(StreamError::Truncated));
    }
    let mut reader = StreamReader::new(Dialect::Gemini);
    reader.read(&all[0]).unwrap();
    assert!(!reader.may_end());
    reader.read(&all[1]).unwrap();
    assert!(reader.may_end());
}

#[test]
fn trap_18_an_error_inside_a_stream_is_told_in_the_callers_dialect() {
    let stream = gemini_stream(&[r#"[{"text":"a"}]"#], "").replace("\"finishReason\":\"\",", "")
        + "data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}}\n\n";
    let out = streamed(&stream, Dialect::Gemini, Dialect::Anthropic).unwrap();
    assert_eq!(data(out.last().unwrap())["error"]["type"], "overloaded_error");
    let mut reader = StreamReader::new(Dialect::Gemini);
    let errors: Vec<_> = frames(&stream).iter().filter_map(|frame| reader.read(frame).unwrap().error).collect();
    assert_eq!((errors.len(), errors[0].kind), (1, ErrorKind::Overloaded));
    assert!(!reader.may_end());
    let anthropic =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n";
    let out = streamed(anthropic, Dialect::Anthropic, Dialect::Gemini).unwrap();
    assert_eq!(
        data(&out[0])["error"],
        json!({"code": 503, "message": "m", "status": "UNAVAILABLE", "details": [{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "upstream_error", "domain": "tidegate", "metadata": {"call_id": "call_0"}}]})
    );
}

#[test]
fn trap_19_a_call_that_was_cut_short_is_marked_and_not_mended() {
    let chat = |arguments: &str| {
        crate::llm::tests::corpus::chat_unary(
        &json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]}).to_string(),
        "length",
    )
    };
    let answer = Answer::read(Dialect::OpenAiChat, Bytes::from(chat(r#"{"a":"unfin"#))).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::Gemini, &CONTEXT).unwrap();
    let candidate = serde_json::from_slice::<Value>(&body).unwrap()["candidates"][0].clone();
    assert_eq!(candidate["finishReason"], "MAX_TOKENS");
    let call = &candidate["content"]["parts"][0]["functionCall"];
    assert_eq!((call.get("args"), &call["willContinue"]), (None, &json!(true)));
    assert_eq!(call["partialArgs"][0]["stringValue"], r#"{"a":"unfin"#);
    let back = answered(std::str::from_utf8(&body).unwrap(), Dialect::Anthropic);
    assert_eq!(
        (&back["content"][0]["incomplete"], &back["content"][0]["partial_json"]),
        (&json!(true), &json!(r#"{"a":"unfin"#))
    );
}

#[test]
fn trap_22_orphan_results_and_dangling_calls_are_refused_by_name() {
    let refused =
        |contents: Value| match read(&json!({"contents": contents})).unwrap().prepare(&wire(Dialect::OpenAiChat, "up"))
        {
            Err(PrepareError::Invalid { pointer, message }) => (pointer, message),
            other => panic!("{other:?}"),
        };
    let (pointer, message) =
        refused(json!([{"parts": [{"text": "a"}, {"functionResponse": {"name": "lost", "response": {}}}]}]));
    assert!(pointer == "/contents/0" && message.contains("`lost`"), "{pointer} {message}");
    let (_, message) = refused(
        json!([{"parts": [{"text": "a"}]}, {"role": "model", "parts": [{"functionCall": {"id": "open", "name": "f"}}]}]),
    );
    assert!(message.contains("`open`"), "{message}");
}

#[test]
fn trap_24_a_strict_tool_is_held_to_its_schema() {
    let tools =
        json!([{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object"}}}]);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": tools, "parallel_tool_calls": false});
    let (gemini, losses) = from_chat(&body, "gemini-3-pro");
    assert_eq!(gemini["toolConfig"]["functionCallingConfig"]["mode"], "VALIDATED");
    assert_eq!(losses, ["/parallel_tool_calls parallel_tool_calls"]);
}

#[test]
fn trap_25_pieces_are_read_the_same_wherever_they_are_cut() {
    let text = "\u{feff}: hello\r\n\r\n".to_owned() + &gemini_stream(&[r#"[{"text":"Grüße 😀"}]"#, "[]"], "STOP");
    let whole: Vec<_> = frames(&text).iter().map(data).collect();
    for size in 1..7 {
        assert_eq!(chunked(text.as_bytes(), &[size]).iter().map(data).collect::<Vec<_>>(), whole);
    }
    let twice = r#"data: {"candidates":[],"candidates":[]}"#.to_owned() + "\n\n";
    assert!(matches!(streamed(&twice, Dialect::Gemini, Dialect::OpenAiChat), Err(StreamError::Malformed(_))));
}

#[test]
fn a_sign_of_life_is_no_piece_and_no_comment() {
    let ping = Dialect::Gemini.ping();
    assert_eq!((&*ping.raw, ping.data), (&b"\n"[..], None));
    let stream =
        gemini_stream(&[r#"[{"text":"a"}]"#, r#"[{"text":"b"}]"#], "STOP").replacen("\r\n\r\n", "\r\n\r\n\n", 1);
    assert_eq!(frames(&stream).iter().filter(|frame| frame.data.is_some()).count(), 2);
}

#[test]
fn a_refused_prompt_is_a_refusal() {
    let unary = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}"#;
    assert_eq!(answered(unary, Dialect::OpenAiChat)["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answered(unary, Dialect::Anthropic)["stop_reason"], "refusal");
    let nothing = Bytes::from_static(br#"{"usageMetadata":{"promptTokenCount":3}}"#);
    assert!(Answer::read(Dialect::Gemini, nothing).is_err());
}

#[test]
fn a_rewritten_text_of_a_piece_does_not_survive_beside_it() {
    let chunk = r#"{"candidates":[{"content":{"parts":[{"text":"secret"},{"functionCall":{"name":"f","args":{"a":"secret"}}}]},"logprobsResult":{"chosenCandidates":[{"token":"secret"}]},"groundingMetadata":{"groundingSupports":[{"segment":{"text":"secret"}}],"webSearchQueries":[]},"finishReason":"STOP"}]}"#;
    let frame = frames(format!("data: {chunk}\n\n")).remove(0);
    let mut reader = StreamReader::new(Dialect::Gemini);
    let facts = reader.read(&frame).unwrap();
    assert_eq!(facts.pieces.iter().map(|piece| &*piece.text).collect::<Vec<_>>(), ["secret", "secret"]);
    assert_ne!(facts.pieces[0].channel, facts.pieces[1].channel);
    let out =
        rewrite_piece(Dialect::Gemini, &rewrite_piece(Dialect::Gemini, &frame, 0, "[x]").unwrap(), 1, "[y]").unwrap();
    assert!(!String::from_utf8_lossy(&out.raw).contains("secret"));
    let mut answer = Answer::read(Dialect::Gemini, Bytes::from(chunk)).unwrap();
    let paths: Vec<_> = answer.segments().iter().map(|segment| segment.path).collect();
    paths.iter().for_each(|path| answer.replace_segment(*path, "[x]"));
    assert!(!String::from_utf8_lossy(&answer.body()).contains("secret"));
}

#[test]
fn errors_are_read_and_written_with_googles_names() {
    let read = |status, body: &str| Dialect::Gemini.read_error(status, body.as_bytes());
    let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
    let error = read(400, body);
    assert_eq!(
        (error.kind, error.code.as_deref(), error.type_name.as_deref()),
        (ErrorKind::Authentication, Some("API_KEY_INVALID"), Some("INVALID_ARGUMENT"))
    );
    assert_eq!(read(429, r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#).message, "m");
    assert_eq!(read(502, "<html>").message, "<html>");
    for (kind, status, name) in [
        (ErrorKind::InvalidRequest, 400, "INVALID_ARGUMENT"),
        (ErrorKind::Authentication, 401, "UNAUTHENTICATED"),
        (ErrorKind::Permission, 403, "PERMISSION_DENIED"),
        (ErrorKind::NotFound, 404, "NOT_FOUND"),
        (ErrorKind::RateLimit, 429, "RESOURCE_EXHAUSTED"),
        (ErrorKind::Timeout, 504, "DEADLINE_EXCEEDED"),
        (ErrorKind::Overloaded, 503, "UNAVAILABLE"),
        (ErrorKind::Api, 500, "INTERNAL"),
    ] {
        let view = ErrorView { status, kind, message: "m", code: "c", param: Some("/contents"), call_id: "call_0" };
        let body: Value = serde_json::from_slice(&Dialect::Gemini.error_body(&view)).unwrap();
        assert_eq!((&body["error"]["code"], &body["error"]["status"]), (&json!(status), &json!(name)));
        assert_eq!(read(status, &body.to_string()).kind, kind);
    }
}

#[test]
fn a_targets_parameters_stand_in_generation_config_however_it_is_spelled() {
    let params = json!({"temperature": 0.2, "top_p": 0.5, "max_tokens": 5});
    let members = params.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string()));
    let params = Params::new(members).unwrap();
    let tuned = |body: Value| {
        let (call, to) = (read(&body).unwrap(), wire(Dialect::Gemini, "m"));
        let out = call.tune(call.prepare(&to).unwrap(), &to, &params).unwrap();
        serde_json::from_slice::<Value>(&out.body).unwrap()
    };
    let expected = json!({"temperature": 0.2, "topP": 0.5, "maxOutputTokens": 5});
    assert_eq!(tuned(json!({"contents": [{}]}))["generationConfig"], expected);
    let spelled = tuned(json!({"contents": [{}], "generation_config": {"max_output_tokens": 9, "seed": 1}}));
    assert_eq!(spelled.get("generationConfig"), None);
    assert_eq!(
        spelled["generation_config"],
        json!({"temperature": 0.2, "topP": 0.5, "max_output_tokens": 5, "seed": 1})
    );
    assert!(Params::new([("candidateCount".to_owned(), "2".to_owned())]).is_err());
}
