//! Answers of OpenAI's Responses, whole and as the vendor streams them.

use serde_json::{Value, json};

use super::Case;
use crate::llm::Dialect;

/// Events, numbered, each named by its type.
pub(crate) fn responses_stream(events: &[Value]) -> String {
    let mut out = String::new();
    for (number, event) in events.iter().enumerate() {
        let mut event = event.clone();
        event["sequence_number"] = json!(number);
        out.push_str(&format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()));
    }
    out
}

pub(crate) fn usage() -> Value {
    json!({"input_tokens": 20, "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2}, "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 29})
}

/// An answer of this status with these items. What it echoes of the request is not generated.
pub(crate) fn response(status: &str, reason: Option<&str>, output: &[Value]) -> Value {
    let over = !matches!(status, "in_progress" | "queued");
    json!({"id": "resp_1", "object": "response", "created_at": 7, "status": status, "error": null,
        "incomplete_details": reason.map(|reason| json!({"reason": reason})), "instructions": "echoed words",
        "model": "gpt-up", "output": output, "parallel_tool_calls": true, "tool_choice": "auto",
        "tools": [{"type": "function", "name": "look", "description": "echoed words", "parameters": {}}],
        "usage": if over { usage() } else { Value::Null }})
}

/// The events around an item's own: it begins as `begun` and is `item` in the end.
pub(crate) fn around(at: usize, begun: Value, events: Vec<Value>, item: &Value) -> Vec<Value> {
    let mut all = vec![json!({"type": "response.output_item.added", "output_index": at, "item": begun})];
    all.extend(events.into_iter().map(|mut event| {
        event["output_index"] = json!(at);
        event["item_id"] = item["id"].clone();
        event
    }));
    all.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
    all
}

/// A message of one text, in pieces.
pub(crate) fn message(at: usize, pieces: &[&str], status: &str) -> (Value, Vec<Value>) {
    said(at, pieces, status, ("output_text", "text"))
}

fn said(at: usize, pieces: &[&str], status: &str, (kind, name): (&str, &str)) -> (Value, Vec<Value>) {
    let text = pieces.concat();
    let part = |text: &str| match kind {
        "refusal" => json!({"type": "refusal", "refusal": text}),
        _ => json!({"type": "output_text", "text": text, "annotations": []}),
    };
    let of = |status: &str, content: Value| json!({"id": format!("msg_{at}"), "type": "message", "status": status, "role": "assistant", "content": content});
    let event = |suffix: &str| format!("response.{kind}.{suffix}");
    let mut events = vec![json!({"type": "response.content_part.added", "content_index": 0, "part": part("")})];
    for piece in pieces {
        events.push(json!({"type": event("delta"), "content_index": 0, "delta": piece, "logprobs": []}));
    }
    events.push(json!({"type": event("done"), "content_index": 0, name: text}));
    events.push(json!({"type": "response.content_part.done", "content_index": 0, "part": part(&text)}));
    let item = of(status, json!([part(&text)]));
    let events = around(at, of("in_progress", json!([])), events, &item);
    (item, events)
}

/// A call of a function, its arguments in pieces.
pub(crate) fn call(at: usize, name: &str, pieces: &[&str], status: &str) -> (Value, Vec<Value>) {
    let of = |status: &str, arguments: &str| {
        json!({"id": format!("fc_{at}"), "type": "function_call", "status": status, "call_id": format!("call_{name}"),
            "name": name, "arguments": arguments})
    };
    let mut events: Vec<Value> =
        pieces.iter().map(|piece| json!({"type": "response.function_call_arguments.delta", "delta": piece})).collect();
    events.push(json!({"type": "response.function_call_arguments.done", "name": name, "arguments": pieces.concat()}));
    let item = of(status, &pieces.concat());
    let events = around(at, of("in_progress", ""), events, &item);
    (item, events)
}

