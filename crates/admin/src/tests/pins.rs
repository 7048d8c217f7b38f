//! Pinned tools as the control plane shows and changes them.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use tidegate_config::{check::Mode, pins::PinnedTool};
use tidegate_core::clock::UnixMillis;

use crate::{
    PinState,
    testing::{Plane, TOKEN, request},
};

fn pin(server: &str, description: &str) -> Arc<PinnedTool> {
    let text = json!({"description": description, "name": "search"}).to_string();
    Arc::new(PinnedTool::new(server.into(), "search".into(), b"{}", text.as_bytes(), UnixMillis(1_000)).unwrap())
}

fn plane() -> Plane {
    let plane = Plane::new(Mode::Up);
    *plane.pins.states.lock() = vec![
        PinState { pin: pin("notes", "Finds."), seen: Some(pin("notes", "Finds, and sends.")) },
        PinState { pin: pin("wiki", "Finds."), seen: None },
    ];
    plane
}

#[tokio::test]
async fn a_list_shows_both_definitions_of_what_changed() {
    let plane = plane();
    let pins = plane.get("/api/v1/mcp/pins").await.json()["pins"].clone();
    assert_eq!((pins[0]["state"].as_str(), pins[1]["state"].as_str()), (Some("changed"), Some("pinned")));
    assert_eq!(pins[0]["seen"]["changed"], json!(["description"]));
    assert!(pins[0]["seen"]["definition"].as_str().unwrap().contains("and sends"));
    assert_eq!(plane.get("/api/v1/mcp/pins?server=wiki").await.json()["pins"].as_array().unwrap().len(), 1);
    let status = plane.get("/api/v1/status").await.json()["changed_tools"].clone();
    assert_eq!(status[0]["tool"], "search");
    assert_eq!((status[0]["on_change"].as_str(), status.as_array().unwrap().len()), (Some("refuse"), 1));
}

#[tokio::test]
async fn an_export_is_what_check_reads() {
    let plane = plane();
    let exported = plane.get("/api/v1/mcp/pins/export").await;
    let read: Vec<PinnedTool> = serde_json::from_str(&exported.text).unwrap();
    let kept: Vec<PinnedTool> = plane.pins.states.lock().iter().map(|state| (*state.pin).clone()).collect();
    assert_eq!(read, kept);
}

#[tokio::test]
async fn changes_go_to_the_port_and_its_refusals_have_their_status() {
    let plane = plane();
    let done = plane.post("/api/v1/mcp/pins/notes/refresh", r#"{"tool":"search","dry_run":true}"#).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let done = done.json();
    assert_eq!((done["changes"][0]["change"].as_str(), done["dry_run"].as_bool()), (Some("changed"), Some(true)));
    let gone = plane.send(request("DELETE", "/api/v1/mcp/pins/wiki/a%2Fb%20c", Some(TOKEN), "")).await;
    assert_eq!((gone.status, gone.json()["changes"][0]["change"].as_str()), (StatusCode::OK, Some("removed")));
    assert_eq!(plane.post("/api/v1/mcp/pins/none/refresh", "{}").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        plane.post("/api/v1/mcp/pins/notes/refresh", r#"{"server":"x"}"#).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let asked = plane.pins.asked.lock().clone();
    assert_eq!(asked.len(), 3);
    assert!(asked[1].starts_with("forget wiki a/b c"), "{asked:?}");
}
