//! What a message on `/mcp` means: which server it is for, and what that server calls the thing.
//!
//! Owns the way from a name as the client was shown it to the server's own, and puts that into the message. Never
//! decides whether the thing may be used: the message goes on through the pipeline as one to its server.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::Method as HttpMethod;
use tidegate_core::{
    facts::Action,
    fault::{Fault, FaultCode},
    ids::ServerName,
};
use tidegate_protocol::{
    call::Call,
    json::{Limits, NodeId, write_text},
    jsonrpc::{self, INVALID_PARAMS, Message, Parts, Payload},
    mcp::{Direction, ListKind, McpError, Method, Target, ToolCall},
};

use super::{
    Federation,
    frames::Ask,
    lists::{self, Origin},
    names::{Bare, Kind, looks_cut, parted, unwrapped},
    usable, usable_one,
};
use crate::{
    exchange::Exchange,
    here::Here,
    stage::decode::{Decoded, tell},
};

/// What a request without a message means.
pub(crate) fn of_session(exchange: &mut Exchange, method: &HttpMethod) -> Result<Here, Fault> {
    let ask = match *method {
        HttpMethod::GET => Ask::Listen,
        HttpMethod::DELETE => Ask::Close,
        _ => {
            let mut fault = Fault::new(FaultCode::InvalidRequest, "/mcp takes POST, GET and DELETE only.");
            fault.status = 405;
            return Err(fault);
        }
    };
    exchange.story.is_tool = true;
    exchange.story.action = Some(Action::UseServer);
    exchange.story.resource = Arc::from("mcp");
    session(exchange)?;
    Ok(Here::Federated(Box::new(ask)))
}

/// Reads what was posted: one message, or a batch.
pub(crate) async fn decode(exchange: &mut Exchange, bytes: Bytes) -> Result<Decoded, Fault> {
    let payload = jsonrpc::read(bytes, &Limits::default())
        .map_err(|error| Fault::invalid("", format!("{error}.")).with_rpc_code(error.code()))?;
    match payload {
        Payload::One(message) => one(exchange, message).await,
        Payload::Batch(messages) => Ok(Decoded::Here(Here::Batch { server: None, messages })),
    }
}

/// Reads one message.
pub(crate) async fn one(exchange: &mut Exchange, message: Message) -> Result<Decoded, Fault> {
    exchange.story.is_tool = true;
    exchange.story.action = Some(Action::UseServer);
    exchange.story.resource = Arc::from("mcp");
    let here = |ask: Ask| Ok(Decoded::Here(Here::Federated(Box::new(ask))));
    let Parts::Request { .. } = message.parts() else {
        session(exchange)?;
        return here(Ask::Frame(message));
    };
    exchange.rpc_id = Some(Bytes::copy_from_slice(message.raw_id()));
    let refuse = |error: &McpError| Fault::invalid("", format!("{error}.")).with_rpc_code(error.code());
    let nobody = ServerName::from("mcp");
    let target = Target::read(&nobody, &message, Direction::ToServer).map_err(|error| refuse(&error))?;
    if target.method == Method::Initialize {
        return here(Ask::Initialize(message));
    }
    let federation = session(exchange)?;
    if let Some(kind) = ListKind::of(target.method) {
        exchange.story.action = Some(target.action);
        return here(Ask::List(kind, message));
    }
    let Some((node, named)) = named(&message, target.method) else { return here(Ask::Frame(message)) };
    let found = match named {
        Named::Item(kind, name) => match item(exchange, &federation, kind, &name).await? {
            Some(found) => found,
            None => return here(Ask::NoSuchTool(name.into())),
        },
        Named::Uri(uri) => resource(exchange, &federation, &uri, target.method).await?,
    };
    let (server, own) = found;
    let message = with_text(&message, node, &own)?;
    let call = ToolCall::from_message(server, message, Direction::ToServer).map_err(|error| refuse(&error))?;
    let call = Call::Tool(Box::new(call));
    tell(exchange, &call);
    Ok(Decoded::Call(call))
}

/// The session that the request names.
fn session(exchange: &mut Exchange) -> Result<Arc<Federation>, Fault> {
    let owner = exchange.caller.as_ref().map(|caller| caller.principal.key);
    let found = match owner {
        Some(owner) => exchange.gate.sessions.federation(exchange.header("mcp-session-id"), owner),
        None => Err(Fault::new(FaultCode::Internal, "The session's caller is not known.")),
    };
    exchange.outside_session = found.is_err();
    let federation = found?;
    exchange.federation = Some(Arc::clone(&federation));
    Ok(federation)
}

