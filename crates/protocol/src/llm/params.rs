//! Parameters that a target's configuration sets over what the caller sends.
//!
//! Owns their names and the edit of a body that is ready to be sent. Never sets what decides about the call: the model,
//! the texts, the tools, whether it streams.

use std::sync::Arc;

use crate::{
    json::{Edit, splice},
    llm::{
        dialect::Dialect,
        error::{PrepareError, ReadError},
        model_call::{ModelCall, Operation},
        node::Document,
        target::{Lane, Outgoing, TargetWire},
    },
};

/// Members that a configuration never sets: policies, guards and the gateway itself rely on the caller's.
const OWN: [&str; 18] = [
    "model",
    "messages",
    "system",
    "input",
    "prompt",
    "suffix",
    "tools",
    "functions",
    "tool_choice",
    "stream",
    "stream_options",
    "n",
    "best_of",
    "prediction",
    "max_completion_tokens",
    "response_format",
    "metadata",
    "store",
];

/// Parameters by name, each with its value as JSON text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    members: Arc<[(Box<str>, Box<str>)]>,
    max_tokens: Option<u64>,
}

impl Params {
    /// Makes them of names and values in JSON.
    ///
    /// # Errors
    /// The name that may not be set, or `max_tokens` that is no whole number above 0.
    pub fn new(members: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let mut max_tokens = None;
        let mut kept = Vec::new();
        for (name, value) in members {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(format!("`{name}` is no parameter's name"));
            }
            if OWN.contains(&name.as_str()) {
                return Err(format!("`{name}` is the caller's own"));
            }
            if name == "max_tokens" {
                let most = value.parse().ok().filter(|most: &u64| *most > 0);
                max_tokens = Some(most.ok_or_else(|| "`max_tokens` is a whole number above 0".to_owned())?);
            } else {
                kept.push((name.into_boxed_str(), value.into_boxed_str()));
            }
        }
        Ok(Self { members: kept.into(), max_tokens })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.max_tokens.is_none()
    }

    /// The most tokens of one answer, whatever the caller asks for.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }
}

impl ModelCall {
    /// Sets a target's parameters in a body that is ready to be sent.
    ///
    /// # Errors
    /// Where the body cannot be read any more, which preparing it excludes.
    pub fn tune(&self, mut outgoing: Outgoing, to: &TargetWire<'_>, params: &Params) -> Result<Outgoing, PrepareError> {
        if params.is_empty() || matches!(self.operation(), Operation::CountTokens | Operation::Embed) {
            return Ok(outgoing);
        }
        let document =
            Document::parse(&outgoing.body).map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
        let root = document.root();
        let mut edits = Vec::new();
        let mut fresh = String::new();
        let mut set = |name: &str, value: &str| match root.get(name) {
            Some(node) => edits.push(Edit { span: node.span(), replacement: value.as_bytes().to_vec() }),
            None => {
                fresh.push_str(&format!("\"{name}\":{value},"));
            }
        };
        for (name, value) in params.members.iter() {
            set(name, value);
        }
        if let Some(most) = params.max_tokens {
            let newer = to.dialect == Dialect::OpenAiChat
                && self.operation() == Operation::Generate
                && !to.quirks.max_completion_tokens_as_max_tokens;
            let (name, other) =
                if newer { ("max_completion_tokens", "max_tokens") } else { ("max_tokens", "max_completion_tokens") };
            set(name, &most.to_string());
            if let Some(node) = root.get(other) {
                edits.push(Edit { span: node.span(), replacement: b"null".to_vec() });
            }
        }
        let start = root.span().start.saturating_add(1);
        if !fresh.is_empty() {
            edits.push(Edit { span: start..start, replacement: fresh.into_bytes() });
        }
        let body = splice(&outgoing.body, edits)
            .map_err(|error| ReadError::new("", format!("the parameters could not be set: {error}")))?;
        outgoing.body = body.into();
        if outgoing.lane == Lane::Verbatim {
            outgoing.lane = Lane::Patched;
        }
        Ok(outgoing)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::llm::Quirks;

    fn sent(dialect: Dialect, body: &Value, params: &Value) -> (Value, Lane) {
        let call = ModelCall::read(dialect, Operation::Generate, Bytes::from(body.to_string())).unwrap();
        let quirks = Quirks::default();
        let wire = TargetWire { dialect, model: "m", default_max_output: None, quirks: &quirks, reasoning_scope: None };
        let members = params.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string()));
        let params = Params::new(members).unwrap();
        let outgoing = call.tune(call.prepare(&wire).unwrap(), &wire, &params).unwrap();
        (serde_json::from_slice(&outgoing.body).unwrap(), outgoing.lane)
    }

    #[test]
    fn a_targets_parameters_win_over_the_callers_and_the_rest_stays() {
        let body =
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1, "max_tokens": 9});
        let params = json!({"temperature": 0.2, "top_p": 0.5, "max_tokens": 5});
        let (sent, lane) = sent(Dialect::OpenAiChat, &body, &params);
        assert_eq!(lane, Lane::Patched);
        assert_eq!((&sent["temperature"], &sent["top_p"]), (&json!(0.2), &json!(0.5)));
        assert_eq!((&sent["max_completion_tokens"], &sent["max_tokens"]), (&json!(5), &json!(null)));
        assert_eq!(sent["messages"], body["messages"]);
    }

    #[test]
    fn the_limit_has_the_name_of_the_targets_dialect() {
        let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
        assert_eq!(sent(Dialect::Anthropic, &body, &json!({"max_tokens": 5})).0["max_tokens"], json!(5));
        assert_eq!(sent(Dialect::Anthropic, &body, &json!({})).1, Lane::Verbatim);
    }

    #[test]
    fn what_the_caller_says_itself_cannot_be_set() {
        for name in ["model", "messages", "tools", "stream", "n"] {
            assert!(Params::new([(name.to_owned(), "1".to_owned())]).is_err(), "{name}");
        }
        assert!(Params::new([("max_tokens".to_owned(), "0".to_owned())]).is_err());
    }
}
