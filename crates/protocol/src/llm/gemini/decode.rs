//! A `generateContent` request into the representation.
//!
//! Owns what each member and part means. Refuses content that it does not understand; settings it does not understand
//! become extensions, which the target's encoder notes as losses. Calls without an id get one, and results without one
//! find their call by order and name. Called on the translated lane.

use std::borrow::Cow;

use super::{fields, head, media, settings, thoughts, tools};
use crate::llm::{
    error::ReadError,
    ir::{Arguments, Extension, Message, Part, Request, Role},
    node::{Node, pointer_to},
};

pub(super) fn request(root: Node<'_, '_>) -> Result<Request, ReadError> {
    let mut request = Request::default();
    let (root, above) = match fields::present(root, head::WRAPPED) {
        Some(inner) => (inner.expect_object()?, pointer_to(head::WRAPPED)),
        None => (root, String::new()),
    };
    for (name, value) in fields::members(root) {
        if value.is_null() {
            continue;
        }
        match &*name {
            "model" => {}
            "systemInstruction" => system(value, &mut request)?,
            "contents" => contents(value, &above, &mut request)?,
            "tools" => tools::read(value, &above, &mut request)?,
            // Which of the tools may be called is known once all of them are.
            "toolConfig" => {}
            "generationConfig" => settings::read(value, &above, &mut request)?,
            "serviceTier" => request.service_tier = settings::read_tier(&value.expect_text()?),
            "cachedContent" => {
                let words = "names content that only its own vendor keeps; send the content itself";
                return Err(value.error(words));
            }
            "safetySettings" | "labels" if value.items().next().is_none() && value.members().next().is_none() => {}
            _ => extension(format!("{above}{}", pointer_to(&name)), &mut request),
        }
    }
    if let Some(config) = fields::present(root, "toolConfig") {
        tools::read_config(config, &above, &mut request)?;
    }
    Ok(request)
}

pub(super) fn extension(pointer: String, request: &mut Request) {
    request.extensions.push(Extension { pointer });
}

fn system(content: Node<'_, '_>, request: &mut Request) -> Result<(), ReadError> {
    for part in fields::list(content.expect_object()?, "parts") {
        let text = fields::get(part, "text").ok_or_else(|| part.error("a system instruction can hold text only"))?;
        let text = text.expect_text()?;
        if !text.is_empty() {
            request.system.push((text.into_owned(), None));
        }
    }
    Ok(())
}

fn contents(list: Node<'_, '_>, above: &str, request: &mut Request) -> Result<(), ReadError> {
    let mut calls = Calls::default();
    for (at, content) in fields::expect_each(list)?.enumerate() {
        let pointer = format!("{above}/contents/{at}");
        let role = match fields::text(content, "role").as_deref() {
            None | Some("" | "user" | "function" | "tool") => Role::User,
            Some("model") => Role::Assistant,
            Some(other) => return Err(content.error(format!("role `{other}` is neither `user` nor `model`"))),
        };
        let mut reader = Reader { role, pointer: &pointer, calls: &mut calls, parts: Vec::new() };
        for (at, part) in fields::list(content, "parts").enumerate() {
            reader.part(part.expect_object()?, at)?;
        }
        let parts = reader.parts;
        request.messages.push(Message { role, parts, pointer });
    }
    Ok(())
}

/// The calls of a conversation that have no result yet, in their order.
#[derive(Default)]
struct Calls {
    made: usize,
    open: std::collections::VecDeque<(String, String)>,
}

impl Calls {
    /// The id of a call: its own, or one of this gateway's making.
    fn made(&mut self, id: Option<Cow<'_, str>>, name: &str) -> String {
        self.made = self.made.saturating_add(1);
        let id = match id.filter(|id| !id.is_empty()) {
            Some(id) => id.into_owned(),
            None => format!("call_{}", self.made),
        };
        self.open.push_back((id.clone(), name.to_owned()));
        id
    }

    /// The id of the call that a result answers: the one of its id, else the first open one of its name.
    fn answered(&mut self, id: Option<Cow<'_, str>>, name: &str) -> String {
        let id = id.filter(|id| !id.is_empty());
        let by_id = id.as_deref().and_then(|id| self.open.iter().position(|(open, _)| open == id));
        let at = by_id.or_else(|| self.open.iter().position(|(_, open)| open == name));
        match at.and_then(|at| self.open.remove(at)) {
            Some((id, _)) => id,
            // Which answers nothing: that is told by the id or the name.
            None => id.map_or_else(|| name.to_owned(), Cow::into_owned),
        }
    }
}

/// Reads the parts of one content.
struct Reader<'turn> {
    role: Role,
    pointer: &'turn str,
    calls: &'turn mut Calls,
    parts: Vec<Part>,
}

