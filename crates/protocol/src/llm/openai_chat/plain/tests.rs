//! What is read of completions and embeddings, and what of it guards see.

use bytes::Bytes;
use serde_json::json;

use crate::llm::{Answer, Dialect, Lane, ModelCall, Operation, PrepareError, StreamReader, TargetWire, rewrite_piece};
use crate::{llm::tests::NO_QUIRKS, sse::Frame};

fn call(operation: Operation, body: &serde_json::Value) -> Result<ModelCall, crate::llm::ReadError> {
    ModelCall::read(Dialect::OpenAiChat, operation, Bytes::from(body.to_string()))
}

fn wire(dialect: Dialect) -> TargetWire<'static> {
    TargetWire { dialect, model: "m", default_max_output: None, quirks: &NO_QUIRKS, reasoning_scope: None }
}

#[test]
fn every_text_of_an_input_is_a_segment_and_tokens_are_only_counted() {
    for (input, texts, least) in [
        (json!("one"), vec!["one"], 1),
        (json!(["one", "two"]), vec!["one", "two"], 2),
        (json!([1, 2, 3]), vec![], 3),
        (json!([[1, 2], [3]]), vec![], 3),
        (json!(["one", [4, 5]]), vec!["one"], 3),
    ] {
        let call = call(Operation::Embed, &json!({"model": "m", "input": input})).unwrap();
        let seen: Vec<String> = call.segments().into_iter().map(|segment| segment.text.into_owned()).collect();
        assert_eq!(seen, texts, "{input}");
        assert!(call.estimate() >= least, "{input}: {}", call.estimate());
        assert_eq!(call.max_output_tokens(), Some(0));
    }
}

#[test]
fn an_input_that_is_none_is_refused_with_its_place() {
    for (input, pointer) in [
        (json!([]), "/input"),
        (json!({"a": 1}), "/input"),
        (json!(null), ""),
        (json!([1, -2]), "/input/1"),
        (json!(["a", 5]), "/input/1"),
        (json!([[1, "b"]]), "/input/0/1"),
        (json!(vec!["a"; 2049]), "/input"),
    ] {
        let error = call(Operation::Embed, &json!({"model": "m", "input": input})).unwrap_err();
        assert_eq!(error.pointer, pointer, "{}", error.message);
    }
}

#[test]
fn every_prompt_is_answered_best_of_times_and_so_reserved() {
    let body = json!({"model": "m", "prompt": ["a", "b"], "max_tokens": 10, "n": 2, "best_of": 3});
    assert_eq!(call(Operation::Complete, &body).unwrap().max_output_tokens(), Some(60));
    let body = json!({"model": "m", "prompt": "a", "suffix": "z"});
    let call = call(Operation::Complete, &body).unwrap();
    assert_eq!((call.max_output_tokens(), call.choices(), call.segments().len()), (None, 1, 2));
}

#[test]
fn a_rewritten_input_is_what_is_sent_and_only_its_own_dialect_takes_it() {
    let mut call = call(Operation::Embed, &json!({"model": "alias", "input": ["keep", "secret"]})).unwrap();
    let path = call.segments()[1].path;
    call.replace_segment(path, "gone");
    let sent = call.prepare(&wire(Dialect::OpenAiChat)).unwrap();
    assert_eq!((&*sent.path, sent.lane), ("/embeddings", Lane::Patched));
    let sent: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(sent, json!({"model": "m", "input": ["keep", "gone"]}));
    assert!(matches!(call.prepare(&wire(Dialect::Anthropic)), Err(PrepareError::Unsupported(_))));
}

#[test]
fn usage_of_embeddings_is_read_without_looking_at_their_numbers() {
    let numbers = vec![0.25; 400_000];
    let data: Vec<_> = (0..3).map(|index| json!({"index": index, "embedding": numbers})).collect();
    let body = json!({"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}}).to_string();
    let answer = Answer::read_for(Dialect::OpenAiChat, Operation::Embed, Bytes::from(body.clone())).unwrap();
    assert_eq!((answer.usage().unwrap().input, answer.usage().unwrap().output), (7, 0));
    assert_eq!(answer.body(), body.as_bytes());
    assert!(answer.segments().is_empty());
    for broken in ["{}", "[]", "{\"data\":1}", "{\"data\":[", ""] {
        assert!(Answer::read_for(Dialect::OpenAiChat, Operation::Embed, Bytes::from(broken)).is_err(), "{broken}");
    }
}

#[test]
fn a_completions_texts_are_guarded_whole_and_streamed() {
    let body = json!({
        "choices": [{"index": 0, "text": "one", "logprobs": {"tokens": ["one"]}, "finish_reason": "stop"},
            {"index": 1, "text": "two", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3}
    });
    let mut answer = Answer::read_for(Dialect::OpenAiChat, Operation::Complete, Bytes::from(body.to_string())).unwrap();
    let first = answer.segments().iter().find(|segment| segment.text == "one").unwrap().path;
    answer.replace_segment(first, "gone");
    let now: serde_json::Value = serde_json::from_slice(&answer.body()).unwrap();
    assert_eq!((&now["choices"][0]["text"], &now["choices"][0]["logprobs"]), (&json!("gone"), &json!(null)));
    assert_eq!(answer.usage().unwrap().output, 3);

    let frame = Frame::build(None, br#"{"choices":[{"index":0,"text":"hello","finish_reason":null}]}"#);
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    let facts = reader.read(&frame).unwrap();
    assert_eq!(facts.pieces.len(), 1);
    assert!(facts.semantic && facts.pieces[0].text == "hello");
    let frame = rewrite_piece(Dialect::OpenAiChat, &frame, 0, "bye").unwrap();
    assert!(String::from_utf8_lossy(&frame.raw).contains(r#""text":"bye""#));
    assert!(reader.read(&Frame::build(None, b"[DONE]")).is_err(), "a text without its end is cut");
}
