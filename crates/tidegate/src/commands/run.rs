//! `up`, `serve` and `sim`: the commands that run until they are told to stop.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tidegate_config::check::Mode;
use tidegate_upstream::sim::{self, Sim};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::Run,
    compose::{self, Running},
    log,
    output::{self, Format},
};

/// Starts a gateway for one person.
pub(crate) async fn up(arguments: &Run) -> Result<()> {
    log::start(arguments.log.as_deref(), "warn")?;
    let stop = Stop::hear()?;
    let running = compose::start(arguments, Mode::Up).await?;
    ready(arguments.output, &running)?;
    if arguments.output == Format::Table {
        introduce(&running);
    }
    until_stopped(running, stop).await
}

/// Starts a gateway in production.
pub(crate) async fn serve(arguments: &Run) -> Result<()> {
    log::start(arguments.log.as_deref(), "info")?;
    let stop = Stop::hear()?;
    let running = compose::start(arguments, Mode::Serve).await?;
    ready(arguments.output, &running)?;
    if arguments.output == Format::Table {
        output::talk(&format!(
            "tidegate {} serves http://{} (control plane http://{}, revision {})",
            env!("CARGO_PKG_VERSION"),
            running.data_plane,
            running.control_plane,
            running.revision
        ));
    }
    until_stopped(running, stop).await
}

/// Serves the scripted upstream on its own.
pub(crate) async fn sim(listen: SocketAddr) -> Result<()> {
    log::start(None, "warn")?;
    let mut stop = Stop::hear()?;
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    output::talk(&format!("the scripted upstream serves http://{address}/v1 and http://{address}/mcp"));
    tokio::select! {
        served = sim::serve(Sim::new(), listener) => served.context("the scripted upstream ended"),
        () = stop.signalled() => Ok(()),
    }
}

fn ready(format: Format, running: &Running) -> Result<()> {
    for warning in &running.warnings {
        output::talk(warning);
    }
    if format == Format::Table {
        return Ok(());
    }
    let line = serde_json::json!({
        "data_plane": format!("http://{}", running.data_plane),
        "control_plane": format!("http://{}", running.control_plane),
        "console": format!("http://{}/", running.control_plane),
        "key": running.key.as_ref().map(tidegate_core::secret::Secret::expose),
        "providers": running.found,
        "revision": running.revision,
    });
    output::line(&serde_json::to_string(&line)?);
    Ok(())
}

fn introduce(running: &Running) {
    let key = running.key.as_ref().map(tidegate_core::secret::Secret::expose).unwrap_or_default();
    let base = format!("http://{}", running.data_plane);
    output::line(&format!("tidegate {} is up\n", env!("CARGO_PKG_VERSION")));
    output::line("  providers");
    for provider in &running.found {
        let fingerprint = provider.fingerprint.as_deref().map(|print| format!("  key {print}…")).unwrap_or_default();
        output::line(&format!("    {:<12} {}{fingerprint}", provider.name, provider.from));
    }
    output::line(&format!("\n  models and tools   {base}"));
    output::line(&format!("  control plane      http://{}", running.control_plane));
    output::line(&format!("  key                {key}\n"));
    output::line("  try it, in another terminal:");
    output::line("    tidegate chat \"hello\"");
    output::line(&format!(
        "    curl {base}/v1/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\\n      -d '{{\"model\": \"sim/chat\", \"messages\": [{{\"role\": \"user\", \"content\": \"hello\"}}]}}'"
    ));
    output::line("    eval \"$(tidegate connect openai-python --print)\"\n");
    output::line("  then: tidegate calls, tidegate spend, tidegate tail. Ctrl-C stops it.");
}

async fn until_stopped(running: Running, mut stop: Stop) -> Result<()> {
    stop.signalled().await;
    running.stop().await;
    Ok(())
}

/// The signals that end a run in order. Heard from the first moment on, so that one that comes during the start, or just
/// after it, cuts nothing off.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn hear() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
        let interrupt = signal(SignalKind::interrupt()).context("Ctrl-C cannot be heard")?;
        Ok(Self { terminate, interrupt })
    }

    async fn signalled(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
