//! The traps of Responses streams and answers, repeats, reasoning, error shapes.

mod requests;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    llm::{
        Answer, Dialect, ErrorKind, ErrorView, Operation, Params, StopReason, StreamReader, StreamTranslator,
        TargetWire, ToolForm, TranslateContext, rewrite_pieces,
        tests::{
            CONTEXT,
            corpus::{
                Case, all,
                responses::{around, call, message, response, responses_stream},
            },
            fold::{chunked, data, fold, frames},
            wire,
        },
        translate_answer,
    },
    sse::Frame,
};

const RESPONSES: Dialect = Dialect::OpenAiResponses;

fn case(name: &str) -> Case {
    all().into_iter().find(|case| case.dialect == RESPONSES && case.name == name).unwrap()
}

fn stream_to(to: Dialect, text: &str) -> Vec<Frame> {
    let mut translator = StreamTranslator::new(RESPONSES, to, &CONTEXT);
    let mut out: Vec<Frame> = frames(text).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    out.extend(translator.finish().unwrap());
    out
}

fn said(answer: &Value, to: Dialect) -> Value {
    let answer = Answer::read(RESPONSES, Bytes::from(answer.to_string())).unwrap();
    let (body, _) = translate_answer(&answer, to, &CONTEXT).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn trap_3_call_without_arguments_is_an_empty_object_both_ways() {
    let text = case("call without arguments");
    assert_eq!(
        fold(Dialect::Anthropic, &stream_to(Dialect::Anthropic, &text.stream))["content"][0]["input"],
        json!({})
    );
    let empty =
        all().into_iter().find(|case| case.dialect == Dialect::Anthropic && case.name.contains("without")).unwrap();
    let mut translator = StreamTranslator::new(Dialect::Anthropic, RESPONSES, &CONTEXT);
    let out: Vec<Frame> = frames(&empty.stream).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    let output = fold(RESPONSES, &out)["output"].clone();
    assert_eq!((&output[0]["arguments"], &output[1]["arguments"]), (&json!("{}"), &json!("{}")));
}

#[test]
fn trap_14_cached_and_written_tokens_are_part_of_the_input() {
    let answer = Answer::read(RESPONSES, Bytes::from(response("completed", None, &[]).to_string())).unwrap();
    let usage = answer.usage().unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.cache_write_5m, usage.output, usage.reasoning), (10, 8, 2, 9, 4));
    let value = said(&response("completed", None, &[]), Dialect::Anthropic);
    assert_eq!((&value["usage"]["input_tokens"], &value["usage"]["cache_read_input_tokens"]), (&json!(10), &json!(8)));
    let body = r#"{"id":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_read_input_tokens":3,"cache_creation_input_tokens":7,"output_tokens":4}}"#;
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(body)).unwrap();
    let (body, _) = translate_answer(&answer, RESPONSES, &CONTEXT).unwrap();
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["usage"]["input_tokens"], 20);
    assert_eq!(value["usage"]["input_tokens_details"], json!({"cached_tokens": 3, "cache_write_tokens": 7}));
    assert_eq!(value["usage"]["total_tokens"], 24);
}

#[test]
fn hostile_usage_never_underflows() {
    let body = r#"{"output":[],"status":"completed","usage":{"input_tokens":1,"output_tokens":2,"input_tokens_details":{"cached_tokens":18446744073709551615,"cache_write_tokens":9},"output_tokens_details":{"reasoning_tokens":77}}}"#;
    let usage = Answer::read(RESPONSES, Bytes::from(body)).unwrap().usage().unwrap();
    assert_eq!((usage.prompt_total(), usage.input, usage.reasoning), (1, 0, 2));
}

