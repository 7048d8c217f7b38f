//! HTTP as the command line speaks it to a gateway: one request over a connection of its own, the body still to be read.
//!
//! The only connections that do not go through `upstream`: they are a user's own, to the address the user names. Sends a credential in the clear to this machine only. Never follows a redirect, never tries again. `client` and
//! `caller` use it.

use std::{fmt::Display, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tidegate_upstream::address::is_loopback;
use url::Url;

use crate::{exit, output::exit};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Parses a gateway's address: `http` to this machine, `https` to everywhere.
pub(crate) fn address(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| exit(exit::USAGE, format!("{text} is no URL: {error}")))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(exit(
            exit::USAGE,
            format!("{text}: a key would cross the network in the clear. Use https, or a tunnel to this machine"),
        )),
        other => Err(exit(exit::USAGE, format!("{text}: there is no way to speak {other} to a gateway"))),
    }
}

/// Whether `url` leads to what listens at `announced` on this machine.
pub(crate) fn same_here(url: &Url, announced: &str) -> bool {
    let Ok(announced) = Url::parse(announced) else { return false };
    is_loopback(url)
        && url.scheme() == announced.scheme()
        && url.port_or_known_default() == announced.port_or_known_default()
}

/// The address of `path` below `base`.
pub(crate) fn below(base: &Url, path: &str) -> String {
    format!("{}{path}", base.as_str().trim_end_matches('/'))
}

/// Sends `request`, whose target is a whole URL, and waits for the head of the answer.
pub(crate) async fn send(request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    let target = request.uri().clone();
    let unavailable = |error: &dyn Display| {
        let place = target.authority().map_or("?", |authority| authority.as_str());
        exit(exit::UNAVAILABLE, format!("no gateway answers at {place}: {error}\nhint: `tidegate up` starts one here"))
    };
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    let builder = Client::builder(TokioExecutor::new());
    let answer = if target.scheme_str() == Some("https") {
        connector.enforce_http(false);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(rustls::ConfigBuilder::with_platform_verifier)
            .context("TLS cannot be set up: are there root certificates on this machine?")?
            .with_no_client_auth();
        let tls = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1();
        builder.build(tls.wrap_connector(connector)).request(request).await
    } else {
        builder.build(connector).request(request).await
    };
    answer.map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        unavailable(&cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_key_goes_only_to_the_gateway_that_lends_it() {
        let same = |url: &str| same_here(&Url::parse(url).unwrap(), "http://127.0.0.1:8787");
        assert!(same("http://localhost:8787") && same("http://[::1]:8787/"));
        for other in ["http://localhost:8788", "https://localhost:8787", "http://10.0.0.1:8787", "http://127.0.0.1"] {
            assert!(!same(other), "{other}");
        }
    }

    #[test]
    fn a_key_never_crosses_a_network_in_the_clear() {
        for good in ["http://127.0.0.1:8787", "http://[::1]:1", "http://localhost:8787", "https://gateway.example"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["http://gateway.example", "http://10.0.0.1:8787", "http://localhost.evil.example", "ftp://x", "x"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
