//! Where telemetry is sent, made from what is written.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use http::HeaderMap;
use tidegate_core::secret::Secret;
use tidegate_upstream::{
    Destination,
    export::{INTERVAL, Profile},
};

use super::targets::{add_headers, destination};
use crate::{
    document::{Document, Share, TelemetryContent, TelemetryProfile, Time},
    problem::Problem,
};

/// An OpenTelemetry collector.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Its base.
    pub endpoint: Destination,
    /// Headers of every request to it.
    pub headers: HeaderMap,
    /// Which names are spoken.
    pub profile: Profile,
    /// The share of traces that are sent, from 0 to 1.
    pub sample: f64,
    /// Whether what was said is sent too.
    pub content: bool,
    /// How often metrics are sent.
    pub interval: Duration,
}

impl Collector {
    /// The collector at `endpoint`, as the environment names it (`OTEL_EXPORTER_OTLP_ENDPOINT`), with these headers.
    ///
    /// # Errors
    /// What is wrong with the address or a header.
    pub fn plain(endpoint: &str, headers: &[(String, String)]) -> Result<Self, Problem> {
        let path = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let mut collector = Self::at(destination(endpoint, path)?);
        for (name, value) in headers {
            super::targets::add_header(&mut collector.headers, name, value, true)
                .map_err(|why| Problem::new(crate::codes::BAD_HEADER, None, "OTEL_EXPORTER_OTLP_HEADERS", why))?;
        }
        Ok(collector)
    }

    fn at(endpoint: Destination) -> Self {
        Self {
            endpoint,
            headers: HeaderMap::new(),
            profile: Profile::A,
            sample: 1.0,
            content: false,
            interval: INTERVAL,
        }
    }
}

pub(super) fn collector(document: &Document, secrets: &HashMap<String, Secret>) -> Result<Option<Collector>, Problem> {
    let Some(written) = &document.telemetry.otlp else { return Ok(None) };
    let mut collector = Collector::at(destination(&written.endpoint, "telemetry.otlp.endpoint")?);
    let headers: &BTreeMap<String, String> = &written.headers;
    add_headers(&mut collector.headers, "telemetry.otlp.headers", headers, secrets)?;
    collector.profile = match written.profile {
        TelemetryProfile::A => Profile::A,
        TelemetryProfile::B => Profile::B,
    };
    collector.sample = written.sample.map_or(1.0, |Share(share)| share);
    collector.content = written.content == TelemetryContent::Redacted;
    collector.interval = written.interval.map_or(INTERVAL, |Time(interval)| interval);
    Ok(Some(collector))
}