#[test]
fn trap_16_usage_comes_unasked_and_is_shown_as_it_comes() {
    let body = json!({"model": "m", "input": "a", "stream": true}).to_string();
    let call = crate::llm::ModelCall::read(RESPONSES, Operation::Generate, Bytes::from(body.clone())).unwrap();
    let sent = call.prepare(&wire(RESPONSES, "m")).unwrap();
    assert_eq!((sent.body, sent.asked_usage, call.wants_usage()), (Bytes::from(body), false, true));
    let chat = call.prepare(&wire(Dialect::OpenAiChat, "m")).unwrap();
    let value: Value = serde_json::from_slice(&chat.body).unwrap();
    assert_eq!(value["stream_options"], json!({"include_usage": true}));
    let mut reader = StreamReader::new(RESPONSES);
    assert!(frames(&case("text").stream).iter().all(|frame| !reader.read(frame).unwrap().usage_only));
}

#[test]
fn trap_17_end_before_the_answer_is_over_is_no_success_with_or_without_a_marker() {
    let whole = case("text").stream;
    let cut = &whole[..whole.find("event: response.completed").unwrap()];
    for text in [cut.to_owned(), format!("{cut}data: [DONE]\n\n")] {
        for to in [Dialect::OpenAiChat, Dialect::Anthropic] {
            let mut translator = StreamTranslator::new(RESPONSES, to, &CONTEXT);
            let pushed = frames(&text).iter().try_for_each(|frame| translator.push(frame).map(|_| ()));
            assert!(pushed.and_then(|()| translator.finish().map(|_| ())).is_err());
        }
        let mut reader = StreamReader::new(RESPONSES);
        assert!(!frames(&text).iter().any(|frame| reader.read(frame).is_ok_and(|facts| facts.terminator)));
        assert!(!reader.finished());
    }
    // After the end a marker says nothing more.
    let out = stream_to(Dialect::OpenAiChat, &format!("{whole}data: [DONE]\n\n"));
    assert_eq!(out.iter().filter(|frame| frame.data.as_deref() == Some(b"[DONE]")).count(), 1);
}

#[test]
fn trap_18_failed_and_bare_errors_inside_a_good_stream_keep_their_sort() {
    let failed = |code: &str| {
        let mut response = response("failed", None, &[]);
        response["error"] = json!({"code": code, "message": "slow down"});
        json!({"type": "response.failed", "response": response})
    };
    for (event, kind) in [
        (failed("rate_limit_exceeded"), ErrorKind::RateLimit),
        (failed("insufficient_quota"), ErrorKind::Billing),
        (failed("context_length_exceeded"), ErrorKind::InvalidRequest),
        (failed("server_error"), ErrorKind::Api),
        (
            json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": null}),
            ErrorKind::RateLimit,
        ),
        (json!({"type": "error", "error": {"type": "server_error", "message": "slow down"}}), ErrorKind::Api),
    ] {
        let begun = json!({"type": "response.created", "response": response("in_progress", None, &[])});
        let (_, told) = message(0, &["a"], "completed");
        let events: Vec<Value> = [begun].into_iter().chain(told).chain([event]).collect();
        let text = responses_stream(&events);
        let mut reader = StreamReader::new(RESPONSES);
        let mut seen = None;
        for frame in &frames(&text) {
            let facts = reader.read(frame).unwrap();
            assert!(!facts.terminator);
            seen = facts.error.or(seen);
        }
        assert_eq!(seen.map(|error| (error.kind, error.message)), Some((kind, "slow down".to_owned())));
        let out = stream_to(Dialect::Anthropic, &text);
        assert_eq!(data(out.last().unwrap())["error"]["message"], "slow down");
        assert!(out.iter().all(|frame| frame.event_name() != "message_stop"));
    }
}

