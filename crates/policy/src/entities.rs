//! The entities of the policy model: their types, ids, attributes and parents, made once per snapshot where they are
//! known, and per call where they are not (a resource's URI, a prompt, a proposed or unpinned tool).
//!
//! An entity's attributes never refer to other entities, and no policy may look into an entity that it names itself
//! (`source` refuses that), so a decision needs only three: the principal, the action and the resource.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use tidegate_core::{
    facts::{Action, Resource},
    ids::{ProviderName, ServerName, TargetId, ToolName},
    principal::Principal,
};

use crate::{
    input::{KeyEntity, PolicyInput, ServerEntity},
    shape::{self, Shape},
};

/// The namespace of every type.
pub(crate) const NAMESPACE: &str = "Tidegate";
pub(crate) const ACTION: &str = "Action";
pub(crate) const ORG: &str = "Org";
pub(crate) const TEAM: &str = "Team";
pub(crate) const KEY: &str = "Key";
pub(crate) const PROVIDER: &str = "Provider";
pub(crate) const MODEL: &str = "Model";
pub(crate) const GATEWAY: &str = "Gateway";
pub(crate) const MCP_SERVER: &str = "McpServer";
pub(crate) const TOOL: &str = "Tool";
pub(crate) const PROPOSED_TOOL: &str = "ProposedTool";
pub(crate) const MCP_RESOURCE: &str = "McpResource";
pub(crate) const PROMPT: &str = "Prompt";

/// The id of an entity that belongs to another: `parent/child`. Parents hold no slash, so the id is unambiguous.
pub(crate) fn child_id(parent: &str, child: &str) -> String {
    format!("{parent}/{child}")
}

/// The id of a pinned tool's own action.
pub(crate) fn tool_action_id(server: &str, tool: &str) -> String {
    format!("{}:{server}/{tool}", Action::CallTool)
}

/// Why a part of a question cannot be made: a mistake of the gateway, which denies. Small, since it is never returned
/// on a way that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Defect(Box<str>);

impl Defect {
    pub(crate) fn new(message: &str) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Defect {
    fn from(error: E) -> Self {
        Self(error.to_string().into())
    }
}

/// An entity and its id, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) uid: EntityUid,
    pub(crate) entity: Entity,
}

/// The entity types, parsed once.
#[derive(Debug, Clone)]
pub(crate) struct Types {
    action: EntityTypeName,
    org: EntityTypeName,
    team: EntityTypeName,
    key: EntityTypeName,
    provider: EntityTypeName,
    model: EntityTypeName,
    gateway: EntityTypeName,
    server: EntityTypeName,
    tool: EntityTypeName,
    proposed_tool: EntityTypeName,
    resource: EntityTypeName,
    prompt: EntityTypeName,
}

impl Types {
    fn new() -> Result<Self, Defect> {
        let name = |kind: &str| format!("{NAMESPACE}::{kind}").parse::<EntityTypeName>().map_err(Defect::from);
        Ok(Self {
            action: name(ACTION)?,
            org: name(ORG)?,
            team: name(TEAM)?,
            key: name(KEY)?,
            provider: name(PROVIDER)?,
            model: name(MODEL)?,
            gateway: name(GATEWAY)?,
            server: name(MCP_SERVER)?,
            tool: name(TOOL)?,
            proposed_tool: name(PROPOSED_TOOL)?,
            resource: name(MCP_RESOURCE)?,
            prompt: name(PROMPT)?,
        })
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn made(uid: EntityUid, attributes: &[(&str, &str)], parents: &[&EntityUid]) -> Result<Known, Defect> {
    let attributes: HashMap<_, _> = attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), RestrictedExpression::new_string((*value).to_owned())))
        .collect();
    let parents: HashSet<_> = parents.iter().map(|parent| (*parent).clone()).collect();
    let entity = Entity::new(uid.clone(), attributes, parents)?;
    Ok(Known { uid, entity })
}

/// A key as the principal of a decision.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) key: Known,
    pub(crate) org: EntityUid,
    pub(crate) team: Option<EntityUid>,
}

/// A pinned tool.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) action: Arc<Known>,
    pub(crate) shape: Shape,
    tool: Arc<Known>,
}

/// An MCP server.
#[derive(Debug)]
struct Server {
    known: Arc<Known>,
    tools: HashMap<ToolName, Tool>,
}

