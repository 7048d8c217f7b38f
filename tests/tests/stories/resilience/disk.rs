//! P15 and P16: a disk that is full, and one that has changed what was written.

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use tidegate_audit::verify::verify;

use super::serve_with;
use crate::stories::{
    gateway::{Gateway, Start, binary, key, question, until},
    http::Answer,
    kill::files,
    mcp::Session,
    mounted::Mounted,
    streams::Dialect,
};

/// How a disk is filled and emptied under a gateway that runs.
enum Disk<'a> {
    /// No file may grow beyond what the log has taken already (`RLIMIT_FSIZE`): needs no rights.
    Limit(u32),
    /// A small file system of its own: needs to be mounted.
    Small(&'a Mounted),
}

impl Disk<'_> {
    fn fill(&self, gateway: &Gateway) {
        match self {
            Self::Limit(process) => {
                let log = files(&gateway.data.join("audit"))
                    .into_iter()
                    .filter(|file| file.extension().is_some_and(|kind| kind == "wal"));
                let largest = log.map(|file| file.metadata().unwrap().len()).max().unwrap();
                limit(*process, &largest.to_string());
            }
            Self::Small(mounted) => mounted.fill(),
        }
    }

    fn empty(&self) {
        match self {
            Self::Limit(process) => limit(*process, "unlimited"),
            Self::Small(mounted) => mounted.empty(),
        }
    }
}

fn limit(process: u32, bytes: &str) {
    let status =
        Command::new("prlimit").args(["--pid", &process.to_string(), &format!("--fsize={bytes}:unlimited")]).status();
    assert!(status.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_on_a_full_disk_nothing_is_sent_and_it_recovers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let secret = key();
    let gateway = start(&secret).at(folder.path()).await;
    full(gateway, &secret, |gateway| Disk::Limit(gateway.id())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_on_a_small_file_system_nothing_is_sent_and_it_recovers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::at(folder.path(), "16m") else { return };
    let secret = key();
    let gateway = start(&secret).at(folder.path()).await;
    full(gateway, &secret, |_| Disk::Small(&mounted)).await;
}

struct Prepared<'a>(&'a str);

fn start(secret: &str) -> Prepared<'_> {
    Prepared(secret)
}

impl Prepared<'_> {
    async fn at(&self, folder: &Path) -> Gateway {
        let config = json!({
            "version": 1,
            "mcp_servers": {"sim": {"url": "sim:mcp"}},
            "keys": {"k": {"secret": "env:K", "allow": {"models": "*", "mcp_servers": "*"}}},
        });
        // A write beyond the limit is to fail, and not to end the process.
        Start::new("up", folder).config(config).env("K", self.0).within("trap '' XFSZ").run().await
    }
}

