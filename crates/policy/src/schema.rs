//! The Cedar schema of a configuration: the built-in model, and an action for each pinned tool with the tool's own
//! argument types. Every value that `context` and `entities` make must fit it; a test compares the two.

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy::{Schema, SchemaFragment};
use serde::Serialize;
use tidegate_core::facts::Action;

use crate::{
    entities::{
        ACTION, GATEWAY, KEY, MCP_RESOURCE, MCP_SERVER, MODEL, NAMESPACE, ORG, PROMPT, PROPOSED_TOOL, PROVIDER, TEAM,
        TOOL, tool_action_id,
    },
    input::PolicyInput,
    problem::PolicyProblem,
    shape::{self, Shape},
};

/// The schema in Cedar's own syntax, for editors and for people.
///
/// # Errors
/// Where a name of the configuration cannot stand in a Cedar schema; says which part and why.
pub fn schema_text(input: &PolicyInput<'_>) -> Result<String, PolicyProblem> {
    let fragment = fragment(input)?;
    fragment.to_cedarschema().map_err(|error| defect(&error))
}

/// The schema for validation.
pub(crate) fn schema(input: &PolicyInput<'_>) -> Result<Schema, PolicyProblem> {
    Schema::from_schema_fragments([fragment(input)?]).map_err(|error| defect(&error))
}

fn fragment(input: &PolicyInput<'_>) -> Result<SchemaFragment, PolicyProblem> {
    let document = BTreeMap::from([(NAMESPACE, namespace(input))]);
    let json = serde_json::to_string(&document).map_err(|error| defect(&error))?;
    SchemaFragment::from_json_str(&json).map_err(|error| defect(&error))
}

