//! The tables of the protocol, the texts that guards see, and what filters leave alone.

use bytes::Bytes;
use proptest::prelude::*;
use tidegate_core::{
    facts::{Action, Resource},
    ids::{Digest, ServerName, ToolName},
    segment::{Origin, SegmentPath},
    value::Value,
};

use super::*;
use crate::{
    json::Limits,
    jsonrpc::{INVALID_PARAMS, INVALID_REQUEST, Id, METHOD_NOT_FOUND, Message, read_one},
};

fn server() -> ServerName {
    ServerName::from("notes")
}

fn message(text: &str) -> Message {
    read_one(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn call(method: &str, params: &str) -> Result<ToolCall, ToolCallError> {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    ToolCall::read(server(), Bytes::from(text))
}

fn answer(method: Method, result: &str) -> Answer {
    Answer::new(method, message(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)))
}

fn texts(segments: Vec<tidegate_core::segment::Segment<'_>>) -> Vec<(Origin, String)> {
    segments.into_iter().map(|segment| (segment.origin, segment.text.into_owned())).collect()
}

fn uri(uri: &str) -> Resource {
    Resource::McpResource(server(), uri.into())
}

#[test]
fn a_known_revision_is_kept_and_an_unknown_one_gets_the_latest() {
    for revision in Revision::ALL {
        assert_eq!(Revision::negotiate(revision.as_str()), revision);
    }
    for unknown in ["", "2024-10-07", "2026-07-28", "2025-11-25 ", "latest"] {
        assert_eq!(Revision::negotiate(unknown), Revision::V2025_11_25, "{unknown}");
    }
    assert!(Revision::ALL.is_sorted());
    let batching: Vec<_> = Revision::ALL.into_iter().filter(|revision| revision.allows_batches()).collect();
    assert_eq!(batching, [Revision::V2025_03_26]);
}

#[test]
fn every_client_request_has_its_action_and_resource() {
    let here = Resource::Server(server());
    let tool = Resource::Tool(server(), ToolName::from("add"));
    let prompt = Resource::Prompt(server(), "p".into());
    let table = [
        ("initialize", r#"{"protocolVersion":"2025-11-25"}"#, Action::UseServer, &here),
        ("ping", "{}", Action::UseServer, &here),
        ("logging/setLevel", r#"{"level":"info"}"#, Action::UseServer, &here),
        ("tools/list", r#"{"cursor":"c"}"#, Action::ListTools, &here),
        ("tools/call", r#"{"name":"add","arguments":{"a":1}}"#, Action::CallTool, &tool),
        ("tools/call", r#"{"name":"a\u0064d"}"#, Action::CallTool, &tool),
        ("resources/list", "{}", Action::ListResources, &here),
        ("resources/templates/list", "{}", Action::ListResources, &here),
        ("resources/read", r#"{"uri":"x:/1"}"#, Action::ReadResource, &uri("x:/1")),
        ("resources/subscribe", r#"{"uri":"x:/1"}"#, Action::ReadResource, &uri("x:/1")),
        ("resources/unsubscribe", r#"{"uri":"x:/1"}"#, Action::ReadResource, &uri("x:/1")),
        ("prompts/list", "{}", Action::ListPrompts, &here),
        ("prompts/get", r#"{"name":"p","arguments":{"x":"y"}}"#, Action::GetPrompt, &prompt),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#, Action::GetPrompt, &prompt),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"x:/{n}"}}"#,
            Action::ReadResource,
            &uri("x:/{n}"),
        ),
    ];
    for (method, params, action, resource) in table {
        let call = call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"));
        assert_eq!((call.action(), &call.resource()), (action, resource), "{method}");
        assert_eq!(call.facts().action, action);
        assert!(!call.is_notification());
    }
}

#[test]
fn what_cannot_be_decided_on_is_refused() {
    let table = [
        ("tools/calls", "{}", METHOD_NOT_FOUND),
        ("Tools/call", r#"{"name":"a"}"#, METHOD_NOT_FOUND),
        ("tools/call ", r#"{"name":"a"}"#, METHOD_NOT_FOUND),
        ("", "{}", METHOD_NOT_FOUND),
        ("notifications/", "{}", METHOD_NOT_FOUND),
        ("sampling/createMessage", "{}", METHOD_NOT_FOUND),
        ("elicitation/create", "{}", METHOD_NOT_FOUND),
        ("roots/list", "{}", METHOD_NOT_FOUND),
        ("notifications/initialized", "{}", INVALID_REQUEST),
        ("tools/list", "[]", INVALID_PARAMS),
        ("tools/call", "{}", INVALID_PARAMS),
        ("tools/call", r#"{"name":""}"#, INVALID_PARAMS),
        ("tools/call", r#"{"name":1}"#, INVALID_PARAMS),
        ("tools/call", r#"{"name":["a"]}"#, INVALID_PARAMS),
        ("tools/call", r#"{"name":"a","arguments":null}"#, INVALID_PARAMS),
        ("tools/call", r#"{"name":"a","arguments":["x"]}"#, INVALID_PARAMS),
        ("tools/call", r#"{"name":"a","arguments":"{}"}"#, INVALID_PARAMS),
        ("resources/read", r#"{"uri":7}"#, INVALID_PARAMS),
        ("prompts/get", "{}", INVALID_PARAMS),
        ("completion/complete", "{}", INVALID_PARAMS),
        ("completion/complete", r#"{"ref":{"type":"ref/tool","name":"p"}}"#, INVALID_PARAMS),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","uri":"p"}}"#, INVALID_PARAMS),
    ];
    for (method, params, code) in table {
        let error = call(method, params).expect_err(method);
        assert_eq!(error.code(), code, "{method} {params}: {error}");
    }
    // A call without an id would run with nobody to answer to.
    let silent = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#);
    assert_eq!(ToolCall::read(server(), silent).unwrap_err().code(), INVALID_REQUEST);
    let reply = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(ToolCall::read(server(), reply).unwrap_err().code(), INVALID_REQUEST);
    assert!(call("tools/call", &format!(r#"{{"name":"{}"}}"#, "n".repeat(257))).is_err());
}

#[test]
fn requests_of_a_server_are_answered_by_its_client() {
    for method in ["sampling/createMessage", "elicitation/create", "roots/list"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{}}}}"#);
        let call = ToolCall::from_message(server(), message(&text), Direction::ToClient).unwrap();
        assert_eq!(call.action(), Action::AnswerServer);
        assert_eq!(call.resource(), Resource::Server(server()));
    }
    for method in ["tools/call", "initialize", "tools/list"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"x"}}}}"#);
        let error = ToolCall::from_message(server(), message(&text), Direction::ToClient).unwrap_err();
        assert_eq!(error.code(), METHOD_NOT_FOUND);
    }
    let note =
        message(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"a":"hello"}}}"#);
    let note = ToolCall::from_message(server(), note, Direction::ToClient).unwrap();
    assert!(note.is_notification());
    assert_eq!((note.action(), note.method_name()), (Action::UseServer, "notifications/message"));
    assert_eq!(texts(note.segments()), [(Origin::ToolResult, "info".into()), (Origin::ToolResult, "hello".into())]);
}

#[test]
fn every_string_of_the_arguments_is_a_segment() {
    let call = call(
        "tools/call",
        r#"{"name":"mail","_meta":{"progressToken":"t"},"arguments":{"to":["a@x","b\u0040x"],"n":5,"deep":{"body":"hi","ok":true}}}"#,
    )
    .unwrap();
    let found: Vec<_> = texts(call.segments());
    let expected = ["a@x", "b@x", "hi"].map(|text| (Origin::ToolArgument, text.to_owned()));
    assert_eq!(found, expected);
    let pointers: Vec<_> = call.segments().iter().map(|segment| call.pointer(segment.path)).collect();
    assert_eq!(pointers, ["/params/arguments/to/0", "/params/arguments/to/1", "/params/arguments/deep/body"]);
    let arguments = call.facts().arguments.unwrap();
    assert_eq!(arguments.get("n"), Some(&Value::Integer(5)));
}

#[test]
fn what_stands_beside_the_arguments_is_seen_as_well() {
    let params = r#"{"name":"t","_meta":{"progressToken":"t","x":{"y":"m"}},"extra":["e"],"arguments":{"a":"b"}}"#;
    let call = call("tools/call", params).unwrap();
    assert_eq!(texts(call.segments()), ["m", "e", "b"].map(|text| (Origin::ToolArgument, text.to_owned())));
    let typed = r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"n","value":"v"},"context":{"arguments":{"k":"c"}}}"#;
    let call = self::call("completion/complete", typed).unwrap();
    assert_eq!(texts(call.segments()), ["n", "v", "c"].map(|text| (Origin::ToolArgument, text.to_owned())));
}

#[test]
fn references_between_messages_are_found_and_replaced() {
    let call = call("tools/call", r#"{"name":"t","_meta":{"progressToken":7,"k":1.0},"arguments":{"a":"b"}}"#).unwrap();
    let (token, node) = progress_token(call.message()).unwrap();
    assert_eq!(token, Id::Number(7));
    let sent = call.outgoing_with(b"3", vec![call.message().edit(node, b"\"leg\"")]).unwrap();
    let expected = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"leg","k":1.0},"arguments":{"a":"b"}}}"#;
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
    let note =
        |method: &str, params: &str| message(&format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#));
    let progress = note("notifications/progress", r#"{"progressToken":"leg","progress":1}"#);
    assert_eq!(progress_token(&progress).unwrap().0, Id::Text("leg".into()));
    let cancelled = note("notifications/cancelled", r#"{"requestId":"r","reason":"x"}"#);
    let (id, node) = cancelled_request(&cancelled).unwrap();
    assert_eq!(id, Id::Text("r".into()));
    let sent = cancelled.with(vec![cancelled.edit(node, b"9")]).unwrap();
    assert_eq!(cancelled_request(&message(std::str::from_utf8(&sent).unwrap())).unwrap().0, Id::Number(9));
    assert_eq!(progress_token(&cancelled), None);
    assert_eq!(cancelled_request(&progress), None);
    assert_eq!(cancelled_request(&note("notifications/cancelled", r#"{"requestId":1.5}"#)), None);
    let hello = message(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#);
    assert_eq!(protocol_version(&hello).as_deref(), Some("2025-06-18"));
    let hello = message(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}"#);
    assert_eq!(protocol_version(&hello).as_deref(), Some("2025-11-25"));
}

#[test]
fn what_was_decided_on_is_what_is_sent() {
    let params = r#"{"name":"mail","arguments":{"to":"a@x", "card":"4111","n":1.50}}"#;
    let mut call = call("tools/call", params).unwrap();
    let (digest, arguments) = (call.digest(), call.arguments_digest());
    assert_eq!(call.outgoing(b"1"), call.body());
    let card = call.segments()[1].path;
    assert!(call.replace_segment(card, "[card]"));
    assert!(!call.replace_segment(SegmentPath(0), "x"));
    assert!(!call.replace_segment(SegmentPath(6), "name of the tool"));
    assert_eq!(call.version(), 1);
    assert_ne!(call.digest(), digest);
    assert_ne!(call.arguments_digest(), arguments);
    let sent = call.outgoing(br#""leg-9""#);
    assert_eq!(
        String::from_utf8(sent.clone()).unwrap(),
        r#"{"jsonrpc":"2.0","id":"leg-9","method":"tools/call","params":{"name":"mail","arguments":{"to":"a@x", "card":"[card]","n":1.50}}}"#
    );
    let again = ToolCall::read(server(), Bytes::from(sent)).unwrap();
    assert_eq!(again.facts(), call.facts());
    assert_eq!(again.arguments_digest(), call.arguments_digest());
    assert_eq!(texts(again.segments()), texts(call.segments()));
}

#[test]
fn argument_digests_do_not_depend_on_spelling() {
    let digest = |params: &str| call("tools/call", params).unwrap().arguments_digest();
    let first = digest(r#"{"name":"t","arguments":{"a":1,"b":"\u0078"}}"#);
    assert_eq!(digest(r#"{"arguments":{ "b":"x", "a":1 },"name":"t"}"#), first);
    assert_ne!(digest(r#"{"name":"t","arguments":{"a":"1","b":"x"}}"#), first);
    assert_eq!(digest(r#"{"name":"t"}"#), Digest::of(b"{}"));
    assert_eq!(digest(r#"{"name":"t","arguments":{}}"#), Digest::of(b"{}"));
}

/// Two tenants use the same id; each leg has its own, and each gets its own answer back.
#[test]
fn equal_ids_of_two_clients_stay_apart() {
    let first = call("tools/call", r#"{"name":"a"}"#).unwrap();
    let second = call("tools/call", r#"{"name":"a"}"#).unwrap();
    assert_eq!(first.raw_id(), second.raw_id());
    let sent = |call: &ToolCall, leg: &[u8]| message(std::str::from_utf8(&call.outgoing(leg)).unwrap()).id().cloned();
    assert_ne!(sent(&first, b"100"), sent(&second, b"101"));
    let reply = answer(Method::ToolsCall, r#"{"content":[]}"#);
    assert_eq!(reply.outgoing(first.raw_id()), br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
}

#[test]
fn tool_results_give_all_their_texts() {
    let answer = answer(
        Method::ToolsCall,
        r#"{"content":[{"type":"text","text":"one"},{"type":"image","data":"aGk=","mimeType":"image/png"},
            {"type":"resource","resource":{"uri":"x:/1","text":"two"}},
            {"type":"resource_link","uri":"x:/2","name":"n","description":"three"}],
            "structuredContent":{"a":["four",{"b":"five"}],"n":1},"isError":true,"_meta":{"k":"v"}}"#,
    );
    let expected = ["one", "two", "x:/2", "n", "three", "four", "five"];
    assert_eq!(texts(answer.segments()), expected.map(|text| (Origin::ToolResult, text.to_owned())));
    assert!(answer.is_error());
}

#[test]
fn resources_prompts_and_errors_give_their_texts() {
    let result = |text: &str| (Origin::ToolResult, text.to_owned());
    let read =
        answer(Method::ResourcesRead, r#"{"contents":[{"uri":"x:/1","text":"a"},{"uri":"x:/2","blob":"aGk="}]}"#);
    assert_eq!(texts(read.segments()), [result("a")]);
    let prompt = answer(
        Method::PromptsGet,
        r#"{"description":"d","messages":[{"role":"user","content":{"type":"text","text":"b"}},
            {"role":"assistant","content":{"type":"resource","resource":{"uri":"u","text":"c"}}}]}"#,
    );
    assert_eq!(texts(prompt.segments()), [result("d"), result("b"), result("c")]);
    let failed = message(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m","data":{"trace":["t"]}}}"#);
    let failed = Answer::new(Method::ToolsCall, failed);
    assert_eq!(texts(failed.segments()), [result("m"), result("t")]);
    assert!(failed.is_error());
    let sampled = answer(Method::SamplingCreateMessage, r#"{"role":"assistant","content":{"type":"text","text":"s"}}"#);
    assert_eq!(texts(sampled.segments()), [(Origin::ToolArgument, "s".into())]);
    let hello =
        answer(Method::Initialize, r#"{"protocolVersion":"2025-11-25","instructions":"i","serverInfo":{"name":"n"}}"#);
    assert_eq!(texts(hello.segments()), [(Origin::ToolDescription, "i".into()), (Origin::ToolDescription, "n".into())]);
}

#[test]
fn tool_definitions_give_the_words_a_model_would_read() {
    let answer = answer(
        Method::ToolsList,
        r#"{"tools":[{"name":"add","title":"Add","description":"adds","inputSchema":{"$schema":"s","type":"object",
            "description":"all","properties":{"type":{"type":"string","description":"kind","enum":["x","y"],"default":"x"}},
            "required":["type"]},"annotations":{"title":"AddA","readOnlyHint":true}}]}"#,
    );
    let expected = ["add", "Add", "adds", "all", "kind", "x", "y", "x", "AddA"];
    assert_eq!(texts(answer.segments()), expected.map(|text| (Origin::ToolDescription, text.to_owned())));
}

const TOOLS: &str = "{ \"tools\" : [\n {\"name\":\"a\",\"x-new\":{\"k\":[1.0]}} ,\n {\"name\":\"b\",\"description\":\"bb\"},\n {\"name\":\"c\"}\n ] , \"nextCursor\":\"n1\",\"_meta\":{\"u\":1e2} }";

#[test]
fn a_filtered_list_keeps_every_other_byte() {
    let filtered = |keep: &str| {
        let mut answer = answer(Method::ToolsList, TOOLS);
        assert_eq!(answer.items(), ["a", "b", "c"]);
        assert_eq!(answer.next_cursor().unwrap(), "n1");
        let removed = answer.retain(|name| keep.contains(name));
        assert_eq!(removed, 3 - keep.len());
        assert_eq!(answer.pins().len(), keep.len());
        String::from_utf8(answer.outgoing(b"1")).unwrap()
    };
    let whole = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{TOOLS}}}"#);
    let (a, b, c) = (r#"{"name":"a","x-new":{"k":[1.0]}}"#, r#"{"name":"b","description":"bb"}"#, r#"{"name":"c"}"#);
    assert_eq!(filtered("abc"), whole);
    assert_eq!(filtered("ac"), whole.replace(&format!(" ,\n {b}"), ""));
    assert_eq!(filtered("bc"), whole.replace(&format!("{a} ,\n "), ""));
    assert_eq!(filtered("ab"), whole.replace(&format!(",\n {c}"), ""));
    assert_eq!(filtered("b"), whole.replace(&format!("{a} ,\n "), "").replace(&format!(",\n {c}"), ""));
    assert_eq!(filtered(""), whole.replace(&format!("{a} ,\n {b},\n {c}"), ""));
}

#[test]
fn a_filtered_list_can_be_rewritten_as_well() {
    let mut answer = answer(Method::ToolsList, TOOLS);
    let described = answer.segments().iter().find(|segment| segment.text == "bb").unwrap().path;
    assert!(answer.replace_segment(described, "[redacted]"));
    assert_eq!(answer.retain(|name| name != "a"), 1);
    assert_eq!(texts(answer.segments()).len(), 3);
    let sent = message(std::str::from_utf8(&answer.outgoing(b"7")).unwrap());
    let again = Answer::new(Method::ToolsList, sent);
    assert_eq!(again.items(), ["b", "c"]);
    assert_eq!(again.segments()[1].text, "[redacted]");
    // What was rewritten before its item went is gone with it.
    assert_eq!(answer.retain(|name| name == "c"), 1);
    assert!(!answer.replace_segment(described, "x"));
    let sent = String::from_utf8(answer.outgoing(b"7")).unwrap();
    assert!(
        sent.contains(
            r#"[
 {"name":"c"}
 ]"#
        ),
        "{sent}"
    );
}

#[test]
fn items_without_a_name_are_not_shown() {
    let mut answer = answer(Method::ToolsList, r#"{"tools":[1,{"title":"x"},{"name":7},{"name":"ok"},null]}"#);
    assert_eq!(answer.retain(|_| true), 4);
    assert_eq!(answer.outgoing(b"1"), br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"ok"}]}}"#);
}

#[test]
fn every_list_is_filtered_by_what_policies_know() {
    let table = [
        (Method::ResourcesList, r#"{"resources":[{"uri":"x:/1","name":"no"},{"uri":"x:/2","name":"x:/1"}]}"#, "x:/1"),
        (
            Method::ResourceTemplatesList,
            r#"{"resourceTemplates":[{"uriTemplate":"x:/1"},{"uriTemplate":"y"}]}"#,
            "x:/1",
        ),
        (Method::PromptsList, r#"{"prompts":[{"name":"x:/1","arguments":[{"name":"q"}]},{"name":"z"}]}"#, "x:/1"),
    ];
    for (method, result, wanted) in table {
        let mut answer = answer(method, result);
        assert_eq!(answer.items().len(), 2);
        assert_eq!(answer.retain(|name| name == wanted), 1);
        let again = Answer::new(method, message(std::str::from_utf8(&answer.outgoing(b"1")).unwrap()));
        assert_eq!(again.items(), [wanted]);
    }
    // Neither a tool's result nor an error is a list.
    let mut result = answer(Method::ToolsCall, r#"{"tools":[{"name":"a"}]}"#);
    assert_eq!((result.retain(|_| false), result.items().len(), result.is_original()), (0, 0, true));
}

#[test]
fn a_pin_is_the_definition_and_not_its_spelling() {
    let first =
        answer(Method::ToolsList, r#"{"tools":[{"name":"a","inputSchema":{"type":"object"},"description":"d"}]}"#);
    let second = answer(
        Method::ToolsList,
        r#"{"tools":[{"description":"\u0064", "inputSchema":{ "type":"object" },"name":"a"}]}"#,
    );
    let changed =
        answer(Method::ToolsList, r#"{"tools":[{"name":"a","inputSchema":{"type":"object"},"description":"e"}]}"#);
    assert_eq!(first.pins()[0].input_schema, br#"{"type":"object"}"#);
    assert_eq!(second.pins()[0].input_schema, br#"{ "type":"object" }"#);
    assert_eq!(first.pins()[0].canonical, second.pins()[0].canonical);
    assert_ne!(first.pins()[0].canonical, changed.pins()[0].canonical);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn filtering_keeps_exactly_what_was_wanted(keep in prop::collection::vec(any::<bool>(), 0..12), space in "[ \n]{0,2}") {
        let items: Vec<String> = (0..keep.len()).map(|index| format!("{space}{{\"name\":\"t{index}\",\"n\":[{index}.0]}}{space}")).collect();
        let mut answer = answer(Method::ToolsList, &format!("{{\"tools\":[{}]}}", items.join(",")));
        let wanted = |name: &str| name[1..].parse::<usize>().is_ok_and(|index| keep[index]);
        answer.retain(wanted);
        let again = Answer::new(Method::ToolsList, message(std::str::from_utf8(&answer.outgoing(b"1")).unwrap()));
        let expected: Vec<String> = (0..keep.len()).filter(|index| keep[*index]).map(|index| format!("t{index}")).collect();
        prop_assert_eq!(again.items(), expected);
        for pin in again.pins() {
            let definition = format!("{{\"name\":\"{0}\",\"n\":[{1}.0]}}", pin.name, &pin.name.as_str()[1..]);
            prop_assert_eq!(pin.definition, definition.as_bytes());
        }
    }

    #[test]
    fn rewritten_arguments_are_sent_as_they_were_decided(
        arguments in prop::collection::btree_map("[a-z]{1,4}", ".{0,10}", 0..6), replacement in ".{0,10}", which in any::<prop::sample::Index>(),
    ) {
        let params = format!("{{\"name\":\"t\",\"arguments\":{}}}", serde_json::to_string(&arguments).unwrap());
        let mut call = call("tools/call", &params).unwrap();
        let paths: Vec<_> = call.segments().iter().map(|segment| segment.path).collect();
        if !paths.is_empty() {
            prop_assert!(call.replace_segment(paths[which.index(paths.len())], &replacement));
        }
        let sent = ToolCall::read(server(), call.outgoing(b"12").into()).unwrap();
        prop_assert_eq!(sent.facts(), call.facts());
        prop_assert_eq!(sent.arguments_digest(), call.arguments_digest());
    }
}
