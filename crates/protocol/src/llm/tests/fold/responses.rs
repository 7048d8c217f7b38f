//! Responses streams folded into whole answers, each rule of their grammar asserted on the way.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{append, data};
use crate::sse::Frame;

/// The answer, from its deltas; it must be the one that the last event says whole.
pub(super) fn fold(frames: &[Frame]) -> Value {
    let mut items: BTreeMap<u64, Value> = BTreeMap::new();
    let mut closed: BTreeMap<u64, Value> = BTreeMap::new();
    let (mut number, mut id, mut last) = (None::<u64>, Value::Null, Value::Null);
    for frame in frames.iter().filter(|frame| frame.data.is_some()) {
        let event = data(frame);
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        assert_eq!(frame.event_name(), kind, "the event's name is its type");
        assert!(last.is_null(), "an event after the terminator");
        let sequence = event["sequence_number"].as_u64();
        assert!(sequence == number.map_or(Some(0), |number| Some(number + 1)), "{kind} has number {sequence:?}");
        number = sequence;
        let at = event["output_index"].as_u64();
        if let Some(item) = at.and_then(|at| items.get(&at)).filter(|_| !event["item_id"].is_null()) {
            assert_eq!(item["id"], event["item_id"], "{kind} names another item");
        }
        let open = at.and_then(|at| items.get_mut(&at)).filter(|_| at.is_some_and(|at| !closed.contains_key(&at)));
        match kind.as_str() {
            "response.created" => {
                assert_eq!(number, Some(0));
                assert_eq!(event["response"]["status"], "in_progress");
                id = event["response"]["id"].clone();
            }
            "response.in_progress" => assert_eq!(event["response"]["id"], id),
            "response.output_item.added" => {
                assert_eq!(at, Some(items.len() as u64), "output indices have gaps");
                items.insert(at.unwrap(), event["item"].clone());
            }
            "response.output_item.done" => {
                let item = open.expect("an item that is not open");
                item["status"] = event["item"]["status"].clone();
                if !event["item"]["encrypted_content"].is_null() {
                    item["encrypted_content"] = event["item"]["encrypted_content"].clone();
                }
                if event["item"]["status"].is_null() {
                    item.as_object_mut().unwrap().remove("status");
                }
                assert_eq!(*item, event["item"], "an item's deltas are not the item");
                closed.insert(at.unwrap(), item.clone());
            }
            "response.completed" | "response.incomplete" => {
                assert_eq!(event["response"]["id"], id, "the answer's id changed");
                assert_eq!(format!("response.{}", event["response"]["status"].as_str().unwrap()), kind);
                let output: Vec<Value> = closed.values().cloned().collect();
                assert_eq!(closed.len(), items.len(), "an item was not ended");
                assert_eq!(event["response"]["output"], json!(output), "the answer is not its items");
                last = event["response"].clone();
            }
            "response.web_search_call.searching" => {}
            other => inside(other, &event, open.expect("an event of an item that is not open")),
        }
    }
    assert!(!last.is_null(), "no terminator");
    last
}

/// An event about a text of an item.
fn inside(kind: &str, event: &Value, item: &mut Value) {
    let index = |name: &str| event[name].as_u64().unwrap() as usize;
    match kind {
        "response.content_part.added" => {
            assert_eq!(index("content_index"), item["content"].as_array().unwrap().len());
            item["content"].as_array_mut().unwrap().push(event["part"].clone());
        }
        "response.reasoning_summary_part.added" => {
            assert_eq!(index("summary_index"), item["summary"].as_array().unwrap().len());
            item["summary"].as_array_mut().unwrap().push(event["part"].clone());
        }
        "response.output_text.delta" => append(&mut item["content"][index("content_index")]["text"], &event["delta"]),
        "response.refusal.delta" => append(&mut item["content"][index("content_index")]["refusal"], &event["delta"]),
        "response.reasoning_summary_text.delta" => {
            append(&mut item["summary"][index("summary_index")]["text"], &event["delta"]);
        }
        "response.function_call_arguments.delta" => append(&mut item["arguments"], &event["delta"]),
        "response.custom_tool_call_input.delta" => append(&mut item["input"], &event["delta"]),
        "response.output_text.done" => assert_eq!(item["content"][index("content_index")]["text"], event["text"]),
        "response.refusal.done" => assert_eq!(item["content"][index("content_index")]["refusal"], event["refusal"]),
        "response.reasoning_summary_text.done" => {
            assert_eq!(item["summary"][index("summary_index")]["text"], event["text"]);
        }
        "response.content_part.done" => assert_eq!(item["content"][index("content_index")], event["part"]),
        "response.reasoning_summary_part.done" => assert_eq!(item["summary"][index("summary_index")], event["part"]),
        "response.function_call_arguments.done" => assert_eq!(item["arguments"], event["arguments"]),
        "response.custom_tool_call_input.done" => assert_eq!(item["input"], event["input"]),
        other => panic!("event {other}"),
    }
}
