//! The questions that every stage asks, for both kinds.

use bytes::Bytes;
use tidegate_core::ids::ServerName;

use super::*;

fn tool() -> Call {
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":"secret"}}}"#;
    Call::Tool(Box::new(ToolCall::read(ServerName::from("s"), Bytes::from_static(body)).unwrap()))
}

#[test]
fn a_change_of_a_segment_is_a_new_version_with_another_digest() {
    let mut call = tool();
    let (version, digest) = (call.version(), call.digest());
    let path = call.segments()[0].path;
    assert_eq!(call.pointer(path), "/params/arguments/a");
    assert!(call.segments_mut().replace(path, "[redacted]"));
    assert_eq!(call.version(), version + 1);
    assert_ne!(call.digest(), digest);
    assert_eq!(call.segments()[0].text, "[redacted]");
    assert_eq!(call.facts().arguments.unwrap().get("a").unwrap().as_text(), Some("[redacted]"));
}

#[test]
fn a_path_of_no_segment_changes_nothing() {
    let mut call = tool();
    let digest = call.digest();
    assert!(!call.segments_mut().replace(SegmentPath(u32::MAX), "x"));
    assert_eq!((call.version(), call.digest()), (0, digest));
}

#[test]
fn a_tool_call_uses_no_tokens() {
    let call = tool();
    assert_eq!((call.kind(), call.kind().as_str(), call.action()), (Kind::Tool, "tool", Action::CallTool));
    assert_eq!(call.estimate(), Estimate { input_tokens: 0, max_output_tokens: Some(0), choices: 1 });
}
