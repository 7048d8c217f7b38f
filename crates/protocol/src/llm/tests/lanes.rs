//! What stays as it was: the verbatim and the patched lane, for requests, answers and frames.

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    NO_QUIRKS,
    corpus::all,
    fold::{chunked_of, frames},
    wire,
};
use crate::llm::{
    Answer, Dialect, Lane, ModelCall, Operation, Quirks, StreamReader, TargetWire, rewrite_piece, rewrite_pieces,
};

const CHAT: &str = r#"{ "vendor_field" : {"x":[1e5,"\u00e9"]},
 "model":"fast", "messages":[{"role":"user","content":"my key is \"abc\"\n","name":"n","odd":1}] ,"temperature":0.30 }"#;
const ANTHROPIC: &str = r#"{"model":"fast","max_tokens":10,"system":[{"type":"text","text":"attribution","cache_control":{"type":"ephemeral"}}],"context_management":{"edits":[]},"messages":[{"role":"user","content":[{"type":"future_block","text":"new words","weight":1.50},{"type":"text","text":"my key is \"abc\"\n"}]}]}"#;

fn read(dialect: Dialect, body: &str) -> ModelCall {
    ModelCall::read(dialect, Operation::Generate, Bytes::from(body.to_owned())).unwrap()
}

#[test]
fn verbatim_lane_changes_only_the_model() {
    for (dialect, body) in [(Dialect::OpenAiChat, CHAT), (Dialect::Anthropic, ANTHROPIC)] {
        let sent = read(dialect, body).prepare(&wire(dialect, "up-1")).unwrap();
        assert_eq!(sent.lane, Lane::Verbatim);
        assert_eq!(sent.body, body.replace("\"fast\"", "\"up-1\""));
        assert!(sent.losses.is_empty() && !sent.asked_usage);
        let same = read(dialect, body).prepare(&wire(dialect, "fast")).unwrap();
        assert_eq!(same.body, body);
    }
}

#[test]
fn patched_lane_changes_only_the_span() {
    for (dialect, body) in [(Dialect::OpenAiChat, CHAT), (Dialect::Anthropic, ANTHROPIC)] {
        let mut call = read(dialect, body);
        let digest = call.digest();
        let segment = call.segments().into_iter().find(|segment| segment.text.contains("abc")).unwrap();
        assert_eq!(segment.text, "my key is \"abc\"\n");
        let path = segment.path;
        assert!(call.pointer(path).starts_with("/messages/0/content"));
        call.replace_segment(path, "my key is [x]");
        assert_eq!(call.version(), 1);
        assert_ne!(call.digest(), digest);
        let sent = call.prepare(&wire(dialect, "up-1")).unwrap();
        assert_eq!(sent.lane, Lane::Patched);
        let expected = body.replace(r#""my key is \"abc\"\n""#, r#""my key is [x]""#).replace("\"fast\"", "\"up-1\"");
        assert_eq!(sent.body, expected);
    }
}

#[test]
fn unknown_path_changes_nothing() {
    let mut call = read(Dialect::OpenAiChat, CHAT);
    call.replace_segment(tidegate_core::segment::SegmentPath(0), "x");
    assert_eq!((call.version(), call.body()), (0, Bytes::from(CHAT)));
}

#[test]
fn trap_16_usage_is_asked_for_and_kept_from_the_client() {
    let cases = [
        (r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#, true),
        (r#"{"stream_options":null,"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#, true),
        (r#"{"stream_options":{},"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#, true),
        (
            r#"{"stream_options":{"include_usage":false,"o":1},"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#,
            true,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}"#,
            false,
        ),
        (r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":false}"#, false),
    ];
    for (body, asked) in cases {
        let call = read(Dialect::OpenAiChat, body);
        let sent = call.prepare(&wire(Dialect::OpenAiChat, "m")).unwrap();
        assert_eq!(sent.asked_usage, asked, "{body}");
        let value: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(value["stream_options"]["include_usage"].as_bool().unwrap_or(false), call.stream(), "{body}");
        assert_eq!(call.wants_usage(), call.stream() && !asked);
    }
    let quirks = Quirks { no_stream_usage: true, ..NO_QUIRKS };
    let to = TargetWire { quirks: &quirks, ..wire(Dialect::OpenAiChat, "m") };
    let sent = read(Dialect::OpenAiChat, cases[0].0).prepare(&to).unwrap();
    assert_eq!((sent.body, sent.lane, sent.asked_usage), (Bytes::from(cases[0].0), Lane::Verbatim, false));
    // The chunk that carries it is known by itself.
    let stream = frames(&all()[0].stream);
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    let only: Vec<bool> = stream.iter().map(|frame| reader.read(frame).unwrap().usage_only).collect();
    assert_eq!(only.iter().filter(|only| **only).count(), 1);
    assert!(only[only.len() - 2]);
}

#[test]
fn quirk_renames_the_limit_and_nothing_else() {
    let body = r#"{"model":"m","max_completion_tokens" : 5,"messages":[{"role":"user","content":"a"}]}"#;
    let quirks = Quirks { max_completion_tokens_as_max_tokens: true, ..NO_QUIRKS };
    let to = TargetWire { quirks: &quirks, ..wire(Dialect::OpenAiChat, "m") };
    let sent = read(Dialect::OpenAiChat, body).prepare(&to).unwrap();
    assert_eq!(sent.body, body.replace("max_completion_tokens", "max_tokens"));
}

#[test]
fn answer_keeps_its_bytes_and_patches_only_the_span() {
    for case in all() {
        let mut answer = Answer::read(case.dialect, Bytes::from(case.unary.clone())).unwrap();
        assert_eq!(answer.body(), case.unary);
        let Some((path, text)) = answer.segments().first().map(|s| (s.path, s.text.clone().into_owned())) else {
            continue;
        };
        answer.replace_segment(path, "[gone]");
        assert_eq!(answer.segments()[0].text, "[gone]");
        let value: serde_json::Value = serde_json::from_slice(&answer.body()).unwrap();
        assert_eq!(value.pointer(&answer.pointer(path)).unwrap(), "[gone]", "{text}");
        // Put back, the vendor's own way of escaping apart, everything is as it was.
        answer.replace_segment(path, &text);
        let before: serde_json::Value = serde_json::from_str(&case.unary).unwrap();
        assert_eq!(before, serde_json::from_slice::<serde_json::Value>(&answer.body()).unwrap());
    }
}

#[test]
fn rewritten_piece_leaves_every_other_byte() {
    let text = "id: 7\nevent: content_block_delta\ndata:  {\"type\":\"content_block_delta\", \"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"se\\u0063ret\",\"x\":1.0}}\nretry: 5\n\n";
    let frame = frames(text).remove(0);
    let mut reader = StreamReader::new(Dialect::Anthropic);
    assert_eq!(reader.read(&frame).unwrap().pieces[0].text, "secret");
    let out = rewrite_piece(Dialect::Anthropic, &frame, 0, "[\"x\"]").unwrap();
    assert_eq!(out.raw, text.replace("\"se\\u0063ret\"", "\"[\\\"x\\\"]\""));
    assert_eq!(reader.read(&out).unwrap().pieces[0].text, "[\"x\"]");
    assert!(rewrite_piece(Dialect::Anthropic, &frame, 1, "").is_err());
}

#[test]
fn frame_of_several_data_lines_is_rewritten_whole() {
    let frame = frames("data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"a\",\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"b\"}}]}}]}\n\n").remove(0);
    let out = rewrite_pieces(Dialect::OpenAiChat, &frame, &[(0, "x"), (1, "y")]).unwrap();
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    let facts = reader.read(&out).unwrap();
    assert_eq!(facts.pieces.iter().map(|piece| &*piece.text).collect::<Vec<_>>(), ["x", "y"]);
    assert_ne!(facts.pieces[0].channel, facts.pieces[1].channel);
}

#[test]
fn rewritten_text_does_not_survive_in_logprobs_or_unknown_members() {
    let logprobs = r#"{"content":[{"token":"secret","logprob":-0.1,"bytes":null,"top_logprobs":[]}]}"#;
    let chunk = format!(
        r#"{{"choices":[{{"index":0,"delta":{{"content":"secret","vendor_thought":{{"words":"secret"}}}},"logprobs":{logprobs}}}]}}"#
    );
    let frame = frames(format!("data: {chunk}\n\n")).remove(0);
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    let facts = reader.read(&frame).unwrap();
    assert_eq!(facts.pieces.iter().map(|piece| &*piece.text).collect::<Vec<_>>(), ["secret", "secret"]);
    let out = rewrite_pieces(Dialect::OpenAiChat, &frame, &[(0, "[x]"), (1, "[y]")]).unwrap();
    assert!(!String::from_utf8_lossy(&out.raw).contains("secret"));
    let body = format!(
        r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"secret","vendor_thought":"secret"}},"logprobs":{logprobs},"finish_reason":"stop"}}]}}"#
    );
    let mut answer = Answer::read(Dialect::OpenAiChat, Bytes::from(body)).unwrap();
    let paths: Vec<_> = answer.segments().iter().map(|segment| segment.path).collect();
    assert_eq!(paths.len(), 2);
    paths.iter().for_each(|path| answer.replace_segment(*path, "[x]"));
    assert!(!String::from_utf8_lossy(&answer.body()).contains("secret"));
}

