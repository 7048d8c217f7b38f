//! Lists of all servers together: each server is asked through the pipeline, and its items are put into one list.
//!
//! Owns the order (servers by name, each as it lists), the pages, and the bounds on what a server can make of them: a
//! server that lists in circles or without end is cut short and said to be. A server that fails is named beside the
//! items of the others; where all fail, so does the list.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::HeaderMap;
use tidegate_config::snapshot::Snapshot;
use tidegate_core::{
    clock,
    fault::{Fault, FaultCode},
    ids::ServerName,
};
use tidegate_protocol::{
    call::Call,
    json::{Limits, write_text},
    jsonrpc::{self, METHOD_NOT_FOUND, Message, Parts},
    mcp::{Capabilities, ListKind, Method, ToolCall},
};
use tidegate_upstream::{AnswerBody, mcp::Leg};

use super::{Federation, Usable, names::Kind};
use crate::{
    exchange::{Ending, Exchange},
    gate::Gate,
    pipeline::{Passed, onward},
    stage::{decode::tell, identify::identify},
    surface::Surface,
    tool_flow::{self, Asked},
};

/// How many servers are asked at a time.
const AT_ONCE: usize = 8;

/// How long one server may take for its part of a list, opening its session included.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Most pages of one server in one list.
const MOST_PAGES: usize = 100;

/// Most items, and bytes of them, on one page of the merged list. One server alone is asked for no more either.
const PAGE: (usize, usize) = (1_000, 8 * 1024 * 1024);

/// Most of the merged list that is read for the sake of a name.
const MOST_READ: usize = 20;

/// Where the rest of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) kind: ListKind,
    /// The server whose turn it is.
    pub(super) server: ServerName,
    /// Its own cursor.
    pub(super) cursor: Option<Box<str>>,
    /// Items of that page that were given already.
    pub(super) skip: usize,
}

/// What a request is made from for each server.
#[derive(Clone)]
pub(super) struct Origin {
    gate: Arc<Gate>,
    snapshot: Arc<Snapshot>,
    headers: HeaderMap,
    address: IpAddr,
    deadline: Option<Instant>,
    id: Bytes,
    federation: Arc<Federation>,
}

impl Origin {
    pub(super) fn of(exchange: &Exchange, federation: &Arc<Federation>) -> Self {
        Self {
            gate: Arc::clone(&exchange.gate),
            snapshot: Arc::clone(&exchange.snapshot),
            headers: exchange.headers.clone(),
            address: exchange.address,
            deadline: exchange.deadline,
            // The client may cancel the list by its id.
            id: exchange.rpc_id.clone().unwrap_or_else(|| Bytes::from_static(b"0")),
            federation: Arc::clone(federation),
        }
    }

    fn leg(&self, usable: &Usable) -> Arc<Leg> {
        self.federation.leg(&usable.server)
    }
}

/// A server that did not list.
pub(super) struct Failed {
    pub(super) server: ServerName,
    pub(super) fault: Fault,
}

/// One page of the merged list.
pub(super) struct Merged {
    items: Vec<Bytes>,
    next: Option<Position>,
    failed: Vec<Failed>,
    cut_short: Vec<ServerName>,
}

impl Merged {
    /// The result to the client.
    pub(super) fn into_result(self, federation: &Federation, kind: ListKind) -> Vec<u8> {
        let mut out = b"{\"".to_vec();
        out.extend_from_slice(kind.member().as_bytes());
        out.extend_from_slice(b"\":[");
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(item);
        }
        out.push(b']');
        if let Some(position) = self.next {
            out.extend_from_slice(b",\"nextCursor\":");
            write_text(&mut out, &federation.remember(position));
        }
        if !self.failed.is_empty() || !self.cut_short.is_empty() {
            let unavailable: Vec<_> = self
                .failed
                .iter()
                .map(|failed| {
                    serde_json::json!({
                        "server": failed.server.as_str(), "code": failed.fault.code.as_str(),
                        "message": failed.fault.public_message,
                    })
                })
                .collect();
            let cut: Vec<_> = self.cut_short.iter().map(ServerName::as_str).collect();
            let meta = serde_json::json!({"tidegate/unavailable": unavailable, "tidegate/cut_short": cut});
            out.extend_from_slice(b",\"_meta\":");
            out.extend_from_slice(meta.to_string().as_bytes());
        }
        out.push(b'}');
        out
    }
}

/// Whether the server may have anything for this list: unless it has said that it does not.
pub(super) fn may_have(origin: &Origin, usable: &Usable, kind: ListKind) -> bool {
    let known = origin.gate.sessions.profiles.get(&usable.server);
    has(known.map_or(Capabilities::ALL, |profile| profile.capabilities), kind)
}

/// Whether the server takes subscriptions, as far as is known.
pub(super) fn may_subscribe(origin: &Origin, usable: &Usable) -> bool {
    let known = origin.gate.sessions.profiles.get(&usable.server);
    known.is_some_and(|profile| profile.capabilities.subscribe)
}