#[test]
fn trap_18_an_answer_that_failed_is_never_translated_into_a_good_one() {
    let mut failed = response("failed", None, &[]);
    failed["error"] = json!({"code": "server_error", "message": "it broke"});
    let answer = Answer::read(RESPONSES, Bytes::from(failed.to_string())).unwrap();
    assert_eq!(answer.stop_reason(), None);
    let error = translate_answer(&answer, Dialect::OpenAiChat, &CONTEXT).unwrap_err();
    assert!(error.to_string().contains("it broke"), "{error}");
    assert_eq!(translate_answer(&answer, RESPONSES, &CONTEXT).unwrap().0, failed.to_string());
}

#[test]
fn trap_19_a_call_that_was_cut_is_marked_and_never_repaired() {
    let cut = case("call cut by the limit");
    for (to, arguments) in [
        (Dialect::OpenAiChat, "/choices/0/message/tool_calls/0/function/arguments"),
        (Dialect::Anthropic, "/content/0/partial_json"),
    ] {
        let value = fold(to, &stream_to(to, &cut.stream));
        assert_eq!(value.pointer(arguments), Some(&json!("{\"a\":\"unfin")), "{value}");
    }
    for from in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
        let case = all().into_iter().find(|case| case.dialect == from && case.name == "call cut by the limit").unwrap();
        let answer = Answer::read(from, Bytes::from(case.unary)).unwrap();
        let (body, _) = translate_answer(&answer, RESPONSES, &CONTEXT).unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&value["status"], &value["output"][0]["status"]), (&json!("incomplete"), &json!("incomplete")));
        assert_eq!(value["output"][0]["arguments"], "{\"a\":\"unfin");
    }
}

#[test]
fn trap_20_what_the_other_api_has_no_name_for_is_incomplete_and_named() {
    let paused = all().into_iter().find(|case| case.name == "paused").unwrap();
    let answer = Answer::read(Dialect::Anthropic, Bytes::from(paused.unary)).unwrap();
    let (body, _) = translate_answer(&answer, RESPONSES, &CONTEXT).unwrap();
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&value["status"], &value["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("pause_turn"))
    );
    let steered = Answer::read(RESPONSES, Bytes::from(case("steered").unary)).unwrap();
    assert_eq!(steered.stop_reason(), Some(&StopReason::Pause));
    let chat = said(&serde_json::from_str(&case("steered").unary).unwrap(), Dialect::OpenAiChat);
    assert_eq!(
        (&chat["choices"][0]["finish_reason"], &chat["choices"][0]["native_finish_reason"]),
        (&json!("stop"), &json!("pause_turn"))
    );
}

#[test]
fn trap_25_a_stream_says_the_same_however_it_is_cut_and_a_name_twice_is_refused() {
    let read = |text: &str, size: usize| {
        let mut reader = StreamReader::new(RESPONSES);
        let mut said = Vec::new();
        for frame in chunked(text.as_bytes(), &[size]) {
            let facts = reader.read(&frame).unwrap();
            said.extend(facts.pieces.iter().map(|piece| (piece.channel, piece.text.clone().into_owned())));
        }
        (said, reader.finished())
    };
    let long = "ü".repeat(600_000);
    let item = json!({"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": long}]});
    let large =
        responses_stream(&[json!({"type": "response.completed", "response": response("completed", None, &[item])})]);
    for text in [case("text").stream, case("text").stream.replace('\n', "\r\n"), large] {
        let whole = read(&text, text.len());
        assert!(whole.1);
        for size in [1, 3, 7, 1_000] {
            assert_eq!(read(&text, size.max(text.len() / 50_000)), whole, "cut by {size}");
        }
    }
    let twice = frames("data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\",\"delta\":\"b\"}\n\n");
    assert!(StreamReader::new(RESPONSES).read(&twice[0]).is_err());
    let body = r#"{"model":"m","input":"a","input":"b"}"#;
    assert!(crate::llm::ModelCall::read(RESPONSES, Operation::Generate, Bytes::from(body)).is_err());
}

