//! Tools of a Responses request, and how they are told to other dialects: functions as they are, those of a namespace
//! under one name, those that take free text as functions of one text.
//!
//! Owns the declarations and the choice among them. What a vendor would run itself is dropped where the conversation can
//! do without it, and refused where it cannot. Called by `decode` and `items`, and by `answer` for the way back.

use std::borrow::Cow;

use super::walk::type_of;
use crate::llm::{
    error::ReadError,
    forms::{ToolForm, told},
    ir::{RawJson, Request, Tool, ToolChoice},
    node::{Document, Node},
    write::JsonWriter,
};

/// The one parameter of a function that stands for a tool that takes free text.
const FREE_TEXT: &str = "input";

/// Tools that a vendor runs and that a model can do without: they are offered, not asked for.
const OFFERED: [&str; 5] =
    ["web_search", "web_search_preview", "image_generation", "tool_search", "programmatic_tool_calling"];

/// Tools as they are declared, in all places of a request.
#[derive(Debug, Default)]
pub(super) struct Declared {
    tools: Vec<Tool>,
    forms: Vec<ToolForm>,
    /// Where tools stand that are dropped, and grammars that are not kept to.
    dropped: Vec<String>,
    choice: Option<ToolChoice>,
}

impl Declared {
    /// Puts them into the request. Answers with the places of what was dropped.
    pub(super) fn into_request(self, request: &mut Request) -> Vec<String> {
        (request.tools, request.tool_choice, request.forms) = (self.tools, self.choice, self.forms);
        self.dropped
    }

    fn add(&mut self, tool: Tool, namespace: Option<&str>, name: &str, custom: bool) {
        // The same tool may be loaded twice in one conversation; its latest definition counts.
        if let Some(known) = self.tools.iter_mut().find(|known| known.name == tool.name) {
            *known = tool;
            return;
        }
        if custom || namespace.is_some() {
            self.forms.push(ToolForm {
                told: tool.name.clone(),
                namespace: namespace.map(str::to_owned),
                name: name.to_owned(),
                custom,
            });
        }
        self.tools.push(tool);
    }
}

/// Reads a list of tools that stands at `pointer`.
pub(super) fn declare(list: Node<'_, '_>, pointer: &str, declared: &mut Declared) -> Result<(), ReadError> {
    for (at, node) in list.expect_array()?.items().enumerate() {
        let pointer = format!("{pointer}/{at}");
        let kind = node.expect_object()?.required_text("type")?;
        match &*kind {
            "namespace" => {
                let namespace = node.required_text("name")?;
                let inner = node.get("tools").ok_or_else(|| node.error("`tools` is missing"))?;
                for (at, tool) in inner.expect_array()?.items().enumerate() {
                    one(tool, Some(&namespace), format!("{pointer}/tools/{at}"), declared)?;
                }
            }
            "function" | "custom" => one(node, None, pointer, declared)?,
            _ if OFFERED.iter().any(|name| kind.starts_with(name)) => declared.dropped.push(pointer),
            _ => return Err(vendors(node, &kind)),
        }
    }
    Ok(())
}

fn vendors(node: Node<'_, '_>, kind: &str) -> ReadError {
    node.error(format!("tools of type `{kind}` exist only at the vendor that runs them; declare a function"))
}

fn one(node: Node<'_, '_>, namespace: Option<&str>, pointer: String, declared: &mut Declared) -> Result<(), ReadError> {
    let name = node.expect_object()?.required_text("name")?;
    let custom = match &*node.required_text("type")? {
        "function" => false,
        "custom" => true,
        other => return Err(vendors(node, other)),
    };
    let grammar = node.present("format").is_some_and(|format| type_of(format) == "grammar");
    if custom && grammar {
        declared.dropped.push(format!("{pointer}/format"));
    }
    let schema = match node.present("parameters").filter(|_| !custom) {
        Some(schema) => schema.expect_object()?.raw().to_owned(),
        None if custom => free_text_schema(),
        None => r#"{"type":"object","properties":{}}"#.to_owned(),
    };
    let tool = Tool {
        name: told(namespace, &name),
        description: node.optional_text("description")?.map(Cow::into_owned),
        schema: RawJson(schema),
        strict: node.present("strict").map(Node::expect_bool).transpose()?,
        cache: None,
        pointer,
    };
    declared.add(tool, namespace, &name, custom);
    Ok(())
}

fn free_text_schema() -> String {
    format!(
        r#"{{"type":"object","properties":{{"{FREE_TEXT}":{{"type":"string"}}}},"required":["{FREE_TEXT}"],"additionalProperties":false}}"#
    )
}

/// Reads the choice. One among some of the tools leaves only those to choose from.
pub(super) fn choose(node: Node<'_, '_>, declared: &mut Declared) -> Result<(), ReadError> {
    if let Some(word) = node.text() {
        declared.choice = Some(match &*word {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Any,
            _ => return Err(node.error("must be `auto`, `none`, `required` or an object that names a tool")),
        });
        return Ok(());
    }
    match &*node.expect_object()?.required_text("type")? {
        "function" | "custom" => {
            declared.choice = Some(ToolChoice::Named(named(node, declared)?));
            Ok(())
        }
        "allowed_tools" => {
            let mut allowed = Vec::new();
            let list = node.get("tools").ok_or_else(|| node.error("`tools` is missing"))?;
            for tool in list.expect_array()?.items() {
                match &*tool.expect_object()?.required_text("type")? {
                    "function" | "custom" => allowed.push(named(tool, declared)?),
                    kind if OFFERED.iter().any(|name| kind.starts_with(name)) => {}
                    kind => return Err(vendors(tool, kind)),
                }
            }
            declared.tools.retain(|tool| allowed.contains(&tool.name));
            declared.choice = Some(match node.optional_text("mode")?.as_deref() {
                Some("required") => ToolChoice::Any,
                _ => ToolChoice::Auto,
            });
            Ok(())
        }
        _ => Err(node.error("names a choice that only its own vendor knows; name a function")),
    }
}

/// The told name of the tool that a choice names, in a namespace or without.
fn named(node: Node<'_, '_>, declared: &Declared) -> Result<String, ReadError> {
    let name = node.required_text("name")?;
    let namespace = node.optional_text("namespace")?;
    if namespace.is_none()
        && let Some(form) = declared.forms.iter().find(|form| *form.name == *name)
    {
        return Ok(form.told.clone());
    }
    Ok(told(namespace.as_deref(), &name))
}

/// Free text as the arguments of the function that stands for the tool.
pub(super) fn arguments_of(input: &str) -> String {
    let mut json = JsonWriter::with_capacity(input.len().saturating_add(16));
    json.object(|json| json.string_member(FREE_TEXT, input));
    String::from_utf8(json.into_bytes()).unwrap_or_default()
}

/// The free text in such arguments; where a model wrote something else, that as it is.
pub(super) fn input_of(arguments: &str) -> Cow<'_, str> {
    let document = Document::parse(arguments.as_bytes()).ok();
    let text = document.as_ref().and_then(|document| document.root().get(FREE_TEXT)).and_then(Node::text);
    text.map_or(Cow::Borrowed(arguments), |text| Cow::Owned(text.into_owned()))
}
