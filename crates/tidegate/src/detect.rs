//! Model servers on this machine: which of those that may run here answer.
//!
//! Asks each only which models it has, never for an answer that costs, and over the gateway's one way out. What may run
//! here is for `config::found` to say. `up` and `init` use it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tidegate_config::{
    found::{self, Found},
    snapshot::destination_of,
    vendor::Vendors,
};
use tidegate_upstream::Upstream;
use tokio::task::JoinSet;

/// How long a server on this machine may take to answer.
const PATIENCE: Duration = Duration::from_millis(300);
/// The largest list of models that is read, in bytes.
const LARGEST: usize = 4 << 20;

/// The model servers that answer on this machine, by name. All are asked at once, and none is waited for long. `ports`
/// are the gateway's own.
pub(crate) async fn on_this_machine(upstream: &Arc<Upstream>, vendors: &Vendors, ports: &[u16]) -> Vec<Found> {
    let mut asked = JoinSet::new();
    for (candidate, base) in found::local_candidates(vendors, ports) {
        let upstream = Arc::clone(upstream);
        asked.spawn(async move {
            let models = models(&upstream, &base).await?;
            Some(Found { model: models.into_iter().next(), ..candidate })
        });
    }
    let mut found: Vec<Found> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The models that a server of the OpenAI dialect lists; `None` where what answers is no such server.
async fn models(upstream: &Upstream, base: &str) -> Option<Vec<String>> {
    let answer = upstream.probe(&destination_of(base).ok()?, "/models", PATIENCE, LARGEST).await.ok()?;
    if !answer.status.is_success() {
        return None;
    }
    let listed: Value = serde_json::from_slice(&answer.body).ok()?;
    let name = |model: &Value| model.get("id").and_then(Value::as_str).map(str::to_owned);
    Some(listed.get("data")?.as_array()?.iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use tidegate_upstream::UpstreamOptions;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

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
    async fn only_a_server_that_lists_models_in_time_is_one() {
        let upstream = Upstream::new(UpstreamOptions::default()).unwrap();
        let models_of = async |body| models(&upstream, &server(body).await).await;
        assert_eq!(models_of(Some(r#"{"data": [{"id": "a"}, {}]}"#)).await, Some(vec!["a".to_owned()]));
        for other in [Some("<html>"), Some("[]"), Some("{}"), Some(r#"{"data": 1}"#), Some(""), None] {
            assert_eq!(models_of(other).await, None, "{other:?}");
        }
        assert_eq!(models(&upstream, "http://127.0.0.1:1/v1").await, None);
    }
}