#[test]
fn trap_23_the_call_id_links_a_result_and_the_items_own_id_does_not() {
    let (item, events) = call(0, "look", &["{}"], "completed");
    assert_ne!(item["id"], item["call_id"]);
    let whole = response("completed", None, std::slice::from_ref(&item));
    let mut all = vec![json!({"type": "response.created", "response": response("in_progress", None, &[])})];
    all.extend(events);
    all.push(json!({"type": "response.completed", "response": whole}));
    for value in [
        said(&whole, Dialect::OpenAiChat),
        fold(Dialect::OpenAiChat, &stream_to(Dialect::OpenAiChat, &responses_stream(&all))),
    ] {
        assert_eq!(value["choices"][0]["message"]["tool_calls"][0]["id"], "call_look");
    }
}

#[test]
fn a_server_that_says_texts_only_whole_is_translated_all_the_same() {
    for case in all().into_iter().filter(|case| case.dialect == RESPONSES) {
        let whole: Value = serde_json::from_str(&case.unary).unwrap();
        let status = whole["status"].as_str().unwrap();
        let last = json!({"type": format!("response.{status}"), "response": whole});
        let alone = responses_stream(std::slice::from_ref(&last));
        let begun = json!({"type": "response.created", "response": response("in_progress", None, &[])});
        let done = whole["output"].as_array().unwrap().iter().enumerate();
        let done =
            done.map(|(at, item)| json!({"type": "response.output_item.done", "output_index": at, "item": item}));
        let items: Vec<Value> = [begun].into_iter().chain(done).chain([last]).collect();
        for to in [Dialect::OpenAiChat, Dialect::Anthropic] {
            let expected = said(&whole, to);
            assert_eq!(fold(to, &stream_to(to, &alone)), expected, "{} to {to:?}", case.name);
            assert_eq!(fold(to, &stream_to(to, &responses_stream(&items))), expected, "{} to {to:?}", case.name);
        }
    }
}

#[test]
fn frames_that_say_texts_again_are_marked_and_their_channels_end_with_them() {
    let mut reader = StreamReader::new(RESPONSES);
    let (mut said, mut again) = (String::new(), 0);
    for frame in &frames(&case("text and call").stream) {
        let facts = reader.read(frame).unwrap();
        for piece in &facts.pieces {
            let closed = facts.closes.iter().any(|(first, last)| (first..=last).contains(&&piece.channel));
            assert_eq!(facts.repeats, piece.channel >= 0xC000_0000, "{facts:?}");
            assert!(!facts.repeats || closed, "a repeated text stays open: {facts:?}");
            if facts.repeats {
                again += 1;
            } else {
                said.push_str(&piece.text);
            }
        }
        // Instructions and tools are echoed, not generated.
        assert!(facts.pieces.iter().all(|piece| !piece.text.contains("echoed")), "{facts:?}");
    }
    assert_eq!(said, "Let me look.{\"at\":12345678901234567890}");
    // The text's end, its part, its item; the arguments' end and their item; and both in the answer.
    assert_eq!(again, 7);
}

#[test]
fn every_repeat_can_be_rewritten() {
    for frame in &frames(&case("text and call").stream) {
        let mut reader = StreamReader::new(RESPONSES);
        let Ok(facts) = reader.read(frame) else { continue };
        if facts.pieces.is_empty() {
            continue;
        }
        let marks: Vec<(usize, &str)> = (0..facts.pieces.len()).map(|at| (at, "[x]")).collect();
        let out = rewrite_pieces(RESPONSES, frame, &marks).unwrap();
        let text = String::from_utf8_lossy(&out.raw).into_owned();
        assert!(!text.contains("Let me") && !text.contains("12345678901234567890"), "{text}");
        assert!(text.contains("[x]") && (!text.contains("instructions") || text.contains("echoed words")), "{text}");
    }
}

