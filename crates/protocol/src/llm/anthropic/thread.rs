//! Conversations that Anthropic's servers keep between turns (`thread`, of the beta `message-threads`): a turn that goes
//! on names the answer before it, and sends what is new alone.
//!
//! Owns what such a member means where its vendor is not asked: the call is refused in the words by which clients go on
//! without it. Left out instead, a client would take the conversation for kept, and the model would see a part of it.

use crate::llm::{
    error::{ErrorKind, ErrorView, ReadError},
    node::Node,
    write::JsonWriter,
};

/// The member's name.
pub(super) const MEMBER: &str = "thread";

const POINTER: &str = "/thread";

/// Refuses a call that wants its conversation kept.
///
/// # Errors
/// Where `root` has the member.
pub(super) fn refuse(root: Node<'_, '_>) -> Result<(), ReadError> {
    match root.present(MEMBER) {
        Some(_) => Err(ReadError::new(
            POINTER,
            "no conversations are kept where this model is served; send the whole conversation, without `thread`",
        )),
        None => Ok(()),
    }
}

/// Whether a call goes on from what the vendor keeps.
pub(super) fn goes_on(thread: Node<'_, '_>) -> bool {
    thread.get("type").is_some_and(|kind| kind.text_is("continue"))
}

/// What the vendor adds to such a refusal, which its client libraries look for.
pub(super) fn error_details(view: &ErrorView<'_>, json: &mut JsonWriter) {
    if view.kind == ErrorKind::InvalidRequest && view.param == Some(POINTER) {
        json.object_member("details", |json| {
            json.string_member("error_code", "thread_unsupported_request");
            json.array_member("unsupported", |json| json.string("provider"));
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use crate::llm::{Dialect, ErrorKind, ErrorView, ModelCall, Operation, PrepareError, tests::wire};

    fn call(thread: &Value, messages: &Value) -> ModelCall {
        let body = json!({"model": "m", "max_tokens": 9, "thread": thread, "messages": messages});
        ModelCall::read(Dialect::Anthropic, Operation::Generate, Bytes::from(body.to_string())).unwrap()
    }

    #[test]
    fn a_kept_conversation_stays_with_its_vendor_and_is_refused_elsewhere() {
        let hello = json!([{"role": "user", "content": "hi"}]);
        let kept = call(&json!({"type": "new"}), &hello);
        let own = kept.prepare(&wire(Dialect::Anthropic, "claude")).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&own.body).unwrap()["thread"], json!({"type": "new"}));
        for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Anthropic) {
            let refused = kept.prepare(&wire(dialect, "other")).unwrap_err();
            assert!(matches!(refused, PrepareError::Invalid { pointer, .. } if pointer == "/thread"), "{dialect:?}");
            assert!(call(&Value::Null, &hello).prepare(&wire(dialect, "other")).is_ok(), "{dialect:?}");
        }
        assert!(!kept.is_repeatable() && call(&Value::Null, &hello).is_repeatable());
    }

    #[test]
    fn a_turn_that_goes_on_may_be_empty_and_reserves_for_what_is_not_seen() {
        let goes_on = call(&json!({"type": "continue", "previous_message_id": "msg_1"}), &json!([]));
        assert!(goes_on.estimate() >= crate::llm::estimate::UNSEEN);
        let body = json!({"model": "m", "max_tokens": 9, "thread": {"type": "new"}, "messages": []});
        ModelCall::read(Dialect::Anthropic, Operation::Generate, Bytes::from(body.to_string())).unwrap_err();
    }

    #[test]
    fn the_refusal_says_what_client_libraries_look_for() {
        let view = ErrorView {
            status: 400,
            kind: ErrorKind::InvalidRequest,
            message: "m",
            code: "invalid_request",
            param: Some("/thread"),
            call_id: "call_0",
        };
        let told = |view| -> Value { serde_json::from_slice(&Dialect::Anthropic.error_body(view)).unwrap() };
        let details = json!({"error_code": "thread_unsupported_request", "unsupported": ["provider"]});
        assert_eq!(told(&view)["error"]["details"], details);
        assert!(told(&ErrorView { param: Some("/messages"), ..view })["error"].get("details").is_none());
    }
}
