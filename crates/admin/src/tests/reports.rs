//! What the control plane tells.

use std::sync::{Arc, atomic::Ordering};

use http::{StatusCode, header};
use serde_json::json;
use tidegate_audit::{
    Class,
    record::{CallKind, Caller, Completeness, IntentRecord, OutcomeRecord},
};
use tidegate_config::check::Mode;
use tidegate_core::{
    calls::{CallIndex, CallSummary},
    clock::UnixMillis,
    control::LiveCall,
    event::{Stage, StageEvent, StageVerdict},
    facts::Action,
    ids::CallId,
    money::NanoUsd,
    usage::Usage,
};
use tidegate_ledger::{Attribution, Entry, EntryKind, LedgerStore};

use crate::testing::{Plane, TOKEN, compiled, request};

pub(super) fn summary(id: CallId, at: u64, key: &str, error: Option<&str>) -> CallSummary {
    CallSummary {
        id,
        org: "default".into(),
        at: UnixMillis(at),
        millis: 12,
        key: Some(key.into()),
        team: None,
        surface: Arc::from("openai"),
        action: Some(Action::InvokeModel),
        resource: Arc::from("chat"),
        served_by: Some(Arc::from("sim/chat")),
        status: if error.is_some() { 403 } else { 200 },
        error: error.map(Arc::from),
        usage: Usage { input: 10, cache_read: 5, output: 7, ..Usage::default() },
        cost: Some(NanoUsd(38_000)),
        receipt: Some(0),
        revision: Arc::from("0123456789ab"),
        policies: vec!["allow:a".to_owned()],
        observed: Vec::new(),
        verdicts: Vec::new(),
        attempts: Vec::new(),
        stages: vec![StageEvent { stage: Stage::Admit, verdict: StageVerdict::Pass, micros: 3, detail: None }],
        facts: vec![(Arc::from("action"), Arc::from("invoke_model"))],
    }
}

fn entry(key: &str, at: u64, cost: u64) -> Entry {
    Entry {
        call: CallId::new(),
        attribution: Attribution {
            org: "default".into(),
            key: "abcdefgh".parse().unwrap(),
            key_name: key.into(),
            team: None,
            model: Some("chat".into()),
            provider: Some("sim".into()),
            target: Some(Arc::from("sim/chat")),
        },
        scopes: Arc::from([]),
        at: UnixMillis(at),
        finished: UnixMillis(at + 1),
        kind: EntryKind::Settled,
        cost: Some(NanoUsd(cost)),
        held: NanoUsd::ZERO,
        reserved: NanoUsd(cost),
        overrun: NanoUsd::ZERO,
        usage: Usage { input: 10, cache_read: 5, output: 7, ..Usage::default() },
    }
}