#[test]
fn numbers_of_single_tokens_go_with_a_rewritten_text() {
    let logprobs = json!([{"token": "secret", "logprob": -0.1, "bytes": [], "top_logprobs": []}]);
    let part = json!({"type": "output_text", "text": "secret", "annotations": [], "logprobs": logprobs});
    let item = json!({"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]});
    let place = json!({"item_id": "m", "output_index": 0, "content_index": 0});
    let with = |kind: &str, name: &str, value: &Value| {
        let mut event = place.clone();
        event["type"] = json!(kind);
        event[name] = value.clone();
        event
    };
    let mut delta = with("response.output_text.delta", "delta", &json!("secret"));
    delta["logprobs"] = logprobs.clone();
    for event in [
        delta,
        with("response.content_part.done", "part", &part),
        with("response.output_item.done", "item", &item),
        with("response.completed", "response", &response("completed", None, std::slice::from_ref(&item))),
    ] {
        let frame = frames(&responses_stream(&[event])).remove(0);
        let out = rewrite_pieces(RESPONSES, &frame, &[(0, "[x]")]).unwrap();
        assert!(!String::from_utf8_lossy(&out.raw).contains("secret"), "{:?}", out.raw);
    }
    let mut answer = Answer::read(RESPONSES, Bytes::from(response("completed", None, &[item]).to_string())).unwrap();
    let path = answer.segments()[0].path;
    answer.replace_segment(path, "[x]");
    assert!(!String::from_utf8_lossy(&answer.body()).contains("secret"));
}

#[test]
fn unknown_items_and_events_are_no_way_around_guards() {
    let item = json!({"id": "n", "type": "novel_item", "deep": [{"words": "S1"}]});
    let outputs = json!({"id": "c", "type": "function_call_output", "call_id": "x", "output": [{"type": "output_text", "text": "S1"}]});
    for item in [item, outputs] {
        let answer =
            Answer::read(RESPONSES, Bytes::from(response("completed", None, std::slice::from_ref(&item)).to_string()))
                .unwrap();
        assert_eq!(answer.segments().iter().map(|segment| &*segment.text).collect::<Vec<_>>(), ["S1"]);
        let mut reader = StreamReader::new(RESPONSES);
        for frame in &frames(&responses_stream(&around(0, item.clone(), Vec::new(), &item))) {
            let facts = reader.read(frame).unwrap();
            assert_eq!(facts.pieces.iter().map(|piece| &*piece.text).collect::<Vec<_>>(), ["S1"]);
        }
    }
    for event in [
        json!({"type": "response.novel.delta", "output_index": 0, "delta": "S1"}),
        json!({"type": "response.novel.done", "output_index": 0, "words": "S1"}),
        json!({"type": "response.novel", "output_index": 0, "deep": {"words": ["S1"]}}),
        json!({"type": "response.output_text.annotation.added", "output_index": 0, "annotation": {"type": "url_citation", "title": "S1"}}),
        json!({"type": "response.mcp_call_arguments.delta", "output_index": 0, "delta": "S1"}),
    ] {
        let mut reader = StreamReader::new(RESPONSES);
        let frame = frames(&responses_stream(std::slice::from_ref(&event))).remove(0);
        let facts = reader.read(&frame).unwrap();
        assert_eq!(facts.pieces.iter().map(|piece| &*piece.text).collect::<Vec<_>>(), ["S1"], "{event}");
    }
}

#[test]
fn tools_are_seen_wherever_a_stream_first_names_them() {
    for kind in ["function_call", "custom_tool_call", "mcp_call", "mcp_approval_request"] {
        let item = json!({"id": "i", "type": kind, "call_id": "c", "name": "rm", "arguments": "{}", "input": "x"});
        for event in [
            json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            json!({"type": "response.completed", "response": response("completed", None, std::slice::from_ref(&item))}),
        ] {
            let frame = frames(&responses_stream(&[event])).remove(0);
            let starts = StreamReader::new(RESPONSES).read(&frame).unwrap().tool_starts.len();
            assert_eq!(starts, 1, "{kind}");
        }
    }
}

#[test]
fn an_answer_that_goes_on_behind_the_scenes_is_taken_as_it_is() {
    for status in ["queued", "in_progress"] {
        let body = response(status, None, &[]).to_string();
        let answer = Answer::read(RESPONSES, Bytes::from(body.clone())).unwrap();
        assert_eq!((answer.stop_reason(), answer.usage(), answer.id()), (None, None, Some("resp_1")));
        assert_eq!(translate_answer(&answer, RESPONSES, &CONTEXT).unwrap().0, body);
    }
}

#[test]
fn reasoning_comes_back_as_it_was_across_another_surface() {
    let scoped = TranslateContext { reasoning_scope: Some("openai/o"), ..CONTEXT };
    let case = case("reasoning, then text");
    let original: Value = serde_json::from_str(&case.unary).unwrap();
    let answer = Answer::read(RESPONSES, Bytes::from(case.unary.clone())).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::OpenAiChat, &scoped).unwrap();
    let mut message = serde_json::from_slice::<Value>(&body).unwrap()["choices"][0]["message"].clone();
    message.as_object_mut().unwrap().remove("refusal");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}, message, {"role": "user", "content": "b"}]});
    let call =
        crate::llm::ModelCall::read(Dialect::OpenAiChat, Operation::Generate, Bytes::from(body.to_string())).unwrap();
    for (scope, kept) in [("openai/o", true), ("other/o", false)] {
        let to = TargetWire { reasoning_scope: Some(scope), ..wire(RESPONSES, "o") };
        let sent = call.prepare(&to).unwrap();
        let value: Value = serde_json::from_slice(&sent.body).unwrap();
        let items = value["input"].as_array().unwrap();
        let found = items.iter().find(|item| item["type"] == "reasoning");
        assert_eq!((found.is_some(), sent.losses.is_empty()), (kept, kept));
        if let Some(item) = found {
            assert_eq!(
                (&item["id"], &item["encrypted_content"]),
                (&original["output"][0]["id"], &original["output"][0]["encrypted_content"])
            );
        }
    }
}

