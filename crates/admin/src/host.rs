//! By which name, and from which page, a request may come: the guard against DNS rebinding.
//!
//! A page on the web can make a browser send requests to a loopback listener under the page's own name. So the name in
//! `Host` must be this machine's or one that the configuration gives the gateway, and so must a page's `Origin`. Never
//! stands for a credential: it comes before one. `auth` calls it.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Uri, header, uri::Authority};

use crate::answer::{Refusal, shown};

/// The names that the gateway goes by.
pub(crate) struct Names<'a> {
    /// The configured host names, in lower case.
    pub(crate) hosts: &'a [Arc<str>],
    /// The configured URL.
    pub(crate) public_url: Option<&'a str>,
    /// Whether the listener stands on loopback.
    pub(crate) loopback: bool,
}

impl Names<'_> {
    /// Lets a request through that names this gateway, and, where a page sends it, comes from a page of this gateway or
    /// this machine.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let named = authority(uri, headers)?;
        let host = plain(named.host());
        // An address cannot be rebound; on loopback it is still none of ours.
        let address = !self.loopback && host.parse::<IpAddr>().is_ok();
        if !(address || is_loopback(&host) || self.configured(&host)) {
            return Err(Refusal::foreign(format!("{} is no name of this gateway", shown(&host)))
                .hint("use a loopback name, or list the name under `hosts` in the configuration"));
        }
        self.check_origin(&named, headers)
    }

    fn check_origin(&self, named: &Authority, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        let web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
        let page = origin.as_ref().filter(|uri| web(uri)).and_then(Uri::authority);
        let ours = page.is_some_and(|page| {
            let host = plain(page.host());
            page == named || self.configured(&host) || (self.loopback && is_loopback(&host))
        });
        if ours && origins.next().is_none() {
            return Ok(());
        }
        Err(Refusal::foreign("the request comes from a page of another site")
            .hint("list the page's host under `hosts` in the configuration if it is yours"))
    }

    fn configured(&self, host: &str) -> bool {
        let public = || {
            let uri: Uri = self.public_url?.parse().ok()?;
            Some(plain(uri.host()?))
        };
        self.hosts.iter().any(|name| plain(name) == host) || public().is_some_and(|name| name == host)
    }
}

/// Whom the request names: exactly one `Host`, or the target's authority as HTTP/2 has it; both alike where both are.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let malformed = || Refusal::malformed("the request must have exactly one valid `Host`");
    let mut hosts = headers.get_all(header::HOST).iter();
    let written = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => {
            let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).ok_or_else(malformed)?;
            Some(host)
        }
        (Some(_), Some(_)) => return Err(malformed()),
    };
    let named = match (written, uri.authority()) {
        (Some(host), Some(target)) if host != *target => return Err(malformed()),
        (Some(host), _) => host,
        (None, Some(target)) => target.clone(),
        (None, None) => return Err(malformed()),
    };
    if named.as_str().contains('@') { Err(malformed()) } else { Ok(named) }
}

/// A host without brackets and last dot, in lower case.
fn plain(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(loopback: bool, host: &str, origin: Option<&str>) -> bool {
        let hosts = [Arc::from("gateway.example")];
        let names = Names { hosts: &hosts, public_url: Some("https://ai.example/"), loopback };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        names.check(&Uri::from_static("/api/v1/status"), &headers).is_ok()
    }

    #[test]
    fn names_of_this_machine_and_configured_ones_pass() {
        for host in [
            "localhost:8788",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1:8788",
            "[::1]:8788",
            "console.localhost",
            "Gateway.Example:443",
            "ai.example",
        ] {
            assert!(check(true, host, None), "{host}");
            assert!(check(false, host, None), "{host}");
        }
    }

    #[test]
    fn other_names_do_not_pass() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            "user@localhost",
            "gateway.example.evil",
            "0.0.0.0",
            "169.254.169.254",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(!check(true, host, None), "{host}");
        }
        assert!(!check(false, "evil.example", None));
    }

    #[test]
    fn a_listener_on_a_network_is_reached_by_its_address() {
        assert!(check(false, "10.1.2.3:8788", None));
        assert!(!check(true, "10.1.2.3:8788", None));
    }

    #[test]
    fn pages_of_other_sites_do_not_pass() {
        assert!(check(true, "localhost:8788", Some("http://127.0.0.1:5173")));
        assert!(check(true, "localhost:8788", Some("https://gateway.example")));
        assert!(check(false, "10.1.2.3:8788", Some("http://10.1.2.3:8788")));
        assert!(!check(false, "10.1.2.3:8788", Some("http://localhost:3000")));
        for origin in
            ["https://evil.example", "null", "file://localhost", "http://localhost.evil.example", "localhost", ""]
        {
            assert!(!check(true, "localhost:8788", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let names = Names { hosts: &[], public_url: None, loopback: true };
        let mut headers = HeaderMap::new();
        assert!(names.check(&Uri::from_static("/healthz"), &headers).is_err());
        assert!(names.check(&Uri::from_static("http://localhost/healthz"), &headers).is_ok());
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(names.check(&Uri::from_static("http://evil.example/healthz"), &headers).is_err());
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(names.check(&Uri::from_static("/healthz"), &headers).is_err());
    }
}
