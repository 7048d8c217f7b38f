//! Requests: what is refused, what policies and guards see, and what is said in the other dialect.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::{
    facts::Action,
    segment::{Origin, SegmentKind},
};

use super::{NO_QUIRKS, wire};
use crate::llm::{Dialect, Lane, ModelCall, Operation, PrepareError, Quirks, ReadError, TargetWire};

fn read(dialect: Dialect, body: &Value) -> Result<ModelCall, ReadError> {
    ModelCall::read(dialect, Operation::Generate, Bytes::from(body.to_string()))
}

fn sent(dialect: Dialect, body: &Value) -> (Value, Vec<String>) {
    let to = if dialect == Dialect::OpenAiChat { Dialect::Anthropic } else { Dialect::OpenAiChat };
    let out = read(dialect, body).unwrap().prepare(&wire(to, "up")).unwrap();
    assert_eq!(out.lane, Lane::Translated);
    let losses = out.losses.iter().map(|loss| format!("{} {}", loss.pointer, loss.what)).collect();
    (serde_json::from_slice(&out.body).unwrap(), losses)
}

fn refused(dialect: Dialect, body: &Value) -> (String, String) {
    let to = if dialect == Dialect::OpenAiChat { Dialect::Anthropic } else { Dialect::OpenAiChat };
    match read(dialect, body).unwrap().prepare(&wire(to, "up")) {
        Err(PrepareError::Invalid { pointer, message }) => (pointer, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_members_are_named_by_pointer() {
    let user = json!([{"role": "user", "content": "a"}]);
    let cases = [
        (Dialect::OpenAiChat, json!({"messages": user}), ""),
        (Dialect::OpenAiChat, json!({"model": "", "messages": user}), "/model"),
        (Dialect::OpenAiChat, json!({"model": "m".repeat(257), "messages": user}), "/model"),
        (Dialect::OpenAiChat, json!({"model": 1, "messages": user}), "/model"),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": []}), "/messages"),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": [1]}), "/messages/0"),
        (
            Dialect::OpenAiChat,
            json!({"model": "m", "messages": [{"role": "user", "content": 1}]}),
            "/messages/0/content",
        ),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": user, "stream": "yes"}), "/stream"),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": user, "max_tokens": -1}), "/max_tokens"),
        (Dialect::OpenAiChat, json!({"model": "m", "messages": user, "max_tokens": 1.5}), "/max_tokens"),
        (
            Dialect::OpenAiChat,
            json!({"model": "m", "messages": user, "tools": [{"type": "function", "function": {}}]}),
            "/tools/0/function",
        ),
        (Dialect::OpenAiChat, json!([]), ""),
        (Dialect::Anthropic, json!({"model": "m", "messages": user}), "/max_tokens"),
        (Dialect::Anthropic, json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user"}]}), "/messages/0"),
        (Dialect::Anthropic, json!({"model": "m", "max_tokens": 1, "system": 4, "messages": user}), "/system"),
        (
            Dialect::Anthropic,
            json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": ["x"]}]}),
            "/messages/0/content/0",
        ),
    ];
    for (dialect, body, pointer) in cases {
        assert_eq!(read(dialect, &body).unwrap_err().pointer, pointer, "{body}");
    }
}

#[test]
fn json_smuggling() {
    for body in [
        r#"{"model":"a","model":"b","messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"a","Model":"b","messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"a","messages":[{"role":"user","content":"x","\u0063ontent":"y"}]}"#,
        "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"\u{0}\"}]}",
    ] {
        let error = ModelCall::read(Dialect::OpenAiChat, Operation::Generate, Bytes::from(body)).unwrap_err();
        assert!(!error.message.is_empty(), "{body}");
    }
}

#[test]
fn guards_see_every_text() {
    let chat = json!({"model": "m", "messages": [
        {"role": "system", "content": "S1"},
        {"role": "user", "name": "S2", "content": [{"type": "text", "text": "S3"}, {"type": "novel", "deep": [{"words": "S4"}]}]},
        {"role": "assistant", "content": null, "reasoning_content": "S5", "tool_calls": [{"id": "i", "type": "function", "function": {"name": "f", "arguments": "{\"q\":\"S6\"}"}}]},
        {"role": "tool", "tool_call_id": "i", "content": "S7"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "S8", "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": "S9"}}}}}]});
    let anthropic = json!({"model": "m", "max_tokens": 1, "system": [{"type": "text", "text": "S1"}], "messages": [
        {"role": "user", "content": [{"type": "text", "text": "S2"}, {"type": "document", "title": "S3", "source": {"type": "text", "media_type": "text/plain", "data": "S4"}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "S5", "signature": "no"}, {"type": "tool_use", "id": "i", "name": "f", "input": {"q": {"r": ["S6"]}}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "S7"}]}]}],
        "tools": [{"name": "f", "description": "S8", "input_schema": {"type": "object", "properties": {"q": {"type": "string", "description": "S9"}}}}]});
    for (dialect, body) in [(Dialect::OpenAiChat, chat), (Dialect::Anthropic, anthropic)] {
        let call = read(dialect, &body).unwrap();
        let segments = call.segments();
        for number in 1..=9 {
            let name = format!("S{number}");
            let found = segments.iter().find(|segment| segment.text.contains(&name));
            let origin = if number >= 8 { Origin::ToolDescription } else { Origin::Prompt };
            assert_eq!(found.map(|segment| segment.origin), Some(origin), "{name} of {dialect:?}");
        }
        assert!(segments.iter().all(|segment| segment.text != "no"));
        let facts = call.facts();
        assert_eq!((facts.action, facts.surface), (Action::InvokeModel, dialect.surface()));
        assert_eq!(facts.tools, ["f".into()]);
        assert!(facts.input_tokens > 20);
    }
}

