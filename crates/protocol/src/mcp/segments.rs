//! Where the texts stand that guards look at.
//!
//! Owns which strings of a message are content. Never copies them. Called by tool calls and answers.

use tidegate_core::segment::Origin;

use super::{list::ListKind, method::Method};
use crate::{
    json::{Kind, NodeId, Tape},
    places::{self, Place},
};

/// Members of a JSON Schema whose strings are structure, not words.
const STRUCTURE: [&str; 7] = ["type", "$ref", "$schema", "$id", "$anchor", "format", "required"];

struct Walk<'a> {
    bytes: &'a [u8],
    tape: &'a Tape,
    places: Vec<Place>,
}

/// The texts of a request's parameters.
pub(crate) fn of_request(bytes: &[u8], tape: &Tape, method: Method, params: NodeId) -> Vec<Place> {
    let mut walk = Walk { bytes, tape, places: Vec::new() };
    match method {
        Method::ToolsCall | Method::PromptsGet | Method::CompletionComplete => walk.sent(params),
        Method::SamplingCreateMessage => {
            walk.text_in(params, "systemPrompt", Origin::ToolResult);
            walk.messages(params, Origin::ToolResult);
            walk.list(params, "tools", ListKind::Tools);
        }
        Method::ElicitationCreate => {
            walk.text_in(params, "message", Origin::ToolResult);
            if let Some(schema) = walk.member(params, "requestedSchema") {
                walk.schema(schema);
            }
        }
        // A log message or a progress text is the server's own words.
        Method::Notification => walk.all(params, Origin::ToolResult, None),
        _ => {}
    }
    walk.sorted()
}

/// The texts of the result of a request.
pub(crate) fn of_result(bytes: &[u8], tape: &Tape, method: Method, result: NodeId) -> Vec<Place> {
    let mut walk = Walk { bytes, tape, places: Vec::new() };
    match method {
        Method::ToolsCall => {
            walk.contents(result, "content", Origin::ToolResult);
            walk.all_in(result, "structuredContent", Origin::ToolResult);
        }
        Method::ResourcesRead => walk.resources(result),
        Method::PromptsGet => {
            walk.text_in(result, "description", Origin::ToolResult);
            walk.messages(result, Origin::ToolResult);
        }
        Method::CompletionComplete => walk.all_in(result, "completion", Origin::ToolResult),
        Method::Initialize => {
            walk.text_in(result, "instructions", Origin::ToolDescription);
            if let Some(info) = walk.member(result, "serverInfo") {
                walk.words(info);
            }
        }
        // What a client answers goes to the server, like an argument.
        Method::SamplingCreateMessage => walk.contents(result, "content", Origin::ToolArgument),
        Method::ElicitationCreate => walk.all_in(result, "content", Origin::ToolArgument),
        Method::RootsList => walk.all_in(result, "roots", Origin::ToolArgument),
        _ => {
            if let Some(kind) = ListKind::of(method) {
                walk.list(result, kind.member(), kind);
            }
        }
    }
    walk.sorted()
}

