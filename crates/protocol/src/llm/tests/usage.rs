//! Usage as vendors say it: every class, in every dialect, unary and at the end of a stream; and what a request asks of a
//! model.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::{
    capability::Capability,
    unit::{Unit, Units},
    usage::{Service, Usage, UsageSource},
};

use crate::llm::{Answer, Dialect, ModelCall, Named, Operation};

fn usage(dialect: Dialect, body: &Value) -> Usage {
    Answer::read(dialect, Bytes::from(body.to_string())).unwrap().usage().unwrap()
}

fn chat(usage: &Value, tier: &Value) -> Value {
    json!({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "service_tier": tier, "usage": usage,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}]})
}

fn of(input: u64, output: u64) -> Usage {
    Usage { input, output, source: UsageSource::Vendor, ..Usage::default() }
}

#[test]
fn chat_usage_has_sounds_levels_and_what_compatible_servers_say_elsewhere() {
    let full = json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 30, "cache_write_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 40}});
    let expected = Usage {
        cache_read: 20,
        cache_write_5m: 10,
        reasoning: 5,
        audio_input: 30,
        audio_output: 40,
        service: Some(Service::Flex),
        ..of(70, 50)
    };
    assert_eq!(usage(Dialect::OpenAiChat, &chat(&full, &json!("flex"))), expected);
    // What OpenAI calls fast is its priority; `auto` says nothing.
    let plain = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
    let service = |name: &Value| usage(Dialect::OpenAiChat, &chat(&plain, name)).service;
    assert_eq!(service(&json!("fast")), Some(Service::Priority));
    assert_eq!(service(&json!("default")), Some(Service::Standard));
    assert_eq!((service(&json!("auto")), service(&json!(null))), (None, None));
    // DeepSeek, Moonshot and Mistral on what was read from a cache.
    for name in ["prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"] {
        let elsewhere = json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, name: 4});
        assert_eq!(
            usage(Dialect::OpenAiChat, &chat(&elsewhere, &json!(null))),
            Usage { cache_read: 4, ..of(6, 2) },
            "{name}"
        );
    }
    // xAI counts reasoning beside the answer, and the total says so.
    let apart = json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 19,
        "completion_tokens_details": {"reasoning_tokens": 7}});
    assert_eq!(usage(Dialect::OpenAiChat, &chat(&apart, &json!(null))), Usage { reasoning: 7, ..of(10, 9) });
}

#[test]
fn responses_usage_tells_writes_by_how_long_they_live() {
    let body = json!({"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "service_tier": "priority", "output": [], "usage": {"input_tokens": 100, "output_tokens": 9, "total_tokens": 109,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 30,
            "cache_write_tokens_details": {"ttl_30m_tokens": 18, "ttl_12h_tokens": 12}},
        "output_tokens_details": {"reasoning_tokens": 4}}});
    let expected = Usage {
        cache_read: 10,
        cache_write_5m: 18,
        cache_write_1h: 12,
        reasoning: 4,
        service: Some(Service::Priority),
        ..of(60, 9)
    };
    assert_eq!(usage(Dialect::OpenAiResponses, &body), expected);
}

#[test]
fn anthropic_usage_has_compaction_and_speed() {
    let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "a"}], "usage": {"input_tokens": 10, "output_tokens": 5,
        "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "service_tier": "standard", "speed": "fast",
        "output_tokens_details": {"thinking_tokens": 4},
        "iterations": [
            {"type": "compaction", "input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 8},
            {"type": "message", "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3,
                "cache_creation_input_tokens": 2}]}});
    let expected =
        Usage { cache_read: 10, cache_write_5m: 10, reasoning: 4, service: Some(Service::Fast), ..of(1010, 105) };
    assert_eq!(usage(Dialect::Anthropic, &body), expected);
}

#[test]
fn gemini_usage_has_modalities_and_traffic() {
    let body = json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}], "usageMetadata": {
        "promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 30, "thoughtsTokenCount": 4,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "AUDIO", "tokenCount": 70},
            {"modality": "IMAGE", "tokenCount": 10}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 25}], "trafficType": "ON_DEMAND_FLEX"}});
    let expected = Usage {
        cache_read: 40,
        reasoning: 4,
        audio_input: 30,
        audio_cache_read: 40,
        image_input: 10,
        image_output: 25,
        service: Some(Service::Flex),
        ..of(60, 34)
    };
    assert_eq!(usage(Dialect::Gemini, &body), expected);
}

