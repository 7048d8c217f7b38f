//! What is a message, and that nothing of it is lost.

use super::*;
use crate::json::JsonErrorKind;

fn one(text: &str) -> Result<Message, RpcError> {
    read_one(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn batch(text: &str) -> Result<Payload, RpcError> {
    read(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

#[test]
fn each_kind_of_message_is_told_apart() {
    let request = one(r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":1},"x":[]}"#).unwrap();
    assert!(matches!(request.parts(), Parts::Request { id: Id::Number(7), params: Some(_), .. }));
    assert_eq!((request.method(), request.raw_id()), (Some("tools/call"), b"7".as_slice()));
    let notification = one(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).unwrap();
    assert!(matches!(notification.parts(), Parts::Notification { params: None, .. }));
    assert_eq!((notification.id(), notification.raw_id()), (None, b"null".as_slice()));
    let response = one(r#"{"jsonrpc":"2.0","id":"a\u0062","result":null}"#).unwrap();
    assert_eq!(response.id(), Some(&Id::Text("ab".into())));
    assert_eq!(response.raw_id(), br#""a\u0062""#);
    let error = one(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m","data":{}}}"#).unwrap();
    assert!(matches!(error.parts(), Parts::ErrorResponse { id: None, code: -32700, .. }));
    assert_eq!(error.error_message().unwrap(), "m");
}

#[test]
fn malformed_messages_are_refused() {
    let table = [
        (r#"1"#, RpcError::NotAnObject),
        (r#""x""#, RpcError::NotAnObject),
        (r#"{}"#, RpcError::Version),
        (r#"{"id":1,"method":"m"}"#, RpcError::Version),
        (r#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, RpcError::Version),
        (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, RpcError::Version),
        (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, RpcError::InvalidId),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, RpcError::InvalidId),
        (r#"{"jsonrpc":"2.0","id":1e0,"method":"m"}"#, RpcError::InvalidId),
        (r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#, RpcError::InvalidId),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"m"}"#, RpcError::InvalidId),
        (r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"m"}"#, RpcError::InvalidId),
        (r#"{"jsonrpc":"2.0","id":1,"method":1}"#, RpcError::InvalidMethod),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":1}"#, RpcError::InvalidParams),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, RpcError::InvalidParams),
        (r#"{"jsonrpc":"2.0","id":1}"#, RpcError::Shape),
        (r#"{"jsonrpc":"2.0","result":1}"#, RpcError::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","result":1}"#, RpcError::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","error":{"code":1,"message":""}}"#, RpcError::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}"#, RpcError::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"result":1,"params":{}}"#, RpcError::Shape),
        (r#"{"jsonrpc":"2.0","id":null,"result":1}"#, RpcError::InvalidId),
        (r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#, RpcError::InvalidError),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"x"}}"#, RpcError::InvalidError),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, RpcError::InvalidError),
        (r#"[]"#, RpcError::EmptyBatch),
        (r#"[1]"#, RpcError::NotAnObject),
        (r#"[[]]"#, RpcError::NotAnObject),
    ];
    for (text, expected) in table {
        let error = batch(text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert_eq!(error.code(), INVALID_REQUEST);
    }
    assert_eq!(one("{").unwrap_err().code(), PARSE_ERROR);
    let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"m"}}"#, "x".repeat(1025));
    assert_eq!(one(&long).unwrap_err(), RpcError::InvalidId);
}

#[test]
fn json_smuggling_of_methods_and_ids_is_refused() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"ID":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"to":1,"To":2}}}"#,
    ] {
        let Err(RpcError::Json(error)) = one(text) else { panic!("accepted: {text}") };
        assert!(matches!(error.kind, JsonErrorKind::DuplicateName | JsonErrorKind::CaseVariantName));
    }
}

#[test]
fn a_batch_gives_its_messages_with_their_own_bytes() {
    let text = r#" [ {"jsonrpc":"2.0","id":1,"method":"a"} , {"jsonrpc":"2.0","method":"notifications/b","params":{"k":["v"]}},
        {"jsonrpc":"2.0","id":"1","method":"c"} ]"#;
    let Payload::Batch(messages) = batch(text).unwrap() else { panic!("no batch") };
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0].bytes(), r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#);
    let params = messages[1].params().unwrap();
    assert_eq!(messages[1].raw(params), br#"{"k":["v"]}"#);
    assert_eq!(messages[1].raw(messages[1].member(params, "k").unwrap()), br#"["v"]"#);
    assert_eq!(messages[2].with_id(b"9"), br#"{"jsonrpc":"2.0","id":9,"method":"c"}"#);
    assert!(one(text).is_err());
}

#[test]
fn equal_ids_in_a_batch_are_refused() {
    let two = |a: &str, b: &str| {
        batch(&format!(r#"[{{"jsonrpc":"2.0","id":{a},"method":"x"}},{{"jsonrpc":"2.0","id":{b},"method":"y"}}]"#))
    };
    assert_eq!(two("1", "1"), Err(RpcError::RepeatedId));
    assert_eq!(two(r#""a""#, r#""\u0061""#), Err(RpcError::RepeatedId));
    assert!(two("1", r#""1""#).is_ok());
    let answers = r#"[{"jsonrpc":"2.0","id":1,"result":1},{"jsonrpc":"2.0","id":1,"method":"y"}]"#;
    assert!(batch(answers).is_ok());
}

#[test]
fn a_batch_is_bounded() {
    let message = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    assert!(batch(&format!("[{}]", vec![message; MAX_BATCH].join(","))).is_ok());
    assert_eq!(batch(&format!("[{}]", vec![message; MAX_BATCH + 1].join(","))), Err(RpcError::BatchTooLong));
}

#[test]
fn another_id_changes_no_other_byte() {
    let text = "{ \"params\" : {\"id\":5,\"n\":1.0e0} ,\n\"id\": \"5\" , \"unknown\":[ 1 ], \"jsonrpc\":\"2.0\",\"method\":\"m\"}";
    let message = one(text).unwrap();
    assert_eq!(message.with_id(b"42"), text.replace("\"5\"", "42").as_bytes());
    let notification = one(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#).unwrap();
    assert_eq!(notification.with_id(b"42"), &**notification.bytes());
}

#[test]
fn what_is_written_is_read_again() {
    let response = result_response(br#""a""#, br#"{"x":1}"#);
    assert_eq!(response, br#"{"jsonrpc":"2.0","id":"a","result":{"x":1}}"#);
    let error = error_response(Some(b"1"), -32602, "say \"no\"\n", Some(br#"{"d":[]}"#));
    let error = one(std::str::from_utf8(&error).unwrap()).unwrap();
    assert_eq!(error.error_message().unwrap(), "say \"no\"\n");
    assert_eq!(error.id(), Some(&Id::Number(1)));
    assert_eq!(
        error_response(None, -32700, "m", None),
        br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#
    );
    assert_eq!(request(b"3", "ping", None), br#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#);
    assert_eq!(
        notification("notifications/cancelled", Some(br#"{"requestId":3}"#)),
        br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#
    );
}
