//! Members by their name in JSON, whichever of the two spellings that ProtoJSON allows a caller chose: `topK` or `top_k`.
//!
//! Owns that rule, and that of lists: the API takes a single message where a list of them is meant. Never guesses which
//! of two spellings counts: a body that has both is refused. Called by every reader of the dialect.

use std::borrow::Cow;

use crate::{
    json::Kind,
    llm::{error::ReadError, node::Node},
};

/// The name in JSON of a member that may be spelled as in the protocol's definition.
pub(super) fn camel<'name>(name: Cow<'name, str>) -> Cow<'name, str> {
    if !name.contains('_') {
        return name;
    }
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        match letter {
            '_' => raise = true,
            _ if raise => {
                out.push(letter.to_ascii_uppercase());
                raise = false;
            }
            _ => out.push(letter),
        }
    }
    Cow::Owned(out)
}

/// The member of this name in JSON, in either spelling.
pub(super) fn get<'tape, 'body>(node: Node<'tape, 'body>, name: &str) -> Option<Node<'tape, 'body>> {
    // The usual spelling is found without copying a name.
    node.get(name).or_else(|| members(node).find(|(found, _)| found == name).map(|(_, value)| value))
}

/// The member, unless it is absent or null.
pub(super) fn present<'tape, 'body>(node: Node<'tape, 'body>, name: &str) -> Option<Node<'tape, 'body>> {
    get(node, name).filter(|value| !value.is_null())
}

/// The member as text, where it is one.
pub(super) fn text<'body>(node: Node<'_, 'body>, name: &str) -> Option<Cow<'body, str>> {
    get(node, name).and_then(Node::text)
}

/// Whether the member is `true`.
pub(super) fn is_true(node: Node<'_, '_>, name: &str) -> bool {
    get(node, name).and_then(Node::as_bool) == Some(true)
}

/// The member as text, or an error that names the place.
pub(super) fn required_text<'body>(node: Node<'_, 'body>, name: &str) -> Result<Cow<'body, str>, ReadError> {
    match get(node, name) {
        Some(value) => value.expect_text(),
        None => Err(node.error(format!("`{name}` is missing; it must be a string"))),
    }
}

/// Members with their names as in JSON.
pub(super) fn members<'tape, 'body>(
    node: Node<'tape, 'body>,
) -> impl Iterator<Item = (Cow<'body, str>, Node<'tape, 'body>)> {
    node.members().map(|(name, value)| (camel(name), value))
}

/// The elements of a list, or the one message that stands in its place.
pub(super) fn each<'tape, 'body>(node: Node<'tape, 'body>) -> impl Iterator<Item = Node<'tape, 'body>> {
    let one = (node.kind() == Kind::Object).then_some(node);
    one.into_iter().chain(node.items())
}

/// The elements of the list of this name; none where it is absent.
pub(super) fn list<'tape, 'body>(node: Node<'tape, 'body>, name: &str) -> impl Iterator<Item = Node<'tape, 'body>> {
    present(node, name).into_iter().flat_map(each)
}

/// As [`each`], for a list that a caller sent: every element is an object.
///
/// # Errors
/// Where it is something else.
pub(super) fn expect_each<'tape, 'body>(
    node: Node<'tape, 'body>,
) -> Result<impl Iterator<Item = Node<'tape, 'body>>, ReadError> {
    if !matches!(node.kind(), Kind::Array | Kind::Object) {
        return Err(node.error("must be an array of objects"));
    }
    for item in node.items() {
        item.expect_object()?;
    }
    Ok(each(node))
}

/// Members in which callers and schemas have names of their own.
const FREE: [&str; 6] = ["args", "response", "properties", "defs", "labels", "metadata"];

/// Refuses a body in which a member stands twice, once in each spelling: two readers could read it differently.
///
/// # Errors
/// The place of the second.
pub(super) fn spelled_once(node: Node<'_, '_>) -> Result<(), ReadError> {
    match node.kind() {
        Kind::Array => node.items().try_for_each(spelled_once),
        Kind::Object => {
            for (name, value) in node.members() {
                if name.contains('_') {
                    let other = camel(name.clone());
                    if other != name && node.get(&other).is_some() {
                        let words = format!("stands here as `{name}` and as `{other}`; send one of them");
                        return Err(value.error(words));
                    }
                }
                let name = camel(name);
                // A JSON Schema has names of its own, in which both spellings may be meant.
                let free = FREE.contains(&&*name) || name.ends_with("JsonSchema");
                if !free && matches!(value.kind(), Kind::Array | Kind::Object) {
                    spelled_once(value)?;
                }
            }
            Ok(())
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_name() {
        for (from, to) in [("top_k", "topK"), ("topK", "topK"), ("max_output_tokens", "maxOutputTokens"), ("a_", "a")] {
            assert_eq!(camel(from.into()), to);
        }
    }
}