#[tokio::test]
async fn spend_counts_every_finished_call() {
    let plane = Plane::new(Mode::Up);
    let day = 86_400_000;
    for (key, at, cost) in [("a", day, 1_500_000_000), ("a", 2 * day, 1), ("b", 3 * day, 250_000_000)] {
        LedgerStore::record(&*plane.engine, entry(key, at, cost));
    }
    let report = plane.get("/api/v1/spend?by=key").await.json();
    assert_eq!(
        report,
        json!({ "by": "key", "rows": [
            { "key": "a", "usd": "1.500000001", "held_usd": "0", "calls": 2, "input_tokens": 30, "output_tokens": 14 },
            { "key": "b", "usd": "0.25", "held_usd": "0", "calls": 1, "input_tokens": 15, "output_tokens": 7 },
        ] })
    );
    assert_eq!(plane.engine.index_flushes.load(Ordering::SeqCst), 1);
    let report = plane.get("/api/v1/spend?by=model&since=1970-01-03&until=1970-01-04T00:00:00Z").await.json();
    assert_eq!(report["rows"][0]["model"], "chat");
    assert_eq!(
        (report["rows"][0]["calls"].as_u64(), report["since"].as_str()),
        (Some(1), Some("1970-01-03T00:00:00Z"))
    );
    for by in ["team", "provider", "target", "org"] {
        let report = plane.get(&format!("/api/v1/spend?by={by}")).await.json();
        assert!(report["rows"][0][by].is_string(), "{report}");
    }
    assert_eq!(plane.get("/api/v1/spend?by=agent").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(plane.get("/api/v1/spend?since=soon").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(plane.get("/api/v1/spend?by=key&org=other").await.status, StatusCode::BAD_REQUEST);
    let injected = plane.get("/api/v1/spend?by=key%27%3B+DROP+TABLE+entries").await;
    assert_eq!(injected.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn calls_are_listed_newest_first_and_paged() {
    let plane = Plane::new(Mode::Up);
    let ids: Vec<CallId> = (0..3).map(|_| CallId::new()).collect();
    CallIndex::record(&*plane.engine, summary(ids[0], 1_000, "a", None));
    CallIndex::record(&*plane.engine, summary(ids[1], 2_001, "b", Some("policy_denied")));
    CallIndex::record(&*plane.engine, summary(ids[2], 3_000, "a", None));
    let listed = |list: serde_json::Value| -> Vec<String> {
        list["calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect()
    };
    let text = |at: usize| ids[at].to_string();
    let all = plane.get("/api/v1/calls").await.json();
    assert_eq!(all["calls"][0]["usd"], "0.000038");
    assert_eq!(all["calls"][0]["input_tokens"], 15);
    assert_eq!(listed(all.clone()), [text(2), text(1), text(0)]);
    let before = all["calls"][1]["at"].as_str().unwrap();
    assert_eq!(listed(plane.get(&format!("/api/v1/calls?before={before}&limit=1")).await.json()), [text(0)]);
    assert_eq!(listed(plane.get("/api/v1/calls?key=b").await.json()), [text(1)]);
    assert_eq!(listed(plane.get("/api/v1/calls?error=any").await.json()), [text(1)]);
    for query in ["limit=0", "limit=1001", "before=x"] {
        let answer = plane.get(&format!("/api/v1/calls?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    assert_eq!(plane.get("/api/v1/calls?limit=-1").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_call_is_shown_with_its_records() {
    let plane = Plane::new(Mode::Up);
    let id = CallId::new();
    let caller = Caller {
        org: "default".into(),
        key: "abcdefgh".parse().unwrap(),
        key_name: "a".into(),
        team: None,
        chain: Vec::new(),
    };
    let revision = plane.control.live.current().snapshot.revision;
    let record = IntentRecord::new(id, caller, CallKind::Model, Action::InvokeModel, revision);
    let intent = plane.control.audit.intent(Class::Buffered, record).await.unwrap();
    // In flight: on record, not yet in the index.
    let story = plane.get(&format!("/api/v1/calls/{id}")).await.json();
    assert!(story.get("call").is_none());
    assert_eq!(story["audit"].as_array().unwrap().len(), 1);
    let leaf = intent.leaf().unwrap();
    intent.outcome(OutcomeRecord::new(Completeness::Complete, 200)).unwrap();
    CallIndex::record(&*plane.engine, summary(id, 1_000, "a", None));
    let story = plane.get(&format!("/api/v1/calls/{id}")).await.json();
    assert_eq!(story["call"]["stages"][0], json!({ "stage": "admit", "verdict": "pass", "micros": 3 }));
    assert_eq!(story["call"]["facts"][0], json!(["action", "invoke_model"]));
    assert_eq!(story["audit"][0]["leaf"], leaf);
    assert_eq!(story["audit"].as_array().unwrap().len(), 2);
    assert_eq!(plane.get(&format!("/api/v1/calls/{}", CallId::new())).await.status, StatusCode::NOT_FOUND);
    assert_eq!(plane.get("/api/v1/calls/%27").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_call_in_flight_is_listed_and_cut() {
    let plane = Plane::new(Mode::Up);
    let id = CallId::new();
    plane.flight.calls.lock().push(LiveCall {
        id,
        key: "abcdefgh".parse().unwrap(),
        key_name: "a".into(),
        action: Action::CallTool,
        since: UnixMillis(0),
    });
    let live = plane.get("/api/v1/calls/live").await.json();
    assert_eq!((live["calls"][0]["key"].as_str(), live["calls"][0]["action"].as_str()), (Some("a"), Some("call_tool")));
    assert_eq!(plane.get("/api/v1/status").await.json()["calls_in_flight"], 1);
    assert_eq!(plane.post(&format!("/api/v1/calls/{id}/cut"), "").await.json(), json!({ "cut": 1 }));
    assert_eq!(plane.post(&format!("/api/v1/calls/{id}/cut"), "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn readiness_follows_revision_and_audit() {
    let plane = Plane::new(Mode::Up);
    let ready = plane.send(request("GET", "/readyz", None, "")).await;
    assert_eq!(ready.status, StatusCode::OK);
    assert!(ready.json().get("rejected").is_none());
    let rejection = compiled("version: 1\nmodels: { chat: antropic/x }\n").unwrap_err();
    plane.control.live.reject(rejection, UnixMillis(1));
    let ready = plane.send(request("GET", "/readyz", None, "")).await;
    assert_eq!(ready.status, StatusCode::OK);
    let body = ready.json();
    assert_eq!(body["rejected"], json!({ "number": 2, "problems": 1 }));
    assert!(body["status"].as_str().unwrap().starts_with("revision 1 active, 2 rejected: "));
    let status = plane.get("/api/v1/status").await.json();
    assert_eq!(status["rejected"]["problems"][0]["path"], "models.chat");
    plane.control.audit.close();
    let ready = plane.send(request("GET", "/readyz", None, "")).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((ready.json()["ready"].as_bool(), ready.json()["audit_writable"].as_bool()), (Some(false), Some(false)));
    assert_eq!(plane.send(request("GET", "/healthz", None, "")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn status_names_providers_by_fingerprint_only() {
    let plane = Plane::new(Mode::Serve);
    let status = plane.get("/api/v1/status").await.json();
    assert_eq!((status["mode"].as_str(), status["version"].as_str()), (Some("serve"), Some("0.0.0-test")));
    let providers = status["providers"].as_array().unwrap();
    let openai = providers.iter().find(|provider| provider["name"] == "openai").unwrap();
    assert_eq!(openai["fingerprint"].as_str().unwrap().len(), 6);
    let sim = providers.iter().find(|provider| provider["name"] == "sim").unwrap();
    assert!(sim.get("fingerprint").is_none() && sim.get("url").is_none());
    assert_eq!(status["models"][0], json!({ "name": "chat", "alias": true }));
    assert_eq!(status["servers"][0]["tools"], json!(["search", "read"]));
    assert_eq!((status["audit"]["tool_calls"].as_str(), status["audit"]["off"].clone()), (Some("durable"), json!([])));
}

#[tokio::test]
async fn budgets_audit_metrics_and_revision_are_shown() {
    let plane = Plane::new(Mode::Up);
    let budgets = plane.get("/api/v1/budgets").await.json();
    let names: Vec<_> = budgets["budgets"].as_array().unwrap().iter().map(|budget| budget["name"].clone()).collect();
    assert_eq!(names, ["research", "declared"]);
    assert_eq!(budgets["budgets"][1]["budget"], "10 usd/month");

    plane.key(r#"{"name":"a"}"#).await;
    let audit = plane.get("/api/v1/audit").await.json();
    assert_eq!(audit["size"], 1);
    assert!(tidegate_audit::note::VerifierKey::parse(audit["key"].as_str().unwrap()).is_ok());

    let metrics = plane.send(request("GET", "/metrics", None, "")).await;
    assert_eq!(metrics.text, "# EOF\n");
    let kind = metrics.headers.get(header::CONTENT_TYPE).unwrap().to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"));

    let revision = plane.get("/api/v1/revisions/current").await.json();
    assert_eq!(revision["number"], 2);
    assert_eq!(revision["document"]["providers"]["openai"]["key"], "env:OPENAI_API_KEY");
    assert!(revision["digest"].as_str().unwrap().starts_with(revision["id"].as_str().unwrap()));
}

#[tokio::test]
async fn the_simulators_ledger_is_there_only_with_the_simulator() {
    let plane = Plane::new(Mode::Up);
    assert_eq!(plane.get("/api/v1/sim/ledger").await.json()["calls"], 0);
    let cleared = plane.send(request("DELETE", "/api/v1/sim/ledger", Some(TOKEN), "")).await;
    assert_eq!(cleared.status, StatusCode::NO_CONTENT);
    let plane = Plane::with(Mode::Serve, |control| control.sim = None);
    assert_eq!(plane.get("/api/v1/sim/ledger").await.status, StatusCode::NOT_FOUND);
    let cleared = plane.send(request("DELETE", "/api/v1/sim/ledger", Some(TOKEN), "")).await;
    assert_eq!(cleared.status, StatusCode::NOT_FOUND);
}
