//! Quirks on both lanes: what a server refuses stays behind and is told as a loss, and what it calls otherwise is called
//! so.

use bytes::Bytes;
use proptest::prelude::*;

use super::{NO_QUIRKS, wire};
use crate::llm::{Dialect, Lane, Members, ModelCall, Operation, Outgoing, Quirks, TargetWire};

fn sent(from: Dialect, to: Dialect, body: &str, quirks: Quirks) -> Outgoing {
    let call = ModelCall::read(from, Operation::Generate, Bytes::from(body.to_owned())).unwrap();
    call.prepare(&TargetWire { quirks: &quirks, ..wire(to, "up") }).unwrap()
}

fn chat(body: &str, quirks: Quirks) -> (String, Vec<String>) {
    let sent = sent(Dialect::OpenAiChat, Dialect::OpenAiChat, body, quirks);
    assert_eq!(sent.lane, Lane::Patched);
    let body = String::from_utf8(sent.body.to_vec()).unwrap();
    serde_json::from_str::<serde_json::Value>(&body).unwrap();
    (body, sent.losses.into_iter().map(|loss| loss.pointer).collect())
}

fn refused(names: &[&'static str]) -> Quirks {
    Quirks { refused: Members::of(names.iter().copied()).unwrap(), ..NO_QUIRKS }
}

const MESSAGES: &str = r#""messages":[{"role":"user","content":"a"}]"#;

#[test]
fn refused_members_are_cut_out_wherever_they_stand() {
    let quirks = refused(&["seed", "n", "user"]);
    for (body, expected) in [
        (format!(r#"{{"seed":1,"n":2,"model":"m",{MESSAGES}}}"#), format!(r#"{{"model":"up",{MESSAGES}}}"#)),
        (
            format!(r#"{{"model":"m","seed":1, {MESSAGES} , "n":2,"user":"u" }}"#),
            format!(r#"{{"model":"up",{MESSAGES} }}"#),
        ),
        (
            format!(r#"{{"model":"m", "n" : 2 ,"seed":1,"user":"u",{MESSAGES}}}"#),
            format!(r#"{{"model":"up", {MESSAGES}}}"#),
        ),
        (format!(r#"{{"model":"m",{MESSAGES},"seed":null}}"#), format!(r#"{{"model":"up",{MESSAGES}}}"#)),
    ] {
        let (sent, losses) = chat(&body, quirks);
        assert_eq!(sent, expected, "{body}");
        assert_eq!(losses.is_empty(), body.contains("null"), "a null asked for nothing: {losses:?}");
    }
}

#[test]
fn usage_is_not_asked_for_where_its_option_is_refused() {
    let body = format!(r#"{{"model":"m",{MESSAGES},"stream":true,"stream_options":{{"include_usage":true}}}}"#);
    let (sent, losses) = chat(&body, refused(&["stream_options"]));
    assert_eq!(sent, format!(r#"{{"model":"up",{MESSAGES},"stream":true}}"#));
    assert_eq!(losses, ["/stream_options"]);
}

#[test]
fn messages_lose_what_the_server_refuses_and_keep_the_rest() {
    let body = r#"{"model":"m","messages":[{"role":"developer","content":"be brief","x":1.50},{"name":"ann","role":"user","content":"a"}]}"#;
    let quirks = Quirks { no_developer_role: true, no_message_name: true, ..NO_QUIRKS };
    let (sent, losses) = chat(body, quirks);
    assert_eq!(
        sent,
        r#"{"model":"up","messages":[{"role":"system","content":"be brief","x":1.50},{"role":"user","content":"a"}]}"#
    );
    assert_eq!(losses, ["/messages/1/name"]);
}

#[test]
fn a_choice_of_tools_is_said_in_the_servers_words() {
    let tool = r#""tools":[{"type":"function","function":{"name":"f","parameters":{},"strict":true}}]"#;
    let with = |choice: &str| format!(r#"{{"model":"m",{MESSAGES},{tool},"tool_choice":{choice}}}"#);
    let any = Quirks { tool_choice_any: true, ..NO_QUIRKS };
    let (sent, losses) = chat(&with(r#""required""#), any);
    assert!(sent.contains(r#""tool_choice":"any""#) && losses.is_empty(), "{sent}");
    let free = Quirks { no_forced_tool: true, ..NO_QUIRKS };
    for choice in [r#""required""#, r#"{"type":"function","function":{"name":"f"}}"#] {
        let (sent, losses) = chat(&with(choice), free);
        assert!(sent.contains(r#""tool_choice":"auto""#), "{sent}");
        assert_eq!(losses, ["/tool_choice"]);
    }
    let (sent, losses) = chat(&with(r#""auto""#), Quirks { no_strict_tools: true, ..NO_QUIRKS });
    assert!(!sent.contains("strict"), "{sent}");
    assert_eq!(losses, ["/tools/0/function/strict"]);
}

#[test]
fn a_schema_of_the_answer_becomes_any_object_and_is_told() {
    let format = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}"#;
    let quirks = Quirks { no_json_schema: true, ..NO_QUIRKS };
    let (sent, losses) = chat(&format!(r#"{{"model":"m",{MESSAGES},{format}}}"#), quirks);
    assert!(sent.contains(r#""response_format":{"type":"json_object"}"#), "{sent}");
    assert_eq!(losses, ["/response_format"]);
}

#[test]
fn the_translated_lane_keeps_to_the_same_quirks() {
    let body = r#"{"model":"m","max_tokens":9,"temperature":0.5,"stop_sequences":["x"],"metadata":{"user_id":"u"},
        "stream":true,"messages":[{"role":"user","content":"a"}],
        "tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any","disable_parallel_tool_use":true}}"#;
    let names = ["temperature", "stop", "user", "stream_options", "parallel_tool_calls", "tool_choice"];
    let out = sent(Dialect::Anthropic, Dialect::OpenAiChat, body, refused(&names));
    let told = String::from_utf8(out.body.to_vec()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&told).unwrap();
    for name in names {
        assert!(value.get(name).is_none(), "{name}: {told}");
    }
    for name in names.iter().filter(|name| **name != "stream_options") {
        assert!(out.losses.iter().any(|loss| loss.pointer == format!("/{name}")), "{name}: {:?}", out.losses);
    }
    let forced = sent(Dialect::Anthropic, Dialect::OpenAiChat, body, Quirks { no_forced_tool: true, ..NO_QUIRKS });
    assert!(String::from_utf8_lossy(&forced.body).contains(r#""tool_choice":"auto""#));
    assert!(forced.losses.iter().any(|loss| loss.pointer == "/tool_choice"));
}

#[test]
fn vertex_is_told_a_version_in_the_place_of_a_model() {
    let quirks = Quirks { anthropic_on_vertex: true, ..NO_QUIRKS };
    let rest = r#""max_tokens":9,"messages":[{"role":"user","content":"a"}]"#;
    for (body, expected) in [
        (format!(r#"{{"model":"m",{rest}}}"#), format!(r#"{{"anthropic_version":"vertex-2023-10-16",{rest}}}"#)),
        (
            format!(r#"{{"anthropic_version":"old",{rest},"model":"m"}}"#),
            format!(r#"{{"anthropic_version":"vertex-2023-10-16",{rest}}}"#),
        ),
        (
            format!(r#"{{"model":"m",{rest},"anthropic_version":"vertex-2023-10-16"}}"#),
            format!(r#"{{{rest},"anthropic_version":"vertex-2023-10-16"}}"#),
        ),
    ] {
        assert_eq!(sent(Dialect::Anthropic, Dialect::Anthropic, &body, quirks).body, expected);
    }
    let translated =
        sent(Dialect::OpenAiChat, Dialect::Anthropic, &format!(r#"{{"model":"m",{MESSAGES}}}"#), quirks).body;
    let translated = String::from_utf8(translated.to_vec()).unwrap();
    assert!(translated.starts_with(r#"{"anthropic_version":"vertex-2023-10-16","#), "{translated}");
    assert!(!translated.contains("\"model\""), "{translated}");
}

proptest! {
    /// Whatever is refused, what is left is JSON that says the rest, in the same order.
    #[test]
    fn cutting_leaves_the_rest_as_it_was(order in Just(vec!["seed", "n", "user", "stop", "top_p", "model", "messages"]).prop_shuffle(), which in proptest::sample::subsequence(vec!["seed", "n", "user", "stop", "top_p"], 0..5)) {
        let value = |name: &str| match name {
            "messages" => r#"[{"role":"user","content":"a"}]"#.to_owned(),
            "model" | "user" | "stop" => format!("\"{name}\""),
            _ => "1".to_owned(),
        };
        let write = |names: &[&str]| {
            let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":{}", value(name))).collect();
            format!("{{{}}}", members.join(","))
        };
        let out = sent(Dialect::OpenAiChat, Dialect::OpenAiChat, &write(&order), refused(&which));
        let kept: Vec<&str> = order.iter().copied().filter(|name| !which.contains(name)).collect();
        let expected = write(&kept).replace(r#""model":"model""#, r#""model":"up""#);
        prop_assert_eq!(&out.body[..], expected.as_bytes());
        prop_assert_eq!(out.losses.len(), which.len());
    }
}