#[test]
fn estimate_is_never_below_a_byte_level_bound_for_text() {
    let estimate = |text: &str| {
        read(Dialect::OpenAiChat, &json!({"model": "m", "messages": [{"role": "user", "content": text}]}))
            .unwrap()
            .estimate()
    };
    assert!(estimate("日本語") >= 9);
    assert!(estimate("1234567890") >= 10);
    assert!(estimate("hello world") >= 6);
    assert!(estimate(&"a".repeat(1000)) >= 500);
    assert!(estimate("hi") < 20);
    let image = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]});
    assert!(read(Dialect::OpenAiChat, &image).unwrap().estimate() >= 6_000);
}

#[test]
fn chat_request_is_said_in_anthropic() {
    let (body, losses) = sent(
        Dialect::OpenAiChat,
        &json!({
        "model": "fast", "max_completion_tokens": 99, "temperature": 1.5, "stop": "END", "user": "u", "stream": true,
        "parallel_tool_calls": false, "tool_choice": {"type": "function", "function": {"name": "f"}},
        "logprobs": true, "seed": 4, "n": 1, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        "reasoning_effort": "high",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]},
            {"role": "assistant", "content": "ok", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object", "required": ["é"]}}}]}),
    );
    assert_eq!(
        body,
        json!({
        "model": "up", "max_tokens": 99, "stream": true, "temperature": 1, "stop_sequences": ["END"], "metadata": {"user_id": "u"},
        "system": "be brief",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}]},
            {"role": "assistant", "content": [{"type": "text", "text": "ok"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}]}],
        "tools": [{"name": "f", "strict": true, "input_schema": {"type": "object", "required": ["é"]}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}}})
    );
    let mut losses = losses;
    losses.sort();
    assert_eq!(losses, ["/logprobs logprobs", "/seed seed", "/temperature temperature"]);
}

#[test]
fn anthropic_request_is_said_in_chat() {
    let (body, losses) = sent(
        Dialect::Anthropic,
        &json!({
        "model": "fast", "max_tokens": 99, "top_k": 5, "stop_sequences": ["END"], "metadata": {"user_id": "u"}, "stream": true,
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 5000}, "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "ok"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"n": 12345678901234567890u64}}]},
            {"role": "user", "content": [{"type": "text", "text": "and?"}, {"type": "tool_result", "tool_use_id": "c1", "is_error": true, "content": [{"type": "text", "text": "42"}]}]}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]}),
    );
    assert_eq!(
        body,
        json!({
        "model": "up", "max_completion_tokens": 99, "stop": ["END"], "user": "u", "stream": true, "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "assistant", "content": "ok", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"n\":12345678901234567890}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "user", "content": "and?"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "parallel_tool_calls": false, "tool_choice": "required", "reasoning_effort": "medium"})
    );
    let mut losses = losses;
    losses.sort();
    assert_eq!(
        losses,
        ["/messages/1 thinking_blocks", "/messages/2 is_error", "/system cache_control", "/top_k top_k"]
    );
}

#[test]
fn trap_21_turns_are_merged_and_results_go_first() {
    let (body, _) = sent(
        Dialect::OpenAiChat,
        &json!({"model": "m", "messages": [
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
        {"role": "assistant", "tool_calls": [
            {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "y", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "y", "content": "2"}, {"role": "tool", "tool_call_id": "x", "content": "1"},
        {"role": "user", "content": "c"}]}),
    );
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let kinds: Vec<_> =
        body["messages"][2]["content"].as_array().unwrap().iter().map(|p| p["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "text"]);
}

#[test]
fn trap_22_orphan_result_and_dangling_call_are_refused_by_id() {
    let orphan = json!({"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "lost", "content": "2"}]});
    let (pointer, message) = refused(Dialect::OpenAiChat, &orphan);
    assert!(message.contains("`lost`") && pointer.starts_with("/messages"), "{pointer} {message}");
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "open", "name": "f", "input": {}}]});
    for messages in [
        json!([{"role": "user", "content": "a"}, call, {"role": "user", "content": "b"}]),
        json!([{"role": "user", "content": "a"}, call]),
    ] {
        let body = json!({"model": "m", "max_tokens": 1, "messages": messages});
        let (_, message) = refused(Dialect::Anthropic, &body);
        assert!(message.contains("`open`"), "{message}");
    }
}

#[test]
fn content_that_the_target_cannot_hold_refuses_the_call() {
    let audio = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}]}]});
    assert_eq!(refused(Dialect::OpenAiChat, &audio).0, "/messages/0");
    let file = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}]});
    assert!(refused(Dialect::Anthropic, &file).1.contains("file id"));
    let search = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}], "tools": [{"type": "web_search_20250305", "name": "web_search"}]});
    assert_eq!(refused(Dialect::Anthropic, &search).0, "/tools/0");
}

