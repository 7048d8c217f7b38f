//! What is measured: nothing in between, nginx, and the gateway in two configurations.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use super::{http, machine, rig};
use crate::{
    root,
    suite::{self, started},
};

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Where the mock listens; the configurations in `bench/peers` name it too.
pub(super) const MOCK: SocketAddr = loopback(19_100);

/// The key of the bench's configurations. It opens nothing anywhere else.
const KEY: &str = "bench-key-that-opens-nothing-else";

/// Something that answers chat calls.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// What the row of a table is called.
    pub(super) shown: &'static str,
    kind: Kind,
}

enum Kind {
    /// The mock itself.
    Direct,
    Nginx,
    /// The gateway with this configuration of `bench/peers`, and the port of its control plane.
    Gateway(&'static str, u16),
}

/// Every subject, in the order of a round.
pub(super) const SUBJECTS: [Subject; 4] = [
    Subject { name: "direct", shown: "direct", address: MOCK, kind: Kind::Direct },
    Subject { name: "nginx", shown: "nginx", address: loopback(19_201), kind: Kind::Nginx },
    Subject {
        name: "bare",
        shown: "Tidegate, keys and routing",
        address: loopback(19_205),
        kind: Kind::Gateway("bare.yaml", 19_215),
    },
    Subject {
        name: "everything",
        shown: "Tidegate, everything on",
        address: loopback(19_206),
        kind: Kind::Gateway("everything.yaml", 19_216),
    },
];

impl Subject {
    /// Headers of a request beyond the usual.
    pub(super) fn headers(&self) -> Vec<String> {
        match self.kind {
            Kind::Gateway(..) => vec![format!("authorization: Bearer {KEY}")],
            Kind::Direct | Kind::Nginx => Vec::new(),
        }
    }

    /// Whether a call comes back with the mock's answer.
    pub(super) fn answers(&self) -> bool {
        let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}"#;
        let mut lines = self.headers();
        lines.push("content-type: application/json".to_owned());
        http::ask(self.address, "POST", "/v1/chat/completions", &lines, body)
            .is_ok_and(|(status, body)| status == 200 && body.contains("mock-hello"))
    }

    /// Starts it in `work`, stops it and starts it again: what it keeps is then there, and its files are in memory.
    /// Gives how long the second start took until the first answer, in milliseconds; `None` where nothing is started.
    pub(super) fn start(&self, work: &Path) -> Result<Option<(Process, f64)>> {
        if matches!(self.kind, Kind::Direct) {
            return Ok(None);
        }
        std::fs::create_dir_all(work)?;
        drop(self.start_once(work)?);
        std::thread::sleep(Duration::from_millis(300));
        self.start_once(work).map(Some)
    }

    fn start_once(&self, work: &Path) -> Result<(Process, f64)> {
        rig::pin(rig::SUBJECT_CORE)?;
        let log = work.join("stderr.log");
        let mut command = self.command(work)?;
        command.env_clear().envs([("HOME", work), ("TMPDIR", work)]);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TIDEGATE_BENCH_KEY", KEY).env("MOCK_KEY", "sk-of-the-mock");
        command.current_dir(work).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let start = started();
        let mut process = Process(command.spawn().with_context(|| format!("{} did not start", self.name))?);
        while start.elapsed() < Duration::from_secs(30) {
            if self.answers() {
                return Ok((process, (start.elapsed().as_secs_f64() * 10_000.0).round() / 10.0));
            }
            if let Some(status) = process.0.try_wait()? {
                bail!("it ended with {status}: {}", tail(&log));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("it does not answer within 30 s: {}", tail(&log))
    }

    fn command(&self, work: &Path) -> Result<Command> {
        let peers = root().join("bench/peers");
        match self.kind {
            Kind::Direct => bail!("nothing is started"),
            Kind::Nginx => {
                let mut command = Command::new(machine::nginx().context("nginx is gone")?);
                command.arg("-p").arg(work).arg("-c").arg(peers.join("nginx.conf"));
                Ok(command)
            }
            Kind::Gateway(configuration, control) => {
                let mut command = Command::new(suite::target(&root()).join("release/tidegate"));
                command.arg("serve").arg("-c").arg(peers.join(configuration));
                command.arg("--data-dir").arg(work.join("data")).args(["--listen", &self.address.to_string()]);
                command.args(["--admin-listen", &loopback(control).to_string()]);
                Ok(command)
            }
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
}

/// A process with its own process group, which ends with it.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let start = started();
        while start.elapsed() < Duration::from_secs(8) {
            if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::KILL);
        let _ = self.0.wait();
    }
}