#[test]
fn unknown_fields_and_event_types_pass_the_reader_untouched() {
    let text = "event: future\ndata: {\"type\":\"future\",\"x\":{\"y\":[null]}}\n\n: note\n\nevent: message_start\ndata: {\"type\":\"message_start\",\"new\":1,\"message\":{\"usage\":{\"input_tokens\":3,\"novel\":{}}}}\n\n";
    let mut reader = StreamReader::new(Dialect::Anthropic);
    let mut raw = Vec::new();
    for frame in frames(text) {
        let facts = reader.read(&frame).unwrap();
        assert!(!facts.semantic && !facts.terminator && facts.error.is_none());
        raw.extend_from_slice(&frame.raw);
    }
    assert_eq!(raw, text.as_bytes());
    assert_eq!(reader.usage().unwrap().input, 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_body_keeps_its_bytes_but_for_the_model(
        text in "\\PC{0,40}", key in "[a-z_]{1,12}x", space in "[ \n\t]{0,4}", stream in any::<bool>(),
    ) {
        let text = serde_json::to_string(&text).unwrap();
        let make = |model: &str| format!(
            "{space}{{{space}\"{key}\":{text},\"max_tokens\":1,\"stream\":{stream},\"model\"{space}:{space}\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":{text}}}]}}{space}"
        );
        let call = read(Dialect::Anthropic, &make("a/b"));
        let sent = call.prepare(&wire(Dialect::Anthropic, "c")).unwrap();
        prop_assert_eq!(sent.body, make("c"));
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for dialect in Dialect::ALL {
            let _ = ModelCall::read(dialect, Operation::Generate, bytes.clone().into());
            let _ = Answer::read(dialect, bytes.clone().into());
            let _ = dialect.read_error(500, &bytes);
            let mut reader = StreamReader::new(dialect);
            for frame in chunked_of(dialect, &bytes, &[7]) {
                let _ = reader.read(&frame);
            }
        }
    }
}
