//! What an MCP server says on its way to the caller: one answer as JSON, or a stream of messages and last the answer.
//!
//! Owns the exchange until the answer has left. Answers are guarded, lists filtered by the permit, requests of the
//! server decided by policy; the original bytes pass where nothing changed. A caller that leaves cancels its request.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame as BodyFrame;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::{Action, Facts, Resource},
    fault::{Fault, FaultCode},
    ids::{Digest, ServerName, ToolName},
};
use tidegate_policy::{Permit, SessionPermit};
use tidegate_protocol::{
    jsonrpc::{self, Message},
    mcp::{Answer, Direction, ListKind, Method, ToolCall},
    sse::Frame,
};
use tidegate_upstream::{
    mcp::{Leg, McpEvent, McpEvents},
    task,
};

use crate::{
    discovery,
    exchange::{Ending, Exchange},
    federation::Merged,
    here::session_header,
    replay::Kept,
    respond::{self, Body, Broken},
    session::With,
    stage::guard_response::{conclude, look},
    surface::mcp,
};

/// After this long without a message, the caller gets a sign of life.
const PING_AFTER: Duration = Duration::from_secs(15);

/// How long an answer whose client's connection broke is gone on with.
const LINGER: Duration = Duration::from_secs(30);

/// What is answered.
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// The caller's own id, as it was written.
    pub(crate) id: Bytes,
    pub(crate) server: ServerName,
    /// The permit of the request, by which lists are filtered.
    pub(crate) permit: Option<Permit>,
    /// The leg that an `initialize` opened.
    pub(crate) opened: Option<Arc<Leg>>,
}

struct ToolFlow {
    exchange: Exchange,
    /// `None` on a stream that answers nothing.
    asked: Option<Asked>,
    /// Who spoke last.
    leg: Option<Arc<Leg>>,
    server: ServerName,
    messages: Source,
    ready: VecDeque<Bytes>,
    /// Where its events are kept for a client that loses the stream.
    kept: Option<Arc<Kept>>,
    ended: bool,
}

/// Where messages come from.
enum Source {
    /// What one server says.
    One(Box<McpEvents>),
    /// What all servers of a session say of their own accord.
    All(Merged),
    /// Nowhere any more.
    Nobody,
}

impl ToolFlow {
    fn new(exchange: Exchange, asked: Option<Asked>, server: ServerName, messages: Source) -> Self {
        let leg = match &messages {
            Source::One(messages) => Some(Arc::clone(messages.leg())),
            _ => None,
        };
        Self { exchange, asked, leg, server, messages, ready: VecDeque::new(), kept: None, ended: false }
    }
}

/// Answers a request with what its server says.
pub(crate) async fn respond(exchange: Exchange, asked: Asked, messages: Box<McpEvents>) -> Response<Body> {
    let server = asked.server.clone();
    let mut flow = ToolFlow::new(exchange, Some(asked), server, Source::One(messages));
    match flow.next().await {
        Next::Message(McpEvent::Answer(message)) => flow.whole(message),
        Next::Message(other) => {
            flow.take(other).await;
            flow.stream()
        }
        Next::Over(fault) => flow.refuse(fault),
        Next::Silence => flow.stream(),
    }
}

/// Passes on what a server says of its own accord.
pub(crate) fn listen(exchange: Exchange, server: ServerName, messages: McpEvents) -> Response<Body> {
    ToolFlow::new(exchange, None, server, Source::One(Box::new(messages))).stream()
}

/// Passes on what all servers of a session say of their own accord.
pub(crate) fn listen_to_all(exchange: Exchange, messages: Merged) -> Response<Body> {
    ToolFlow::new(exchange, None, ServerName::from("mcp"), Source::All(messages)).stream()
}

/// Waits for the whole answer and gives it as the caller may see it. There is nobody whom the server could ask or tell
/// something meanwhile.
pub(crate) async fn collect(exchange: Exchange, asked: Asked, messages: Box<McpEvents>) -> Result<Bytes, Fault> {
    let server = asked.server.clone();
    let mut flow = ToolFlow::new(exchange, Some(asked), server, Source::One(messages));
    let result = loop {
        match flow.next().await {
            Next::Message(McpEvent::Answer(message)) => break flow.finished(message).map(|(bytes, _)| bytes),
            Next::Message(McpEvent::Request(message)) => flow.turn_down(&message).await,
            Next::Message(McpEvent::Notification(_)) | Next::Silence => {}
            Next::Over(fault) => break Err(fault),
        }
    };
    flow.ended = true;
    let (status, fault) = result.as_ref().map_or_else(|fault| (fault.status, Some(fault)), |_| (200, None));
    flow.exchange.end(&Ending { status, fault, complete: true });
    result
}

