//! Requests of this dialect: what is refused, what policies and guards see, what is said in other dialects, and what
//! coding agents send.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::segment::Origin;

use super::RESPONSES;
use crate::llm::{Dialect, Lane, ModelCall, Operation, Outgoing, PrepareError, ReadError, tests::wire};

fn read(body: &Value) -> Result<ModelCall, ReadError> {
    ModelCall::read(RESPONSES, Operation::Generate, Bytes::from(body.to_string()))
}

fn prepared(from: Dialect, to: Dialect, body: &Value) -> Result<Outgoing, PrepareError> {
    ModelCall::read(from, Operation::Generate, Bytes::from(body.to_string())).unwrap().prepare(&wire(to, "up"))
}

fn sent(from: Dialect, to: Dialect, body: &Value) -> (Value, Vec<String>) {
    let out = prepared(from, to, body).unwrap();
    assert_eq!(out.lane, Lane::Translated);
    let mut losses: Vec<String> = out.losses.iter().map(|loss| format!("{} {}", loss.pointer, loss.what)).collect();
    losses.sort();
    (serde_json::from_slice(&out.body).unwrap(), losses)
}

fn refused(body: &Value) -> (String, String) {
    for to in [Dialect::OpenAiChat, Dialect::Anthropic] {
        assert!(matches!(prepared(RESPONSES, to, body), Err(PrepareError::Invalid { .. })), "{body}");
    }
    match prepared(RESPONSES, Dialect::OpenAiChat, body) {
        Err(PrepareError::Invalid { pointer, message }) => (pointer, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_members_are_named_by_pointer() {
    for (body, pointer) in [
        (json!({"input": "a"}), ""),
        (json!({"model": "", "input": "a"}), "/model"),
        (json!({"model": "m"}), ""),
        (json!({"model": "m", "input": []}), "/input"),
        (json!({"model": "m", "input": 1}), "/input"),
        (json!({"model": "m", "input": ["a"]}), "/input/0"),
        (json!({"model": "m", "input": [{"role": "user", "content": 1}]}), "/input/0/content"),
        (json!({"model": "m", "input": "a", "instructions": ["x"]}), "/instructions"),
        (json!({"model": "m", "input": "a", "stream": "yes"}), "/stream"),
        (json!({"model": "m", "input": "a", "background": 1}), "/background"),
        (json!({"model": "m", "input": "a", "max_output_tokens": 0}), "/max_output_tokens"),
        (json!({"model": "m", "input": "a", "tools": [{"type": "function"}]}), "/tools/0"),
        (json!({"model": "m", "input": "a", "tools": [{"type": "namespace", "name": "n"}]}), "/tools/0"),
        (
            json!({"model": "m", "input": [{"type": "additional_tools", "role": "developer", "tools": [{"type": "custom"}]}]}),
            "/input/0/tools/0",
        ),
    ] {
        assert_eq!(read(&body).unwrap_err().pointer, pointer, "{body}");
    }
    assert!(read(&json!({"model": "m", "previous_response_id": "resp_1"})).is_ok());
}

#[test]
fn policies_see_every_tool_wherever_it_is_declared() {
    let nested = json!([{"type": "function", "name": "read"}, {"type": "custom", "name": "exec"}]);
    let call = read(&json!({"model": "m", "stream": true, "max_output_tokens": 5,
        "tools": [{"type": "function", "name": "look", "parameters": {}}, {"type": "namespace", "name": "ns", "description": "d", "tools": nested}, {"type": "web_search"}],
        "input": [{"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "patch"}]}, {"role": "user", "content": "a"}]})).unwrap();
    let facts = call.facts();
    let tools: Vec<String> = facts.tools.iter().map(ToString::to_string).collect();
    assert_eq!(tools, ["look", "read", "exec", "web_search", "patch"]);
    assert_eq!((facts.surface, call.stream(), call.max_output_tokens()), ("openai", true, Some(5)));
}

#[test]
fn guards_see_every_text() {
    let body = json!({"model": "m", "instructions": "S1", "user": "S2", "metadata": {"k": "S3"}, "input": [
        {"role": "user", "content": "S4"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "S5"}, {"type": "input_image", "image_url": "https://x/S6.png"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, {"type": "input_file", "filename": "S7", "file_data": "QUJD"}, {"type": "novel", "deep": [{"words": "S8"}]}]},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "S9"}], "content": [{"type": "reasoning_text", "text": "S10"}], "encrypted_content": "cipher"},
        {"type": "message", "role": "assistant", "id": "msg", "status": "completed", "content": [{"type": "output_text", "text": "S11", "annotations": []}, {"type": "refusal", "refusal": "S12"}]},
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{\"q\":\"S13\"}"},
        {"type": "function_call_output", "call_id": "c1", "output": "S14"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "S15"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "S16"}]},
        {"type": "from_the_future", "words": {"more": "S17"}},
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "h", "description": "T1"}]}],
        "tools": [{"type": "function", "name": "f", "description": "T2", "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": "T3"}}}}]});
    let call = read(&body).unwrap();
    let segments = call.segments();
    let origin = |name: &str| {
        let bare = |text: &str| text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == name);
        segments.iter().find(|segment| bare(&segment.text)).map(|segment| segment.origin)
    };
    for number in 1..=17 {
        assert_eq!(origin(&format!("S{number}")), Some(Origin::Prompt), "S{number}");
    }
    for number in 1..=3 {
        assert_eq!(origin(&format!("T{number}")), Some(Origin::ToolDescription), "T{number}");
    }
    for opaque in ["cipher", "c1", "fc", "QUJD", "msg", "rs"] {
        assert!(segments.iter().all(|segment| segment.text != opaque), "{opaque}");
    }
    assert!(segments.iter().all(|segment| !segment.text.starts_with("data:")));
}

