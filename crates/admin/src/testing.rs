//! What this crate's tests share: a control plane over an engine in memory, and requests to it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode, header};
use parking_lot::Mutex;
use serde_json::Value;
use tidegate_audit::{Audit, OpenOptions};
use tidegate_config::{
    check::{Mode, Options},
    environment::Fixed,
    identity::{KeyDigest, KeyStore, KeyStoreError, KeyTable, Pepper, StoredKey},
    live::{self, Candidate, Live, Rejection},
    snapshot::Ingredients,
    source::Sources,
    vendor::Vendors,
};
use tidegate_core::{
    calls::{CallIndex, CallIndexError, CallQuery, CallSummary},
    clock::{self, UnixMillis},
    control::{LiveCall, LiveCalls, Selector},
    ids::{CallId, KeyId, OrgId, ServerName, ToolName},
    secret::Secret,
};
use tidegate_ledger::{Balance, Catalog, Entry, Ledger, LedgerStore, SpendQuery, SpendRow, StoreError};
use tidegate_store::Memory;
use tidegate_upstream::sim::Sim;
use tower::ServiceExt as _;

use crate::{Control, Feed, PinChange, PinState, PinsChanged, PinsError, PinsFuture, ToolPins, router};

/// The admin token of every test.
pub(crate) const TOKEN: &str = "the-admin-token-of-the-tests";
/// The provider's key of every test: it must never be seen.
pub(crate) const CANARY: &str = "sk-canary-provider-secret-0123456789";

const DOCUMENT: &str = "
version: 1
providers:
  sim: {}
  openai: { key: env:OPENAI_API_KEY }
models:
  chat: { fallback: [sim/chat, openai/gpt-5.2] }
guardrails:
  pii: { detect: [email], action: redact }
mcp_servers:
  notes: { url: https://notes.example/mcp, tools: [search, read] }
teams:
  research: { budget: 500 usd/month }
keys:
  declared: { team: research, allow: { models: [chat] }, budget: 10 usd/month }
  referred: { secret: env:REFERRED_KEY, allow: { models: [chat] } }
hosts: [gateway.example]
";

/// Calls in flight that are made up.
#[derive(Default)]
pub(crate) struct Flight {
    pub(crate) calls: Mutex<Vec<LiveCall>>,
    pub(crate) cuts: Mutex<Vec<Selector>>,
}

impl LiveCalls for Flight {
    fn cut(&self, selector: &Selector) -> usize {
        self.cuts.lock().push(selector.clone());
        let mut calls = self.calls.lock();
        let before = calls.len();
        calls.retain(|call| match selector {
            Selector::Key(key) => call.key != *key,
            Selector::Call(id) => call.id != *id,
            Selector::Team(_) => true,
        });
        before - calls.len()
    }

    fn count(&self) -> usize {
        self.calls.lock().len()
    }

    fn list(&self, most: usize) -> Vec<LiveCall> {
        self.calls.lock().iter().take(most).cloned().collect()
    }
}

/// An engine that says when it was flushed, keeps entries back until then, and can be broken.
#[derive(Default)]
pub(crate) struct Engine {
    memory: Memory,
    waiting: Mutex<Vec<Entry>>,
    pub(crate) index_flushes: AtomicUsize,
    pub(crate) broken: AtomicBool,
}

impl Engine {
    fn works(&self) -> Result<(), KeyStoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(KeyStoreError::Unavailable("does not answer".to_owned()));
        }
        Ok(())
    }
}

impl LedgerStore for Engine {
    fn record(&self, entry: Entry) {
        self.waiting.lock().push(entry);
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.waiting.lock().drain(..).for_each(|entry| LedgerStore::record(&self.memory, entry));
        Ok(())
    }

    fn load(&self, since: UnixMillis) -> Result<Vec<Entry>, StoreError> {
        self.memory.load(since)
    }

    fn balances(&self, before: UnixMillis) -> Result<Vec<Balance>, StoreError> {
        self.memory.balances(before)
    }

    fn spend(&self, query: SpendQuery) -> Result<Vec<SpendRow>, StoreError> {
        self.memory.spend(query)
    }
}

impl KeyStore for Engine {
    fn all(&self) -> Result<Vec<StoredKey>, KeyStoreError> {
        self.works()?;
        self.memory.all()
    }

    fn list(&self, org: &OrgId) -> Result<Vec<StoredKey>, KeyStoreError> {
        KeyStore::list(&self.memory, org)
    }

    fn insert(&self, key: &StoredKey) -> Result<(), KeyStoreError> {
        self.works()?;
        self.memory.insert(key)
    }

    fn rotate(&self, org: &OrgId, id: KeyId, new_id: KeyId, digest: &KeyDigest) -> Result<(), KeyStoreError> {
        self.works()?;
        self.memory.rotate(org, id, new_id, digest)
    }

    fn update(&self, key: &StoredKey) -> Result<(), KeyStoreError> {
        self.works()?;
        self.memory.update(key)
    }

    fn remove(&self, org: &OrgId, id: KeyId) -> Result<(), KeyStoreError> {
        self.works()?;
        self.memory.remove(org, id)
    }

    fn revoke(&self, org: &OrgId, id: KeyId, at: UnixMillis) -> Result<(), KeyStoreError> {
        self.works()?;
        self.memory.revoke(org, id, at)
    }
}

