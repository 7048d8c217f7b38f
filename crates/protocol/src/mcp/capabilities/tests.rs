//! Which capabilities pass.

use bytes::Bytes;

use super::*;
use crate::{json::Limits, jsonrpc::read_one};

fn message(text: &str) -> Message {
    read_one(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

#[test]
fn what_is_not_spoken_is_taken_out_and_the_rest_stays_byte_for_byte() {
    let answer = message(
        r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{ "tools":{"x":1.50},"tasks":{"list":{}},"logging":{}},"x":2}}"#,
    );
    let edit = spoken_capabilities(&answer).unwrap();
    let out = String::from_utf8(answer.with(vec![edit]).unwrap()).unwrap();
    assert_eq!(out, r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{"x":1.50},"logging":{}},"x":2}}"#);
    let request = message(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{"tasks":{},"elicitation":{"form":{}}}}}"#,
    );
    let edit = spoken_capabilities(&request).unwrap();
    assert_eq!(edit.replacement, br#"{"elicitation":{"form":{}}}"#);
}

#[test]
fn nothing_is_changed_where_all_is_spoken() {
    let answer = message(r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{}, "prompts":{}}}}"#);
    assert_eq!(spoken_capabilities(&answer), None);
    let wrong = message(r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":[1]}}"#);
    assert_eq!(spoken_capabilities(&wrong), None);
}

#[test]
fn what_either_server_can_do_the_two_can() {
    let one = Capabilities::of(&message(
        r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{"listChanged":true},"resources":{}}}}"#,
    ));
    let two = Capabilities::of(&message(
        r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{},"resources":{"subscribe":true},"logging":{}}}}"#,
    ));
    assert_eq!(
        one.or(two).to_json(),
        r#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":false},"logging":{}}"#
    );
    assert_eq!(Capabilities::default().to_json(), "{}");
}