/// An answer of the gateway's own to `method`, looked at by guards like any other.
pub(crate) fn own(mut exchange: Exchange, method: Method, headers: HeaderMap, message: Message) -> Response<Body> {
    let mut answer = Answer::new(method, message);
    match guard(&mut exchange, &mut answer) {
        Ok(()) => {
            let id = exchange.rpc_id.clone().unwrap_or_else(|| Bytes::from_static(b"null"));
            respond::answer(&mut exchange, 200, headers, Bytes::from(answer.outgoing(&id)))
        }
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

fn guard(exchange: &mut Exchange, answer: &mut Answer) -> Result<(), Fault> {
    let started = clock::now();
    let chain = exchange.caller.as_ref().map(|caller| caller.chain.clone()).unwrap_or_default();
    let looked = look(&chain, answer.segments(), None);
    let result = conclude(exchange, looked, |path, text| answer.replace_segment(path, text));
    exchange.stage(Stage::GuardResponse, started, result)
}

enum Next {
    Message(McpEvent),
    Over(Fault),
    Silence,
}

impl ToolFlow {
    async fn next(&mut self) -> Next {
        let cut = self.exchange.cut.clone();
        let messages = &mut self.messages;
        let said = async {
            match messages {
                Source::One(messages) => messages.next().await.map(|message| (None, message)),
                Source::All(merged) => merged.next().await.map(|said| (Some(said.leg), Ok(said.event))),
                Source::Nobody => None,
            }
        };
        let (leg, message) = tokio::select! {
            biased;
            () = cut.cancelled() => return Next::Over(Fault::new(
                FaultCode::Killed,
                "This call was ended from outside: its key was revoked or an operator cut it.",
            )),
            said = said => match said {
                Some((leg, Ok(message))) => (leg, message),
                Some((_, Err(fault))) => return Next::Over(fault),
                None => return Next::Over(incomplete()),
            },
            () = tokio::time::sleep(PING_AFTER) => return Next::Silence,
        };
        if let Some(leg) = leg {
            self.server = leg.server().name.clone();
            self.leg = Some(leg);
        }
        Next::Message(message)
    }

    /// The whole answer, where nothing came before it.
    fn whole(mut self, message: Message) -> Response<Body> {
        let mut headers = HeaderMap::new();
        match self.finished(message) {
            Ok((bytes, session)) => {
                if let Some(value) = session.as_deref().and_then(session_header) {
                    headers.insert("mcp-session-id", value);
                }
                self.ended = true;
                respond::answer(&mut self.exchange, 200, headers, bytes)
            }
            Err(fault) => self.refuse(fault),
        }
    }

    fn refuse(mut self, fault: Fault) -> Response<Body> {
        self.ended = true;
        respond::refusal(&mut self.exchange, fault)
    }

    fn stream(mut self) -> Response<Body> {
        let session = self.exchange.header("mcp-session-id");
        let owner = self.exchange.caller.as_ref().map(|caller| caller.principal.key);
        let replays = owner.and_then(|owner| self.exchange.gate.sessions.replays(session, owner));
        if let Some(kept) = replays.map(|replays| replays.begin()) {
            let before: Vec<Bytes> = self.ready.drain(..).map(|event| kept.push(&event)).collect();
            self.ready.push_back(kept.priming());
            self.ready.extend(before);
            self.kept = Some(kept);
        }
        let head = respond::streaming(&self.exchange, 200, HeaderMap::new());
        head.map(|()| StreamBody::new(stream::unfold(Outlet(Some(Box::new(self))), step)).boxed_unsync())
    }

    /// The answer as the caller gets it: filtered, guarded, under the caller's id. And the session it opens.
    fn finished(&mut self, message: Message) -> Result<(Bytes, Option<Arc<str>>), Fault> {
        let Some(asked) = self.asked.as_mut() else { return Err(incomplete()) };
        let mut answer = Answer::new(asked.method, message);
        let on_change = self.exchange.snapshot.on_change(asked.server.as_str());
        let withheld = discovery::learn(self.exchange.gate.discovery.as_ref(), on_change, &asked.server, &answer);
        if let (Some(kind), Some(listing)) =
            (ListKind::of(asked.method), asked.permit.as_ref().and_then(Permit::listing))
        {
            let items: Vec<String> = answer.items().into_iter().map(std::borrow::Cow::into_owned).collect();
            let resources: Vec<Resource> = items.iter().map(|item| item_resource(kind, &asked.server, item)).collect();
            let visible = listing.visible_among(&resources);
            let mut at = visible.iter().copied();
            answer.retain(|_| at.next().unwrap_or(false));
        }
        if !withheld.is_empty() {
            answer.retain(|name| !withheld.contains(name));
        }
        let (id, opened) = (asked.id.clone(), asked.opened.take());
        guard(&mut self.exchange, &mut answer)?;
        let session = opened.filter(|_| !answer.is_error()).and_then(|leg| {
            let owner = self.exchange.caller.as_ref()?.principal.key;
            Some(self.exchange.gate.sessions.open(owner, With::One(self.server.clone(), leg)))
        });
        let bytes = Bytes::from(answer.outgoing(&id));
        self.exchange.story.response_digest = Some(Digest::of(&bytes));
        Ok((bytes, session))
    }

    /// Takes a message that comes before the answer, or the answer itself once the stream has begun.
    async fn take(&mut self, event: McpEvent) {
        match event {
            McpEvent::Answer(message) => match self.finished(message) {
                Ok((bytes, _)) => {
                    self.push(&bytes);
                    self.end(None);
                }
                Err(fault) => self.fail(&fault),
            },
            McpEvent::Notification(message) => {
                if message.method() == Some("notifications/tools/list_changed") {
                    self.exchange.gate.discovery.list_changed(&self.server);
                }
                if let Some(bytes) = self.passed(message, None) {
                    self.push(&bytes);
                }
            }
            McpEvent::Request(message) => self.ask_client(message).await,
        }
    }

    /// A request of the server to its client: a call of its own, decided by policy and looked at by guards.
    async fn ask_client(&mut self, message: Message) {
        let started = clock::now();
        let is_ping = message.method() == Some("ping");
        if (is_ping || self.may_ask())
            && let Some(id) = self.id_for_client(&message)
        {
            let result = Ok(((), StageVerdict::Pass));
            let _ = self.exchange.stage(Stage::Authorize, started, result);
            if let Some(bytes) = self.passed(message.clone(), Some(&id)) {
                self.push(&bytes);
                return;
            }
        }
        self.turn_down(&message).await;
    }

    /// The id under which the client is asked: the server's own, unless several servers ask in one session.
    fn id_for_client(&self, message: &Message) -> Option<Bytes> {
        match (&self.exchange.federation, &self.leg) {
            (Some(federation), Some(leg)) => federation.ask(leg, message),
            _ => Some(Bytes::copy_from_slice(message.raw_id())),
        }
    }

    /// Tells the server that its request goes no further.
    async fn turn_down(&self, message: &Message) {
        let id = message.raw_id();
        let refusal =
            jsonrpc::error_response(Some(id), 403, "The gateway's policy does not let this request pass.", None);
        if let Err(fault) = self.tell_server(refusal).await {
            tracing::info!(server = self.server.as_str(), %fault, "a server could not be told that its request was refused");
        }
    }

    fn may_ask(&self) -> bool {
        let Some(caller) = self.exchange.caller.as_ref() else { return false };
        let resource = Resource::Server(self.server.clone());
        let facts = Facts::new(self.exchange.surface.as_str(), Action::AnswerServer, resource.clone());
        self.exchange.policies().decide(&caller.principal, &facts, &resource, self.exchange.at).is_allowed()
    }

    async fn tell_server(&self, message: Vec<u8>) -> Result<(), Fault> {
        let (Some(caller), Some(leg)) = (&self.exchange.caller, &self.leg) else { return Ok(()) };
        let resource = Resource::Server(self.server.clone());
        let facts = Facts::new(self.exchange.surface.as_str(), Action::UseServer, resource);
        let permit = SessionPermit::authorize(
            &self.exchange.policies(),
            &caller.principal,
            &facts,
            &self.server,
            self.exchange.at,
        )
        .map_err(|denial| Fault::new(FaultCode::PolicyDenied, denial.public_message()))?;
        let message = jsonrpc::read_one(Bytes::from(message), &tidegate_protocol::json::Limits::default())
            .map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))?;
        let nothing = HeaderMap::new();
        self.exchange.gate.upstream.relay(&permit, leg, &message, &nothing, None).await.map(drop)
    }

    /// A message of the server with what guards find taken out; `None` where it may not pass.
    fn passed(&mut self, message: Message, id: Option<&Bytes>) -> Option<Bytes> {
        let message = match &self.exchange.federation {
            Some(federation) => federation.outward(&self.server, message),
            None => message,
        };
        let mut call = ToolCall::from_message(self.server.clone(), message, Direction::ToClient).ok()?;
        let chain = self.exchange.caller.as_ref().map(|caller| caller.chain.clone()).unwrap_or_default();
        let looked = look(&chain, call.segments(), None);
        let result = conclude(&mut self.exchange, looked, |path, text| call.replace_segment(path, text));
        if let Err(fault) = result {
            tracing::info!(call = %self.exchange.id, code = fault.code.as_str(), "a server's message was withheld");
            return None;
        }
        Some(match id {
            Some(id) => Bytes::from(call.outgoing(id)),
            None => call.body(),
        })
    }

    fn push(&mut self, message: &[u8]) {
        self.exchange.keep_response(message);
        let event = Frame::build(Some("message"), message).raw;
        let event = self.kept.as_ref().map_or_else(|| event.clone(), |kept| kept.push(&event));
        self.ready.push_back(event);
    }

    fn fail(&mut self, fault: &Fault) {
        if self.ended {
            return;
        }
        if self.asked.is_some() {
            let bytes = mcp::fault_body(&self.exchange, fault);
            self.push(&bytes);
        }
        self.end(Some(fault));
    }

    fn end(&mut self, fault: Option<&Fault>) {
        self.ended = true;
        if let Some(kept) = &self.kept {
            kept.end();
        }
        self.exchange.end(&Ending { status: 200, fault, complete: fault.is_none() });
    }

    /// Takes the next message, or what there is instead.
    async fn handle(&mut self, next: Next) {
        match next {
            Next::Message(message) => self.take(message).await,
            // A stream that answers nothing may end whenever its server likes.
            Next::Over(_) if self.asked.is_none() => self.end(None),
            Next::Over(fault) => self.fail(&fault),
            Next::Silence => self.ready.push_back(Frame::comment("").raw),
        }
    }
}