#[test]
fn what_a_vendor_keeps_costs_what_nobody_can_see() {
    let alone = read(&json!({"model": "m", "input": "a"})).unwrap().estimate();
    for body in [
        json!({"model": "m", "input": "a", "previous_response_id": "resp_1"}),
        json!({"model": "m", "input": "a", "conversation": "conv_1"}),
        json!({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}]}),
        json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}),
    ] {
        let call = read(&body).unwrap();
        assert!(call.estimate() > alone + 100_000, "{body}");
        // An answer to it is no answer to the same words asked again, but for a file, which stays what it is.
        assert_eq!(call.is_repeatable(), body.to_string().contains("file_id"), "{body}");
    }
    let image = json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]});
    assert!(read(&image).unwrap().estimate() >= 6_000);
}

#[test]
fn what_only_the_vendor_can_do_is_refused_by_pointer_and_passes_where_it_is_known() {
    for (more, pointer) in [
        (json!({"previous_response_id": "resp_1"}), "/previous_response_id"),
        (json!({"conversation": "conv_1"}), "/conversation"),
        (json!({"prompt": {"id": "p"}}), "/prompt"),
        (json!({"background": true}), "/background"),
        (json!({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}), "/tools/0"),
        (json!({"tools": [{"type": "mcp", "server_label": "s"}]}), "/tools/0"),
        (json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}), "/tool_choice"),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "/input/0"),
        (json!({"input": [{"type": "computer_call", "id": "x"}]}), "/input/0"),
        (json!({"input": [{"type": "from_the_future"}]}), "/input/0"),
        (json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}), "/input/0"),
        (json!({"input": [{"role": "user", "content": [{"type": "novel"}]}]}), "/input/0/content/0"),
    ] {
        let mut body = json!({"model": "m", "input": "a"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        assert_eq!(refused(&body).0, pointer, "{body}");
        let same = read(&body).unwrap().prepare(&wire(RESPONSES, "m")).unwrap();
        assert_eq!((same.lane, same.body), (Lane::Verbatim, Bytes::from(body.to_string())));
    }
}

fn full() -> Value {
    json!({
        "model": "fast", "instructions": "be brief", "max_output_tokens": 99, "temperature": 0.5, "stream": true, "user": "u",
        "parallel_tool_calls": false, "tool_choice": {"type": "function", "name": "f"}, "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "truncation": "auto",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "auto"}]},
            {"type": "message", "role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"n\":12345678901234567890}"},
            {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "f", "arguments": ""},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"role": "user", "content": "and?"}],
        "tools": [{"type": "function", "name": "f", "description": "d", "strict": true, "parameters": {"type": "object", "required": ["é"]}}]})
}

