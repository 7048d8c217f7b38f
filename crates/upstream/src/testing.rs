//! What this crate's tests share: proofs for a call, targets at a scripted upstream, and how a call ended in the ledger.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use tidegate_audit::{AuditPlan, Class, record::CallKind};
use tidegate_core::{
    clock,
    facts::Resource,
    ids::{CallId, KeyName, ServerName, TargetId},
    money::NanoUsd,
    principal::Principal,
    secret::Secret,
};
use tidegate_ledger::{
    Ask, Attribution, Balance, Budget, Entry, Ledger, LedgerStore, Period, Reservation, Scope, ScopeKind, ScopeRules,
    SpendQuery, SpendRow, StoreError,
};
use tidegate_policy::{
    Allow, KeyEntity, Permit, Policies, PolicyInput, ServerEntity, SessionPermit, authorize, compile,
};
use tidegate_protocol::{
    call::Call,
    llm::{Dialect, ModelCall, Named, Operation, Quirks},
    mcp::ToolCall,
};

use crate::{
    Answered, Auth, BreakerPolicy, Destination, Destinations, Dispatch, Failed, McpServer, Provider, RetryPolicy,
    Target, Timeouts, Upstream, UpstreamOptions, mcp::Leg,
};

/// The provider's key in every test: it must never be seen.
pub(crate) const PROVIDER_KEY: &str = "provider-key-that-nobody-may-see";

#[derive(Default)]
pub(crate) struct Entries(pub(crate) Mutex<Vec<Entry>>);

impl LedgerStore for Entries {
    fn record(&self, entry: Entry) {
        self.0.lock().unwrap().push(entry);
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn load(&self, _: tidegate_core::clock::UnixMillis) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    fn balances(&self, _: tidegate_core::clock::UnixMillis) -> Result<Vec<Balance>, StoreError> {
        Ok(Vec::new())
    }

    fn spend(&self, _: SpendQuery) -> Result<Vec<SpendRow>, StoreError> {
        Ok(Vec::new())
    }
}

/// Everything a call needs.
pub(crate) struct Bench {
    pub(crate) upstream: Upstream,
    pub(crate) entries: Arc<Entries>,
    pub(crate) ledger: Ledger,
    policies: Arc<Policies>,
    principal: Principal,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(UpstreamOptions::default())
    }

    pub(crate) fn with(options: UpstreamOptions) -> Self {
        let org = tidegate_core::ids::OrgId::from("default");
        let key_name = KeyName::from("tester");
        let allow = Allow { models: vec!["*".to_owned()], mcp_servers: vec!["*".to_owned()] };
        let input = PolicyInput {
            keys: vec![KeyEntity { name: key_name.clone(), team: None, org: org.clone(), allow: Some(allow) }],
            targets: ["a", "b", "c"].into_iter().map(|name| TargetId::new(name, "m")).collect(),
            servers: vec![ServerEntity { name: ServerName::from("tools"), allowed_tools: None, pins: Vec::new() }],
            ..PolicyInput::default()
        };
        let principal = Principal {
            org,
            key: "testkey0".parse().unwrap(),
            key_name,
            team: None,
            chain: Vec::new(),
            address: [127, 0, 0, 1].into(),
        };
        let entries = Arc::new(Entries::default());
        Self {
            upstream: Upstream::new(options).unwrap(),
            ledger: Ledger::new(Arc::clone(&entries) as Arc<dyn LedgerStore>),
            entries,
            policies: Arc::new(compile(&input).unwrap()),
            principal,
        }
    }

    /// A budget for the only key.
    pub(crate) fn budget(&self, limit: NanoUsd) {
        let rules = ScopeRules {
            budget: vec![Budget { amount: limit, period: Period::Total, soft: false }],
            ..ScopeRules::default()
        };
        self.ledger.configure(HashMap::from([(self.scope(), rules)]));
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope::new(ScopeKind::Key, self.principal.key.as_str())
    }

    pub(crate) fn permit(&self, id: CallId, call: &Call, candidates: &[Resource]) -> Permit {
        let facts = call.facts();
        let (version, digest) = (call.version(), call.digest());
        authorize(&self.policies, id, version, digest, &self.principal, &facts, candidates, clock::wall()).unwrap()
    }

    pub(crate) fn session_permit(&self, call: &Call) -> SessionPermit {
        let server = ServerName::from("tools");
        SessionPermit::authorize(&self.policies, &self.principal, &call.facts(), &server, clock::wall()).unwrap()
    }

    pub(crate) fn reservation(&self, id: CallId, cost: Option<NanoUsd>) -> Reservation {
        let attribution = Attribution {
            org: self.principal.org.clone(),
            key: self.principal.key,
            key_name: self.principal.key_name.clone(),
            team: None,
            model: None,
            provider: None,
            target: None,
        };
        let ask = Ask {
            call: id,
            scopes: &[self.scope()],
            attribution,
            cost,
            tokens: 10,
            wall: clock::wall(),
            now: clock::now(),
        };
        self.ledger.reserve(ask).unwrap()
    }

