//! What is told of a list of tools, and what is withheld of it.

use bytes::Bytes;
use parking_lot::Mutex;
use tidegate_protocol::{json::Limits, jsonrpc};

use super::*;

/// Knows some lists and some changed tools, and keeps what it is told.
#[derive(Default)]
struct Ear {
    known: Vec<Digest>,
    changed: Vec<&'static str>,
    told: Mutex<Vec<PinnedTool>>,
    lists: Mutex<Vec<Digest>>,
}

impl Discovery for Ear {
    fn is_as_pinned(&self, _: &ServerName, list: &Digest) -> bool {
        self.known.contains(list)
    }

    fn listed(&self, _: &ServerName, list: Digest, tools: Vec<PinnedTool>) -> BTreeSet<ToolName> {
        self.lists.lock().push(list);
        let changed = tools.iter().map(|tool| tool.name.clone());
        let changed = changed.filter(|name| self.changed.contains(&name.as_str())).collect();
        self.told.lock().extend(tools);
        changed
    }

    fn is_changed(&self, _: &ServerName, tool: &str) -> bool {
        self.changed.contains(&tool)
    }

    fn list_changed(&self, _: &ServerName) {}
}

impl Ear {
    fn hears(&self, on_change: OnChange, method: Method, answer: &str) -> Vec<String> {
        let message = jsonrpc::read_one(Bytes::from(answer.to_owned()), &Limits::default()).unwrap();
        let withheld = learn(self, on_change, &"s".into(), &Answer::new(method, message));
        withheld.iter().map(ToString::to_string).collect()
    }
}

fn heard(method: Method, answer: &str) -> Vec<PinnedTool> {
    let ear = Ear::default();
    assert!(ear.hears(OnChange::Refuse, method, answer).is_empty());
    ear.told.into_inner()
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"add","inputSchema":{ "type":"object"}},{"name":"bare"},{"name":""}]}}"#;

#[test]
fn a_list_is_told_with_its_definitions() {
    let told = heard(Method::ToolsList, LIST);
    let shown: Vec<_> = told.iter().map(|pin| (pin.name.as_str(), pin.input_schema.as_str())).collect();
    assert_eq!(shown, [("add", r#"{ "type":"object"}"#), ("bare", "")]);
    assert_ne!(told[0].digest, told[1].digest);
    assert_eq!(told[1].definition, r#"{"name":"bare"}"#);
}

#[test]
fn what_is_no_list_of_tools_is_not_told() {
    assert!(heard(Method::ToolsCall, LIST).is_empty());
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#;
    assert!(heard(Method::ToolsList, error).is_empty());
}

#[test]
fn a_list_that_was_looked_at_is_known_whatever_its_id() {
    let first = Ear::default();
    first.hears(OnChange::Refuse, Method::ToolsList, LIST);
    let second = Ear { known: first.lists.into_inner(), ..Ear::default() };
    second.hears(OnChange::Refuse, Method::ToolsList, &LIST.replace("\"id\":1", "\"id\":\"another\""));
    assert!(second.told.into_inner().is_empty());
}

#[test]
fn a_changed_tool_is_withheld_or_only_told_as_the_server_is_set() {
    let ear = Ear { changed: vec!["add"], ..Ear::default() };
    assert_eq!(ear.hears(OnChange::Refuse, Method::ToolsList, LIST), ["add"]);
    assert!(ear.hears(OnChange::Warn, Method::ToolsList, LIST).is_empty());
}

#[test]
fn two_definitions_of_one_name_in_one_list_are_withheld_and_not_pinned() {
    let ear = Ear::default();
    let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","description":"x"},{"name":"a","description":"y"},{"name":"b"},{"name":"b"}]}}"#;
    assert_eq!(ear.hears(OnChange::Warn, Method::ToolsList, list), ["a"]);
    let told: Vec<_> = ear.told.lock().iter().map(|pin| pin.name.to_string()).collect();
    assert_eq!(told, ["b"]);
}

#[test]
fn of_an_endless_list_only_so_much_is_told() {
    let tools: Vec<String> = (0..MAX_TOOLS + 5).map(|number| format!(r#"{{"name":"t{number}"}}"#)).collect();
    let list = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(","));
    assert_eq!(heard(Method::ToolsList, &list).len(), MAX_TOOLS);
}