/// What a decision is about: the action, the resource and what it stands in.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) action: Arc<Known>,
    /// The group that the action belongs to, where it is a pinned tool's own.
    pub(crate) group: Option<&'a EntityUid>,
    pub(crate) resource: Arc<Known>,
    pub(crate) kind: &'static str,
    pub(crate) parent: Option<EntityUid>,
    /// The types of the arguments, for a pinned tool.
    pub(crate) shape: Option<&'a Shape>,
}

/// Every entity that is known when a snapshot is made, apart from keys.
#[derive(Debug)]
pub(crate) struct Catalog {
    types: Types,
    actions: HashMap<Action, Arc<Known>>,
    gateway: Arc<Known>,
    providers: HashMap<ProviderName, EntityUid>,
    models: HashMap<TargetId, Arc<Known>>,
    servers: HashMap<ServerName, Server>,
}

impl Catalog {
    /// Makes the entities of a configuration.
    pub(crate) fn new(input: &PolicyInput<'_>) -> Result<Self, Defect> {
        let types = Types::new()?;
        let mut actions = HashMap::new();
        for action in Action::ALL {
            actions.insert(action, Arc::new(made(uid(&types.action, action.as_str()), &[], &[])?));
        }
        let mut providers = HashMap::new();
        let mut models = HashMap::new();
        for target in &input.targets {
            let provider = uid(&types.provider, target.provider.as_str());
            models.insert(target.clone(), Arc::new(model(&types, target, &provider)?));
            providers.insert(target.provider.clone(), provider);
        }
        let group = uid(&types.action, Action::CallTool.as_str());
        let mut servers = HashMap::new();
        for server in &input.servers {
            servers.insert(server.name.clone(), pinned(&types, server, &group)?);
        }
        let gateway = Arc::new(made(uid(&types.gateway, "gateway"), &[], &[])?);
        Ok(Self { types, actions, gateway, providers, models, servers })
    }

    /// A configured key as a principal.
    pub(crate) fn key(&self, key: &KeyEntity) -> Result<Subject, Defect> {
        self.make_subject(key.name.as_str(), key.org.as_str(), key.team.as_ref().map(AsRef::as_ref))
    }

    /// The caller as a principal, where no prebuilt one fits.
    pub(crate) fn subject(&self, principal: &Principal) -> Result<Subject, Defect> {
        let team = principal.team.as_ref().map(AsRef::as_ref);
        self.make_subject(principal.key_name.as_str(), principal.org.as_str(), team)
    }

    fn make_subject(&self, name: &str, org: &str, team: Option<&str>) -> Result<Subject, Defect> {
        let org_uid = uid(&self.types.org, org);
        let team_uid = team.map(|team| uid(&self.types.team, team));
        let mut attributes = vec![("name", name), ("org", org)];
        attributes.extend(team.map(|team| ("team", team)));
        let mut parents = vec![&org_uid];
        parents.extend(&team_uid);
        let key = made(uid(&self.types.key, name), &attributes, &parents)?;
        Ok(Subject { key, org: org_uid, team: team_uid })
    }