impl Walk<'_> {
    /// The places in the order of the text, each once.
    fn sorted(mut self) -> Vec<Place> {
        places::sort(&mut self.places);
        self.places
    }

    fn member(&self, object: NodeId, name: &str) -> Option<NodeId> {
        self.tape.member(self.bytes, object, name)
    }

    /// Everything in a value: strings, long numbers, names.
    fn all(&mut self, node: NodeId, origin: Origin, name: Option<NodeId>) {
        places::free(self.bytes, self.tape, node, origin, name, &mut |place| self.places.push(place));
    }

    fn all_in(&mut self, object: NodeId, name: &str, origin: Origin) {
        if let Some(node) = self.member(object, name) {
            self.all(node, origin, None);
        }
    }

    /// Everything a caller sends along, known to the protocol or not, but what policies decide on and what answers are
    /// matched by.
    fn sent(&mut self, params: NodeId) {
        let (tape, bytes) = (self.tape, self.bytes);
        for member in tape.members(bytes, params) {
            match &*member.name {
                "name" | "uri" | "ref" => {}
                "_meta" => tape
                    .members(bytes, member.value)
                    .filter(|meta| meta.name != "progressToken")
                    .for_each(|meta| self.all(meta.value, Origin::ToolArgument, Some(meta.key))),
                _ => self.all(member.value, Origin::ToolArgument, Some(member.key)),
            }
        }
    }

    fn text_in(&mut self, object: NodeId, name: &str, origin: Origin) {
        if let Some(node) = self.member(object, name).filter(|node| self.tape.kind(*node) == Kind::String) {
            self.places.push(Place::text(node, origin));
        }
    }

    /// The content blocks below a member: one or an array of them.
    fn contents(&mut self, object: NodeId, name: &str, origin: Origin) {
        let Some(node) = self.member(object, name) else { return };
        let tape = self.tape;
        match tape.kind(node) {
            Kind::Array => tape.elements(node).for_each(|block| self.content(block, origin)),
            _ => self.content(node, origin),
        }
    }

    fn content(&mut self, block: NodeId, origin: Origin) {
        match self.tape.kind(block) {
            Kind::String => self.places.push(Place::text(block, origin)),
            Kind::Object => {
                for name in ["text", "name", "title", "description", "uri"] {
                    self.text_in(block, name, origin);
                }
                if let Some(resource) = self.member(block, "resource") {
                    self.text_in(resource, "text", origin);
                }
                for name in ["input", "structuredContent"] {
                    self.all_in(block, name, origin);
                }
                // Tool results in sampling hold blocks of their own.
                if self.member(block, "content").is_some() {
                    self.contents(block, "content", origin);
                }
            }
            _ => {}
        }
    }

    fn messages(&mut self, object: NodeId, origin: Origin) {
        let Some(messages) = self.member(object, "messages") else { return };
        let tape = self.tape;
        for message in tape.elements(messages) {
            self.contents(message, "content", origin);
        }
    }

    fn resources(&mut self, result: NodeId) {
        let Some(contents) = self.member(result, "contents") else { return };
        let tape = self.tape;
        for content in tape.elements(contents) {
            self.text_in(content, "text", Origin::ToolResult);
        }
    }

    /// The words of a listed thing about itself.
    fn words(&mut self, item: NodeId) {
        for name in ["name", "title", "description", "uri", "uriTemplate"] {
            self.text_in(item, name, Origin::ToolDescription);
        }
    }

    fn list(&mut self, object: NodeId, name: &str, kind: ListKind) {
        let Some(items) = self.member(object, name) else { return };
        let tape = self.tape;
        for item in tape.elements(items) {
            self.words(item);
            match kind {
                ListKind::Tools => {
                    for name in ["inputSchema", "outputSchema"] {
                        if let Some(schema) = self.member(item, name) {
                            self.schema(schema);
                        }
                    }
                    self.all_in(item, "annotations", Origin::ToolDescription);
                }
                ListKind::Prompts => {
                    if let Some(arguments) = self.member(item, "arguments") {
                        tape.elements(arguments).for_each(|argument| self.words(argument));
                    }
                }
                ListKind::Resources | ListKind::ResourceTemplates => {}
            }
        }
    }

    /// Every string of a schema but those that are structure: descriptions and titles, and also examples, defaults and
    /// choices, in which instructions to a model hide as well.
    fn schema(&mut self, node: NodeId) {
        let (tape, bytes) = (self.tape, self.bytes);
        match tape.kind(node) {
            Kind::String => self.places.push(Place::text(node, Origin::ToolDescription)),
            Kind::Array => tape.elements(node).for_each(|element| self.schema(element)),
            Kind::Object => {
                for member in tape.members(bytes, node) {
                    // A property may be called `type`; its value is an object then, and is walked.
                    let structure = STRUCTURE.contains(&&*member.name) && tape.kind(member.value) != Kind::Object;
                    if places::is_telling_name(bytes, tape, member.key) {
                        let origin = Origin::ToolDescription;
                        self.places.push(Place { node: member.key, origin, name: None, is_name: true });
                    }
                    if !structure {
                        self.schema(member.value);
                    }
                }
            }
            _ => {}
        }
    }
}