    pub(crate) async fn ask(&self, call: &Call, targets: &[Arc<Target>]) -> Result<Answered, Box<Failed>> {
        self.ask_with(call, targets, Asking::default()).await
    }

    pub(crate) async fn ask_with(
        &self,
        call: &Call,
        targets: &[Arc<Target>],
        asking: Asking,
    ) -> Result<Answered, Box<Failed>> {
        let id = CallId::new();
        let candidates: Vec<_> = targets.iter().map(|target| Resource::Model(target.id.clone())).collect();
        let permit = self.permit(id, call, &candidates);
        let dispatch = Dispatch {
            id,
            permit: &permit,
            reservation: self.reservation(id, asking.cost),
            intent: intent(CallKind::Model),
            call,
            to: Destinations::Models(targets.to_vec()),
            forward: &asking.forward,
            deadline: asking.deadline,
            trace: None,
        };
        self.upstream.dispatch(dispatch).await
    }

    pub(crate) async fn call_tool(&self, leg: &Arc<Leg>, call: &Call) -> Result<Answered, Box<Failed>> {
        let id = CallId::new();
        let permit = self.permit(id, call, &[call.resource()]);
        let dispatch = Dispatch {
            id,
            permit: &permit,
            reservation: self.reservation(id, None),
            intent: intent(CallKind::Tool),
            call,
            to: Destinations::Server(Arc::clone(leg)),
            forward: &HeaderMap::new(),
            deadline: None,
            trace: None,
        };
        self.upstream.dispatch(dispatch).await
    }
}

#[derive(Default)]
pub(crate) struct Asking {
    pub(crate) forward: HeaderMap,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cost: Option<NanoUsd>,
}

pub(crate) fn intent(kind: CallKind) -> tidegate_audit::Intent {
    AuditPlan { model_calls: Class::Off, tool_calls: Class::Off }.intent_off(kind).unwrap()
}

/// A target called `NAME/m`, with short clocks and pauses.
pub(crate) fn target(name: &str, dialect: Dialect, url: &str) -> Target {
    Target {
        id: TargetId::new(name, "m"),
        provider: Arc::new(Provider {
            name: name.into(),
            dialect,
            also: Vec::new(),
            base: Destination::http(url, true).unwrap(),
            paths: crate::Paths::default(),
            auth: Auth::Bearer(Secret::new(PROVIDER_KEY.to_owned())),
            quirks: Quirks::default(),
            headers: HeaderMap::new(),
            rerank: None,
            realtime: false,
            api_call: None,
        }),
        price: None,
        max_output: Some(100),
        max_input: None,
        capabilities: tidegate_core::capability::Capabilities::default(),
        timeouts: timeouts(),
        retry: RetryPolicy { first_pause: Duration::from_millis(2), ..RetryPolicy::default() },
        breaker: BreakerPolicy::default(),
        hedge: None,
        params: tidegate_protocol::llm::Params::default(),
    }
}

pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        first_event: Duration::from_secs(2),
        between_events: Duration::from_secs(2),
        total: Duration::from_secs(10),
    }
}

pub(crate) fn chat(stream: bool) -> Call {
    model_call(
        Dialect::OpenAiChat,
        &format!(r#"{{"model":"alias","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#),
    )
}

pub(crate) fn messages(stream: bool) -> Call {
    model_call(
        Dialect::Anthropic,
        &format!(
            r#"{{"model":"alias","max_tokens":9,"stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
        ),
    )
}

pub(crate) fn gemini(stream: bool) -> Call {
    let named = Named { model: "alias".to_owned(), stream };
    let body = Bytes::from_static(br#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#);
    let call = ModelCall::read_named(Dialect::Gemini, Operation::Generate, Some(named), body);
    Call::Model(Box::new(call.unwrap()))
}

pub(crate) fn model_call(dialect: Dialect, body: &str) -> Call {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Call::Model(Box::new(ModelCall::read(dialect, Operation::Generate, body).unwrap()))
}

pub(crate) fn tool_call(body: &str) -> Call {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Call::Tool(Box::new(ToolCall::read(ServerName::from("tools"), body).unwrap()))
}

pub(crate) fn server(url: &str) -> McpServer {
    McpServer {
        name: ServerName::from("tools"),
        base: Destination::http(url, true).unwrap(),
        auth: Auth::Bearer(Secret::new(PROVIDER_KEY.to_owned())),
        headers: HeaderMap::new(),
        timeouts: timeouts(),
        retry: RetryPolicy { first_pause: Duration::from_millis(2), ..RetryPolicy::default() },
        breaker: BreakerPolicy::default(),
        tools: None,
        idempotent: std::collections::BTreeMap::new(),
    }
}

/// A whole answer of the Chat dialect.
pub(crate) const CHAT_ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

/// A stream of the Chat dialect, event by event, without the usage that was asked for on the caller's behalf.
pub(crate) const CHAT_EVENTS: [&str; 5] = [
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];