    /// The action and the resource; `None` where the action is never done to such a resource.
    pub(crate) fn object(&self, action: Action, resource: &Resource) -> Option<Result<Object<'_>, Defect>> {
        let fits = matches!(
            (action, resource),
            (Action::InvokeModel, Resource::Model(_))
                | (Action::CallProviderApi | Action::AdministerProvider, Resource::Provider(_))
                | (Action::ListModels | Action::UseBatches, Resource::Gateway)
                | (Action::ProposeTool, Resource::ProposedTool(_))
                | (Action::CallTool, Resource::Tool(..))
                | (Action::ReadResource, Resource::McpResource(..))
                | (Action::GetPrompt, Resource::Prompt(..))
                | (
                    Action::ListTools
                        | Action::ListResources
                        | Action::ListPrompts
                        | Action::UseServer
                        | Action::AnswerServer,
                    Resource::Server(_)
                )
        );
        let known = self.actions.get(&action).filter(|_| fits)?;
        Some(self.make_object(known, resource))
    }

    fn make_object(&self, known: &Arc<Known>, resource: &Resource) -> Result<Object<'_>, Defect> {
        let mut object = Object {
            action: Arc::clone(known),
            group: None,
            resource: Arc::clone(&self.gateway),
            kind: GATEWAY,
            parent: None,
            shape: None,
        };
        match resource {
            Resource::Gateway => {}
            Resource::Provider(name) => {
                let provider = self.providers.get(name).cloned();
                let provider = provider.unwrap_or_else(|| uid(&self.types.provider, name.as_str()));
                object.kind = PROVIDER;
                object.resource = Arc::new(made(provider, &[], &[])?);
            }
            Resource::Model(target) => {
                let provider = self.providers.get(&target.provider).cloned();
                let provider = provider.unwrap_or_else(|| uid(&self.types.provider, target.provider.as_str()));
                object.kind = MODEL;
                object.resource = match self.models.get(target) {
                    Some(known) => Arc::clone(known),
                    None => Arc::new(model(&self.types, target, &provider)?),
                };
                object.parent = Some(provider);
            }
            Resource::ProposedTool(tool) => {
                let name = tool.as_str();
                object.kind = PROPOSED_TOOL;
                object.resource = Arc::new(made(uid(&self.types.proposed_tool, name), &[("name", name)], &[])?);
            }
            Resource::Server(server) => {
                object.kind = MCP_SERVER;
                object.resource = self.server(server)?;
            }
            Resource::Tool(server, tool) => self.put_tool(&mut object, server, tool)?,
            Resource::McpResource(server, uri) => {
                object.kind = MCP_RESOURCE;
                (object.resource, object.parent) = self.child(&self.types.resource, server, ("uri", uri))?;
            }
            Resource::Prompt(server, name) => {
                object.kind = PROMPT;
                (object.resource, object.parent) = self.child(&self.types.prompt, server, ("name", name))?;
            }
        }
        Ok(object)
    }

    fn put_tool<'a>(&'a self, object: &mut Object<'a>, server: &ServerName, tool: &ToolName) -> Result<(), Defect> {
        object.kind = TOOL;
        match self.pin(server, tool) {
            Some(pin) => {
                object.resource = Arc::clone(&pin.tool);
                object.parent = Some(self.server(server)?.uid.clone());
                object.group = self.actions.get(&Action::CallTool).map(|known| &known.uid);
                object.action = Arc::clone(&pin.action);
                object.shape = Some(&pin.shape);
            }
            None => (object.resource, object.parent) = self.child(&self.types.tool, server, ("name", tool.as_str()))?,
        }
        Ok(())
    }

    /// A pinned tool.
    pub(crate) fn pin(&self, server: &ServerName, tool: &ToolName) -> Option<&Tool> {
        self.servers.get(server)?.tools.get(tool)
    }

    fn server(&self, server: &ServerName) -> Result<Arc<Known>, Defect> {
        match self.servers.get(server) {
            Some(server) => Ok(Arc::clone(&server.known)),
            None => Ok(Arc::new(server_entity(&self.types, server)?)),
        }
    }

    fn child(
        &self,
        kind: &EntityTypeName,
        server: &ServerName,
        (attribute, value): (&str, &str),
    ) -> Result<(Arc<Known>, Option<EntityUid>), Defect> {
        let parent = match self.servers.get(server) {
            Some(server) => server.known.uid.clone(),
            None => uid(&self.types.server, server.as_str()),
        };
        let attributes = [("server", server.as_str()), (attribute, value)];
        let child = made(uid(kind, &child_id(server.as_str(), value)), &attributes, &[&parent])?;
        Ok((Arc::new(child), Some(parent)))
    }
}

fn server_entity(types: &Types, server: &ServerName) -> Result<Known, Defect> {
    made(uid(&types.server, server.as_str()), &[("name", server.as_str())], &[])
}

fn model(types: &Types, target: &TargetId, provider: &EntityUid) -> Result<Known, Defect> {
    let id = child_id(target.provider.as_str(), &target.model);
    made(uid(&types.model, &id), &[("provider", target.provider.as_str()), ("name", &target.model)], &[provider])
}

fn pinned(types: &Types, server: &ServerEntity, group: &EntityUid) -> Result<Server, Defect> {
    let known = server_entity(types, &server.name)?;
    let mut tools = HashMap::new();
    for pin in &server.pins {
        let (server, tool) = (server.name.as_str(), pin.name.as_str());
        let action = made(uid(&types.action, &tool_action_id(server, tool)), &[], &[group])?;
        let attributes = [("server", server), ("name", tool)];
        let entity = made(uid(&types.tool, &child_id(server, tool)), &attributes, &[&known.uid])?;
        let shape = shape::arguments(&pin.input_schema);
        // The first definition of a name counts, here and in the schema.
        tools.entry(pin.name.clone()).or_insert(Tool { action: Arc::new(action), shape, tool: Arc::new(entity) });
    }
    Ok(Server { known: Arc::new(known), tools })
}
