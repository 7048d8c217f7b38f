//! What is read of a provider's batches, and that it does not matter how their results are cut.

use proptest::prelude::*;
use tidegate_core::usage::Service;

use super::*;
use crate::native::NativeAnswer;

const CHAT: &str = r#"{"id":"b1","custom_id":"a","response":{"status_code":200,"request_id":"r","body":{"object":"chat.completion","model":"gpt-4.1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":60}}}},"error":null}"#;
const RESPONSE: &str = r#"{"custom_id":"b","response":{"status_code":200,"body":{"object":"response","model":"gpt-4.1","output":[{"type":"web_search_call","status":"completed","action":{"type":"search"}}],"tools":[{"type":"web_search"}],"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":2},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1}}}}}"#;
const NUMBERS: &str = r#"{"custom_id":"c","response":{"status_code":200,"body":{"object":"list","model":"text-embedding-3-small","data":[],"usage":{"prompt_tokens":9,"total_tokens":9}}}}"#;
const PICTURE: &str = r#"{"custom_id":"d","response":{"status_code":200,"body":{"created":1,"data":[],"usage":{"input_tokens":5,"output_tokens":6}}}}"#;
const MESSAGE: &str = r#"{"custom_id":"e","result":{"type":"succeeded","message":{"type":"message","model":"claude-sonnet-4-6","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":4,"cache_creation_input_tokens":3,"output_tokens":8,"service_tier":"batch"}}}}"#;
const FAILED: [&str; 6] = [
    r#"{"custom_id":"f","response":{"status_code":400,"body":{"error":{"message":"no"},"model":"x","usage":{"prompt_tokens":9}}},"error":null}"#,
    r#"{"custom_id":"g","response":null,"error":{"code":"batch_expired","message":"too late"}}"#,
    r#"{"custom_id":"h","result":{"type":"errored","error":{"type":"invalid_request"}}}"#,
    r#"{"custom_id":"i","result":{"type":"canceled"}}"#,
    r#"{"custom_id":"j","response":{"status_code":200,"body":{"id":"modr-1","model":"omni-moderation-latest","results":[]}}}"#,
    "[]",
];

fn lines(pieces: &[&[u8]], longest: usize) -> Vec<ResultLine> {
    let (mut reader, mut found) = (ResultLines::new(longest), Vec::new());
    for piece in pieces {
        reader.push(piece, &mut |line| found.push(line));
    }
    reader.finish(&mut |line| found.push(line));
    found
}

fn one(line: &str) -> ResultLine {
    let found = lines(&[line.as_bytes()], 1 << 20);
    assert_eq!(found.len(), 1, "{line}");
    found.into_iter().next().unwrap()
}

fn answered(line: &str) -> (Option<String>, Usage) {
    match one(line) {
        ResultLine::Answered(model, usage) => (model, *usage),
        other => panic!("{other:?}: {line}"),
    }
}

#[test]
fn each_form_of_answer_says_what_it_used() {
    let (model, usage) = answered(CHAT);
    assert_eq!(model.as_deref(), Some("gpt-4.1"));
    assert_eq!((usage.input, usage.cache_read, usage.output), (40, 60, 20));
    let (_, usage) = answered(RESPONSE);
    assert_eq!((usage.input, usage.cache_read, usage.output, usage.reasoning), (5, 2, 3, 1));
    assert_eq!(usage.units.get(tidegate_core::unit::Unit::WebSearch), 1);
    let (model, usage) = answered(NUMBERS);
    assert_eq!((model.as_deref(), usage.input, usage.output), (Some("text-embedding-3-small"), 9, 0));
    let (model, usage) = answered(PICTURE);
    assert_eq!((model, usage.input, usage.output), (None, 5, 6));
    let (model, usage) = answered(MESSAGE);
    assert_eq!(model.as_deref(), Some("claude-sonnet-4-6"));
    assert_eq!((usage.input, usage.cache_read, usage.cache_write_5m, usage.output), (10, 4, 3, 8));
    assert_eq!(usage.service, Some(Service::Batch));
}

#[test]
fn what_was_not_answered_is_nothing_and_what_is_no_json_is_told() {
    for line in FAILED {
        assert_eq!(one(line), ResultLine::Nothing, "{line}");
    }
    for line in ["{", r#"{"a":1,"a":2}"#, "no json", "\u{feff}{}"] {
        assert_eq!(one(line), ResultLine::Unreadable, "{line}");
    }
    let long = "m".repeat(300);
    assert_eq!(answered(&CHAT.replace("gpt-4.1", &long)).0, None, "no name of a model is so long");
    assert_eq!(lines(&[b"\r\n\n  \n"], 9), [], "empty lines are none");
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
    let file = format!("{}\n{CHAT}\n{NUMBERS}", "x".repeat(2_000));
    let found = lines(&[file.as_bytes()], 1_000);
    assert_eq!(found[0], ResultLine::Unreadable);
    assert!(matches!((&found[1], &found[2]), (ResultLine::Answered(..), ResultLine::Answered(..))), "{found:?}");
    for longest in [CHAT.len() - 1, CHAT.len()] {
        let whole = lines(&[CHAT.as_bytes()], longest);
        let bytes: Vec<&[u8]> = CHAT.as_bytes().chunks(1).collect();
        assert_eq!(lines(&bytes, longest), whole);
        assert_eq!(whole[0] == ResultLine::Unreadable, longest < CHAT.len());
    }
}