#[test]
fn reasoning_comes_back_through_a_surface_that_has_no_place_for_a_scope() {
    let scoped = TranslateContext { reasoning_scope: Some("openai/o"), ..CONTEXT };
    let case = case("reasoning that nobody reads, then a call");
    let original: Value = serde_json::from_str(&case.unary).unwrap();
    let answer = Answer::read(RESPONSES, Bytes::from(case.unary.clone())).unwrap();
    let (body, _) = translate_answer(&answer, Dialect::Anthropic, &scoped).unwrap();
    let mut translator = StreamTranslator::new(RESPONSES, Dialect::Anthropic, &scoped);
    let out: Vec<Frame> = frames(&case.stream).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    for value in [serde_json::from_slice(&body).unwrap(), fold(Dialect::Anthropic, &out)] {
        let result = json!([{"type": "tool_result", "tool_use_id": "call_look", "content": "ok"}]);
        let body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "a"},
            {"role": "assistant", "content": value["content"]}, {"role": "user", "content": result}]});
        let body = Bytes::from(body.to_string());
        let call = crate::llm::ModelCall::read(Dialect::Anthropic, Operation::Generate, body).unwrap();
        for (scope, kept) in [("openai/o", true), ("other/o", false)] {
            let to = TargetWire { reasoning_scope: Some(scope), ..wire(RESPONSES, "o") };
            let sent: Value = serde_json::from_slice(&call.prepare(&to).unwrap().body).unwrap();
            let found = sent["input"].as_array().unwrap().iter().find(|item| item["type"] == "reasoning");
            assert_eq!(found, Some(&original["output"][0]).filter(|_| kept));
        }
        // A server of the caller's own dialect would refuse a signature that it did not give.
        let own = call.prepare(&wire(Dialect::Anthropic, "claude")).unwrap();
        assert!(!String::from_utf8_lossy(&own.body).contains("tidegate1"), "{:?}", own.body);
        assert_eq!(own.losses.len(), 1);
    }
}

