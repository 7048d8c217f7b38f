//! Which providers are found without being told: keys in the environment, and servers on this machine.
//!
//! Asks no server beyond this machine, and those on it only which models they have: never a paid call. A variable that
//! leads back to a gateway is passed over, and it is said why. `up` and `init` use it.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::Value;
use tidegate_config::{
    environment::Environment,
    found::{self, FoundProvider},
    vendor::Vendors,
};
use tokio::task::JoinSet;
use url::Url;

use crate::wire;

/// How long a server on this machine may take to answer.
const PATIENCE: Duration = Duration::from_millis(300);
/// The largest list of models that is read, in bytes.
const LARGEST: usize = 4 << 20;
/// What every key of a gateway begins with.
const OWN_KEY: &str = "tg_";

/// A provider that was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Found {
    /// The provider's name.
    pub(crate) name: String,
    /// Where it was found.
    pub(crate) from: String,
    /// Six hexadecimal digits of its key's SHA-256, if it has a key.
    pub(crate) fingerprint: Option<String>,
    /// The reference to its key.
    #[serde(skip)]
    pub(crate) key: Option<String>,
    /// Its address, where that is not the vendor's own.
    #[serde(skip)]
    pub(crate) base_url: Option<String>,
    /// One of its models, where it was asked.
    #[serde(skip)]
    pub(crate) model: Option<String>,
}

impl From<FoundProvider> for Found {
    fn from(found: FoundProvider) -> Self {
        let FoundProvider { name, place, key, fingerprint, base_url } = found;
        Self { name, from: place, fingerprint, key, base_url, model: None }
    }
}

/// Every vendor whose key stands in the environment, and what is said of those that are passed over. `ports` are the
/// gateway's own on this machine.
pub(crate) fn in_environment(
    vendors: &Vendors,
    environment: &dyn Environment,
    ports: &[u16],
) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for provider in found::in_environment(vendors, environment) {
        let key = environment.variable(&provider.place).unwrap_or_default();
        if key.trim().starts_with(OWN_KEY) {
            notes.push(format!("{} holds a key of a gateway, not of {}: passed over", provider.place, provider.name));
        } else if let Some(url) = provider.base_url.as_deref().filter(|url| leads_back(url, ports)) {
            notes.push(format!("{} would go to {url}, which is this gateway: passed over", provider.name));
        } else {
            found.push(provider.into());
        }
    }
    (found, notes)
}

/// The simulator, which is always there.
pub(crate) fn simulator() -> Found {
    let (name, from) = ("sim".to_owned(), "built in".to_owned());
    Found { name, from, fingerprint: None, key: None, base_url: None, model: None }
}

/// Whether `url` is one of this machine's `ports`.
fn leads_back(url: &str, ports: &[u16]) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    wire::is_loopback(&url) && url.port_or_known_default().is_some_and(|port| ports.contains(&port))
}

/// The model servers that answer on this machine, by name. All are asked at once, and none is waited for long.
pub(crate) async fn on_this_machine(vendors: &Vendors, ports: &[u16]) -> Vec<Found> {
    let mut asked = JoinSet::new();
    for candidate in found::local_candidates(vendors) {
        let base = candidate.base_url.clone().unwrap_or_default();
        if leads_back(&base, ports) {
            continue;
        }
        asked.spawn(async move {
            let models = tokio::time::timeout(PATIENCE, models(&base)).await.ok().flatten()?;
            Some(Found { base_url: None, model: models.into_iter().next(), ..Found::from(candidate) })
        });
    }
    let mut found: Vec<Found> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The models that a server of the OpenAI dialect lists; `None` where what answers is no such server.
async fn models(base: &str) -> Option<Vec<String>> {
    let request = Request::get(format!("{base}/models")).body(Full::new(Bytes::new())).ok()?;
    let answer = wire::send(request).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let body = Limited::new(answer.into_body(), LARGEST).collect().await.ok()?.to_bytes();
    let listed: Value = serde_json::from_slice(&body).ok()?;
    let name = |model: &Value| model.get("id").and_then(Value::as_str).map(str::to_owned);
    Some(listed.get("data")?.as_array()?.iter().filter_map(name).collect())
}

/// One line of a configuration for a provider that was found.
pub(crate) fn line(provider: &Found) -> String {
    let mut fields = Vec::new();
    if let Some(key) = &provider.key {
        fields.push(format!("key: {key}"));
    }
    if let Some(url) = &provider.base_url {
        fields.push(format!("base_url: {}", Value::from(url.as_str())));
    }
    if fields.is_empty() {
        format!("  {}: {{}}", provider.name)
    } else {
        format!("  {}: {{ {} }}", provider.name, fields.join(", "))
    }
}

/// A configuration of what was found.
pub(crate) fn document(found: &[Found]) -> String {
    let mut text = "version: 1\nproviders:\n".to_owned();
    for provider in found {
        let _ = writeln!(text, "{}", line(provider));
    }
    text.push_str("mcp_servers:\n  sim: { url: \"sim:mcp\" }\n");
    if !found.iter().any(|provider| provider.name == "openai") {
        text.push_str("default_provider: sim\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use tidegate_config::environment::Fixed;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn a_key_in_the_environment_is_referred_to_and_never_written_down() {
        let environment = Fixed::default().variable("ANTHROPIC_API_KEY", "sk-ant-very-secret");
        let (mut found, notes) = in_environment(&Vendors::builtin().unwrap(), &environment, &[8787]);
        found.push(simulator());
        let text = document(&found);
        assert!(text.contains("anthropic: { key: env:ANTHROPIC_API_KEY }"), "{text}");
        assert!(!text.contains("very-secret") && notes.is_empty());
        assert!(text.contains("sim: {}"));
    }

    #[test]
    fn what_leads_back_to_the_gateway_is_passed_over_and_said() {
        let environment = Fixed::default()
            .variable("OPENAI_API_KEY", "tg_abcdefgh_0123456789")
            .variable("ANTHROPIC_API_KEY", "sk-ant-x")
            .variable("ANTHROPIC_BASE_URL", "http://localhost:8787");
        let (found, notes) = in_environment(&Vendors::builtin().unwrap(), &environment, &[8787]);
        assert_eq!(found, []);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(!notes.concat().contains("0123456789"));
        let (found, _) = in_environment(&Vendors::builtin().unwrap(), &environment, &[9]);
        assert_eq!(found[0].base_url.as_deref(), Some("http://localhost:8787/v1"));
    }

    /// Answers one request with `body`, or with nothing at all.
    async fn server(body: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a server of a test ends with it")]
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            match body {
                Some(body) => {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                }
                None => std::future::pending::<()>().await,
            }
        });
        format!("http://{address}/v1")
    }

    #[tokio::test]
    async fn only_a_server_that_lists_models_is_one() {
        let models_of = async |body| models(&server(body).await).await;
        assert_eq!(models_of(Some(r#"{"data": [{"id": "a"}, {}]}"#)).await, Some(vec!["a".to_owned()]));
        for other in ["<html>", "[]", "{}", r#"{"data": 1}"#, ""] {
            assert_eq!(models_of(Some(other)).await, None, "{other}");
        }
        let silent = server(None).await;
        assert!(tokio::time::timeout(PATIENCE, models(&silent)).await.is_err());
        assert_eq!(models("http://127.0.0.1:1/v1").await, None);
    }
}