enum Named<'message> {
    Item(Kind, Cow<'message, str>),
    Uri(Cow<'message, str>),
}

/// What a request names, and where.
fn named(message: &Message, method: Method) -> Option<(NodeId, Named<'_>)> {
    let params = message.params()?;
    let text = |object: NodeId, name: &str| {
        let node = message.member(object, name)?;
        Some((node, message.text(node)?))
    };
    let item = |kind, (node, name)| (node, Named::Item(kind, name));
    let uri = |(node, uri)| (node, Named::Uri(uri));
    match method {
        Method::ToolsCall => text(params, "name").map(|found| item(Kind::Tool, found)),
        Method::PromptsGet => text(params, "name").map(|found| item(Kind::Prompt, found)),
        Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => {
            text(params, "uri").map(uri)
        }
        Method::CompletionComplete => {
            let reference = message.member(params, "ref")?;
            match text(reference, "name") {
                Some(found) if text(reference, "type").is_some_and(|(_, kind)| kind == "ref/prompt") => {
                    Some(item(Kind::Prompt, found))
                }
                _ => text(reference, "uri").map(uri),
            }
        }
        _ => None,
    }
}

/// The server and its own name for a tool or prompt. `None` for a tool that no server is known to have.
async fn item(
    exchange: &mut Exchange,
    federation: &Arc<Federation>,
    kind: Kind,
    name: &str,
) -> Result<Option<(ServerName, String)>, Fault> {
    let list = match kind {
        Kind::Tool => ListKind::Tools,
        Kind::Prompt => ListKind::Prompts,
    };
    let cut = || federation.shown.lock().cut(name).map(|(server, own)| (server, own.to_owned()));
    if let Some(found) = cut() {
        return Ok(Some(found));
    }
    if looks_cut(name) {
        read_once(exchange, federation, list).await?;
        if let Some(found) = cut() {
            return Ok(Some(found));
        }
    }
    if let Some((server, own)) = parted(name)
        && let Some(server) = exchange.snapshot.server(server)
        && let Some(usable) = usable_one(exchange, server)
    {
        return Ok(Some((usable.server.name.clone(), own.to_owned())));
    }
    // A name without a server's: whose else could it be, where there is one server only?
    if let [alone] = usable(exchange).as_slice() {
        return Ok(Some((alone.server.name.clone(), name.to_owned())));
    }
    read_once(exchange, federation, list).await?;
    let bare = federation.shown.lock().bare(kind, name);
    match (bare, kind) {
        (Bare::One(server), _) => Ok(Some((server, name.to_owned()))),
        (Bare::Many(servers), _) => {
            let names: Vec<String> = servers.iter().map(|server| format!("`{server}__{name}`")).collect();
            let words = format!("Several servers have this name: say which one is meant, {}.", names.join(" or "));
            Err(Fault::invalid("/params/name", words).with_rpc_code(INVALID_PARAMS))
        }
        (Bare::None, Kind::Tool) => Ok(None),
        (Bare::None, Kind::Prompt) => Err(Fault::new(
            FaultCode::NotFound,
            "No server that this key may use has this prompt: prompts/list shows what there is.",
        )),
    }
}

/// The server and its own URI of a resource.
async fn resource(
    exchange: &mut Exchange,
    federation: &Arc<Federation>,
    uri: &str,
    method: Method,
) -> Result<(ServerName, String), Fault> {
    if let Some((server, own)) = unwrapped(uri)
        && let Some(server) = exchange.snapshot.server(server)
        && let Some(usable) = usable_one(exchange, server)
    {
        return Ok((usable.server.name.clone(), own.to_owned()));
    }
    let owner = || federation.shown.lock().owner(uri).map(|server| (server, uri.to_owned()));
    if let Some(found) = owner() {
        return Ok(found);
    }
    let origin = Origin::of(exchange, federation);
    let mut with_resources = Vec::new();
    for usable in usable(exchange) {
        if lists::may_have(&origin, &usable, ListKind::Resources) {
            with_resources.push(usable.server.name.clone());
        }
    }
    if let [alone] = with_resources.as_slice() {
        return Ok((alone.clone(), uri.to_owned()));
    }
    read_once(exchange, federation, ListKind::Resources).await?;
    read_once(exchange, federation, ListKind::ResourceTemplates).await?;
    if let Some(found) = owner() {
        return Ok(found);
    }
    if matches!(method, Method::ResourcesSubscribe | Method::ResourcesUnsubscribe) {
        // What does not exist yet can be waited for: the first server that takes subscriptions says whether it can be.
        let first = usable(exchange).into_iter().find(|usable| lists::may_subscribe(&origin, usable));
        if let Some(first) = first {
            return Ok((first.server.name.clone(), uri.to_owned()));
        }
    }
    Err({
        exchange.story.action = Some(Action::ReadResource);
        Fault::new(
            FaultCode::NotFound,
            "No server that this key may use is known to have this resource: resources/list shows what there is.",
        )
    })
}

/// Reads a list of all servers, unless the session has done so since it last changed.
async fn read_once(exchange: &Exchange, federation: &Arc<Federation>, kind: ListKind) -> Result<(), Fault> {
    if federation.listed.lock().contains(&kind) {
        return Ok(());
    }
    let origin = Origin::of(exchange, federation);
    lists::read_all(&origin, usable(exchange), kind).await.map(drop)
}

/// The message with another text at `node`.
pub(super) fn with_text(message: &Message, node: NodeId, text: &str) -> Result<Message, Fault> {
    if message.text(node).is_some_and(|present| present == text) {
        return Ok(message.clone());
    }
    let mut written = Vec::with_capacity(text.len().saturating_add(2));
    write_text(&mut written, text);
    let internal = |why: String| Fault::new(FaultCode::Internal, why);
    let bytes = message.with(vec![message.edit(node, &written)]).map_err(|error| internal(error.to_string()))?;
    jsonrpc::read_one(Bytes::from(bytes), &Limits::default()).map_err(|error| internal(error.to_string()))
}