fn defect(error: &dyn std::error::Error) -> PolicyProblem {
    PolicyProblem::unplaced(
        format!("the policy schema cannot be made: {error}"),
        Some("a name of a server or tool may be at fault".to_owned()),
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Namespace {
    entity_types: BTreeMap<&'static str, EntityType>,
    actions: BTreeMap<String, ActionType>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntityType {
    member_of_types: Vec<&'static str>,
    shape: Type,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActionType {
    member_of: Vec<ActionRef>,
    applies_to: AppliesTo,
}

#[derive(Serialize)]
struct ActionRef {
    id: &'static str,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AppliesTo {
    principal_types: Vec<&'static str>,
    resource_types: Vec<&'static str>,
    context: Type,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Type {
    String,
    Long,
    Boolean,
    Set { element: Box<Type> },
    Record { attributes: BTreeMap<Arc<str>, Attribute> },
    Extension { name: &'static str },
}

#[derive(Serialize)]
struct Attribute {
    #[serde(flatten)]
    kind: Type,
    required: bool,
}

fn record(attributes: impl IntoIterator<Item = (&'static str, Type)>) -> Type {
    let required = |(name, kind)| (Arc::from(name), Attribute { kind, required: true });
    Type::Record { attributes: attributes.into_iter().map(required).collect() }
}

fn with_optional(record: Type, optional: impl IntoIterator<Item = (&'static str, Type)>) -> Type {
    match record {
        Type::Record { mut attributes } => {
            let absent = |(name, kind)| (Arc::from(name), Attribute { kind, required: false });
            attributes.extend(optional.into_iter().map(absent));
            Type::Record { attributes }
        }
        other => other,
    }
}

fn texts() -> Type {
    Type::Set { element: Box::new(Type::String) }
}

fn namespace(input: &PolicyInput<'_>) -> Namespace {
    let mut actions = BTreeMap::new();
    for action in Action::ALL {
        let context = match action {
            Action::CallTool | Action::ProposeTool => context([("unmapped", texts())]),
            Action::CallProviderApi | Action::AdministerProvider => context([("api", api())]),
            _ => context([]),
        };
        actions.insert(action.as_str().to_owned(), action_type(Vec::new(), resource_type(action), context));
    }
    for server in &input.servers {
        for pin in &server.pins {
            let id = tool_action_id(server.name.as_str(), pin.name.as_str());
            actions.entry(id).or_insert_with(|| {
                let args = arguments(&shape::arguments(&pin.input_schema));
                let group = ActionRef { id: Action::CallTool.as_str(), kind: format!("{NAMESPACE}::{ACTION}") };
                action_type(vec![group], TOOL, context([("unmapped", texts()), ("args", args)]))
            });
        }
    }
    Namespace { entity_types: entity_types(), actions }
}

fn action_type(member_of: Vec<ActionRef>, resource: &'static str, context: Type) -> ActionType {
    let applies_to = AppliesTo { principal_types: vec![KEY], resource_types: vec![resource], context };
    ActionType { member_of, applies_to }
}

/// What each action is done to. The same pairs as `Catalog::object` takes.
pub(crate) fn resource_type(action: Action) -> &'static str {
    match action {
        Action::InvokeModel => MODEL,
        Action::ListModels | Action::UseBatches => GATEWAY,
        Action::ProposeTool => PROPOSED_TOOL,
        Action::CallTool => TOOL,
        Action::ReadResource => MCP_RESOURCE,
        Action::GetPrompt => PROMPT,
        Action::CallProviderApi | Action::AdministerProvider => PROVIDER,
        Action::ListTools | Action::ListResources | Action::ListPrompts | Action::UseServer | Action::AnswerServer => {
            MCP_SERVER
        }
    }
}

fn entity_types() -> BTreeMap<&'static str, EntityType> {
    let kind = |parents: &[&'static str], shape| EntityType { member_of_types: parents.to_vec(), shape };
    let named = || record([("name", Type::String)]);
    let of_server = |attribute| record([("server", Type::String), (attribute, Type::String)]);
    let key = with_optional(record([("name", Type::String), ("org", Type::String)]), [("team", Type::String)]);
    BTreeMap::from([
        (ORG, kind(&[], record([]))),
        (TEAM, kind(&[ORG], record([]))),
        ("User", kind(&[TEAM, ORG], record([]))),
        ("Agent", kind(&[TEAM, ORG], record([]))),
        (KEY, kind(&[TEAM, ORG], key)),
        (PROVIDER, kind(&[], record([]))),
        (MODEL, kind(&[PROVIDER], record([("provider", Type::String), ("name", Type::String)]))),
        (GATEWAY, kind(&[], record([]))),
        (MCP_SERVER, kind(&[], named())),
        (TOOL, kind(&[MCP_SERVER], of_server("name"))),
        (PROPOSED_TOOL, kind(&[], named())),
        (MCP_RESOURCE, kind(&[MCP_SERVER], of_server("uri"))),
        (PROMPT, kind(&[MCP_SERVER], of_server("name"))),
    ])
}

fn context(more: impl IntoIterator<Item = (&'static str, Type)>) -> Type {
    let request = record([
        ("stream", Type::Boolean),
        ("input_tokens", Type::Long),
        ("max_output_tokens", Type::Long),
        ("tools", texts()),
        ("surface", Type::String),
        ("metadata", texts()),
    ]);
    let request = with_optional(
        request,
        [("model", Type::String), ("estimated_cost_nano_usd", Type::Long), ("session", Type::String)],
    );
    let time = record([("unix_seconds", Type::Long), ("hour", Type::Long), ("weekday", Type::Long)]);
    let fields = [
        ("request", request),
        ("verdicts", texts()),
        ("time", time),
        ("source_address", Type::Extension { name: "ipaddr" }),
    ];
    record(fields.into_iter().chain(more))
}

/// What is called of a vendor's own API.
fn api() -> Type {
    let api = record([("method", Type::String), ("path", Type::String), ("body", Type::String)]);
    with_optional(api, [("model", Type::String)])
}

fn arguments(shape: &Shape) -> Type {
    match shape {
        Shape::Text => Type::String,
        Shape::Integer => Type::Long,
        Shape::Bool => Type::Boolean,
        Shape::Set(element) => Type::Set { element: Box::new(arguments(element)) },
        Shape::Record(members) => Type::Record {
            attributes: members
                .iter()
                .map(|(name, member)| {
                    let kind = arguments(&member.shape);
                    (Arc::clone(name), Attribute { kind, required: member.required })
                })
                .collect(),
        },
    }
}
