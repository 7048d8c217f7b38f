//! Parameters that a target's configuration sets over what the caller sends.
//!
//! Owns their names and the edit of a body that is ready to be sent. Never sets what decides about the call: the model,
//! the texts, the tools, whether it streams.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::{
    json::{Edit, Kind, splice},
    llm::{
        dialect::{Codec, ParamPlace},
        error::{PrepareError, ReadError},
        model_call::{ModelCall, Operation},
        node::{Document, Node},
        target::{Lane, Outgoing, TargetWire},
    },
};

/// Members that a configuration never sets: policies, guards and the gateway itself rely on the caller's.
const OWN: [&str; 33] = [
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
    "maxOutputTokens",
    "max_output_tokens",
    "candidateCount",
    "candidate_count",
    "response_format",
    "metadata",
    "store",
    "contents",
    "systemInstruction",
    "system_instruction",
    "toolConfig",
    "tool_config",
    "cachedContent",
    "instructions",
    "previous_response_id",
    "conversation",
    "background",
    "include",
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
        if params.is_empty()
            || matches!(self.operation(), Operation::CountTokens | Operation::Embed | Operation::EmbedBatch)
        {
            return Ok(outgoing);
        }
        let document =
            Document::parse(&outgoing.body).map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
        let root = document.root();
        let codec = to.dialect.codec();
        let mut set = Setting { codec, root, edits: Vec::new(), fresh: BTreeMap::new(), replaced: BTreeMap::new() };
        let place = |name| codec.param(name, self.operation(), to.quirks);
        for (name, value) in params.members.iter() {
            set.set(place(name), value);
        }
        if let Some(most) = params.max_tokens {
            set.set(place("max_tokens"), &most.to_string());
        }
        let body = splice(&outgoing.body, set.edits())
            .map_err(|error| ReadError::new("", format!("the parameters could not be set: {error}")))?;
        outgoing.body = body.into();
        if outgoing.lane == Lane::Verbatim {
            outgoing.lane = Lane::Patched;
        }
        Ok(outgoing)
    }
}

/// Edits that set members of a body, some of them inside objects that it may not have yet.
struct Setting<'tape, 'body> {
    codec: &'static dyn Codec,
    root: Node<'tape, 'body>,
    edits: Vec<Edit>,
    fresh: BTreeMap<usize, Fresh>,
    /// Members that are no objects where one is needed: null, as a rule.
    replaced: BTreeMap<&'static str, Range<usize>>,
}

/// What goes in behind an object's opening brace.
#[derive(Default)]
struct Fresh {
    members: Vec<String>,
    /// Members of objects that go in with them.
    nested: BTreeMap<&'static str, Vec<String>>,
    /// Whether more members follow in the object.
    more: bool,
}

impl Setting<'_, '_> {
    fn set(&mut self, place: ParamPlace<'_>, value: &str) {
        let parent = place.parent.map(|name| (name, self.codec.member(self.root, name)));
        let (object, missing) = match parent {
            None => (self.root, None),
            Some((_, Some(object))) if object.kind() == Kind::Object => (object, None),
            Some((name, other)) => {
                if let Some(other) = other {
                    self.replaced.insert(name, other.span());
                }
                (self.root, Some(name))
            }
        };
        let known = |name| self.codec.member(object, name).filter(|_| missing.is_none());
        if let Some(node) = known(place.name) {
            self.edits.push(Edit { span: node.span(), replacement: value.as_bytes().to_vec() });
        } else {
            let fresh = self.fresh.entry(object.span().start.saturating_add(1)).or_default();
            fresh.more = object.members().next().is_some();
            let members = match missing {
                Some(parent) => fresh.nested.entry(parent).or_default(),
                None => &mut fresh.members,
            };
            members.push(format!("\"{}\":{value}", place.name));
        }
        if let Some(node) = place.instead_of.and_then(known) {
            self.edits.push(Edit { span: node.span(), replacement: b"null".to_vec() });
        }
    }

    fn edits(mut self) -> Vec<Edit> {
        for (at, mut fresh) in self.fresh {
            for (name, members) in fresh.nested {
                let object = format!("{{{}}}", members.join(","));
                match self.replaced.remove(name) {
                    Some(span) => self.edits.push(Edit { span, replacement: object.into_bytes() }),
                    None => fresh.members.push(format!("\"{name}\":{object}")),
                }
            }
            if fresh.members.is_empty() {
                continue;
            }
            let mut replacement = fresh.members.join(",");
            if fresh.more {
                replacement.push(',');
            }
            self.edits.push(Edit { span: at..at, replacement: replacement.into_bytes() });
        }
        self.edits
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::llm::{Dialect, Quirks};

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
    fn an_object_that_is_null_is_replaced_and_stands_once() {
        let body = json!({"model": "m", "input": "x", "reasoning": null});
        let (sent, _) = sent(Dialect::OpenAiResponses, &body, &json!({"reasoning_effort": "low", "top_p": 0.5}));
        assert_eq!((&sent["reasoning"], &sent["top_p"]), (&json!({"effort": "low"}), &json!(0.5)));
        let call = ModelCall::read(Dialect::OpenAiResponses, Operation::Generate, body.to_string().into()).unwrap();
        let quirks = Quirks::default();
        let dialect = Dialect::OpenAiResponses;
        let wire = TargetWire { dialect, model: "m", default_max_output: None, quirks: &quirks, reasoning_scope: None };
        let params = Params::new([("reasoning_effort".to_owned(), "\"low\"".to_owned())]).unwrap();
        let outgoing = call.tune(call.prepare(&wire).unwrap(), &wire, &params).unwrap();
        assert!(Document::parse(&outgoing.body).is_ok(), "a member twice is refused");
    }

    #[test]
    fn what_the_caller_says_itself_cannot_be_set() {
        for name in ["model", "messages", "tools", "stream", "n", "contents", "systemInstruction", "instructions"] {
            assert!(Params::new([(name.to_owned(), "1".to_owned())]).is_err(), "{name}");
        }
        assert!(Params::new([("max_tokens".to_owned(), "0".to_owned())]).is_err());
    }
}
