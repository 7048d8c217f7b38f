//! What is told of a list of tools.

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_protocol::{json::Limits, jsonrpc};

use super::*;

/// Knows some tools, and keeps what it is told.
#[derive(Default)]
struct Ear {
    known: Vec<&'static str>,
    told: Mutex<Vec<PinnedTool>>,
}

impl Discovery for Ear {
    fn is_new(&self, _: &ServerName, tool: &str) -> bool {
        !self.known.contains(&tool)
    }

    fn tools(&self, _: &ServerName, pins: Vec<PinnedTool>) {
        self.told.lock().extend(pins);
    }
}

fn heard(known: &[&'static str], method: Method, answer: &str) -> Vec<PinnedTool> {
    let ear = Ear { known: known.to_vec(), ..Ear::default() };
    let message = jsonrpc::read_one(Bytes::from(answer.to_owned()), &Limits::default()).unwrap();
    learn(&ear, &"s".into(), &Answer::new(method, message));
    ear.told.into_inner()
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add","inputSchema":{ "type":"object"}},{"name":"bare"},{"name":""}]}}"#;

#[test]
fn a_list_with_a_new_tool_is_told_with_its_schemas() {
    let told = heard(&["add"], Method::ToolsList, LIST);
    let shown: Vec<_> = told.iter().map(|pin| (pin.name.as_str(), pin.input_schema.as_str())).collect();
    assert_eq!(shown, [("add", r#"{ "type":"object"}"#), ("bare", "")]);
    assert_ne!(told[0].digest, told[1].digest);
}

#[test]
fn what_is_known_or_no_list_of_tools_is_not_told() {
    assert!(heard(&["add", "bare"], Method::ToolsList, LIST).is_empty());
    assert!(heard(&[], Method::ToolsCall, LIST).is_empty());
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#;
    assert!(heard(&[], Method::ToolsList, error).is_empty());
}

#[test]
fn of_an_endless_list_only_so_much_is_told() {
    let tools: Vec<String> = (0..MAX_TOOLS + 5).map(|number| format!(r#"{{"name":"t{number}"}}"#)).collect();
    let list = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(","));
    assert_eq!(heard(&[], Method::ToolsList, &list).len(), MAX_TOOLS);
}
