//! OpenAI's Responses from outside: what leaves a stream that says everything twice, agents and their tools before
//! models of every API, and where stored answers are asked for.

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted};

use super::{
    gateway::{Gateway, Sim, Start, key},
    http,
};

const PATH: &str = "/v1/responses";

/// Events, numbered and named.
fn stream(events: &[Value]) -> String {
    let mut text = String::new();
    for (number, event) in events.iter().enumerate() {
        let mut event = event.clone();
        event["sequence_number"] = json!(number);
        text.push_str(&format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()));
    }
    text
}

fn events(body: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(body).into_owned();
    text.lines().filter_map(|line| line.strip_prefix("data:")).map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn response(id: &str, status: &str, output: &[Value]) -> Value {
    json!({"id": id, "object": "response", "created_at": 1, "status": status, "model": "m", "output": output,
        "instructions": "never show 4111 1111 1111 1111", "tools": [], "tool_choice": "auto", "parallel_tool_calls": true,
        "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}})
}

/// A stream that says a card's number in a text, in reasoning and in a call, in pieces and then whole, twice and thrice.
fn leaky(pieces: &[&str]) -> String {
    let whole = pieces.concat();
    let mut all = vec![json!({"type": "response.created", "response": response("resp_1", "in_progress", &[])})];
    let summary = json!({"type": "summary_text", "text": whole});
    let part = json!({"type": "output_text", "text": whole, "annotations": [], "logprobs": []});
    let items = [
        json!({"id": "rs", "type": "reasoning", "summary": [summary], "encrypted_content": "gAAA"}),
        json!({"id": "msg", "type": "message", "role": "assistant", "status": "completed", "content": [part]}),
        json!({"id": "fc", "type": "function_call", "status": "completed", "call_id": "c", "name": "pay", "arguments": json!({"card": whole}).to_string()}),
    ];
    let arguments: Vec<String> = items[2]["arguments"].as_str().unwrap().chars().map(String::from).collect();
    for (at, item) in items.iter().enumerate() {
        let mut begun = item.clone();
        for (name, empty) in [("summary", json!([])), ("content", json!([])), ("arguments", json!(""))] {
            if begun.get(name).is_some() {
                begun[name] = empty;
            }
        }
        let mut add = |kind: &str, name: &str, value: Value| {
            let mut event = json!({"type": kind, "output_index": at, "item_id": item["id"], "content_index": 0, "summary_index": 0});
            event[name] = value;
            all.push(event);
        };
        add("response.output_item.added", "item", begun);
        match at {
            0 => {
                add("response.reasoning_summary_part.added", "part", json!({"type": "summary_text", "text": ""}));
                pieces.iter().for_each(|piece| add("response.reasoning_summary_text.delta", "delta", json!(piece)));
                add("response.reasoning_summary_text.done", "text", json!(whole));
                add("response.reasoning_summary_part.done", "part", summary.clone());
            }
            1 => {
                add("response.content_part.added", "part", json!({"type": "output_text", "text": ""}));
                pieces.iter().for_each(|piece| add("response.output_text.delta", "delta", json!(piece)));
                add("response.output_text.done", "text", json!(whole));
                add("response.content_part.done", "part", part.clone());
            }
            _ => {
                arguments.iter().for_each(|piece| add("response.function_call_arguments.delta", "delta", json!(piece)));
                add("response.function_call_arguments.done", "arguments", item["arguments"].clone());
            }
        }
        add("response.output_item.done", "item", item.clone());
    }
    let mut last = response("resp_1", "completed", &items);
    last["instructions"] = Value::Null;
    all[0]["response"]["instructions"] = Value::Null;
    all.push(json!({"type": "response.completed", "response": last}));
    stream(&all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_number_leaves_a_responses_stream_neither_in_pieces_nor_whole() {
    let pieces = ["so the card is 4111 ", "1111 11", "11 1111", " and that is all"];
    let upstream = Scripted::answering(move |_| Reply::events(leaky(&pieces))).await.unwrap();
    let (folder, key) = (tempfile::tempdir().unwrap(), key());
    let config = json!({
        "version": 1,
        "providers": {"openai": {"type": "openai", "base_url": upstream.url("/v1")}},
        "guardrails": {"cards": {"detect": ["card"], "on": ["response"], "action": "redact"}},
        "keys": {"a": {"secret": "env:A", "allow": {"models": "*"}, "guardrails": ["cards"]}},
    });
    let gateway = Start::new("serve", folder.path()).config(config).env("A", &key).run().await;
    let body = json!({"model": "openai/m", "input": "hi", "stream": true});
    let answer = gateway.post(PATH, &key, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.received()[0].path, "/v1/responses");
    for digits in ["4111", "1111"] {
        assert!(!answer.text().contains(digits), "{digits} left: {}", answer.text());
    }
    let events = events(&answer.body);
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    let marked = "so the card is [REDACTED:card] and that is all";
    for kind in ["response.output_text.delta", "response.reasoning_summary_text.delta"] {
        let said: String =
            events.iter().filter(|event| event["type"] == kind).filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(said, marked, "{kind}");
    }
    let mut repeats = 0;
    for event in &events {
        let kind = event["type"].as_str().unwrap();
        if kind.ends_with(".done") || kind == "response.completed" {
            let marks = event.to_string().matches("[REDACTED:card]").count();
            assert_eq!(marks, if kind == "response.completed" { 3 } else { 1 }, "{event}");
            repeats += 1;
        }
    }
    assert_eq!(repeats, 9);
    // Whole, it is looked at in the same way.
    let last = events.last().unwrap()["response"].clone();
    assert_eq!(last["output"][2]["arguments"], json!({"card": marked}).to_string());
}

async fn agent(folder: &std::path::Path, sim: &Sim, secret: &str) -> Gateway {
    let provider = |kind: &str| json!({"type": kind, "base_url": format!("{}/v1", sim.url)});
    let config = json!({
        "version": 1,
        "providers": {"chat": provider("vllm"), "messages": provider("anthropic"), "responses": provider("openai")},
        "keys": {"a": {"secret": "env:A", "allow": {"models": "*"}}},
    });
    Start::new("serve", folder).config(config).env("A", secret).run().await
}

/// As a coding agent asks a model that it does not know.
fn tools_at_the_top() -> (Value, Value, &'static str) {
    let body = json!({
        "stream": true, "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "thread-1",
        "client_metadata": {"x-codex-installation-id": "i"}, "tool_choice": "auto", "parallel_tool_calls": true,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "tools": [
            {"type": "function", "name": "exec_command", "description": "Runs", "strict": false, "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}}},
            {"type": "namespace", "name": "mcp__docs", "description": "Docs", "tools": [{"type": "function", "name": "search", "strict": false, "parameters": {"type": "object", "properties": {}}}]},
            {"type": "web_search", "external_web_access": true}],
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look [[sim: tool mcp__docs__search {\"q\":\"x\"}]]"}]}]});
    let call =
        json!({"type": "function_call", "namespace": "mcp__docs", "name": "search", "arguments": "{\"q\":\"x\"}"});
    (body, call, "function_call_output")
}

/// As it asks a model that it knows.
fn tools_among_the_items() -> (Value, Value, &'static str) {
    let body = json!({
        "stream": true, "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "thread-1",
        "tool_choice": "auto", "parallel_tool_calls": false,
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace", "name": "shell", "description": "The shell", "tools": [
                {"type": "custom", "name": "exec", "description": "Runs code", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
                {"type": "function", "name": "wait", "strict": false, "parameters": {"type": "object", "properties": {}}}]}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list [[sim: tool shell__exec {\"input\":\"ls \\\"a\\\"\"}]]"}]}]});
    let call = json!({"type": "custom_tool_call", "namespace": "shell", "name": "exec", "input": "ls \"a\""});
    (body, call, "custom_tool_call_output")
}

/// What an agent does with a stream: it keeps the items that are done, and believes in the end only with its id.
fn done(answer: &http::Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let events = events(&answer.body);
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed", "{}", answer.text());
    assert!(last["response"]["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(last["response"]["usage"]["total_tokens"].as_u64() > Some(0), "{last}");
    let items = events.iter().filter(|event| event["type"] == "response.output_item.done");
    items.map(|event| event["item"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coding_agents_tool_loop_runs_before_models_of_every_api() {
    let (folder, secret, sim) = (tempfile::tempdir().unwrap(), key(), Sim::start().await);
    let gateway = agent(folder.path(), &sim, &secret).await;
    for (provider, path) in
        [("chat", "/v1/chat/completions"), ("messages", "/v1/messages"), ("responses", "/v1/responses")]
    {
        for (mut body, expected, output) in [tools_at_the_top(), tools_among_the_items()] {
            body["model"] = json!(format!("{provider}/chat"));
            let items = done(&gateway.post(PATH, &secret, &body).await);
            let call = items.iter().find(|item| item["call_id"].is_string()).unwrap_or_else(|| panic!("{items:?}"));
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(&call[name], value, "{provider}: {call}");
            }
            let input = body["input"].as_array_mut().unwrap();
            input.extend(items.clone());
            input.push(json!({"type": output, "call_id": call["call_id"], "output": "a.txt"}));
            let second = gateway.post(PATH, &secret, &body).await;
            let items = done(&second);
            let text = items[0]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{items:?}"));
            assert!(text.starts_with("echo: "), "{provider}: {text}");
            let asked = sim.requests().await;
            assert_eq!(asked.last().unwrap()["path"], path);
            let counted = asked.last().unwrap()["output_tokens"].as_u64();
            assert_eq!(events(&second.body).last().unwrap()["response"]["usage"]["output_tokens"].as_u64(), counted);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vendor_keeps_is_refused_where_it_is_not_and_counts_have_the_apis_shape() {
    let (folder, secret, sim) = (tempfile::tempdir().unwrap(), key(), Sim::start().await);
    let gateway = agent(folder.path(), &sim, &secret).await;
    let before = sim.requests().await.len();
    for model in ["chat/chat", "messages/chat"] {
        let body = json!({"model": model, "input": "a", "previous_response_id": "resp_1"});
        let answer = gateway.post(PATH, &secret, &body).await;
        assert_eq!((answer.status, answer.header("x-tidegate-error")), (400, "invalid_request"), "{}", answer.text());
        assert_eq!(answer.json()["error"]["param"], "/previous_response_id");
    }
    assert_eq!(sim.requests().await.len(), before, "what is refused reached the upstream");
    for model in ["messages/chat", "responses/chat"] {
        let body = json!({"model": model, "input": "twelve bytes"});
        let answer = gateway.post("/v1/responses/input_tokens", &secret, &body).await;
        assert_eq!(answer.json(), json!({"object": "response.input_tokens", "input_tokens": 3}), "{model}");
    }
    let failing = json!({"model": "messages/chat", "input": "[[sim: fail 429]]"});
    let answer = gateway.post(PATH, &secret, &failing).await;
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_answer_is_asked_for_where_it_was_made() {
    let made = |id: &'static str| {
        Scripted::answering(move |request| match request.method.as_str() {
            "POST" if request.text().contains("\"stream\":true") => {
                let first = json!({"type": "response.created", "response": response(id, "in_progress", &[])});
                Reply::events(stream(&[
                    first,
                    json!({"type": "response.completed", "response": response(id, "completed", &[])}),
                ]))
            }
            _ => Reply::json(200, response(id, "completed", &[]).to_string()),
        })
    };
    let (one, two) = (made("resp_one").await.unwrap(), made("resp_two").await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let permit = r#"@id("api") permit (principal, action == Tidegate::Action::"call_provider_api", resource);"#;
    std::fs::write(policies.join("api.cedar"), permit).unwrap();
    let secret = key();
    let provider = |upstream: &Scripted| json!({"type": "openai", "base_url": upstream.url("/v1")});
    let config = json!({
        "version": 1, "policies": policies, "default_provider": "one",
        "providers": {"one": provider(&one), "two": provider(&two)},
        "keys": {"a": {"secret": "env:A", "allow": {"models": "*"}}},
    });
    let gateway = Start::new("serve", folder.path()).config(config).env("A", &secret).run().await;
    for (model, stream) in [("two/m", true), ("one/m", false), ("two/m", false)] {
        let body = json!({"model": model, "input": "a", "stream": stream});
        assert_eq!(gateway.post(PATH, &secret, &body).await.status, 200);
        let id = if model == "two/m" { "resp_two" } else { "resp_one" };
        let bearer = format!("Bearer {secret}");
        let headers = [("authorization", bearer.as_str())];
        for path in [format!("{PATH}/{id}"), format!("{PATH}/{id}/input_items?limit=1")] {
            let answer = http::send("GET", &format!("{}{path}", gateway.url), &headers, "").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.header("x-tidegate-served-by"), model.trim_end_matches("/m"), "{path}");
        }
    }
    let (asked, unknown) = (two.count(), format!("{}{PATH}/resp_nobody", gateway.url));
    let bearer = format!("Bearer {secret}");
    let answer = http::send("GET", &unknown, &[("authorization", bearer.as_str())], "").await;
    assert_eq!((answer.header("x-tidegate-served-by"), two.count()), ("one", asked));
}