/// The flow while a client reads it.
struct Outlet(Option<Box<ToolFlow>>);

async fn step(mut outlet: Outlet) -> Option<(Result<BodyFrame<Bytes>, Broken>, Outlet)> {
    loop {
        let flow = outlet.0.as_mut()?;
        if let Some(bytes) = flow.ready.pop_front() {
            return Some((Ok(BodyFrame::data(bytes)), outlet));
        }
        if flow.ended {
            return None;
        }
        let next = flow.next().await;
        flow.handle(next).await;
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // A client that can take the stream up again gets the time to do so; another has left for good.
        let resumable = |flow: &ToolFlow| flow.kept.is_some() && flow.asked.is_some() && !flow.ended;
        if let Some(flow) = self.0.take().filter(|flow| resumable(flow)) {
            task::spawn("finish an answer whose client has left", linger(flow));
        }
    }
}

/// Goes on with an answer whose client's connection broke, until it is there or nobody came for it in time.
async fn linger(mut flow: Box<ToolFlow>) {
    let mut patience = clock::now().checked_add(LINGER);
    while !flow.ended {
        if flow.kept.as_ref().is_some_and(|kept| kept.is_followed()) {
            patience = clock::now().checked_add(LINGER);
        }
        let Some(until) = patience.filter(|until| *until > clock::now()) else { return };
        // Looked at again each second, since a client that is back takes off the limit.
        let turn = until.saturating_duration_since(clock::now()).min(Duration::from_secs(1));
        if let Ok(next) = tokio::time::timeout(turn, flow.next()).await {
            flow.handle(next).await;
        }
        flow.ready.clear();
    }
}

impl Drop for ToolFlow {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        if let Some(kept) = &self.kept {
            kept.end();
        }
        self.exchange.end(&Ending { status: 499, fault: None, complete: false });
        let messages = std::mem::replace(&mut self.messages, Source::Nobody);
        if let (Source::One(messages), Some(_)) = (messages, &self.asked) {
            let gate = Arc::clone(&self.exchange.gate);
            task::spawn("cancel a tool call", async move {
                if let Err(fault) = gate.upstream.cancel(*messages, "the caller has left").await {
                    tracing::debug!(%fault, "a server could not be told that its caller has left");
                }
            });
        }
    }
}

fn incomplete() -> Fault {
    Fault::new(FaultCode::UpstreamUnavailable, "The server's stream ended before its answer.")
}

fn item_resource(kind: ListKind, server: &ServerName, item: &str) -> Resource {
    match kind {
        ListKind::Tools => Resource::Tool(server.clone(), ToolName::from(item)),
        ListKind::Prompts => Resource::Prompt(server.clone(), Arc::from(item)),
        ListKind::Resources | ListKind::ResourceTemplates => Resource::McpResource(server.clone(), Arc::from(item)),
    }
}