fn has(capabilities: Capabilities, kind: ListKind) -> bool {
    match kind {
        ListKind::Tools => capabilities.tools.is_some(),
        ListKind::Prompts => capabilities.prompts.is_some(),
        ListKind::Resources | ListKind::ResourceTemplates => capabilities.resources.is_some(),
    }
}

/// Reads the whole list, for what its names and URIs lead to.
pub(super) async fn read_all(origin: &Origin, servers: Vec<Usable>, kind: ListKind) -> Result<usize, Fault> {
    let servers = Arc::new(servers);
    let (mut from, mut found) = (None, 0_usize);
    for _ in 0..MOST_READ {
        let page = page(origin, &servers, kind, from).await?;
        found = found.saturating_add(page.items.len());
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    origin.federation.listed.lock().insert(kind);
    Ok(found)
}

/// One page of the list, from `from` on.
pub(super) async fn page(
    origin: &Origin,
    servers: &Arc<Vec<Usable>>,
    kind: ListKind,
    from: Option<Position>,
) -> Result<Merged, Fault> {
    let first = from.as_ref().map(|position| position.server.clone());
    let asked: Vec<_> = servers
        .iter()
        .enumerate()
        .filter(|(_, usable)| first.as_ref().is_none_or(|first| usable.server.name >= *first))
        .map(|(at, usable)| {
            let start = from.clone().filter(|position| position.server == usable.server.name);
            let (origin, servers) = (origin.clone(), Arc::clone(servers));
            async move {
                let usable = servers.get(at)?;
                Some((usable.server.name.clone(), of_server(&origin, usable, kind, start).await))
            }
        })
        .collect();
    let parts: Vec<_> = stream::iter(asked).buffered(AT_ONCE).filter_map(std::future::ready).collect().await;
    merge(&origin.federation, kind, parts)
}

/// Puts what the servers listed into one page.
fn merge(
    federation: &Federation,
    kind: ListKind,
    parts: Vec<(ServerName, Result<Part, Fault>)>,
) -> Result<Merged, Fault> {
    let mut merged = Merged { items: Vec::new(), next: None, failed: Vec::new(), cut_short: Vec::new() };
    let (asked, mut bytes) = (parts.len(), 0_usize);
    for (server, part) in parts {
        let part = match part {
            Ok(part) => part,
            Err(fault) => {
                merged.failed.push(Failed { server, fault });
                continue;
            }
        };
        if part.cut_short {
            merged.cut_short.push(server.clone());
        }
        for (cursor, skip, item) in part.items {
            bytes = bytes.saturating_add(item.len());
            if !merged.items.is_empty() && (merged.items.len() >= PAGE.0 || bytes > PAGE.1) {
                merged.next = Some(Position { kind, server, cursor, skip });
                return Ok(merged);
            }
            if let Some(item) = shown(federation, kind, &server, item) {
                merged.items.push(item);
            }
        }
        if let Some(cursor) = part.rest {
            merged.next = Some(Position { kind, server, cursor: Some(cursor), skip: 0 });
            return Ok(merged);
        }
    }
    if asked > 0 && merged.failed.len() == asked {
        let first = merged.failed.into_iter().next();
        return Err(first.map_or_else(|| Fault::new(FaultCode::Internal, "no server was asked"), |one| one.fault));
    }
    Ok(merged)
}

/// An item under the name or URI that the client knows it by.
fn shown(federation: &Federation, kind: ListKind, server: &ServerName, item: Bytes) -> Option<Bytes> {
    let tape = tidegate_protocol::json::scan(&item, &Limits::default()).ok()?;
    let node = tape.member(&item, tape.root(), kind.identity())?;
    let own = tape.text(&item, node)?;
    let mut shown = federation.shown.lock();
    let known_as = match kind {
        ListKind::Tools => shown.name(Kind::Tool, server, &own),
        ListKind::Prompts => shown.name(Kind::Prompt, server, &own),
        ListKind::Resources => shown.uri(server, &own),
        ListKind::ResourceTemplates => shown.template(server, &own),
    };
    drop(shown);
    if known_as == *own {
        return Some(item);
    }
    let mut written = Vec::new();
    write_text(&mut written, &known_as);
    let edit = tidegate_protocol::json::Edit { span: tape.span(node), replacement: written };
    tidegate_protocol::json::splice(&item, vec![edit]).ok().map(Bytes::from)
}

/// What one server listed: each item with the cursor of its page and its place there.
#[derive(Default)]
struct Part {
    items: Vec<(Option<Box<str>>, usize, Bytes)>,
    /// Its cursor of what was not read.
    rest: Option<Box<str>>,
    cut_short: bool,
}

async fn of_server(origin: &Origin, usable: &Usable, kind: ListKind, from: Option<Position>) -> Result<Part, Fault> {
    let server = &usable.server;
    let profiles = &origin.gate.sessions.profiles;
    if let Some(why) = profiles.hangs(&server.name) {
        return Err(Fault::new(FaultCode::UpstreamUnavailable, format!("{why} It is asked again in a few seconds.")));
    }
    let started = clock::now();
    let listing = pages(origin, usable, kind, from);
    let result = tokio::time::timeout(PATIENCE, listing).await.unwrap_or_else(|_| {
        let words = format!("The MCP server `{}` did not list within {PATIENCE:?}.", server.name);
        Err(Fault::new(FaultCode::UpstreamTimeout, words))
    });
    match &result {
        Ok(_) => profiles.answered(&server.name),
        Err(fault) => {
            profiles.failed(&server.name, clock::now().saturating_duration_since(started), fault);
            tracing::warn!(server = server.name.as_str(), %fault, "a server is missing from a merged list");
        }
    }
    result
}

async fn pages(origin: &Origin, usable: &Usable, kind: ListKind, from: Option<Position>) -> Result<Part, Fault> {
    let leg = origin.leg(usable);
    if !leg.is_open() {
        let upstream = &origin.gate.upstream;
        upstream.open(&usable.permit, &leg, &origin.headers, origin.deadline).await?;
    }
    if let Some(profile) = origin.gate.sessions.profiles.learn(&usable.server, &leg)
        && !has(profile.capabilities, kind)
    {
        return Ok(Part::default());
    }
    let (mut cursor, mut skip) = from.map_or((None, 0), |position| (position.cursor, position.skip));
    let mut part = Part::default();
    let (mut seen, mut bytes) = (HashSet::new(), 0_usize);
    for _ in 0..MOST_PAGES {
        let answer = ask(origin, usable, kind, cursor.as_deref()).await?;
        let result = match answer.parts() {
            Parts::Response { result, .. } => *result,
            // It said that it has such a list, and does not know the method: nothing is in it.
            Parts::ErrorResponse { code: METHOD_NOT_FOUND, .. } => return Ok(part),
            _ => {
                let said: String = answer.error_message().unwrap_or_default().chars().take(500).collect();
                let words = format!("The MCP server `{}` refused to list: {said}", usable.server.name);
                return Err(Fault::new(FaultCode::UpstreamError, words));
            }
        };
        if let Some(list) = answer.member(result, kind.member()) {
            for (at, node) in answer.tape().elements(list).enumerate().skip(skip) {
                let span = answer.tape().span(node);
                bytes = bytes.saturating_add(span.len());
                part.items.push((cursor.clone(), at, answer.bytes().slice(span)));
            }
        }
        skip = 0;
        let next = answer.member(result, "nextCursor").and_then(|node| answer.text(node)).map(Box::<str>::from);
        let Some(next) = next else { return Ok(part) };
        if !seen.insert(next.clone()) {
            break;
        }
        if part.items.len() > PAGE.0 || bytes > PAGE.1 {
            part.rest = Some(next);
            return Ok(part);
        }
        cursor = Some(next);
    }
    tracing::warn!(server = usable.server.name.as_str(), list = kind.member(), "a server's list has no end");
    part.cut_short = true;
    Ok(part)
}

/// Asks one server for one page, as a call of its own. The answer holds what the caller may see, guarded.
async fn ask(origin: &Origin, usable: &Usable, kind: ListKind, cursor: Option<&str>) -> Result<Message, Fault> {
    let params = cursor.map(|cursor| serde_json::json!({ "cursor": cursor }).to_string());
    let request = jsonrpc::request(&origin.id, method(kind).as_str(), params.as_deref().map(str::as_bytes));
    let mut exchange = Exchange::begin(Arc::clone(&origin.gate), Surface::Mcp, origin.headers.clone(), origin.address);
    exchange.snapshot = Arc::clone(&origin.snapshot);
    exchange.deadline = origin.deadline;
    exchange.federation = Some(Arc::clone(&origin.federation));
    exchange.rpc_id = Some(origin.id.clone());
    let answered = async {
        let caller = identify(&mut exchange)?;
        let call = ToolCall::read(usable.server.name.clone(), Bytes::from(request))
            .map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))?;
        let call = Call::Tool(Box::new(call));
        tell(&mut exchange, &call);
        Box::pin(onward(&mut exchange, &caller, call)).await
    }
    .await;
    let (body, request) = match answered {
        Ok(Passed::Answer(answer)) => (answer.body, answer.request),
        Ok(_) => return Err(Fault::new(FaultCode::Internal, "A list was answered by something else.")),
        Err(fault) => {
            exchange.end(&Ending { status: fault.status, fault: Some(&fault), complete: true });
            return Err(fault);
        }
    };
    let (AnswerBody::Messages(messages), Some(request)) = (body, request) else {
        return Err(Fault::new(FaultCode::Internal, "A list was answered by something else."));
    };
    let (call, permit) = *request;
    let asked = Asked {
        method: call.method(),
        id: origin.id.clone(),
        server: usable.server.name.clone(),
        permit: Some(permit),
        opened: None,
    };
    let bytes = tool_flow::collect(exchange, asked, messages).await?;
    jsonrpc::read_one(bytes, &Limits::default()).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))
}

fn method(kind: ListKind) -> Method {
    match kind {
        ListKind::Tools => Method::ToolsList,
        ListKind::Prompts => Method::PromptsList,
        ListKind::Resources => Method::ResourcesList,
        ListKind::ResourceTemplates => Method::ResourceTemplatesList,
    }
}
