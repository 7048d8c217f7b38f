//! The binary under test as a process: started, watched, ended by signals.

use std::{
    path::{Path, PathBuf},
    process::{Command as Plain, Stdio},
    sync::Once,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::http;

/// How long a process may take to say that it is ready.
const READY: Duration = Duration::from_secs(30);

/// The binary: `TIDEGATE_BIN`, else the one beside this test, which is built where it is missing.
pub(crate) fn binary() -> PathBuf {
    static BUILT: Once = Once::new();
    if let Some(path) = std::env::var_os("TIDEGATE_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap().to_path_buf();
    let path = profile.join("tidegate");
    BUILT.call_once(|| {
        if path.is_file() {
            return;
        }
        let mut build = Plain::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "-p", "tidegate"]).env("CARGO_TARGET_DIR", profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let done = build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).status().unwrap();
        assert!(done.success() && path.is_file(), "the binary could not be built at {}", path.display());
    });
    path
}

/// A key that is well formed, with its identifier.
pub(crate) fn key() -> String {
    tidegate_config::identity::mint().unwrap().1.expose().to_owned()
}

/// How a gateway is started.
pub(crate) struct Start<'a> {
    mode: &'a str,
    data: PathBuf,
    config: Option<Value>,
    env: Vec<(&'a str, String)>,
    /// A line of shell that the process is started behind.
    shell: Option<String>,
}

impl<'a> Start<'a> {
    pub(crate) fn new(mode: &'a str, folder: &Path) -> Self {
        Self { mode, data: folder.join("data"), config: None, env: Vec::new(), shell: None }
    }

    pub(crate) fn config(mut self, config: Value) -> Self {
        self.config = Some(config);
        self
    }

    pub(crate) fn env(mut self, name: &'a str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// Starts it in a shell that has run `line` before.
    pub(crate) fn within(mut self, line: &str) -> Self {
        self.shell = Some(line.to_owned());
        self
    }

    pub(crate) async fn run(&self) -> Gateway {
        let folder = self.data.parent().unwrap();
        let mut command = match &self.shell {
            None => Command::new(binary()),
            Some(line) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{line}; exec \"$0\" \"$@\"")]).arg(binary());
                shell
            }
        };
        command.arg(self.mode).args(["-o", "json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(&self.data);
        let file = folder.join("tidegate.yaml");
        if let Some(config) = &self.config {
            // JSON is YAML.
            std::fs::write(&file, serde_json::to_string_pretty(config).unwrap()).unwrap();
            command.arg("-c").arg(&file);
        }
        for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RUST_LOG", "http_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (*name, value)));
        let log = folder.join("tidegate.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(READY, lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            panic!("the gateway is not ready: {line:?}\n{}", std::fs::read_to_string(&log).unwrap_or_default())
        };
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let admin_token = std::fs::read_to_string(self.data.join("keys/admin-token")).unwrap().trim().to_owned();
        Gateway {
            child,
            url: text("data_plane"),
            admin: text("control_plane"),
            key: text("key"),
            admin_token,
            data: self.data.clone(),
            config: file,
            log,
        }
    }
}

/// A running gateway; dropped, it is killed.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) url: String,
    pub(crate) admin: String,
    pub(crate) key: String,
    pub(crate) admin_token: String,
    pub(crate) data: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
}

impl Gateway {
    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.start_kill().unwrap();
        timeout(Duration::from_secs(10), self.child.wait()).await.unwrap().unwrap();
    }

    /// `kill`, and until it is gone.
    pub(crate) async fn stop(&mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Plain::new("kill").arg(id).status().unwrap().success());
        let ended = timeout(Duration::from_secs(40), self.child.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// Asks the control plane.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> http::Answer {
        let token = format!("Bearer {}", self.admin_token);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        http::send(method, &format!("{}{path}", self.admin), &headers, body).await
    }

    /// What the control plane shows at `path`.
    pub(crate) async fn show(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The requests that reached the built-in simulator.
    pub(crate) async fn sim_requests(&self) -> Vec<Value> {
        self.show("/api/v1/sim/ledger").await["requests"].as_array().unwrap().clone()
    }

    /// Posts to the data plane in the way of a dialect.
    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> http::Answer {
        let bearer = format!("Bearer {key}");
        http::send("POST", &format!("{}{path}", self.url), &headers(&bearer), body.to_string()).await
    }

    /// As [`Gateway::post`], with the body still to be read.
    pub(crate) async fn open(&self, path: &str, key: &str, body: &Value) -> http::Open {
        let bearer = format!("Bearer {key}");
        http::open("POST", &format!("{}{path}", self.url), &headers(&bearer), body.to_string()).await.unwrap()
    }
}

fn headers(bearer: &str) -> [(&str, &str); 3] {
    [("authorization", bearer), ("content-type", "application/json"), ("anthropic-version", "2023-06-01")]
}

/// A question, whose form both dialects share.
pub(crate) fn question(model: &str, prompt: &str, stream: bool) -> Value {
    json!({"model": model, "max_tokens": 64, "stream": stream, "messages": [{"role": "user", "content": prompt}]})
}

/// The simulator as a process of its own, which outlives gateways.
pub(crate) struct Sim {
    _child: Child,
    pub(crate) url: String,
}

impl Sim {
    pub(crate) async fn start() -> Self {
        let mut command = Command::new(binary());
        command.args(["sim", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = timeout(READY, lines.next_line()).await.unwrap().unwrap().unwrap();
        let url = line.split_whitespace().find_map(|word| word.strip_suffix("/v1")).unwrap().to_owned();
        Self { _child: child, url }
    }

    pub(crate) async fn requests(&self) -> Vec<Value> {
        let answer = http::send("GET", &format!("{}/__sim/ledger", self.url), &[], "").await;
        answer.json()["requests"].as_array().unwrap().clone()
    }
}

/// Asks again and again until `seen` says yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, limit: Duration, mut seen: impl FnMut() -> F) {
    let watched = async {
        while !seen().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(limit, watched).await.is_ok(), "{what} did not happen within {limit:?}");
}
