//! OpenAI responses: reading the question, writing the answer.

use serde_json::{Value, json};

use super::{
    answer::{Answer, DEFAULT_MAX_TOKENS, Question, Running, tokens},
    body::Piece,
    openai::{CREATED, halves},
};

fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or("message")
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn read(body: &[u8]) -> Option<Question> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let input = body.get("input")?;
    let items: Vec<&Value> = input.as_array().map(|items| items.iter().collect()).unwrap_or_default();
    let instructions = body.get("instructions").and_then(Value::as_str).map(str::to_owned);
    let mut texts: Vec<String> = instructions.into_iter().chain(input.as_str().map(str::to_owned)).collect();
    texts.extend(items.iter().map(|item| said(item)).filter(|text| !text.is_empty()));
    let user = |item: &&&Value| kind(item) == "message" && item.get("role").and_then(Value::as_str) == Some("user");
    let last_user_text = match input.as_str() {
        Some(text) => text.to_owned(),
        None => items.iter().rfind(user).map(|item| said(item)).unwrap_or_default(),
    };
    Some(Question {
        model: body.get("model")?.as_str()?.to_owned(),
        prompt: texts.join("\n"),
        last_user_text,
        has_tool_result: items.last().is_some_and(|item| kind(item).ends_with("_call_output")),
        tools: tools(&body).into_iter().map(|tool| tool.told()).collect(),
        max_tokens: body.get("max_output_tokens").and_then(Value::as_u64).unwrap_or(DEFAULT_MAX_TOKENS),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// What an item says: a message's text, a tool's output.
fn said(item: &Value) -> String {
    let content = item.get("content").or_else(|| item.get("output"));
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// A tool as it was declared.
struct Tool {
    namespace: Option<String>,
    name: String,
    custom: bool,
}

impl Tool {
    /// The name that a script calls it by.
    fn told(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}__{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Every tool with a name, also inside namespaces and of items that add some.
fn tools(body: &Value) -> Vec<Tool> {
    let mut tools = Vec::new();
    let added = list(body, "input").filter(|item| kind(item) == "additional_tools");
    for tool in std::iter::once(body).chain(added).flat_map(|holder| list(holder, "tools")) {
        let name = |tool: &Value| tool.get("name").and_then(Value::as_str).map(str::to_owned);
        let mut add = |namespace: Option<String>, tool: &Value| {
            let custom = kind(tool) == "custom";
            tools.extend(name(tool).map(|name| Tool { namespace, name, custom }));
        };
        if kind(tool) == "namespace" {
            list(tool, "tools").for_each(|inner| add(name(tool), inner));
        } else {
            add(None, tool);
        }
    }
    tools
}

/// The items of an answer, whole.
fn output(answer: &Answer, body: &[u8]) -> Vec<Value> {
    let declared = serde_json::from_slice::<Value>(body).map(|body| tools(&body)).unwrap_or_default();
    let mut items = Vec::new();
    if answer.tools.is_empty() || !answer.pieces.is_empty() {
        let part = json!({"type": "output_text", "text": answer.pieces.concat(), "annotations": [], "logprobs": []});
        let status = if answer.cut_short { "incomplete" } else { "completed" };
        items.push(
            json!({"id": "msg_sim", "type": "message", "status": status, "role": "assistant", "content": [part]}),
        );
    }
    for (index, (name, arguments)) in answer.tools.iter().enumerate() {
        let tool = declared.iter().find(|tool| tool.told() == *name);
        let custom = tool.is_some_and(|tool| tool.custom);
        let mut item = json!({"id": format!("fc_sim_{index}"), "type": "function_call", "status": "completed",
            "call_id": format!("call_sim_{index}"), "name": tool.map_or(name, |tool| &tool.name)});
        if let Some(members) = item.as_object_mut() {
            if let Some(namespace) = tool.and_then(|tool| tool.namespace.as_ref()) {
                members.insert("namespace".to_owned(), json!(namespace));
            }
            if custom {
                let input = serde_json::from_str::<Value>(arguments).ok();
                let input = input.and_then(|input| Some(input.get("input")?.as_str()?.to_owned()));
                members.insert("type".to_owned(), json!("custom_tool_call"));
                members.insert("input".to_owned(), json!(input.unwrap_or_default()));
            } else {
                members.insert("arguments".to_owned(), json!(arguments));
            }
        }
        items.push(item);
    }
    items
}

fn response(question: &Question, status: &str, answer: Option<&Answer>, output: &[Value]) -> Value {
    let usage = answer.map(|answer| {
        json!({"input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answer.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.input_tokens.saturating_add(answer.output_tokens)})
    });
    let details = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
    json!({"id": "resp_sim", "object": "response", "created_at": CREATED, "status": status, "error": null,
        "incomplete_details": details, "instructions": null, "model": question.model, "output": output,
        "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "usage": usage})
}

fn status(answer: &Answer) -> &'static str {
    if answer.cut_short && answer.tools.is_empty() { "incomplete" } else { "completed" }
}

pub(super) fn unary(question: &Question, answer: &Answer, body: &[u8]) -> Vec<u8> {
    response(question, status(answer), Some(answer), &output(answer, body)).to_string().into_bytes()
}

/// Numbers events as they come.
#[derive(Default)]
struct Events {
    pieces: Vec<Piece>,
    sequence: u64,
}

impl Events {
    fn push(&mut self, kind: &str, mut value: Value, tokens: u64, content: bool) {
        if let Some(members) = value.as_object_mut() {
            members.insert("type".to_owned(), json!(kind));
            members.insert("sequence_number".to_owned(), json!(self.sequence));
        }
        self.sequence = self.sequence.saturating_add(1);
        self.pieces.push(Piece { bytes: format!("event: {kind}\ndata: {value}\n\n").into(), tokens, content });
    }

    fn message(&mut self, answer: &Answer, at: usize, item: &Value) {
        let place = |name: &str, value: Value| {
            let mut event = json!({"item_id": "msg_sim", "output_index": at, "content_index": 0});
            if let Some(members) = event.as_object_mut() {
                members.insert(name.to_owned(), value);
                if matches!(name, "delta" | "text") {
                    members.insert("logprobs".to_owned(), json!([]));
                }
            }
            event
        };
        let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
        self.push("response.content_part.added", place("part", part), 0, false);
        let mut running = Running::default();
        for text in &answer.pieces {
            self.push("response.output_text.delta", place("delta", json!(text)), running.add(text), true);
        }
        self.push("response.output_text.done", place("text", json!(answer.pieces.concat())), 0, false);
        let part = item.pointer("/content/0").cloned().unwrap_or_default();
        self.push("response.content_part.done", place("part", part), 0, false);
    }

    fn call(&mut self, at: usize, item: &Value) {
        let (member, event) = match kind(item) {
            "custom_tool_call" => ("input", "response.custom_tool_call_input"),
            _ => ("arguments", "response.function_call_arguments"),
        };
        let whole = item.get(member).and_then(Value::as_str).unwrap_or_default();
        let place = |name: &str, value: &str| {
            let mut event = json!({"item_id": item.get("id"), "output_index": at, "name": item.get("name")});
            if let Some(members) = event.as_object_mut() {
                members.insert(name.to_owned(), json!(value));
            }
            event
        };
        let (head, tail) = halves(whole);
        let mut running = Running::default();
        for part in [head, tail] {
            self.push(&format!("{event}.delta"), place("delta", part), running.add(part), true);
        }
        self.push(&format!("{event}.done"), place(member, whole), 0, false);
    }
}

/// The item before anything of it was said.
fn begun(item: &Value) -> Value {
    let mut begun = item.clone();
    if let Some(members) = begun.as_object_mut() {
        members.insert("status".to_owned(), json!("in_progress"));
        for (name, empty) in [("content", json!([])), ("arguments", json!("")), ("input", json!(""))] {
            if members.contains_key(name) {
                members.insert(name.to_owned(), empty);
            }
        }
    }
    begun
}

pub(super) fn stream(question: &Question, answer: &Answer, body: &[u8]) -> Vec<Piece> {
    let mut events = Events::default();
    let first = response(question, "in_progress", None, &[]);
    for kind in ["response.created", "response.in_progress"] {
        events.push(kind, json!({"response": first}), 0, false);
    }
    let items = output(answer, body);
    for (at, item) in items.iter().enumerate() {
        let name = item.get("name").and_then(Value::as_str);
        let added = json!({"output_index": at, "item": begun(item)});
        events.push("response.output_item.added", added, name.map_or(0, tokens), name.is_some());
        match name {
            None => events.message(answer, at, item),
            Some(_) => events.call(at, item),
        }
        events.push("response.output_item.done", json!({"output_index": at, "item": item}), 0, false);
    }
    let status = status(answer);
    let last = response(question, status, Some(answer), &items);
    events.push(&format!("response.{status}"), json!({"response": last}), 0, false);
    events.pieces
}
