//! What the gateway promises when things go badly, one test each. Every test has a short form for each run of the
//! suite, and a long one: `TIDEGATE_LONG=1 cargo test -p tidegate-tests --test stories resilience -- --test-threads 1`.

mod cancel;
mod disk;
mod idempotency;
mod memory;
mod overload;
mod sizes;
mod slow;

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::gateway::{Gateway, Start};

/// `long` in a long run, `short` otherwise.
pub(crate) fn scaled<T>(short: T, long: T) -> T {
    if std::env::var_os("TIDEGATE_LONG").is_some() { long } else { short }
}

/// A gateway that serves one key, which may use everything, with these limits and these providers.
pub(crate) async fn serve(folder: &Path, secret: &str, limits: &Value, providers: &Value) -> Gateway {
    let config = json!({
        "version": 1,
        "limits": limits,
        "providers": providers,
        "keys": {"k": {"secret": "env:K", "allow": {"models": "*"}}},
    });
    Start::new("up", folder).config(config).env("K", secret).run().await
}

/// A gateway that serves one key and nothing else.
pub(crate) async fn serve_with(folder: &Path, secret: &str) -> Gateway {
    serve(folder, secret, &json!({}), &json!({})).await
}

/// How many connections a gateway of this machine takes: half of its descriptors, less its own.
pub(crate) fn most_connections() -> usize {
    use rustix::process::{Resource, getrlimit};
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20);
    (usize::try_from(most).unwrap() - 64) / 2
}

/// Resident memory of a gateway in bytes, without its program.
pub(crate) fn anonymous(gateway: &Gateway) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", gateway.id())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// Calls in flight, as the metrics tell.
pub(crate) async fn in_flight(gateway: &Gateway) -> u64 {
    let text = gateway.ask("GET", "/metrics", None).await.text();
    let line = text.lines().find_map(|line| line.strip_prefix("tidegate_calls_in_flight ")).unwrap_or_default();
    line.trim().split('.').next().unwrap().parse().unwrap()
}

/// Processor time that a gateway has used, in user mode and in the system.
pub(crate) fn processor_time(gateway: &Gateway) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// As many descriptors as this process may have.
pub(crate) fn many_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// A connection on which bytes are sent as they are.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        Self(TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).await.unwrap())
    }

    /// Sends bytes; false where the other end has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// What comes until the other end closes or `limit` is over.
    pub(crate) async fn rest(&mut self, limit: Duration) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = timeout(limit, self.0.read_to_end(&mut all)).await;
        all
    }

    /// The first line of the answer.
    pub(crate) async fn status_line(&mut self, limit: Duration) -> String {
        let mut all = Vec::new();
        let read = async {
            let mut piece = [0; 4096];
            while !all.contains(&b'\n') {
                match self.0.read(&mut piece).await {
                    Ok(length) if length > 0 => all.extend_from_slice(&piece[..length]),
                    _ => break,
                }
            }
        };
        let _ = timeout(limit, read).await;
        String::from_utf8_lossy(&all).lines().next().unwrap_or_default().to_owned()
    }
}

/// The head of a model call whose body has this framing (`content-length: 7`).
pub(crate) fn head(secret: &str, framing: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {secret}\r\n\
         content-type: application/json\r\n{framing}\r\n\r\n"
    )
}

/// Resident memory of a gateway in bytes.
pub(crate) fn resident(gateway: &Gateway) -> u64 {
    memory(gateway, "VmRSS:")
}

/// The most that it ever was.
pub(crate) fn most_resident(gateway: &Gateway) -> u64 {
    memory(gateway, "VmHWM:")
}

fn memory(gateway: &Gateway, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}
