//! Stage 1: size, deadline, load. Nothing of the body is read yet.

use std::time::Duration;

use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    fault::{Fault, FaultCode},
};

use crate::{exchange::Exchange, surface::Surface};

/// The longest patience that a caller may ask for.
const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets the call in, or sheds it.
pub(crate) fn admit(exchange: &mut Exchange) -> Result<(), Fault> {
    let started = exchange.started;
    let result = admitted(exchange);
    exchange.stage(Stage::Admit, started, result)
}

fn admitted(exchange: &mut Exchange) -> Result<((), StageVerdict), Fault> {
    let in_flight = usize::try_from(exchange.gate.metrics.in_flight.get()).unwrap_or(0);
    if in_flight > exchange.snapshot.concurrent_limit {
        return Err(Fault::new(
            FaultCode::Overloaded,
            "The gateway has as many calls in flight as it takes: try again in a second.",
        ));
    }
    known_host(exchange)?;
    let largest = u64::try_from(exchange.body_limit).unwrap_or(u64::MAX);
    let declared = exchange.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > largest) {
        return Err(too_large(largest));
    }
    // What is not decompressed cannot grow.
    if exchange.header("content-encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let mut fault = Fault::new(
            FaultCode::InvalidRequest,
            "Compressed bodies are not taken: send the body as it is, without Content-Encoding.",
        );
        fault.status = 415;
        return Err(fault);
    }
    exchange.deadline = match exchange.header("x-tidegate-timeout-ms") {
        None => None,
        Some(text) => {
            let patience = text
                .parse()
                .map(Duration::from_millis)
                .ok()
                .filter(|patience| !patience.is_zero() && *patience <= LONGEST_DEADLINE)
                .ok_or_else(|| {
                    Fault::new(
                        FaultCode::InvalidRequest,
                        "The header x-tidegate-timeout-ms takes whole milliseconds from 1 to 86400000.",
                    )
                })?;
            clock::now().checked_add(patience)
        }
    };
    Ok(((), StageVerdict::Pass))
}

/// Refuses names that this gateway does not go by: a page in a browser that had its own name resolved to this address
/// sends that name as host, and its origin with it.
fn known_host(exchange: &Exchange) -> Result<(), Fault> {
    let snapshot = &exchange.snapshot;
    let own = snapshot.public_url.as_deref().and_then(host_of_url);
    let known = |host: &str| {
        let name = without_port(host).to_ascii_lowercase();
        let listed = snapshot.hosts.iter().any(|known| **known == *name || known.eq_ignore_ascii_case(host));
        listed || own.is_some_and(|own| own.eq_ignore_ascii_case(&name)) || is_loopback(&name)
    };
    let refuse = |what: &str| {
        Fault::new(
            FaultCode::PolicyDenied,
            format!("This gateway does not serve this {what}: add its name to `hosts` in the configuration."),
        )
    };
    if exchange.header("host").is_some_and(|host| !known(host)) {
        return Err(refuse("host"));
    }
    // Model clients in browsers are other people's pages by design; a tool server is only for those that are known.
    if exchange.surface == Surface::Mcp
        && exchange.header("origin").is_some_and(|origin| !host_of_url(origin).is_some_and(known))
    {
        return Err(refuse("origin"));
    }
    Ok(())
}

/// The host of a URL or an origin, without its port.
fn host_of_url(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(without_port(authority))
}

fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The body is larger than `largest` bytes.
pub(crate) fn too_large(largest: u64) -> Fault {
    Fault::new(
        FaultCode::TooLarge,
        format!("The body is larger than the {largest} bytes that this gateway takes (limits.body)."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_rebinding_host_and_origin() {
        for name in ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "gate.localhost"] {
            assert!(is_loopback(name), "{name}");
        }
        for name in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""] {
            assert!(!is_loopback(name), "{name}");
        }
        assert_eq!(host_of_url("http://evil.example:8787/x"), Some("evil.example"));
        assert_eq!(host_of_url("http://[::1]:1"), Some("[::1]"));
        assert_eq!(host_of_url("null"), None);
    }
}