async fn full<'a>(mut gateway: Gateway, secret: &str, disk: impl FnOnce(&Gateway) -> Disk<'a>) {
    let ask = async |gateway: &Gateway| {
        gateway.post(Dialect::OpenAi.path(), secret, &question("sim/chat", "hi", false)).await
    };
    assert_eq!(ask(&gateway).await.status, 200);
    let session = Session::begin(&gateway, secret).await.expect("a session");
    assert_eq!(session.echo("before").await.unwrap().status, 200);
    let body = question("sim/chat", "[[sim: stream 40 chunks, 50ms]]", true);
    let mut running = gateway.open(Dialect::OpenAi.path(), secret, &body).await;
    assert!(running.next().await.is_some());

    let disk = disk(&gateway);
    disk.fill(&gateway);
    let mut refused: Option<Answer> = None;
    for _ in 0..3_000 {
        let answer = ask(&gateway).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the disk is full at some time");
    assert_eq!((refused.status, refused.header("x-tidegate-error")), (503, "audit_unavailable"), "{}", refused.text());
    let before = gateway.sim_requests().await.len();
    for _ in 0..20 {
        let answer = ask(&gateway).await;
        assert_eq!((answer.status, answer.header("x-tidegate-error")), (503, "audit_unavailable"), "{}", answer.text());
    }
    let tool = session.echo("during").await.unwrap();
    assert!(tool.text().contains("audit_unavailable"), "{}", tool.text());
    assert_eq!(gateway.sim_requests().await.len(), before, "a call went out that is not on record");
    assert_eq!(gateway.ask("GET", "/readyz", None).await.status, 503);
    // What had begun ends well: its outcome has had its place since before.
    let rest = running.rest().await;
    assert!(crate::stories::streams::hear(&rest).terminated, "{}", String::from_utf8_lossy(&rest));

    disk.empty();
    until("recovering", Duration::from_secs(5), async || ask(&gateway).await.status == 200).await;
    assert!(session.echo("after").await.unwrap().text().contains("after"));
    until("readiness", Duration::from_secs(5), async || gateway.ask("GET", "/readyz", None).await.status == 200).await;
    gateway.stop().await;
    verify(&gateway.data.join("audit"), None).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p16_a_changed_byte_refuses_the_start_and_is_never_repaired() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), key());
    let mut gateway = serve_with(folder.path(), &secret).await;
    for _ in 0..5 {
        assert_eq!(gateway.post(Dialect::OpenAi.path(), &secret, &question("sim/chat", "hi", false)).await.status, 200);
    }
    gateway.stop().await;
    let good = gateway.data.clone();
    let mut problems = Vec::new();
    let all = files(&good.join("audit"));
    let covered = all.iter().filter(|file| {
        let name = file.strip_prefix(&good).unwrap().to_string_lossy().into_owned();
        ["audit/checkpoint", "audit/tile/", "audit/wal/"].iter().any(|part| name.starts_with(part))
    });
    let mut cases = 0;
    for file in covered {
        let whole = std::fs::read(file).unwrap();
        // In the middle of what is written; the log has zeros ahead of its records.
        let written = whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count();
        let mut flipped = whole.clone();
        flipped[written / 2] ^= 0x20;
        for (how, bad) in [("flipped", flipped), ("torn", whole[..written / 2].to_vec())] {
            // A log whose last record is not whole is what a loss of power leaves: its leaves are in the tree already.
            if how == "torn" && file.extension().is_some_and(|kind| kind == "wal") {
                continue;
            }
            let copy = tempfile::tempdir().unwrap();
            let data = copy.path().join("data");
            assert!(Command::new("cp").arg("-a").args([&good, &data]).status().unwrap().success());
            let changed = data.join(file.strip_prefix(&good).unwrap());
            std::fs::write(&changed, &bad).unwrap();
            let (ended, said) = try_start(&gateway, &data, &secret).await;
            let refused = ended && said.contains("audit log");
            let untouched = std::fs::read(&changed).is_ok_and(|now| now == bad);
            if !(refused && untouched) {
                problems.push(format!("{} {how}: refused {refused}, untouched {untouched}: {said}", file.display()));
            }
            cases += 1;
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    println!("{cases} changes were refused");
    assert!(cases >= 7, "{all:?}");
    verify(&good.join("audit"), None).unwrap();
    let mut gateway = serve_with(folder.path(), &secret).await;
    assert_eq!(gateway.post(Dialect::OpenAi.path(), &secret, &question("sim/chat", "hi", false)).await.status, 200);
    gateway.stop().await;
}

/// Whether a start ends by itself with an error, and what it says.
async fn try_start(gateway: &Gateway, data: &Path, secret: &str) -> (bool, String) {
    let mut command = tokio::process::Command::new(binary());
    command.args(["up", "-o", "json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data).arg("-c").arg(&gateway.config).env("K", secret).kill_on_drop(true);
    match tokio::time::timeout(Duration::from_secs(4), command.output()).await {
        Ok(output) => {
            let output = output.unwrap();
            let said: Value = json!(String::from_utf8_lossy(&output.stderr));
            (!output.status.success(), said.to_string())
        }
        Err(_) => (false, "it serves".to_owned()),
    }
}
