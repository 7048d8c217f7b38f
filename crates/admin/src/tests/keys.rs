//! Keys, from making to revoking.

use std::{sync::atomic::Ordering, time::Duration};

use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tidegate_config::check::Mode;
use tidegate_core::{
    clock,
    control::{LiveCall, Selector},
    facts::Action,
    ids::{CallId, KeyId, OrgId},
};
use tidegate_ledger::{Scope, ScopeKind};

use crate::{
    apply_stored_keys,
    testing::{CANARY, Plane, TOKEN, request},
};

fn in_flight(key: KeyId) -> LiveCall {
    LiveCall { id: CallId::new(), key, key_name: "a".into(), action: Action::InvokeModel, since: clock::wall() }
}

#[tokio::test]
async fn a_new_key_is_let_in_at_once_and_shown_once() {
    let plane = Plane::new(Mode::Serve);
    let before = plane.control.live.current();
    let body = r#"{"name":"ci","team":"research","allow":{"models":["chat","openai/gpt-5.2"],"mcp_servers":["notes"]},
        "budget":"10 usd/month","limits":{"requests":"60/min","concurrent":5},"expires":"30d","guardrails":["pii"]}"#;
    let answer = plane.post("/api/v1/keys", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let made = answer.json();
    assert!(made.get("note").is_none());
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with(&format!("tg_{}_", made["id"].as_str().unwrap())));
    assert!(plane.lets_in(key));

    let after = plane.control.live.current();
    assert_eq!(after.number, before.number + 1);
    let rules = after.snapshot.key(&OrgId::from("default"), &"ci".into()).unwrap();
    assert!(rules.hard_budget);
    let scope = Scope::new(ScopeKind::Key, "ci");
    assert_eq!(plane.control.ledger.standing(&scope, clock::wall()).unwrap().budgets.len(), 1);

    let shown = plane.get("/api/v1/keys/ci").await.json();
    assert_eq!(shown["allow"], json!({ "models": ["chat", "openai/gpt-5.2"], "mcp_servers": ["notes"] }));
    assert_eq!(shown["limits"], json!({ "requests": "60/min", "concurrent": 5 }));
    assert_eq!((shown["budget"][0].as_str(), shown["state"].as_str()), (Some("10 usd/month"), Some("active")));
    assert_eq!(shown["budgets"][0]["left_usd"], "10");
    let policies = plane.get("/api/v1/policies").await.json();
    assert!(policies["policies"].as_array().unwrap().iter().any(|policy| policy["origin"] == "key ci"));

    // The activation is on record, and nothing but the first answer has the secret.
    let records: Vec<_> = plane.control.audit.records_from(0).map(Result::unwrap).collect();
    let text = serde_json::to_string(&records).unwrap();
    assert!(text.contains("key `ci` made"), "{text}");
    assert!(!text.contains(key));
    for path in ["/api/v1/keys", "/api/v1/keys/ci", "/api/v1/status", "/api/v1/revisions/current", "/api/v1/policies"] {
        let text = plane.get(path).await.text;
        assert!(!text.contains(key.rsplit('_').next().unwrap()) && !text.contains(CANARY), "{path}");
    }
}