#[test]
fn bedrock_usage_has_a_level_of_service() {
    let body = json!({"output": {"message": {"role": "assistant", "content": [{"text": "a"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}, "serviceTier": {"type": "reserved"}});
    assert_eq!(usage(Dialect::Bedrock, &body), Usage { service: Some(Service::Standard), ..of(3, 4) });
}

#[test]
fn searches_and_other_tools_of_a_vendor_are_counted_in_every_dialect_that_tells_them() {
    let body = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "a"}], "usage": {"input_tokens": 3, "output_tokens": 4,
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}}});
    assert_eq!(usage(Dialect::Anthropic, &body).units, Units::of(Unit::WebSearch, 2));
    let body = |metadata: Value| {
        json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP", "groundingMetadata": metadata}],
            "usageMetadata": {"promptTokenCount": 1}})
    };
    let grounded =
        usage(Dialect::Gemini, &body(json!({"webSearchQueries": ["a", "b"], "groundingChunks": [{}]}))).units;
    assert_eq!((grounded.get(Unit::WebSearch), grounded.get(Unit::GroundedPrompt)), (2, 1));
    assert!(usage(Dialect::Gemini, &body(json!({"searchEntryPoint": {}}))).units.is_empty());
    let chunk = |kind: &str| usage(Dialect::Gemini, &body(json!({"groundingChunks": [{kind: {"uri": "u"}}]}))).units;
    assert_eq!(chunk("web"), Units::of(Unit::GroundedPrompt, 1));
    assert!(chunk("retrievedContext").is_empty(), "found among the caller's own files");
    let sonar = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "citation_tokens": 20,
        "num_search_queries": 5, "reasoning_tokens": 90, "search_context_size": "medium"});
    let sonar = usage(Dialect::OpenAiChat, &chat(&sonar, &json!(null))).units;
    for (unit, count) in [
        (Unit::WebSearch, 5),
        (Unit::CitationToken, 20),
        (Unit::ReasoningToken, 90),
        (Unit::RequestMedium, 1),
        (Unit::Request, 0),
    ] {
        assert_eq!(sonar.get(unit), count, "{unit:?}");
    }
    let items = |tool: &str| {
        json!({"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "m",
            "tools": [{"type": tool}], "output": [
                {"type": "web_search_call", "id": "1", "status": "completed", "action": {"type": "search"}},
                {"type": "web_search_call", "id": "2", "status": "completed", "action": {"type": "open_page"}},
                {"type": "web_search_call", "id": "3", "status": "completed"},
                {"type": "file_search_call", "id": "4", "status": "completed", "queries": ["a"]},
                {"type": "code_interpreter_call", "id": "5", "status": "completed", "container_id": "c1"},
                {"type": "code_interpreter_call", "id": "6", "status": "completed", "container_id": "c1"}],
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}})
    };
    let found = usage(Dialect::OpenAiResponses, &items("web_search")).units;
    let counts =
        [Unit::WebSearch, Unit::WebSearchPreview, Unit::FileSearch, Unit::CodeSession].map(|unit| found.get(unit));
    assert_eq!(counts, [2, 0, 1, 1]);
    let found = usage(Dialect::OpenAiResponses, &items("web_search_preview")).units;
    assert_eq!((found.get(Unit::WebSearch), found.get(Unit::WebSearchPreview)), (0, 2));
}

#[test]
fn a_request_bounds_how_often_its_vendors_tools_may_be_used() {
    let user = json!([{"role": "user", "content": "a"}]);
    let search = |more: Value| {
        let mut tool = json!({"type": "web_search_20250305", "name": "web_search"});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(Dialect::Anthropic, &json!({"model": "m", "max_tokens": 9, "messages": user, "tools": [tool]})).fees()
    };
    assert_eq!(search(json!({"max_uses": 3})), Units::of(Unit::WebSearch, 3));
    assert_eq!(search(json!({})), Units::of(Unit::WebSearch, 20));
    let tools =
        json!([{"type": "web_search_preview_2025_03_11"}, {"type": "code_interpreter", "container": {"type": "auto"}}]);
    let fees =
        call(Dialect::OpenAiResponses, &json!({"model": "m", "input": "a", "tools": tools, "max_tool_calls": 4}))
            .fees();
    assert_eq!((fees.get(Unit::WebSearchPreview), fees.get(Unit::CodeSession)), (4, 1));
    let contents = json!([{"role": "user", "parts": [{"text": "a"}]}]);
    let fees = call(Dialect::Gemini, &json!({"contents": contents, "tools": [{"google_search": {}}]})).fees();
    assert_eq!((fees.get(Unit::WebSearch), fees.get(Unit::GroundedPrompt)), (20, 1));
    let plain = json!([{"type": "function", "name": "web_searcher", "parameters": {}}]);
    assert!(call(Dialect::OpenAiResponses, &json!({"model": "m", "input": "a", "tools": plain})).fees().is_empty());
}