fn reasoning(at: usize, parts: &[&[&str]], encrypted: Option<&str>) -> (Value, Vec<Value>) {
    let part = |text: &str| json!({"type": "summary_text", "text": text});
    let mut item = json!({"id": format!("rs_{at}"), "type": "reasoning", "summary": []});
    let begun = item.clone();
    let mut events = Vec::new();
    for (index, pieces) in parts.iter().enumerate() {
        let text = pieces.concat();
        let event = |kind: &str| json!({"type": format!("response.reasoning_summary_{kind}"), "summary_index": index});
        let with = |mut event: Value, name: &str, value: Value| {
            event[name] = value;
            event
        };
        events.push(with(event("part.added"), "part", part("")));
        events.extend(pieces.iter().map(|piece| with(event("text.delta"), "delta", json!(piece))));
        events.push(with(event("text.done"), "text", json!(text)));
        events.push(with(event("part.done"), "part", part(&text)));
        item["summary"].as_array_mut().unwrap().push(part(&text));
    }
    if let Some(encrypted) = encrypted {
        item["encrypted_content"] = json!(encrypted);
    }
    let events = around(at, begun, events, &item);
    (item, events)
}

fn case(name: &'static str, items: Vec<(Value, Vec<Value>)>, status: &str, reason: Option<&str>) -> Case {
    let mut events = vec![
        json!({"type": "response.created", "response": response("in_progress", None, &[])}),
        json!({"type": "response.in_progress", "response": response("in_progress", None, &[])}),
    ];
    let mut output = Vec::new();
    for (item, own) in items {
        output.push(item);
        events.extend(own);
    }
    let whole = response(status, reason, &output);
    events.push(json!({"type": format!("response.{status}"), "response": whole}));
    Case { name, dialect: Dialect::OpenAiResponses, unary: whole.to_string(), stream: responses_stream(&events) }
}

pub(super) fn cases() -> Vec<Case> {
    let done = "completed";
    let (one, two) = (call(0, "one", &["{\"a\":", "1}"], done), call(1, "two", &["{\"b\"", ":2}"], done));
    let search = json!({"id": "ws_0", "type": "web_search_call", "status": "completed",
        "action": {"type": "search", "query": "found words"}});
    let searched = around(0, search.clone(), vec![json!({"type": "response.web_search_call.searching"})], &search);
    vec![
        case("text", vec![message(0, &["Grüße, ", "😀 \"quoted\"\n"], done)], done, None),
        case(
            "text and call",
            vec![message(0, &["Let me look."], done), call(1, "look", &["{\"at\":", "12345678901234567890}"], done)],
            done,
            None,
        ),
        case("parallel calls", vec![one, two], done, None),
        case("call without arguments", vec![call(0, "now", &["{}"], done)], done, None),
        case(
            "call cut by the limit",
            vec![call(0, "one", &["{\"a\":\"unfin"], "incomplete")],
            "incomplete",
            Some("max_output_tokens"),
        ),
        case(
            "reasoning, then text",
            vec![reasoning(0, &[&["First, ", "look."], &["Then."]], Some("gAAA+/=")), message(1, &["Done"], done)],
            done,
            None,
        ),
        case(
            "reasoning that nobody reads, then a call",
            vec![reasoning(0, &[], Some("gAAA+/=")), call(1, "look", &["{}"], done)],
            done,
            None,
        ),
        case(
            "reasoning without ciphertext",
            vec![reasoning(0, &[&["Hm."]], None), message(1, &["Yes."], done)],
            done,
            None,
        ),
        case("refusal", vec![said(0, &["I will ", "not."], done, ("refusal", "refusal"))], done, None),
        case("filtered", vec![message(0, &["I"], done)], "incomplete", Some("content_filter")),
        case("limit", vec![message(0, &["Wai"], "incomplete")], "incomplete", Some("max_output_tokens")),
        case("steered", vec![message(0, &["Wai"], done)], "incomplete", Some("steered")),
        case(
            "search call by the vendor, then text",
            vec![(search, searched), message(1, &["Found."], done)],
            done,
            None,
        ),
        case("nothing", vec![], done, None),
    ]
}