#[test]
fn count_tokens_goes_only_where_it_exists() {
    let body = Bytes::from(r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#);
    let call = ModelCall::read(Dialect::Anthropic, Operation::CountTokens, body.clone()).unwrap();
    let out = call.prepare(&wire(Dialect::Anthropic, "m")).unwrap();
    assert_eq!((&*out.path, out.body), ("/messages/count_tokens", body));
    assert!(matches!(call.prepare(&wire(Dialect::OpenAiChat, "m")), Err(PrepareError::Unsupported(_))));
    assert_eq!(call.max_output_tokens(), Some(0));
}

#[test]
fn effort_becomes_a_budget_where_the_model_knows_only_that() {
    let body = json!({"model": "m", "max_tokens": 30000, "reasoning_effort": "low", "messages": [{"role": "user", "content": "a"}]});
    let quirks = Quirks { thinking_budget_only: true, ..NO_QUIRKS };
    let to = TargetWire { quirks: &quirks, ..wire(Dialect::Anthropic, "up") };
    let out = read(Dialect::OpenAiChat, &body).unwrap().prepare(&to).unwrap();
    let value: Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!(value["thinking"], json!({"type": "enabled", "budget_tokens": 2048}));
    assert!(value.get("output_config").is_none());
}

#[test]
fn required_limit_comes_from_the_catalogue() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
    let to = TargetWire { default_max_output: Some(777), ..wire(Dialect::Anthropic, "up") };
    let out = read(Dialect::OpenAiChat, &body).unwrap().prepare(&to).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&out.body).unwrap()["max_tokens"], 777);
}

#[test]
fn guard_edit_reaches_the_translated_body() {
    let mut call =
        read(Dialect::OpenAiChat, &json!({"model": "m", "messages": [{"role": "user", "content": "secret"}]})).unwrap();
    let path = call.segments()[0].path;
    call.replace_segment(path, "[x]");
    let out = call.prepare(&wire(Dialect::Anthropic, "up")).unwrap();
    let body = String::from_utf8(out.body.to_vec()).unwrap();
    assert!(body.contains("[x]") && !body.contains("secret"));
}

#[test]
fn guards_see_numbers_names_and_what_stands_beside_the_conversation() {
    let chat = json!({"model": "m", "user": "S1", "stop": ["S2"], "metadata": {"S3 12345": "S4"}, "seed": 4_111_111_111_111_111_u64,
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/S5.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"S6@x.yz": {"type": "string", "enum": ["S7"], "default": "S8"}}}}}]});
    let anthropic = json!({"model": "m", "max_tokens": 1_000_000, "metadata": {"user_id": "S1"}, "stop_sequences": ["S2"],
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "f",
                "input": {"S3 12345": [{"note": "S4"}], "card": 4_111_111_111_111_111_u64}}]},
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com/S5.png"}}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"S6@x.yz": {"type": "string", "enum": ["S7"], "examples": ["S8"]}}}}]});
    for (dialect, body) in [(Dialect::OpenAiChat, chat), (Dialect::Anthropic, anthropic)] {
        let mut call = read(dialect, &body).unwrap();
        for number in 1..=8 {
            let name = format!("S{number}");
            let segments = call.segments();
            let found = segments.iter().find(|segment| segment.text.contains(&name)).map(|segment| segment.kind);
            let kind = if matches!(number, 3 | 6) { SegmentKind::Name } else { SegmentKind::Text };
            assert_eq!(found, Some(kind), "{name} of {dialect:?}");
        }
        let segments = call.segments();
        let number = segments.iter().find(|segment| segment.kind == SegmentKind::Number).unwrap();
        assert_eq!(number.text, "4111111111111111");
        assert!(segments.iter().all(|segment| !["m", "f", "object"].contains(&&*segment.text)));
        assert!(segments.iter().all(|segment| !segment.text.starts_with("data:")));
        let paths: Vec<_> =
            segments.iter().filter(|segment| segment.kind != SegmentKind::Text).map(|segment| segment.path).collect();
        for path in paths {
            call.replace_segment(path, "[mark]");
        }
        let sent = String::from_utf8(call.prepare(&wire(dialect, "up")).unwrap().body.to_vec()).unwrap();
        assert!(!sent.contains("41111") && !sent.contains("S3") && !sent.contains("S6"), "{sent}");
        assert!(sent.contains("\"[mark]\"") && sent.contains("\"[mark] 2\""), "{sent}");
    }
}
