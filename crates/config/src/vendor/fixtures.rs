//! Every vendor's file, shown to work: from a few lines of configuration to the request that would leave.
//!
//! One fixture a vendor, under `catalog/fixtures/`; a vendor without one fails here. What is sent is compared with what
//! stands in the fixture, which was worked out from the vendor's documents and not from this code.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use tidegate_protocol::llm::{Dialect, ModelCall, Named, Operation};
use tidegate_upstream::{Upstream, UpstreamOptions};

use super::*;
use crate::{
    check::{Mode, Options},
    environment::Fixed,
    live,
    snapshot::Ingredients,
    source::Sources,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    provider: String,
    model: String,
    headers: BTreeMap<String, String>,
    calls: Vec<Sent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    dialect: String,
    operation: String,
    url: String,
    body: String,
    sent: String,
    losses: Vec<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../catalog/fixtures")
}

fn operation(name: &str) -> Operation {
    match name {
        "generate" => Operation::Generate,
        "complete" => Operation::Complete,
        "embed" => Operation::Embed,
        "count_tokens" => Operation::CountTokens,
        other => panic!("no operation `{other}`"),
    }
}

async fn holds(vendor: &str, upstream: &Upstream, vendors: &Vendors) {
    let text = std::fs::read_to_string(folder().join(format!("{vendor}.toml")))
        .unwrap_or_else(|error| panic!("the vendor `{vendor}` has no fixture: {error}"));
    let fixture: Fixture = toml::from_str(&text).unwrap_or_else(|error| panic!("{vendor}: {error}"));
    let config = format!("version: 1\nproviders:\n  x: {}\n", fixture.provider);
    let options = Options { mode: Mode::Up, secrets: true, public_listener: false, vendors };
    let catalog = Arc::new(tidegate_ledger::Catalog::builtin().unwrap());
    let ingredients = Ingredients { vendors, catalog, stored: Vec::new(), pins: Vec::new() };
    let machine = Fixed::default().variable("TEST_KEY", "key-of-the-test");
    let snapshot = live::compile(Sources::of_text("tidegate.yaml", &config), &machine, &options, &ingredients)
        .unwrap_or_else(|refused| panic!("{vendor}: {refused:?}"))
        .snapshot;
    assert!(snapshot.warnings.is_empty(), "{vendor}: {:?}", snapshot.warnings);
    for call in &fixture.calls {
        let dialect = Dialect::parse(&call.dialect).unwrap();
        let body = Bytes::from(call.body.clone());
        // The paths of some name the model.
        let in_path = matches!(dialect, Dialect::Gemini | Dialect::Bedrock | Dialect::BedrockInvoke);
        let named = in_path.then(|| Named { model: "alias".to_owned(), stream: false });
        let read = ModelCall::read_named(dialect, operation(&call.operation), named, body).unwrap();
        let route = snapshot.route(&format!("x/{}", fixture.model), "openai").unwrap().route;
        let target = Arc::clone(&route.targets()[0]);
        let sent = upstream.preview(&read, &target).await.unwrap_or_else(|fault| panic!("{vendor}: {fault}"));
        assert_eq!(sent.request.uri().to_string(), call.url, "{vendor}");
        let body: serde_json::Value = serde_json::from_slice(sent.request.body()).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&call.sent).unwrap();
        assert_eq!(body, expected, "{vendor}");
        let mut losses: Vec<String> = sent.losses.into_iter().map(|loss| loss.pointer).collect();
        losses.sort();
        assert_eq!(losses, call.losses, "{vendor}");
        let headers = sent.request.headers();
        for (name, value) in &fixture.headers {
            assert_eq!(headers[name.as_str()].to_str().unwrap(), value, "{vendor}: {name}");
        }
        // Nothing but the fixture's headers proves anything.
        for name in ["authorization", "api-key", "x-api-key", "x-goog-api-key"] {
            assert_eq!(headers.contains_key(name), fixture.headers.contains_key(name), "{vendor}: {name}");
        }
    }
}

#[tokio::test]
async fn every_vendor_is_called_as_its_fixture_says() {
    let vendors = Vendors::builtin().unwrap();
    let upstream = Upstream::new(UpstreamOptions::default()).unwrap();
    for vendor in vendors.iter() {
        holds(&vendor.name, &upstream, &vendors).await;
    }
}

#[test]
fn every_fixture_belongs_to_a_vendor() {
    let vendors = Vendors::builtin().unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(vendors.get(name).is_some(), "`{name}` is no vendor");
    }
}