#[test]
fn a_request_is_said_in_chat() {
    let (body, losses) = sent(RESPONSES, Dialect::OpenAiChat, &full());
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    assert_eq!(
        body,
        json!({
        "model": "up", "max_completion_tokens": 99, "temperature": 0.5, "stream": true, "stream_options": {"include_usage": true}, "user": "u",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "auto"}}]},
            {"role": "assistant", "content": "ok", "tool_calls": [call("c1", "{\"n\":12345678901234567890}"), call("c2", "{}")]},
            {"role": "tool", "tool_call_id": "c2", "content": "two"}, {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "user", "content": "and?"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "required": ["é"]}, "strict": true}}],
        "parallel_tool_calls": false, "tool_choice": {"type": "function", "function": {"name": "f"}}, "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": true}}})
    );
    assert_eq!(
        losses,
        [
            "/input/1/phase input/1/phase",
            "/prompt_cache_key prompt_cache_key",
            "/text/verbosity text/verbosity",
            "/truncation truncation"
        ]
    );
}

#[test]
fn trap_21_a_request_is_said_in_anthropic_with_turns_merged_and_results_first() {
    let (body, _) = sent(RESPONSES, Dialect::Anthropic, &full());
    let input: Value = serde_json::from_str("{\"n\":12345678901234567890}").unwrap();
    assert_eq!(
        body,
        json!({
        "model": "up", "max_tokens": 99, "temperature": 0.5, "stream": true, "metadata": {"user_id": "u"}, "system": "be brief",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}]},
            {"role": "assistant", "content": [{"type": "text", "text": "ok"}, {"type": "tool_use", "id": "c1", "name": "f", "input": input}, {"type": "tool_use", "id": "c2", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c2", "content": "two"}, {"type": "tool_result", "tool_use_id": "c1", "content": "one"}, {"type": "text", "text": "and?"}]}],
        "tools": [{"name": "f", "description": "d", "strict": true, "input_schema": {"type": "object", "required": ["é"]}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true}, "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}}})
    );
}

#[test]
fn requests_of_others_are_said_in_this_dialect() {
    let chat = json!({
        "model": "fast", "max_completion_tokens": 99, "stop": "END", "user": "u", "stream": true, "reasoning_effort": "low",
        "parallel_tool_calls": false, "tool_choice": "required", "response_format": {"type": "json_object"},
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}, {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}}]},
            {"role": "assistant", "content": "ok", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "user", "content": "and?"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]});
    let (body, losses) = sent(Dialect::OpenAiChat, RESPONSES, &chat);
    assert_eq!(
        body,
        json!({
        "model": "up", "instructions": "be brief", "max_output_tokens": 99, "user": "u", "stream": true, "store": false,
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "text": {"format": {"type": "json_object"}},
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}, {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "and?"}]}],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false}],
        "parallel_tool_calls": false, "tool_choice": "required"})
    );
    assert_eq!(losses, ["/stop stop"]);
    let anthropic = json!({
        "model": "fast", "max_tokens": 99, "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}],
        "messages": [
            {"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}, {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"n": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "is_error": true, "content": [{"type": "text", "text": "42"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}]}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"}});
    let (body, losses) = sent(Dialect::Anthropic, RESPONSES, &anthropic);
    assert_eq!(
        body["input"],
        json!([
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_file", "file_url": "https://x/y.pdf"}, {"type": "input_text", "text": "words"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"n\":1}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "42"}, {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "auto"}]}])
    );
    assert_eq!(body["tool_choice"], json!({"type": "function", "name": "f"}));
    assert_eq!(losses, ["/messages/1 reasoning", "/messages/2 is_error", "/system cache_control"]);
}

#[test]
fn trap_22_orphan_result_and_dangling_call_are_refused_by_id() {
    let orphan = json!({"model": "m", "input": [{"role": "user", "content": "a"}, {"type": "function_call_output", "call_id": "lost", "output": "2"}]});
    let (pointer, words) = refused(&orphan);
    assert!(words.contains("`lost`") && pointer.starts_with("/input"), "{pointer} {words}");
    let open = json!({"model": "m", "input": [{"role": "user", "content": "a"}, {"type": "function_call", "id": "lost", "call_id": "open", "name": "f", "arguments": "{}"}]});
    assert!(refused(&open).1.contains("`open`"));
}

#[test]
fn trap_23_ids_that_others_cannot_hold_are_mapped_the_same_way_each_time() {
    let (long, odd) = ("x".repeat(70), "call:1/ü".to_owned());
    for id in [&long, &odd] {
        let body = json!({"model": "m", "input": [{"role": "user", "content": "a"},
            {"type": "function_call", "id": "fc_1", "call_id": id, "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": id, "output": "2"}]});
        let (sent_body, _) = sent(RESPONSES, Dialect::Anthropic, &body);
        let (called, answered) =
            (&sent_body["messages"][1]["content"][0]["id"], &sent_body["messages"][2]["content"][0]["tool_use_id"]);
        assert_eq!(called, answered);
        let mapped = called.as_str().unwrap();
        assert!(
            mapped.len() <= 64 && mapped.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{mapped}"
        );
        let chat = json!({"model": "m", "messages": [{"role": "user", "content": "a"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": id, "content": "2"}]});
        let (sent_body, _) = sent(Dialect::OpenAiChat, RESPONSES, &chat);
        assert_eq!(sent_body["input"][1]["call_id"], sent_body["input"][2]["call_id"]);
        assert_eq!(sent_body["input"][1]["call_id"], mapped);
    }
}

#[test]
fn a_choice_among_some_tools_leaves_only_those() {
    let function = |name: &str| json!({"type": "function", "name": name, "parameters": {"type": "object"}});
    let body = json!({"model": "m", "input": "a", "tools": [function("f"), function("g"), function("h")],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}});
    let (body, losses) = sent(RESPONSES, Dialect::OpenAiChat, &body);
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!((&body["tools"][0]["function"]["name"], &body["tool_choice"]), (&json!("g"), &json!("required")));
    assert!(losses.is_empty(), "{losses:?}");
}

/// As the agent asks a model that it does not know: tools at the top, some in a namespace, a search that the vendor runs.
fn agent_unknown_model() -> Value {
    json!({"model": "m", "stream": true, "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "thread",
        "client_metadata": {"x-codex-installation-id": "i"}, "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"effort": "medium", "summary": "auto"},
        "tools": [
            {"type": "function", "name": "exec_command", "description": "Runs", "strict": false, "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}}},
            {"type": "namespace", "name": "mcp__docs", "description": "Docs", "tools": [{"type": "function", "name": "search", "strict": false, "parameters": {"type": "object", "properties": {}}}]},
            {"type": "web_search", "external_web_access": true}],
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list"}]}]})
}

/// As it asks a model that it knows: no tools at the top, all of them in the first item.
fn agent_known_model() -> Value {
    json!({"model": "m", "stream": true, "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "thread",
        "tool_choice": "auto", "parallel_tool_calls": false,
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace", "name": "shell", "description": "The shell", "tools": [
                {"type": "custom", "name": "exec", "description": "Runs code", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
                {"type": "function", "name": "wait", "strict": false, "parameters": {"type": "object", "properties": {}}}]}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "namespace": "shell", "name": "exec", "input": "ls\n"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "a.txt"}]})
}

#[test]
fn a_coding_agents_requests_reach_models_of_other_apis() {
    let (body, losses) = sent(RESPONSES, Dialect::OpenAiChat, &agent_unknown_model());
    let names: Vec<_> = body["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].clone()).collect();
    assert_eq!(json!(names), json!(["exec_command", "mcp__docs__search"]));
    assert_eq!(losses, ["/client_metadata client_metadata", "/prompt_cache_key prompt_cache_key", "/tools/2 tools/2"]);
    let out = prepared(RESPONSES, Dialect::Anthropic, &agent_known_model()).unwrap();
    let body: Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!(body["system"], "You are an agent.");
    let names: Vec<_> = body["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(json!(names), json!(["shell__exec", "shell__wait"]));
    assert_eq!(body["tools"][0]["input_schema"]["required"], json!(["input"]));
    assert_eq!(
        body["messages"][1]["content"],
        json!([{"type": "tool_use", "id": "c1", "name": "shell__exec", "input": {"input": "ls\n"}}])
    );
    assert_eq!(
        body["messages"][2]["content"],
        json!([{"type": "tool_result", "tool_use_id": "c1", "content": "a.txt"}])
    );
    assert_eq!(out.forms.len(), 2);
    assert!(out.losses.iter().any(|loss| loss.pointer == "/input/0/tools/0/tools/0/format"), "{:?}", out.losses);
    // Where its own dialect is spoken, nothing is touched.
    for body in [agent_unknown_model(), agent_known_model()] {
        let out = prepared(RESPONSES, RESPONSES, &body).unwrap();
        assert_eq!(
            (out.lane, out.body),
            (Lane::Verbatim, Bytes::from(body.to_string().replace("\"model\":\"m\"", "\"model\":\"up\"")))
        );
    }
}
