//! The golden corpus: for each dialect, answers whole and as the vendor streams them.

pub(crate) mod responses;

use crate::llm::Dialect;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) dialect: Dialect,
    pub(crate) unary: String,
    pub(crate) stream: String,
}

/// `data: …` for each chunk, and the marker.
pub(crate) fn chat_stream(chunks: &[&str]) -> String {
    let head = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-up","#;
    let mut out = String::new();
    for chunk in chunks {
        out.push_str(&format!("data: {head}{chunk}}}\n\n"));
    }
    out + "data: [DONE]\n\n"
}

pub(crate) fn delta(delta: &str) -> String {
    format!(r#""choices":[{{"index":0,"delta":{delta},"finish_reason":null}}],"usage":null"#)
}

pub(crate) fn finish(reason: &str) -> String {
    format!(r#""choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}],"usage":null"#)
}

pub(crate) const CHAT_USAGE: &str = r#"{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":4}}"#;

pub(crate) fn usage_chunk() -> String {
    format!(r#""choices":[],"usage":{CHAT_USAGE}"#)
}

pub(crate) fn chat_unary(message: &str, reason: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"gpt-up","choices":[{{"index":0,"message":{message},"logprobs":null,"finish_reason":"{reason}"}}],"usage":{CHAT_USAGE}}}"#
    )
}

fn chat(name: &'static str, deltas: &[&str], reason: &str, message: &str) -> Case {
    let mut chunks = vec![delta(r#"{"role":"assistant","content":""}"#)];
    chunks.extend(deltas.iter().map(|text| delta(text)));
    chunks.extend([finish(reason), usage_chunk()]);
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    Case { name, dialect: Dialect::OpenAiChat, unary: chat_unary(message, reason), stream: chat_stream(&chunks) }
}

pub(crate) fn messages_stream(events: &[&str]) -> String {
    let mut out = String::new();
    for event in events {
        let value: serde_json::Value = serde_json::from_str(event).unwrap();
        out.push_str(&format!("event: {}\ndata: {event}\n\n", value["type"].as_str().unwrap()));
    }
    out
}

pub(crate) const MESSAGE_START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-up","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":5,"cache_read_input_tokens":3,"output_tokens":1}}}"#;

fn anthropic(name: &'static str, events: &[&str], reason: &str, sequence: &str, content: &str) -> Case {
    let end = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":{sequence}}},"usage":{{"output_tokens":9}}}}"#
    );
    let mut all = vec![MESSAGE_START, r#"{"type":"ping"}"#];
    all.extend(events);
    all.extend([&*end, r#"{"type":"message_stop"}"#]);
    let unary = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-up","content":{content},"stop_reason":"{reason}","stop_sequence":{sequence},"usage":{{"input_tokens":12,"cache_creation_input_tokens":5,"cache_read_input_tokens":3,"output_tokens":9}}}}"#
    );
    Case { name, dialect: Dialect::Anthropic, unary, stream: messages_stream(&all) }
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = chat_cases();
    cases.extend(anthropic_cases());
    cases.extend(super::corpus_gemini::cases());
    cases.extend(responses::cases());
    cases
}

fn chat_cases() -> Vec<Case> {
    vec![
        chat(
            "text",
            &[r#"{"content":"Grüße, "}"#, r#"{"content":"\ud83d\ude00 \"quoted\"\n"}"#],
            "stop",
            r#"{"role":"assistant","content":"Grüße, 😀 \"quoted\"\n","refusal":null}"#,
        ),
        chat(
            "text and call in one chunk",
            &[
                r#"{"content":"Let me look.","tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":""}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\":"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"12345678901234567890}"}}]}"#,
            ],
            "tool_calls",
            r#"{"role":"assistant","content":"Let me look.","refusal":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"look","arguments":"{\"at\":12345678901234567890}"}}]}"#,
        ),
        chat(
            "parallel calls, interleaved",
            &[
                r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"one","arguments":""}}]}"#,
                r#"{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"two","arguments":"{\"b\""}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1}"}}]}"#,
                r#"{"tool_calls":[{"index":1,"function":{"arguments":":2}"}}]}"#,
            ],
            "tool_calls",
            r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"one","arguments":"{\"a\":1}"}},{"id":"call_b","type":"function","function":{"name":"two","arguments":"{\"b\":2}"}}]}"#,
        ),
        chat(
            "call cut by the limit",
            &[
                r#"{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"one","arguments":"{\"a\":\"unfin"}}]}"#,
            ],
            "length",
            r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_a","type":"function","function":{"name":"one","arguments":"{\"a\":\"unfin"}}]}"#,
        ),
        chat(
            "reasoning text",
            &[r#"{"reasoning_content":"Hm"}"#, r#"{"reasoning_content":"m."}"#, r#"{"content":"Yes."}"#],
            "stop",
            r#"{"role":"assistant","content":"Yes.","refusal":null,"reasoning_content":"Hmm."}"#,
        ),
        chat(
            "refusal",
            &[r#"{"refusal":"I will "}"#, r#"{"refusal":"not."}"#],
            "content_filter",
            r#"{"role":"assistant","content":null,"refusal":"I will not."}"#,
        ),
        chat("nothing", &[], "stop", r#"{"role":"assistant","content":null,"refusal":null}"#),
    ]
}

fn anthropic_cases() -> Vec<Case> {
    let text_start = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let stop0 = r#"{"type":"content_block_stop","index":0}"#;
    let stop1 = r#"{"type":"content_block_stop","index":1}"#;
    vec![
        anthropic(
            "text",
            &[
                text_start,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Grüße "}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"aus \u20ac"}}"#,
                stop0,
            ],
            "end_turn",
            "null",
            r#"[{"type":"text","text":"Grüße aus €"}]"#,
        ),
        anthropic(
            "thinking, then text",
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"First, "}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"look."}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB+/a=="}}"#,
                stop0,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Done"}}"#,
                stop1,
            ],
            "stop_sequence",
            "\"END\"",
            r#"[{"type":"thinking","thinking":"First, look.","signature":"EqQB+/a=="},{"type":"text","text":"Done"}]"#,
        ),
        anthropic(
            "redacted thinking, then a call",
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"b3BhcXVl+/=="}}"#,
                stop0,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"look","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\": [1,"}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"2]}"}}"#,
                stop1,
            ],
            "tool_use",
            "null",
            r#"[{"type":"redacted_thinking","data":"b3BhcXVl+/=="},{"type":"tool_use","id":"toolu_1","name":"look","input":{"a": [1,2]}}]"#,
        ),
        anthropic(
            "call without arguments",
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"now","input":{}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}"#,
                stop0,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_2","name":"here","input":{}}}"#,
                stop1,
            ],
            "tool_use",
            "null",
            r#"[{"type":"tool_use","id":"toolu_1","name":"now","input":{}},{"type":"tool_use","id":"toolu_2","name":"here","input":{}}]"#,
        ),
        anthropic(
            "paused",
            &[
                text_start,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Wait"}}"#,
                stop0,
            ],
            "pause_turn",
            "null",
            r#"[{"type":"text","text":"Wait"}]"#,
        ),
        anthropic(
            "limit",
            &[
                text_start,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Wai"}}"#,
                stop0,
            ],
            "max_tokens",
            "null",
            r#"[{"type":"text","text":"Wai"}]"#,
        ),
    ]
}