impl CallIndex for Engine {
    fn record(&self, call: CallSummary) {
        CallIndex::record(&self.memory, call);
    }

    fn list(&self, org: &OrgId, query: &CallQuery) -> Result<Vec<CallSummary>, CallIndexError> {
        CallIndex::list(&self.memory, org, query)
    }

    fn get(&self, org: &OrgId, id: CallId) -> Result<Option<CallSummary>, CallIndexError> {
        CallIndex::get(&self.memory, org, id)
    }

    fn flush(&self) -> Result<(), CallIndexError> {
        self.index_flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Pins that stand still: what was asked of them is kept.
#[derive(Default)]
pub(crate) struct Pinned {
    pub(crate) states: Mutex<Vec<PinState>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Pinned {
    fn answer(&self, asked: String, server: &ServerName) -> PinsFuture<'_> {
        self.asked.lock().push(asked);
        let states = self.states.lock();
        let before = states.iter().find(|state| state.pin.server == *server);
        let result = match before {
            Some(state) => {
                let now = state.seen.as_ref().map(|seen| (**seen).clone());
                let change = PinChange { before: Some(Arc::clone(&state.pin)), now };
                Ok(PinsChanged { changes: vec![change], unchanged: 1, number: 7 })
            }
            None => Err(PinsError::NoServer(server.clone())),
        };
        Box::pin(async move { result })
    }
}

impl ToolPins for Pinned {
    fn list(&self) -> Vec<PinState> {
        self.states.lock().clone()
    }

    fn refresh(&self, server: ServerName, tool: Option<ToolName>, dry_run: bool) -> PinsFuture<'_> {
        self.answer(format!("refresh {server} {tool:?} {dry_run}"), &server)
    }

    fn forget(&self, server: ServerName, tool: ToolName) -> PinsFuture<'_> {
        self.answer(format!("forget {server} {tool}"), &server)
    }
}

/// A control plane.
pub(crate) struct Plane {
    pub(crate) control: Arc<Control>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) pins: Arc<Pinned>,
    pub(crate) router: Router,
    _dir: tempfile::TempDir,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn compiled(text: &str) -> Result<Candidate, Rejection> {
    let (_, referred) = tidegate_config::identity::mint().unwrap();
    let environment = Fixed::default().variable("OPENAI_API_KEY", CANARY).variable("REFERRED_KEY", referred.expose());
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Up, secrets: true, public_listener: false, vendors: &vendors };
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let ingredients = Ingredients { vendors: &vendors, catalog, stored: Vec::new(), pins: Vec::new() };
    live::compile(Sources::of_text("tidegate.yaml", text), &environment, &options, &ingredients)
}

impl Plane {
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(mode, |_| {})
    }

    pub(crate) fn with(mode: Mode, change: impl FnOnce(&mut Control)) -> Self {
        let snapshot = compiled(DOCUMENT).unwrap_or_else(|error| panic!("{error}")).snapshot;
        let dir = tempfile::tempdir().unwrap();
        let (audit, _) = Audit::open(OpenOptions::new(dir.path().join("audit"), dir.path().join("keys"))).unwrap();
        let engine = Arc::new(Engine::default());
        let flight = Arc::new(Flight::default());
        let pins = Arc::new(Pinned::default());
        let keys = Arc::new(KeyTable::new(Pepper::new(&[7; 32]).unwrap()).unwrap());
        keys.set_declared(snapshot.declared.to_vec(), clock::wall());
        let ledger = Ledger::new(Arc::clone(&engine) as Arc<dyn LedgerStore>);
        ledger.configure(HashMap::clone(&snapshot.ledger_rules));
        let mut control = Control {
            live: Arc::new(Live::new(snapshot, clock::wall())),
            keys,
            key_store: Arc::clone(&engine) as Arc<dyn KeyStore>,
            ledger,
            ledger_store: Arc::clone(&engine) as Arc<dyn LedgerStore>,
            audit: Arc::new(audit),
            calls: Arc::clone(&engine) as Arc<dyn CallIndex>,
            feed: Arc::new(Feed::before(Arc::clone(&engine) as Arc<dyn CallIndex>)),
            live_calls: Arc::clone(&flight) as Arc<dyn LiveCalls>,
            pins: Arc::clone(&pins) as Arc<dyn ToolPins>,
            metrics: Arc::new(|| "# EOF\n".to_owned()),
            targets: Arc::new(Vec::new),
            sim: Some(Sim::new()),
            admin_token: Secret::new(TOKEN.to_owned()),
            mode,
            started: clock::now(),
            version: "0.0.0-test",
            loopback: true,
            changes: Arc::default(),
        };
        change(&mut control);
        let control = Arc::new(control);
        Self { router: router(Arc::clone(&control)), control, engine, flight, pins, _dir: dir }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, Some(TOKEN), "")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(request("POST", path, Some(TOKEN), body)).await
    }

    /// Makes a key: its id and secret.
    pub(crate) async fn key(&self, body: &str) -> (KeyId, String) {
        let answer = self.post("/api/v1/keys", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let made = answer.json();
        (made["id"].as_str().unwrap().parse().unwrap(), made["key"].as_str().unwrap().to_owned())
    }

    pub(crate) fn lets_in(&self, key: &str) -> bool {
        self.control.keys.authenticate(key, clock::wall()).is_ok()
    }
}

pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8788");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Body::from(body.to_owned())).unwrap()
}