fn call(dialect: Dialect, body: &Value) -> ModelCall {
    let named = Some(Named { model: "m".to_owned(), stream: false })
        .filter(|_| matches!(dialect, Dialect::Gemini | Dialect::Bedrock));
    ModelCall::read_named(dialect, Operation::Generate, named, Bytes::from(body.to_string())).unwrap()
}

/// A request of each dialect that needs everything which that dialect has words for.
#[test]
fn what_a_request_needs_is_read_in_every_dialect() {
    use Capability::{Audio, Documents, Reasoning, StructuredOutput, Tools, Vision};
    let schema = json!({"type": "object"});
    let cases = [
        (
            Dialect::OpenAiChat,
            json!({"model": "m", "reasoning_effort": "high", "service_tier": "flex",
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
                "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
                "messages": [{"role": "user", "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}]}]}),
            vec![Vision, Audio, Documents, Tools, StructuredOutput, Reasoning],
            Some(Service::Flex),
        ),
        (
            Dialect::OpenAiResponses,
            json!({"model": "m", "reasoning": {"effort": "low"}, "service_tier": "priority",
                "text": {"format": {"type": "json_schema", "name": "a", "schema": schema}},
                "tools": [{"type": "function", "name": "f", "parameters": schema}],
                "input": [{"role": "user", "content": [
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}]}]}),
            vec![Vision, Documents, Tools, StructuredOutput, Reasoning],
            Some(Service::Priority),
        ),
        (
            Dialect::Anthropic,
            json!({"model": "m", "max_tokens": 9, "thinking": {"type": "enabled", "budget_tokens": 1024}, "speed": "fast",
                "output_config": {"format": {"type": "json_schema", "schema": schema}},
                "tools": [{"name": "f", "input_schema": schema}],
                "messages": [{"role": "user", "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}]}]}),
            vec![Vision, Documents, Tools, StructuredOutput, Reasoning],
            Some(Service::Fast),
        ),
        (
            Dialect::Gemini,
            json!({"serviceTier": "FLEX", "generationConfig": {"responseJsonSchema": schema, "thinkingConfig": {"thinkingLevel": "high"}},
                "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
                "contents": [{"role": "user", "parts": [
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
                    {"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.example/a.pdf"}}]}]}),
            vec![Vision, Audio, Documents, Tools, StructuredOutput, Reasoning],
            Some(Service::Flex),
        ),
        (
            Dialect::Bedrock,
            json!({"serviceTier": {"type": "priority"},
                "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}},
                "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": schema}}}]},
                "messages": [{"role": "user", "content": [
                    {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                    {"document": {"format": "pdf", "name": "a", "source": {"bytes": "AAAA"}}}]}]}),
            vec![Vision, Documents, Tools, StructuredOutput],
            Some(Service::Priority),
        ),
    ];
    for (dialect, body, needs, service) in cases {
        let call = call(dialect, &body);
        assert_eq!(call.needs().iter().collect::<Vec<_>>(), needs, "{dialect:?}");
        assert_eq!(call.service(), service, "{dialect:?}");
        assert!(call.has_media(), "{dialect:?}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_needed() {
    let body = json!({"model": "m", "reasoning_effort": "none", "response_format": {"type": "json_object"},
        "service_tier": "auto", "messages": [{"role": "user", "content": "an image, a sound, a tool"}]});
    let call = call(Dialect::OpenAiChat, &body);
    assert!(call.needs().is_empty() && call.service().is_none() && !call.has_media());
    assert_eq!(call.fewest_tokens(), 6);
    assert!(call.fewest_tokens() <= call.estimate());
}