#[test]
fn another_vendors_signed_reasoning_survives_this_surface_byte_for_byte() {
    let scoped = TranslateContext { reasoning_scope: Some("anthropic/claude"), ..CONTEXT };
    for name in ["thinking, then text", "redacted thinking, then a call"] {
        let case = all().into_iter().find(|case| case.name == name).unwrap();
        let original: Value = serde_json::from_str(&case.unary).unwrap();
        let answer = Answer::read(Dialect::Anthropic, Bytes::from(case.unary.clone())).unwrap();
        let (body, _) = translate_answer(&answer, RESPONSES, &scoped).unwrap();
        let mut translator = StreamTranslator::new(Dialect::Anthropic, RESPONSES, &scoped);
        let out: Vec<Frame> = frames(&case.stream).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
        for value in [serde_json::from_slice(&body).unwrap(), fold(RESPONSES, &out)] {
            let mut input = vec![json!({"role": "user", "content": "a"})];
            input.extend(value["output"].as_array().unwrap().iter().cloned());
            if let Some(id) = value["output"][1]["call_id"].as_str() {
                input.push(json!({"type": "function_call_output", "call_id": id, "output": "ok"}));
            }
            let body = json!({"model": "m", "input": input});
            let call =
                crate::llm::ModelCall::read(RESPONSES, Operation::Generate, Bytes::from(body.to_string())).unwrap();
            let to = TargetWire { reasoning_scope: Some("anthropic/claude"), ..wire(Dialect::Anthropic, "claude") };
            let sent: Value = serde_json::from_slice(&call.prepare(&to).unwrap().body).unwrap();
            assert_eq!(sent["messages"][1]["content"], original["content"], "{name}");
            // To a server of this dialect it does not go: nobody there could read it.
            let same = call.prepare(&wire(RESPONSES, "m")).unwrap();
            assert!(!String::from_utf8_lossy(&same.body).contains("\"reasoning\""), "{:?}", same.body);
            assert_eq!(same.losses.len(), 1);
        }
    }
}

#[test]
fn tools_of_a_form_of_their_own_get_it_back_in_the_answer() {
    let forms = [
        ToolForm { told: "shell__exec".into(), namespace: Some("shell".into()), name: "exec".into(), custom: true },
        ToolForm { told: "files__read".into(), namespace: Some("files".into()), name: "read".into(), custom: false },
    ];
    let context = TranslateContext { forms: &forms, ..CONTEXT };
    let call = |index: u32, name: &str, arguments: &str| json!({"index": index, "id": format!("c{index}"), "type": "function", "function": {"name": name, "arguments": arguments}});
    let calls = [
        call(0, "shell__exec", "{\"input\":\"ls \\\"a\\\"\\n\"}"),
        call(1, "files__read", "{\"p\":1}"),
        call(2, "plain", "{}"),
    ];
    let body = json!({"choices": [{"message": {"content": null, "tool_calls": calls}, "finish_reason": "tool_calls"}]});
    let answer = Answer::read(Dialect::OpenAiChat, Bytes::from(body.to_string())).unwrap();
    let (body, _) = translate_answer(&answer, RESPONSES, &context).unwrap();
    let unary: Value = serde_json::from_slice(&body).unwrap();
    let chunk =
        |delta: Value, finish: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let text: String = calls
        .iter()
        .map(|call| chunk(json!({"tool_calls": [call]}), Value::Null))
        .chain([chunk(json!({}), json!("tool_calls"))])
        .map(|value| format!("data: {value}\n\n"))
        .collect();
    let mut translator = StreamTranslator::new(Dialect::OpenAiChat, RESPONSES, &context);
    let mut out: Vec<Frame> = frames(&text).iter().flat_map(|frame| translator.push(frame).unwrap()).collect();
    out.extend(translator.finish().unwrap());
    for value in [unary, fold(RESPONSES, &out)] {
        let shown: Vec<_> = value["output"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| {
                (
                    item["type"].clone(),
                    item["namespace"].clone(),
                    item["name"].clone(),
                    item["input"].clone(),
                    item["arguments"].clone(),
                )
            })
            .collect();
        assert_eq!(
            json!(shown),
            json!([
                ["custom_tool_call", "shell", "exec", "ls \"a\"\n", null],
                ["function_call", "files", "read", null, "{\"p\":1}"],
                ["function_call", null, "plain", null, "{}"]
            ])
        );
    }
}

