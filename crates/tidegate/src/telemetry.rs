//! Where telemetry goes: what the configuration says, or else the environment's `OTEL_*` variables.
//!
//! Owns the order of the two and what this process calls itself. Never sends: `upstream::export` does.

use std::{collections::HashMap, sync::Arc};

use tidegate_config::snapshot::{Collector, Snapshot};
use tidegate_upstream::export::{Exporter, Place, Settings, vendor};

/// The variables of the OpenTelemetry specification that are read.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Lets `exporter` send to where `snapshot` or the environment says.
pub(crate) fn configure(exporter: &Exporter, snapshot: &Snapshot, instance: &str) {
    exporter.configure(settings(snapshot, instance, |name| std::env::var(name).ok().filter(|value| !value.is_empty())));
}

fn settings(snapshot: &Snapshot, instance: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Settings> {
    let collector = match &snapshot.telemetry {
        Some(collector) => collector.as_ref().clone(),
        None => {
            let endpoint = variable(ENDPOINT)?;
            let headers = pairs(&variable(HEADERS).unwrap_or_default());
            match Collector::plain(&endpoint, &headers) {
                Ok(collector) => collector,
                Err(problem) => {
                    tracing::error!(%problem, "telemetry is not sent: the environment's collector cannot be used");
                    return None;
                }
            }
        }
    };
    Some(Settings {
        endpoint: collector.endpoint,
        headers: collector.headers,
        profile: collector.profile,
        sample: collector.sample,
        content: collector.content,
        interval: collector.interval,
        resource: resource(instance, &variable),
        places: places(snapshot),
    })
}

/// What this process is, the environment's word first.
fn resource(instance: &str, variable: &impl Fn(&str) -> Option<String>) -> Vec<(Arc<str>, Arc<str>)> {
    let mut all: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut put = |name: &str, value: &str| {
        if !all.iter().any(|(known, _)| &**known == name) {
            all.push((Arc::from(name), Arc::from(value)));
        }
    };
    if let Some(name) = variable(SERVICE_NAME) {
        put("service.name", &name);
    }
    for (name, value) in pairs(&variable(RESOURCE).unwrap_or_default()) {
        put(&name, &value);
    }
    put("service.name", "tidegate");
    put("service.version", env!("CARGO_PKG_VERSION"));
    put("service.instance.id", instance);
    put("telemetry.sdk.name", "tidegate");
    put("telemetry.sdk.language", "rust");
    put("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    all
}

/// `name=value` pairs with commas between them, values percent-encoded (W3C Baggage, as OpenTelemetry says). At most 64.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), decoded(value.trim())))
        .filter(|(name, _)| !name.is_empty())
        .take(64)
        .collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn places(snapshot: &Snapshot) -> HashMap<Arc<str>, Place> {
    let providers = snapshot.providers().map(|provider| {
        let name = provider.name.as_str();
        let kind = snapshot.provider_type(name).unwrap_or(name);
        (Arc::from(name), Place::of(&provider.base, vendor(kind)))
    });
    let servers = snapshot.servers().map(|server| (Arc::from(server.name.as_str()), Place::of(&server.base, "")));
    servers.chain(providers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_attributes_of_the_environment_are_decoded() {
        let expected = [("a", "Bearer x,y"), ("b", "1=2"), ("c", "%zz")];
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(pairs("a=Bearer%20x%2Cy, b = 1=2,=none,nothing,c=%zz"), expected);
    }

    #[test]
    fn the_environment_names_the_service() {
        let named = |name: &str| match name {
            SERVICE_NAME => Some("edge".to_owned()),
            RESOURCE => Some("service.name=other,deployment.environment.name=test".to_owned()),
            _ => None,
        };
        let all = resource("i-1", &named);
        let value = |name: &str| all.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.to_string());
        assert_eq!(value("service.name").as_deref(), Some("edge"));
        assert_eq!(value("deployment.environment.name").as_deref(), Some("test"));
        assert_eq!(value("service.instance.id").as_deref(), Some("i-1"));
    }
}
