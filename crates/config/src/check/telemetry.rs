//! Checks of where telemetry is sent.

use std::time::Duration;

use super::Checker;
use crate::{codes, document::Time};

impl Checker<'_> {
    pub(super) fn telemetry(&mut self) {
        let Some(otlp) = &self.document.telemetry.otlp else { return };
        self.url("telemetry.otlp.endpoint", &otlp.endpoint, "http://127.0.0.1:4318");
        let appended = ["/v1/traces", "/v1/metrics"].into_iter();
        if let Some(path) = appended.into_iter().find(|path| otlp.endpoint.trim_end_matches('/').ends_with(path)) {
            let message = format!("`{path}` is appended by the gateway");
            self.error(codes::BAD_URL, "telemetry.otlp.endpoint", message, "write the collector's base only");
        }
        self.headers("telemetry.otlp.headers", &otlp.headers, None);
        if otlp.interval.is_some_and(|Time(interval)| interval < Duration::from_secs(1)) {
            let message = "metrics are sent once a second at most";
            self.error(codes::OUT_OF_RANGE, "telemetry.otlp.interval", message, "write for example `60s`");
        }
    }
}