#[tokio::test]
async fn without_allow_the_start_decides_and_the_answer_says_so() {
    for (mode, all, word) in [(Mode::Up, json!(["*"]), "every model"), (Mode::Serve, json!([]), "nothing")] {
        let plane = Plane::new(mode);
        let made = plane.post("/api/v1/keys", r#"{"name":"a"}"#).await.json();
        assert!(made["note"].as_str().unwrap().contains(word), "{made}");
        let shown = plane.get("/api/v1/keys/a").await.json();
        assert_eq!(shown["allow"], json!({ "models": all, "mcp_servers": all }));
        // What is named counts alone.
        plane.key(r#"{"name":"b","allow":{"models":"*"}}"#).await;
        let shown = plane.get("/api/v1/keys/b").await.json();
        assert_eq!(shown["allow"], json!({ "models": ["*"], "mcp_servers": [] }));
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let plane = Plane::new(Mode::Serve);
    for (body, word) in [
        (r#"{"name":"../x"}"#, "name"),
        (r#"{"name":""}"#, "name"),
        (r#"{"name":"a","team":"nobody"}"#, "nobody"),
        (r#"{"name":"a","allow":{"models":["chta"]}}"#, "chta"),
        (r#"{"name":"a","allow":{"models":["nowhere/x"]}}"#, "nowhere/x"),
        (r#"{"name":"a","allow":{"models":["chat","chat"]}}"#, "twice"),
        (r#"{"name":"a","allow":{"models":"chat"}}"#, "allow.models"),
        (r#"{"name":"a","allow":{"mcp_servers":["x"]}}"#, "x"),
        (r#"{"name":"a","allow":{"agents":["x"]}}"#, "agents"),
        (r#"{"name":"a","guardrails":["x"]}"#, "guardrail"),
        (r#"{"name":"a","budget":"10 eur/month"}"#, "budget"),
        (r#"{"name":"a","limits":{"requests":"0/min"}}"#, "limits.requests"),
        (r#"{"name":"a","limits":{"concurrent":0}}"#, "concurrent"),
        (r#"{"name":"a","expires":"2020-01-01"}"#, "past"),
        (r#"{"name":"a","expires":"soon"}"#, "moment"),
        (r#"{"name":"a","role":"admin"}"#, "role"),
        (r#"{"name":"a","name":"b"}"#, "name"),
        (r#"{"name":7}"#, "type"),
        ("{}", "name"),
        ("[]", "wrong type"),
    ] {
        let answer = plane.post("/api/v1/keys", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body} {}", answer.text);
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(word), "{body} {}", answer.text);
    }
    for body in ["{", "nonsense", r#"{"name":"a"} x"#] {
        assert_eq!(plane.post("/api/v1/keys", body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
    assert_eq!(plane.post("/api/v1/keys", &deep).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(1 << 20));
    assert_eq!(plane.post("/api/v1/keys", &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut form = request("POST", "/api/v1/keys", Some(TOKEN), r#"{"name":"a"}"#);
    form.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    assert_eq!(plane.send(form).await.status, StatusCode::BAD_REQUEST);
    // A secret in a wrong place is not repeated.
    let answer = plane.post("/api/v1/keys", &format!(r#"{{"name":"a","team":"{CANARY}"}}"#)).await;
    assert!(!answer.text.contains(CANARY), "{}", answer.text);
    let answer = plane.post("/api/v1/keys", &format!(r#"{{"name":"a","{CANARY}":1}}"#)).await;
    assert!(!answer.text.contains(CANARY), "{}", answer.text);
    assert_eq!(plane.control.live.current().number, 1);
    assert!(plane.control.key_store.all().unwrap().is_empty());
}

#[tokio::test]
async fn names_belong_to_one_key_and_one_owner() {
    let plane = Plane::new(Mode::Up);
    let (_, first) = plane.key(r#"{"name":"a"}"#).await;
    for body in [r#"{"name":"a"}"#, r#"{"name":"declared"}"#, r#"{"name":"referred"}"#] {
        assert_eq!(plane.post("/api/v1/keys", body).await.status, StatusCode::CONFLICT, "{body}");
    }
    assert!(plane.lets_in(&first));
    // A revoked key's name is free again.
    assert_eq!(plane.post("/api/v1/keys/a/revoke", "").await.status, StatusCode::OK);
    let (_, second) = plane.key(r#"{"name":"a"}"#).await;
    assert!(plane.lets_in(&second) && !plane.lets_in(&first));
    assert_eq!(plane.get("/api/v1/keys/a").await.json()["state"], "active");
}

#[tokio::test]
async fn revocation_is_a_promise() {
    let plane = Plane::new(Mode::Up);
    let (id, key) = plane.key(r#"{"name":"a"}"#).await;
    let (other, _) = plane.key(r#"{"name":"b"}"#).await;
    plane.flight.calls.lock().extend([in_flight(id), in_flight(id), in_flight(other)]);
    let answer = plane.post(&format!("/api/v1/keys/{id}/revoke"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["cut"], 2);
    assert!(!plane.lets_in(&key));
    assert_eq!(plane.flight.calls.lock().len(), 1);
    assert!(plane.control.live.current().snapshot.key(&OrgId::from("default"), &"a".into()).is_none());
    assert!(plane.control.key_store.all().unwrap().iter().any(|known| known.id == id && known.revoked.is_some()));
    // A call that was let in just before is found within the second.
    plane.flight.calls.lock().push(in_flight(id));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(plane.flight.calls.lock().iter().filter(|call| call.key == id).count(), 0);
    // Again changes nothing, and the key stays in the list.
    assert_eq!(plane.post(&format!("/api/v1/keys/{id}/revoke"), "").await.status, StatusCode::OK);
    assert_eq!(plane.get(&format!("/api/v1/keys/{id}")).await.json()["state"], "revoked");
    // It does not come back with the store's keys read again.
    apply_stored_keys(&plane.control).unwrap();
    assert!(!plane.lets_in(&key));
    assert_eq!(plane.post(&format!("/api/v1/keys/{id}/rotate"), "").await.status, StatusCode::CONFLICT);
    assert_eq!(plane.post("/api/v1/keys/nothing/revoke", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_store_that_does_not_answer_stops_no_revocation() {
    let plane = Plane::new(Mode::Up);
    let (id, key) = plane.key(r#"{"name":"a"}"#).await;
    plane.flight.calls.lock().push(in_flight(id));
    plane.engine.broken.store(true, Ordering::SeqCst);
    let answer = plane.post(&format!("/api/v1/keys/{id}/revoke"), "").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"));
    assert!(!plane.lets_in(&key));
    assert!(plane.flight.calls.lock().is_empty());
    // And nothing is made that would not be kept.
    let number = plane.control.live.current().number;
    let answer = plane.post("/api/v1/keys", r#"{"name":"b"}"#).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(plane.control.live.current().number, number);
}

#[tokio::test]
async fn a_rotated_key_has_another_id_and_the_old_one_is_void() {
    let plane = Plane::new(Mode::Up);
    let (id, old) = plane.key(r#"{"name":"a","budget":"1 usd/day"}"#).await;
    plane.flight.calls.lock().push(in_flight(id));
    let answer = plane.post("/api/v1/keys/a/rotate", "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let made = answer.json();
    assert_ne!(made["id"], json!(id.to_string()));
    assert!(plane.lets_in(made["key"].as_str().unwrap()) && !plane.lets_in(&old));
    assert_eq!(plane.flight.cuts.lock().first(), Some(&Selector::Key(id)));
    assert_eq!(plane.get("/api/v1/keys/a").await.json()["budget"][0], "1 usd/day");
    assert_eq!(plane.get(&format!("/api/v1/keys/{id}")).await.status, StatusCode::NOT_FOUND);
    // A rotation that the store does not keep leaves the present key as it is.
    plane.engine.broken.store(true, Ordering::SeqCst);
    assert_eq!(plane.post("/api/v1/keys/a/rotate", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(plane.lets_in(made["key"].as_str().unwrap()));
}

#[tokio::test]
async fn a_declared_key_gets_its_secret_once() {
    let plane = Plane::new(Mode::Serve);
    let shown = plane.get("/api/v1/keys/declared").await.json();
    assert_eq!((shown["state"].as_str(), shown["origin"].as_str()), (Some("not_issued"), Some("file")));
    assert!(shown.get("id").is_none());
    let answer = plane.post("/api/v1/keys/declared/issue", "").await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let key = answer.json()["key"].as_str().unwrap().to_owned();
    let record = plane.control.keys.authenticate(&key, clock::wall()).unwrap();
    assert_eq!((record.name.as_str(), record.team.as_ref().unwrap().as_str()), ("declared", "research"));
    let shown = plane.get("/api/v1/keys/declared").await.json();
    assert_eq!(shown["state"], "active");
    assert_eq!(shown["allow"]["models"], json!(["chat"]));
    assert_eq!(plane.post("/api/v1/keys/declared/issue", "").await.status, StatusCode::CONFLICT);
    assert_eq!(plane.post("/api/v1/keys/referred/issue", "").await.status, StatusCode::CONFLICT);
    assert_eq!(plane.post("/api/v1/keys/referred/revoke", "").await.status, StatusCode::CONFLICT);
    assert_eq!(plane.post("/api/v1/keys/nobody/issue", "").await.status, StatusCode::NOT_FOUND);
    // Revoked, it can be issued anew.
    assert_eq!(plane.post("/api/v1/keys/declared/revoke", "").await.status, StatusCode::OK);
    assert!(!plane.lets_in(&key));
    let again = plane.post("/api/v1/keys/declared/issue", "").await.json();
    assert!(plane.lets_in(again["key"].as_str().unwrap()));
}

#[tokio::test]
async fn no_key_is_made_that_is_not_on_record() {
    let plane = Plane::new(Mode::Up);
    let (id, key) = plane.key(r#"{"name":"a"}"#).await;
    plane.control.audit.close();
    for (path, body) in
        [("/api/v1/keys", r#"{"name":"b"}"#), ("/api/v1/keys/a/rotate", ""), ("/api/v1/keys/declared/issue", "")]
    {
        let answer = plane.post(path, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable"),
            "{path}"
        );
    }
    // A revocation does not wait for the log.
    assert_eq!(plane.post(&format!("/api/v1/keys/{id}/revoke"), "").await.status, StatusCode::OK);
    assert!(!plane.lets_in(&key));
}

/// `up` lends its keys to commands of its user: the secret ends by itself and with the key, and is no key of its own.
#[tokio::test]
async fn a_key_is_lent_for_a_while_under_up_and_never_under_serve() {
    let plane = Plane::new(Mode::Up);
    let (id, own) = plane.key(r#"{"name":"a"}"#).await;
    let number = plane.control.live.current().number;
    let answer = plane.post("/api/v1/keys/a/lend", r#"{"expires":"2h"}"#).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let lent = answer.json()["key"].as_str().unwrap().to_owned();
    assert!(lent != own && lent.starts_with(&format!("tg_{id}_")), "the same key, another secret");
    let record = plane.control.keys.authenticate(&lent, clock::wall()).unwrap();
    assert_eq!((record.id, record.name.as_str()), (id, "a"));
    let left = record.expires.unwrap().0 - clock::wall().0;
    assert!((7_100_000..=7_200_000).contains(&left), "{left}");
    assert_eq!(plane.control.live.current().number, number, "no revision changes");
    assert_eq!(
        plane.get("/api/v1/keys").await.json()["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| key["name"] == "a")
            .count(),
        1
    );
    for (body, word) in
        [(r#"{"expires":"25h"}"#, "a day"), (r#"{"expires":"soon"}"#, "moment"), (r#"{"for":"1h"}"#, "for")]
    {
        let answer = plane.post("/api/v1/keys/a/lend", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(word), "{}", answer.text);
    }
    assert_eq!(plane.post("/api/v1/keys/nobody/lend", "{}").await.status, StatusCode::NOT_FOUND);
    assert_eq!(plane.post("/api/v1/keys/a/revoke", "").await.status, StatusCode::OK);
    assert!(!plane.lets_in(&lent) && !plane.lets_in(&own));
    assert_eq!(plane.post("/api/v1/keys/a/lend", "{}").await.status, StatusCode::CONFLICT);

    let plane = Plane::new(Mode::Serve);
    plane.key(r#"{"name":"a"}"#).await;
    let answer = plane.post("/api/v1/keys/a/lend", "{}").await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
}

fn patch(path: &str, body: &str) -> http::Request<axum::body::Body> {
    request("PATCH", path, Some(TOKEN), body)
}

#[tokio::test]
async fn an_edit_counts_at_once_and_wipes_nothing_that_it_does_not_name() {
    let plane = Plane::new(Mode::Serve);
    let (id, key) = plane
        .key(
            r#"{"name":"ci","team":"research","allow":{"models":["chat"],"mcp_servers":["notes"]},"expires":"30d",
            "budget":"10 usd/month","limits":{"requests":"60/min","concurrent":5},"guardrails":["pii"]}"#,
        )
        .await;
    let before = plane.get("/api/v1/keys/ci").await.json();
    let number = plane.control.live.current().number;
    let body =
        r#"{"budget":["2 usd/day","5 usd/month"],"limits":{"requests":"6/min"},"allow":{"models":["openai/gpt-5.2"]}}"#;
    let answer = plane.send(patch("/api/v1/keys/ci", body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let after = answer.json();
    assert_eq!(after["budget"], json!(["2 usd/day", "5 usd/month"]));
    assert_eq!(after["limits"], json!({"requests": "6/min", "concurrent": 5}));
    assert_eq!(after["allow"], json!({"models": ["openai/gpt-5.2"], "mcp_servers": ["notes"]}));
    for same in ["id", "team", "expires", "guardrails", "created", "state"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    // The data plane goes by it: ledger, permits and revision, without a restart.
    assert!(plane.lets_in(&key));
    assert_eq!(plane.control.live.current().number, number + 1);
    let scope = Scope::new(ScopeKind::Key, "ci");
    assert_eq!(plane.control.ledger.standing(&scope, clock::wall()).unwrap().budgets.len(), 2);
    let policies = plane.get("/api/v1/policies").await.text;
    assert!(policies.contains("gpt-5.2") && !policies.contains(r#"ModelAlias::\"chat\""#), "{policies}");
    assert!(
        plane
            .control
            .key_store
            .all()
            .unwrap()
            .iter()
            .any(|known| known.id == id && known.rules.as_ref().unwrap().limits.budget.len() == 2)
    );
    let records: Vec<_> = plane.control.audit.records_from(0).map(Result::unwrap).collect();
    assert!(serde_json::to_string(&records).unwrap().contains("key `ci` edited: allow, budget, limits"));

    // What is `null` is taken away; the same again changes nothing.
    let body = r#"{"team":null,"expires":null,"budget":null,"limits":{"concurrent":null},"guardrails":[]}"#;
    let bare = plane.send(patch(&format!("/api/v1/keys/{id}"), body)).await.json();
    assert_eq!((bare["budget"].clone(), bare["guardrails"].clone()), (json!([]), json!([])));
    assert_eq!(bare["limits"], json!({"requests": "6/min"}));
    assert!(bare.get("team").is_none() && bare.get("expires").is_none());
    let number = plane.control.live.current().number;
    assert_eq!(plane.send(patch("/api/v1/keys/ci", body)).await.status, StatusCode::OK);
    assert_eq!(plane.send(patch("/api/v1/keys/ci", "{}")).await.status, StatusCode::OK);
    assert_eq!(plane.control.live.current().number, number);
}

#[tokio::test]
async fn an_edit_that_cannot_be_meant_changes_nothing() {
    let plane = Plane::new(Mode::Serve);
    plane.key(r#"{"name":"a","allow":{"models":["chat"]},"budget":"10 usd/month"}"#).await;
    let (before, number) = (plane.get("/api/v1/keys/a").await.json(), plane.control.live.current().number);
    for (body, word) in [
        (r#"{"name":"b"}"#, "name"),
        (r#"{"team":"nobody"}"#, "nobody"),
        (r#"{"allow":{"models":["chta"]}}"#, "chta"),
        (r#"{"allow":{"mcp_servers":["x"]}}"#, "x"),
        (r#"{"guardrails":["x"]}"#, "guardrail"),
        (r#"{"budget":"10 eur/month"}"#, "budget"),
        (r#"{"limits":{"requests":"0/min"}}"#, "limits.requests"),
        (r#"{"limits":{"concurrent":0}}"#, "concurrent"),
        (r#"{"expires":"2020-01-01"}"#, "past"),
    ] {
        let answer = plane.send(patch("/api/v1/keys/a", body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body} {}", answer.text);
        assert!(answer.text.contains(word), "{body} {}", answer.text);
    }
    assert_eq!(plane.send(patch("/api/v1/keys/declared", "{}")).await.status, StatusCode::CONFLICT);
    assert_eq!(plane.send(patch("/api/v1/keys/nobody", "{}")).await.status, StatusCode::NOT_FOUND);
    // Nor does one that the store does not keep, or that was meant for another state.
    let tag = plane.get("/api/v1/keys/a").await.headers[header::ETAG].clone();
    let with = |tag: HeaderValue, body: &str| {
        let mut request = patch("/api/v1/keys/a", body);
        request.headers_mut().insert(header::IF_MATCH, tag);
        request
    };
    let answer = plane.send(with(HeaderValue::from_static("\"other\""), r#"{"budget":null}"#)).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PRECONDITION_FAILED, "conflict"));
    plane.engine.broken.store(true, Ordering::SeqCst);
    let answer = plane.send(with(tag.clone(), r#"{"budget":null}"#)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    plane.engine.broken.store(false, Ordering::SeqCst);
    assert_eq!(plane.get("/api/v1/keys/a").await.json(), before);
    assert_eq!(plane.control.live.current().number, number);
    // The right tag passes once: then the key is another.
    assert_eq!(plane.send(with(tag.clone(), r#"{"budget":null}"#)).await.status, StatusCode::OK);
    let answer = plane.send(with(tag, r#"{"budget":"1 usd/day"}"#)).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(plane.post("/api/v1/keys/a/revoke", "").await.status, StatusCode::OK);
    let id = plane.get("/api/v1/keys/a").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(plane.send(patch(&format!("/api/v1/keys/{id}"), "{}")).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_removed_key_is_void_and_gone() {
    let plane = Plane::new(Mode::Up);
    let (id, key) = plane.key(r#"{"name":"a"}"#).await;
    plane.flight.calls.lock().push(in_flight(id));
    let remove = |path: &str| plane.send(request("DELETE", path, Some(TOKEN), ""));
    // Where the store does not answer it is void, and said to be there still.
    plane.engine.broken.store(true, Ordering::SeqCst);
    assert_eq!(remove("/api/v1/keys/a").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!plane.lets_in(&key) && plane.flight.calls.lock().is_empty());
    plane.engine.broken.store(false, Ordering::SeqCst);
    plane.flight.calls.lock().push(in_flight(id));
    let answer = remove(&format!("/api/v1/keys/{id}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json(), json!({"id": id.to_string(), "name": "a", "cut": 1}));
    assert!(!plane.lets_in(&key));
    assert_eq!(plane.get(&format!("/api/v1/keys/{id}")).await.status, StatusCode::NOT_FOUND);
    assert!(plane.control.key_store.all().unwrap().is_empty());
    assert!(plane.control.live.current().snapshot.key(&OrgId::from("default"), &"a".into()).is_none());
    assert_eq!(remove("/api/v1/keys/a").await.status, StatusCode::NOT_FOUND);
    assert_eq!(remove("/api/v1/keys/referred").await.status, StatusCode::CONFLICT);
    // A declared key goes back to where nobody has its secret.
    assert_eq!(plane.post("/api/v1/keys/declared/issue", "").await.status, StatusCode::CREATED);
    assert_eq!(remove("/api/v1/keys/declared").await.status, StatusCode::OK);
    assert_eq!(plane.get("/api/v1/keys/declared").await.json()["state"], "not_issued");
    // Nothing is removed that would not be on record.
    let (_, key) = plane.key(r#"{"name":"b"}"#).await;
    plane.control.audit.close();
    let answer = remove("/api/v1/keys/b").await;
    assert_eq!(answer.code(), "audit_unavailable");
    assert!(answer.text.contains("revoke it") && plane.lets_in(&key));
}

#[tokio::test]
async fn keys_made_at_the_same_time_are_all_there() {
    let plane = Plane::new(Mode::Up);
    let bodies: Vec<String> = (0..8).map(|at| format!(r#"{{"name":"k{at}"}}"#)).collect();
    let made: Vec<(KeyId, String)> = futures_of(bodies.iter().map(|body| plane.key(body))).await;
    let snapshot = &plane.control.live.current().snapshot;
    for (at, (_, key)) in made.iter().enumerate() {
        assert!(plane.lets_in(key));
        assert!(snapshot.key(&OrgId::from("default"), &format!("k{at}").as_str().into()).is_some());
    }
}

/// Waits for all of them, side by side.
async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut waiting {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if waiting.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}