#[test]
fn errors_have_the_shape_of_the_surface_and_end_streams_for_clients_and_agents_alike() {
    let view = ErrorView {
        status: 429,
        kind: ErrorKind::RateLimit,
        message: "try again in 1.2s",
        code: "upstream_error",
        param: None,
        call_id: "call_0",
    };
    let body: Value = serde_json::from_slice(&RESPONSES.error_body(&view)).unwrap();
    assert_eq!(body, serde_json::from_slice::<Value>(&Dialect::OpenAiChat.error_body(&view)).unwrap());
    let events = frames(&String::from_utf8(RESPONSES.error_event(&view).raw.to_vec()).unwrap());
    assert_eq!(events.iter().map(Frame::event_name).collect::<Vec<_>>(), ["error", "response.failed"]);
    let (bare, failed) = (data(&events[0]), data(&events[1]));
    assert_eq!(
        (&bare["code"], &bare["message"], &bare["error"]),
        (&json!("rate_limit_exceeded"), &json!("try again in 1.2s"), &body["error"])
    );
    assert_eq!(failed["response"]["error"], json!({"code": "rate_limit_exceeded", "message": "try again in 1.2s"}));
    assert_eq!(failed["response"]["status"], "failed");
    let long = ErrorView { kind: ErrorKind::InvalidRequest, message: "your input exceeds the context window", ..view };
    assert_eq!(data(&RESPONSES.error_event(&long))["code"], "context_length_exceeded");
}

#[test]
fn counts_of_tokens_have_each_apis_own_shape() {
    let count = Answer::read(Dialect::Anthropic, Bytes::from(r#"{"input_tokens":42}"#)).unwrap();
    let (body, _) = translate_answer(&count, RESPONSES, &CONTEXT).unwrap();
    assert_eq!(body, r#"{"object":"response.input_tokens","input_tokens":42}"#);
    let back = Answer::read(RESPONSES, body).unwrap();
    assert_eq!(
        (back.counted_tokens(), &*translate_answer(&back, Dialect::Anthropic, &CONTEXT).unwrap().0),
        (Some(42), &br#"{"input_tokens":42}"#[..])
    );
}

#[test]
fn a_targets_parameters_stand_where_this_api_has_them() {
    let body = json!({"model": "m", "input": "a", "max_output_tokens": 9, "reasoning": {"summary": "auto"}});
    let call = crate::llm::ModelCall::read(RESPONSES, Operation::Generate, Bytes::from(body.to_string())).unwrap();
    let params = [("max_tokens", "5"), ("reasoning_effort", "\"low\""), ("verbosity", "\"low\"")];
    let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
    let to = wire(RESPONSES, "m");
    let sent: Value =
        serde_json::from_slice(&call.tune(call.prepare(&to).unwrap(), &to, &params).unwrap().body).unwrap();
    assert_eq!(
        sent,
        json!({"model": "m", "input": "a", "max_output_tokens": 5, "reasoning": {"summary": "auto", "effort": "low"}, "text": {"verbosity": "low"}})
    );
    for name in ["instructions", "previous_response_id", "background", "max_output_tokens"] {
        assert!(Params::new([(name.to_owned(), "1".to_owned())]).is_err(), "{name}");
    }
}