impl Reader<'_> {
    fn part(&mut self, part: Node<'_, '_>, at: usize) -> Result<(), ReadError> {
        let signature = fields::text(part, "thoughtSignature").filter(|signature| !signature.is_empty());
        let signature = signature.as_deref();
        if let Some(call) = fields::present(part, "functionCall") {
            if let Some(signature) = signature.filter(|signature| *signature != thoughts::NO_SIGNATURE) {
                self.parts.push(thoughts::part(String::new(), Some(signature)));
            }
            let name = fields::required_text(call.expect_object()?, "name")?.into_owned();
            let id = self.calls.made(fields::text(call, "id"), &name);
            self.parts.push(Part::ToolCall { id, name, arguments: arguments(call)?, cache: None });
            return Ok(());
        }
        if let Some(result) = fields::present(part, "functionResponse") {
            let result = self.result(result.expect_object()?, at)?;
            self.parts.push(result);
            return Ok(());
        }
        if let Some(text) = fields::present(part, "text") {
            let text = text.expect_text()?.into_owned();
            self.text(text, signature, fields::is_true(part, "thought"));
            return Ok(());
        }
        if let Some(signature) = signature {
            self.parts.push(thoughts::part(String::new(), Some(signature)));
        }
        if let Some(data) = fields::present(part, "inlineData") {
            let part = media::inline(data)?.unwrap_or_else(|| self.foreign("inlineData", at));
            self.parts.push(part);
        } else if let Some(data) = fields::present(part, "fileData") {
            self.parts.push(media::file(data)?);
        } else if let Some((kind, _)) =
            fields::members(part).find(|(_, value)| value.kind() == crate::json::Kind::Object)
        {
            let part = self.foreign(&kind, at);
            self.parts.push(part);
        }
        Ok(())
    }

    fn foreign(&self, kind: &str, at: usize) -> Part {
        Part::Foreign { kind: kind.to_owned(), pointer: format!("{}/parts/{at}", self.pointer) }
    }

    fn text(&mut self, text: String, signature: Option<&str>, thought: bool) {
        if !thought {
            if !text.is_empty() {
                self.parts.push(Part::Text { text, cache: None });
            }
            if let Some(signature) = signature {
                self.parts.push(thoughts::part(String::new(), Some(signature)));
            }
            return;
        }
        // A thought that was streamed comes back in the pieces it came in, the signature on the last of them.
        let read = thoughts::part(text, signature);
        match (self.parts.last_mut(), read) {
            (
                Some(Part::Reasoning { text, signature: signed @ None, scope }),
                Part::Reasoning { text: more, signature, scope: its },
            ) => {
                text.push_str(&more);
                (*signed, *scope) = (signature, its);
            }
            (_, read) => self.parts.push(read),
        }
    }

    fn result(&mut self, result: Node<'_, '_>, at: usize) -> Result<Part, ReadError> {
        if self.role != Role::User {
            return Err(result.error("a function's response belongs into the user's turn"));
        }
        let name = fields::required_text(result, "name")?;
        let id = self.calls.answered(fields::text(result, "id"), &name);
        let (mut content, mut is_error) = (Vec::new(), false);
        if let Some(response) = fields::present(result, "response") {
            let (text, failed) = said(response.expect_object()?);
            content.push(Part::Text { text, cache: None });
            is_error = failed;
        }
        for part in fields::list(result, "parts") {
            let data = fields::present(part, "inlineData").map(media::inline).transpose()?.flatten();
            let file = fields::present(part, "fileData").map(media::file).transpose()?;
            content.push(data.or(file).unwrap_or_else(|| self.foreign("functionResponse.parts", at)));
        }
        Ok(Part::ToolResult { id, content, is_error, cache: None })
    }
}

/// The arguments of a call; of one that was cut short, the text as far as it came.
pub(super) fn arguments(call: Node<'_, '_>) -> Result<Arguments, ReadError> {
    if fields::is_true(call, "willContinue") {
        let pieces = fields::list(call, "partialArgs").filter_map(|piece| fields::text(piece, "stringValue"));
        return Ok(Arguments(pieces.collect()));
    }
    Ok(Arguments(match fields::present(call, "args") {
        Some(args) => args.expect_object()?.raw().to_owned(),
        None => "{}".to_owned(),
    }))
}

/// What a function's response says, and whether that is an error: the API's own names for both are taken off where they
/// are all there is.
fn said(response: Node<'_, '_>) -> (String, bool) {
    let mut members = response.members();
    if let (Some((name, value)), None) = (members.next(), members.next()) {
        let own = matches!(&*name, "output" | "result" | "error");
        if let Some(text) = value.text().filter(|_| own) {
            return (text.into_owned(), name == "error");
        }
    }
    (response.raw().to_owned(), false)
}
