//! Requests of this dialect: into others, out of others, and on the verbatim lane.

use super::*;

#[test]
fn gemini_request_is_said_in_chat_and_in_anthropic() {
    let body = json!({
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}]},
            {"role": "model", "parts": [{"text": "ok"}, {"functionCall": {"name": "f", "args": {"n": 12345678901234567890u64}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "42"}}}, {"text": "and?"}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}}, {"name": "g"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {"maxOutputTokens": 99, "temperature": 0.5, "topK": 5, "seed": 7, "stopSequences": ["END"], "candidateCount": 1,
            "responseMimeType": "application/json", "responseSchema": {"type": "STRING", "enum": ["a"]}, "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": true}}});
    let call = read(&body).unwrap();
    let (chat, losses) = sent(&call, &wire(Dialect::OpenAiChat, "up"));
    assert_eq!(
        chat,
        json!({"model": "up", "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]},
            {"role": "assistant", "content": "ok", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"n\":12345678901234567890}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "42"},
            {"role": "user", "content": "and?"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "max_completion_tokens": 99, "temperature": 0.5, "seed": 7, "stop": ["END"], "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "string", "enum": ["a"]}, "strict": true}}})
    );
    assert_eq!(losses, ["/generationConfig/topK generationConfig/topK", "/safetySettings safetySettings"]);
    let (anthropic, losses) = sent(&call, &wire(Dialect::Anthropic, "up"));
    assert_eq!((&anthropic["top_k"], &anthropic["max_tokens"]), (&json!(5), &json!(99)));
    assert_eq!(anthropic["tool_choice"], json!({"type": "tool", "name": "f"}));
    assert_eq!(anthropic["messages"][2]["content"][0]["tool_use_id"], "call_1");
    assert_eq!(losses, ["/generationConfig/seed generationConfig/seed", "/safetySettings safetySettings"]);
}

#[test]
fn chat_request_is_said_in_gemini() {
    let body = json!({
        "model": "fast", "max_tokens": 99, "temperature": 1.5, "top_p": 0.5, "stop": "END", "seed": 4, "presence_penalty": 0.1, "logit_bias": {"1": 2},
        "tool_choice": "required", "response_format": {"type": "json_object"}, "reasoning_effort": "medium", "service_tier": "flex",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}]},
            {"role": "assistant", "content": "ok", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "$defs": {}}}}]});
    let (gemini, losses) = from_chat(&body, "gemini-2.5-flash");
    assert_eq!(
        gemini,
        json!({
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "see"}, {"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}}]},
            {"role": "model", "parts": [{"text": "ok"}, {"functionCall": {"id": "c1", "name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f", "response": {"output": "42"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "$defs": {}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 99, "temperature": 1.5, "topP": 0.5, "seed": 4, "presencePenalty": 0.1, "stopSequences": ["END"],
            "responseMimeType": "application/json", "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": true}},
        "serviceTier": "flex"})
    );
    assert_eq!(losses, ["/logit_bias logit_bias"]);
}

#[test]
fn effort_and_budget_fit_the_models_generation() {
    let ask = |more: Value, model: &str| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        from_chat(&body, model).0["generationConfig"]["thinkingConfig"].clone()
    };
    let high = json!({"reasoning_effort": "high"});
    assert_eq!(ask(high.clone(), "gemini-3-pro-preview"), json!({"thinkingLevel": "HIGH", "includeThoughts": true}));
    assert_eq!(ask(high, "gemini-2.5-pro"), json!({"thinkingBudget": 24576, "includeThoughts": true}));
    let none = json!({"reasoning_effort": "none"});
    assert_eq!(ask(none.clone(), "gemini-2.5-flash"), json!({"thinkingBudget": 0}));
    assert_eq!(ask(none.clone(), "gemini-2.5-pro"), json!({"thinkingBudget": 128}));
    assert_eq!(ask(none, "publishers/google/models/gemini-3-flash"), json!({"thinkingLevel": "LOW"}));
    assert_eq!(ask(json!({}), "gemini-3-pro-preview"), Value::Null);
    let own = |config: Value| {
        let body = json!({"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"thinkingConfig": config}});
        sent(&read(&body).unwrap(), &wire(Dialect::Anthropic, "up")).0["thinking"].clone()
    };
    assert_eq!(own(json!({"thinkingBudget": 0})), json!({"type": "disabled"}));
    assert_eq!(own(json!({"thinking_budget": -1})), json!({"type": "adaptive"}));
    assert_eq!(own(json!({"thinkingBudget": 2000})), json!({"type": "enabled", "budget_tokens": 2000}));
}

#[test]
fn both_spellings_are_read_and_a_body_with_both_is_refused() {
    let body = json!({"system_instruction": {"parts": {"text": "S"}}, "contents": {"parts": {"text": "a"}}, "cached_content": null,
        "generation_config": {"max_output_tokens": 7, "candidate_count": 2, "response_mime_type": "text/plain"},
        "tools": {"function_declarations": {"name": "f", "parameters_json_schema": {"type": "object", "properties": {"a_b": {}, "aB": {}}}}},
        "tool_config": {"function_calling_config": {"mode": "none"}}});
    let call = read(&body).unwrap();
    assert_eq!((call.max_output_tokens(), call.choices(), call.tools()), (Some(14), 2, &["f".into()][..]));
    let (chat, losses) = sent(&call, &wire(Dialect::OpenAiChat, "up"));
    assert_eq!(chat["messages"][0], json!({"role": "system", "content": "S"}));
    assert_eq!((&chat["max_completion_tokens"], &chat["tool_choice"]), (&json!(7), &json!("none")));
    assert_eq!(losses, ["/generationConfig/candidateCount generationConfig/candidateCount"]);
    for (body, pointer) in [
        (
            json!({"contents": [{"parts": []}], "systemInstruction": {}, "system_instruction": {}}),
            "/system_instruction",
        ),
        (json!({"contents": [{"parts": [{"inline_data": {}, "inlineData": {}}]}]}), "/contents/0/parts/0/inline_data"),
        (json!({"contents": [{}], "generationConfig": {"topK": 1, "top_k": 2}}), "/generationConfig/top_k"),
        (json!({}), ""),
        (json!({"contents": []}), "/contents"),
        (json!({"contents": [1]}), "/contents/0"),
        (json!({"contents": "a"}), "/contents"),
        (json!({"contents": [{"parts": "a"}]}), "/contents/0/parts"),
        (json!({"contents": [{}], "generationConfig": {"maxOutputTokens": 0}}), "/generationConfig/maxOutputTokens"),
        (json!({"contents": [{}], "tools": [{"functionDeclarations": [{}]}]}), "/tools/0/functionDeclarations/0"),
    ] {
        assert_eq!(read(&body).unwrap_err().pointer, pointer, "{body}");
    }
    assert!(ModelCall::read(Dialect::Gemini, Operation::Generate, Bytes::from(r#"{"contents":[{}]}"#)).is_err());
}

#[test]
fn what_only_google_has_is_refused_on_the_way_to_others() {
    let refused = |body: Value| match read(&body).unwrap().prepare(&wire(Dialect::Anthropic, "up")) {
        Err(PrepareError::Invalid { pointer, message }) => (pointer, message),
        other => panic!("{other:?}"),
    };
    let user = json!([{"parts": [{"text": "a"}]}]);
    let search = read(&json!({"contents": user, "tools": [{"googleSearch": {}}, {"code_execution": {}}]})).unwrap();
    assert_eq!(search.tools(), ["googleSearch".into(), "codeExecution".into()]);
    assert_eq!(refused(json!({"contents": user, "tools": [{"googleSearch": {}}]})).0, "/tools/0/googleSearch");
    assert_eq!(refused(json!({"contents": user, "cachedContent": "cachedContents/1"})).0, "/cachedContent");
    let film = json!([{"parts": [{"inlineData": {"mimeType": "video/mp4", "data": "QQ=="}}]}]);
    assert_eq!(refused(json!({"contents": film})).0, "/contents/0/parts/0");
    let file =
        json!([{"parts": [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}}]}]);
    assert!(refused(json!({"contents": file})).1.contains("file id"));
}

#[test]
fn guards_see_every_text_and_no_ciphertext() {
    let body = json!({"systemInstruction": {"parts": [{"text": "S1"}]}, "labels": {"team": "S2"}, "contents": [
        {"role": "user", "parts": [{"text": "S3"}, {"novel": {"deep": ["S4"]}}, {"fileData": {"fileUri": "https://example.com/S5.png"}}, {"inlineData": {"mimeType": "image/png", "data": "no"}}]},
        {"role": "model", "parts": [{"text": "S6", "thought": true, "thoughtSignature": "no"}, {"functionCall": {"name": "f", "args": {"q": {"r": ["S7"]}, "card": 4_111_111_111_111_111_u64}}, "thought_signature": "no"}, {"executableCode": {"language": "PYTHON", "code": "S8"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"S9 12345": "S10"}}}, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "S11"}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "S12", "parameters": {"type": "OBJECT", "properties": {"q": {"type": "STRING", "description": "S13", "enum": ["S14"]}}}}]}],
        "generationConfig": {"stopSequences": ["S15"], "responseSchema": {"type": "OBJECT", "description": "S16"}}});
    let mut call = read(&body).unwrap();
    let segments = call.segments();
    for number in 1..=16 {
        let name = format!("S{number}");
        let found = segments.iter().find(|segment| segment.text.contains(&name));
        let origin = if matches!(number, 12..=14 | 16) { Origin::ToolDescription } else { Origin::Prompt };
        assert_eq!(found.map(|segment| segment.origin), Some(origin), "{name}");
    }
    assert!(segments.iter().all(|segment| segment.text != "no" && segment.text != "f"));
    let number =
        segments.iter().find(|segment| segment.kind == SegmentKind::Number).map(|segment| segment.path).unwrap();
    let facts = call.facts();
    assert_eq!((facts.surface, &facts.tools[..]), ("gemini", &["f".into()][..]));
    // A picture and a file that nobody here has seen.
    assert!(facts.input_tokens > 206_000);
    call.replace_segment(number, "[x]");
    let out = call.prepare(&wire(Dialect::Gemini, "up")).unwrap();
    assert_eq!(out.lane, Lane::Patched);
    assert!(!String::from_utf8_lossy(&out.body).contains("4111"));
}

#[test]
fn verbatim_lane_changes_nothing_and_the_path_names_the_model() {
    let body = r#"{ "contents" : [{"parts":[{"text":"\u00e9","thoughtSignature":"EqQ="}]}] ,"future":1.50}"#;
    let named = |stream| Named { model: "fast".to_owned(), stream };
    for (stream, path) in
        [(false, "/models/gemini-x:generateContent"), (true, "/models/gemini-x:streamGenerateContent?alt=sse")]
    {
        let call =
            ModelCall::read_named(Dialect::Gemini, Operation::Generate, Some(named(stream)), body.into()).unwrap();
        let out = call.prepare(&wire(Dialect::Gemini, "gemini-x")).unwrap();
        assert_eq!((out.lane, &*out.path, &*out.body), (Lane::Verbatim, path, body.as_bytes()));
    }
    let path = |model: &str| read_as(Operation::CountTokens, body).unwrap().prepare(&wire(Dialect::Gemini, model));
    assert_eq!(path("a/b c:d").unwrap().path, "/models/a%2Fb%20c%3Ad:countTokens");
    assert_eq!(path("publishers/google/models/g").unwrap().path, "/publishers/google/models/g:countTokens");
    for hostile in ["../files", "a/../b", "a//b", "."] {
        assert!(matches!(path(hostile), Err(PrepareError::Invalid { .. })), "{hostile}");
    }
}

#[test]
fn the_same_body_for_another_model_or_method_is_another_call() {
    let body = r#"{"contents":[{"parts":[{"text":"a"}]}]}"#;
    let digest = |operation, model: &str, stream| {
        let named = Named { model: model.to_owned(), stream };
        ModelCall::read_named(Dialect::Gemini, operation, Some(named), body.into()).unwrap().digest()
    };
    let all = [
        digest(Operation::Generate, "a", false),
        digest(Operation::Generate, "a", true),
        digest(Operation::Generate, "b", false),
        digest(Operation::CountTokens, "a", false),
    ];
    assert_eq!(std::collections::HashSet::from(all).len(), 4);
    assert_eq!(all[0], digest(Operation::Generate, "a", false));
}

#[test]
fn names_of_models_inside_bodies_are_the_targets() {
    let count = r#"{"generateContentRequest":{"model":"models/fast","contents":[{"parts":[{"text":"a"}]}]}}"#;
    let out = read_as(Operation::CountTokens, count).unwrap().prepare(&wire(Dialect::Gemini, "up")).unwrap();
    assert_eq!(out.body, count.replace("models/fast", "models/up"));
    let batch = r#"{"requests":[{"model":"models/fast","content":{"parts":[{"text":"a"}]}},{"model":"fast","content":{"parts":[{"text":"b"}]}}]}"#;
    let call = read_as(Operation::EmbedBatch, batch).unwrap();
    let out = call.prepare(&wire(Dialect::Gemini, "up")).unwrap();
    assert_eq!(out.path, "/models/up:batchEmbedContents");
    let sent: Value = serde_json::from_slice(&out.body).unwrap();
    assert_eq!(
        (&sent["requests"][0]["model"], &sent["requests"][1]["model"]),
        (&json!("models/up"), &json!("models/up"))
    );
    assert_eq!(call.segments().iter().filter(|segment| segment.text.len() == 1).count(), 2);
    assert!(matches!(call.prepare(&wire(Dialect::OpenAiChat, "up")), Err(PrepareError::Unsupported(_))));
    let answer = br#"{"embeddings":[{"values":[0.1]}],"usageMetadata":{"promptTokenCount":3}}"#;
    let read = |body: &'static [u8]| Answer::read_for(Dialect::Gemini, Operation::EmbedBatch, Bytes::from_static(body));
    assert_eq!(read(answer).unwrap().usage().unwrap().input, 3);
    assert_eq!(read(br#"{"embedding":{"values":[]}}"#).unwrap().usage(), None);
    assert!(read(b"{}").is_err());
}

#[test]
fn counts_are_told_in_the_callers_shape() {
    let counted =
        Answer::read(Dialect::Gemini, Bytes::from_static(br#"{"totalTokens":31,"cachedContentTokenCount":3}"#))
            .unwrap();
    assert_eq!(counted.counted_tokens(), Some(31));
    assert_eq!(translate_answer(&counted, Dialect::Anthropic, &CONTEXT).unwrap().0, r#"{"input_tokens":31}"#);
    let counted = Answer::read(Dialect::Anthropic, Bytes::from_static(br#"{"input_tokens":31}"#)).unwrap();
    assert_eq!(translate_answer(&counted, Dialect::Gemini, &CONTEXT).unwrap().0, r#"{"totalTokens":31}"#);
    let call = Bytes::from(r#"{"model":"m","system":"S","messages":[{"role":"user","content":"a"}]}"#);
    let call = ModelCall::read(Dialect::Anthropic, Operation::CountTokens, call).unwrap();
    let expected = json!({"systemInstruction": {"parts": [{"text": "S"}]}, "contents": [{"role": "user", "parts": [{"text": "a"}]}]});
    let mut wrapped = json!({"generateContentRequest": expected});
    wrapped["generateContentRequest"]["model"] = json!("models/up");
    assert_eq!(sent(&call, &wire(Dialect::Gemini, "up")).0, wrapped);
    assert_eq!(sent(&call, &wire(Dialect::Gemini, "publishers/google/models/up")).0, expected);
}