#[test]
fn results_cut_at_any_byte_are_the_same_results() {
    let file = [CHAT, RESPONSE, "", "{", NUMBERS, FAILED[0], MESSAGE, PICTURE].join("\r\n");
    let whole = lines(&[file.as_bytes()], 1 << 20);
    assert_eq!(whole.len(), 7);
    for at in 0..=file.len() {
        let (one, other) = file.as_bytes().split_at(at);
        assert_eq!(lines(&[one, other], 1 << 20), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = file.as_bytes().chunks(1).collect();
    assert_eq!(lines(&bytes, 1 << 20), whole);
    assert_eq!(lines(&[file.as_bytes(), b"\n"], 1 << 20), whole, "a line feed at the end adds nothing");
}

proptest! {
    #[test]
    fn any_bytes_cut_in_any_way_are_the_same_lines(
        parts in prop::collection::vec(
            prop_oneof![
                Just(CHAT.as_bytes().to_vec()), Just(MESSAGE.as_bytes().to_vec()), Just(b"\n".to_vec()),
                Just(b"\r\n".to_vec()), prop::collection::vec(any::<u8>(), 0..40),
            ],
            0..12,
        ),
        sizes in prop::collection::vec(1_usize..90, 1..8),
        longest in prop_oneof![Just(20_usize), Just(330), Just(1 << 20)],
    ) {
        let file = parts.concat();
        let (mut pieces, mut rest) = (Vec::new(), file.as_slice());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(lines(&pieces, longest), lines(&[&file], longest));
    }
}

#[test]
fn paths_name_collections_ids_and_results() {
    for (path, kept, results, tells) in [
        ("/v1/files/f/content", Some(("files", "f")), true, false),
        ("/v1/files/f", Some(("files", "f")), false, false),
        ("/v1/files/content", Some(("files", "content")), false, false),
        ("/v1/files/f/x/content", Some(("files", "f")), false, false),
        ("/v1/files/f/f/content", Some(("files", "f")), false, false),
        ("/v1/batches", None, false, true),
        ("/v1/batches/b/cancel", Some(("batches", "b")), false, true),
        ("/v1/batches2/b", Some(("batches2", "b")), false, false),
        ("/v1/messages/batches", Some(("messages", "batches")), false, true),
        ("/v1/messages/batches/m", Some(("messages/batches", "m")), false, true),
        ("/v1/messages/batches/m/results", Some(("messages/batches", "m")), true, true),
        ("/v1/messages/batches/", None, false, true),
        ("/files/f/content", None, false, false),
    ] {
        assert_eq!(kept_at(path), kept, "{path}");
        assert_eq!(results_at(path), kept.filter(|_| results), "{path}");
        assert_eq!(tells_batches(path), tells, "{path}");
    }
    assert!(is_collection("messages/batches") && is_collection("files") && !is_collection("files/f"));
}

fn answer(body: &str) -> NativeAnswer {
    NativeAnswer::read(Dialect::OpenAiChat, bytes::Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

#[test]
fn batches_tell_their_files_alone_and_in_lists() {
    let done =
        r#"{"id":"batch_1","object":"batch","status":"completed","output_file_id":"file-9","error_file_id":"file-e"}"#;
    let found = |body: &str| answer(body).results_of_batches();
    let one = || ("batch_1".to_owned(), "file-9".to_owned());
    assert_eq!(found(done), [one()]);
    assert_eq!(found(&format!(r#"{{"object":"list","data":[{done},{{"object":"batch","id":"x"}},7]}}"#)), [one()]);
    for other in ["{}", "7", &done.replace("\"batch\"", "\"file\""), &done.replace("\"file-9\"", "null")] {
        assert_eq!(found(other), [], "{other}");
    }
}

#[test]
fn results_are_fetched_through_the_gateway_and_nothing_else_of_an_answer_changes() {
    let batch = r#"{"id":"msgbatch_1","type":"message_batch","results_url":"https://api.anthropic.com/v1/messages/batches/msgbatch_1/results","note":"é"}"#;
    let led = |body: &str| {
        let mut answer = answer(body);
        answer.lead_to_results(|id| format!("/v1/messages/batches/{id}/results"));
        String::from_utf8(answer.body().to_vec()).unwrap()
    };
    let other = batch.replace("https://api.anthropic.com", "");
    assert_eq!(led(batch), other);
    assert_eq!(
        led(&format!(r#"{{"data":[{batch}],"has_more":false}}"#)),
        format!(r#"{{"data":[{other}],"has_more":false}}"#)
    );
    for same in [
        batch.replace("message_batch", "message"),
        batch.replace("msgbatch_1\",", "a/../b\","),
        r#"{"id":"m","type":"message_batch","results_url":null}"#.to_owned(),
    ] {
        assert_eq!(led(&same), same);
    }
}
