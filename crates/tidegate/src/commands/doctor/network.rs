//! The gateway that runs, the ports that it needs, and the providers, none of which is asked for anything that costs.

use std::{net::TcpListener, sync::Arc, time::Duration};

use http::header;
use jiff::{Timestamp, fmt::rfc2822};
use serde_json::Value;
use tidegate_config::{
    document::{Document, Provider},
    environment::Machine,
    found::{self, Found},
    snapshot::destination_of,
    vendor::Vendors,
};
use tidegate_core::clock;
use tidegate_upstream::{Upstream, UpstreamOptions};
use tokio::task::JoinSet;

use super::Look;
use crate::{cli::setup::Doctor, client::Client, directory::Directory, place::Place};

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How far a clock may be off, in seconds.
const SKEW: u64 = 120;

/// The running gateway, or whether one could listen.
pub(super) async fn gateway(arguments: &Doctor, directory: &Directory) -> Vec<Look> {
    let told = arguments.admin.admin_url.is_some();
    if Place::of(directory).is_none() && !told {
        return ports();
    }
    let client = match Client::new(&arguments.admin) {
        Ok(client) => client,
        Err(error) => return vec![Look::fail("gateway", format!("{error:#}"), "name its data directory: --data-dir")],
    };
    let status = match client.get("/status").await {
        Ok(status) => status,
        Err(error) if told => {
            return vec![Look::fail("gateway", format!("{error:#}"), "start it, or correct --admin-url")];
        }
        Err(_) => {
            let fix = "start it again: what it left behind is taken up";
            let mut looks = vec![Look::warn("gateway", "it ended without saying so, or was killed", fix)];
            looks.extend(ports());
            return looks;
        }
    };
    running(&status)
}

/// What a running gateway says of itself.
fn running(status: &Value) -> Vec<Look> {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut looks = Vec::new();
    let (theirs, ours) = (text("/version"), env!("CARGO_PKG_VERSION"));
    if theirs == ours {
        looks.push(Look::ok("gateway", format!("runs as `{}`, version {theirs}", text("/mode"))));
    } else {
        let said = format!("version {theirs} runs, this command is {ours}");
        looks.push(Look::warn("gateway", said, "restart the gateway with this version"));
    }
    match status.pointer("/rejected/text").and_then(Value::as_str) {
        Some(problems) => {
            let said = format!("{}\n{problems}", text("/revision_status"));
            looks.push(Look::fail("revision", said, "correct the configuration: it is taken up when it is sound"));
        }
        None => looks.push(Look::ok("revision", text("/revision_status"))),
    }
    if status.pointer("/audit/writable").and_then(Value::as_bool) == Some(false) {
        let fix = "make room and see that the data directory can be written: no call is made until then";
        looks.push(Look::fail("recording", text("/audit/reason"), fix));
    }
    looks
}

/// Whether the usual ports are free.
fn ports() -> Vec<Look> {
    let look = |(port, what): (u16, &str)| match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Look::ok("ports", format!("{port} is free for the {what}")),
        Err(error) => {
            let fix = "`tidegate up` takes another port; `tidegate serve` needs --listen or --admin-listen";
            Look::warn("ports", format!("{port} cannot be taken for the {what}: {error}"), fix)
        }
    };
    [(8787, "data plane"), (8788, "control plane")].into_iter().map(look).collect()
}

/// Whether each provider can be reached: the configuration's, else those that `up` would find.
pub(super) async fn providers(document: Option<&Document>, vendors: &Vendors) -> Vec<Look> {
    let upstream = match Upstream::new(UpstreamOptions::default()) {
        Ok(upstream) => Arc::new(upstream),
        Err(error) => return vec![Look::fail("providers", error.to_string(), "install the root certificates")],
    };
    let mut asked = JoinSet::new();
    for (name, base) in addresses(document, vendors) {
        let upstream = Arc::clone(&upstream);
        asked.spawn(async move { provider(&upstream, &name, &base).await });
    }
    let mut looks: Vec<Look> = asked.join_all().await;
    looks.sort_by(|one, other| one.what.cmp(&other.what));
    looks
}

/// Whether one provider can be reached, over the way that its calls will take.
async fn provider(upstream: &Upstream, name: &str, base: &str) -> Look {
    let what = format!("provider {name}");
    let destination = match destination_of(base) {
        Ok(destination) => destination,
        Err(error) => return Look::fail(what, error.to_string(), "correct its `base_url`"),
    };
    match upstream.probe(&destination, "/models", PATIENCE, 0).await {
        Ok(answer) => {
            let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
            skew(&what, date, clock::wall().0 / 1000).unwrap_or_else(|| {
                let status = answer.status.as_u16();
                Look::ok(what, format!("{base} answers ({status}, asked without a key)"))
            })
        }
        Err(error) => {
            let said = format!("{base} does not answer: {error}");
            Look::warn(what, said, "see whether the network and its proxy let it through")
        }
    }
}

/// Each provider's name and address, without the simulator.
fn addresses(document: Option<&Document>, vendors: &Vendors) -> Vec<(String, String)> {
    let usual = |vendor: &str, provider: Option<&Provider>| vendors.get(vendor)?.address_on(&Machine, provider);
    match document {
        Some(document) => document
            .providers
            .iter()
            .filter_map(|(name, provider)| {
                let vendor = provider.r#type.as_deref().unwrap_or(name);
                Some((name.clone(), provider.base_url.clone().or_else(|| usual(vendor, Some(provider)))?))
            })
            .collect(),
        None => {
            let (found, _) = found::in_environment(vendors, &Machine, &[8787, 8788]);
            let own = |found: &Found| usual(&found.name, None);
            let address = |found: Found| Some((found.name.clone(), found.base_url.clone().or_else(|| own(&found))?));
            found.into_iter().filter_map(address).collect()
        }
    }
}

/// A clock that differs from the provider's.
fn skew(what: &str, date: Option<&str>, now: u64) -> Option<Look> {
    let theirs: Timestamp = rfc2822::DateTimeParser::new().parse_timestamp(date?).ok()?;
    let off = now.abs_diff(u64::try_from(theirs.as_second()).ok()?);
    let said = || format!("its clock and this machine's differ by {off} s");
    (off > SKEW).then(|| Look::warn(what, said(), "set the clock: expiry of keys and budgets go by it"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::doctor::State;

    #[test]
    fn a_clock_that_is_off_is_told_by_what_providers_say() {
        let date = Some("Tue, 24 Nov 2026 19:00:00 GMT");
        assert_eq!(skew("provider x", date, 1_795_546_800), None);
        assert_eq!(skew("provider x", date, 1_795_546_800 + 3_600).unwrap().state, State::Warn);
        assert_eq!(skew("provider x", Some("yesterday"), 0), None);
    }

    #[test]
    fn a_rejected_revision_and_a_log_that_cannot_be_written_fail() {
        let ours = env!("CARGO_PKG_VERSION");
        let well =
            json!({"version": ours, "mode": "up", "revision_status": "revision 1 active", "audit": {"writable": true}});
        assert!(running(&well).iter().all(|look| look.state == State::Ok));
        let ill = json!({"version": "0.0.1", "revision_status": "revision 1 active, 2 rejected",
            "rejected": {"text": "error[TG0217]"}, "audit": {"writable": false, "reason": "no room"}});
        let states: Vec<State> = running(&ill).iter().map(|look| look.state).collect();
        assert_eq!(states, [State::Warn, State::Fail, State::Fail]);
    }
}
