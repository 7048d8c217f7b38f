//! The one connector: resolves, checks every address against the SSRF guard, connects to the address it checked.
//!
//! Whatever leaves the process leaves through here: model calls, tool calls, the gateway's own requests. Never follows
//! a redirect (it does not speak HTTP at all), never takes a destination from a caller: URIs come from configuration.
//! Used by `pool`, which lays TLS and HTTP over it.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::address::{self, AddressError};

mod error;
mod transport;

pub(crate) use self::transport::Transport;
pub use self::{error::ConnectError, transport::InMemoryService};

/// The most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 6;

/// The head start of an address over the next one (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// The most names whose last good addresses are remembered.
const MOST_NAMES: usize = 1024;

/// Where a connector may go.
#[derive(Clone)]
pub(crate) enum Reach {
    /// The network, public addresses only, or private ones too.
    Network { allow_private: bool },
    /// Where clouds say who a machine is, and nowhere else.
    Metadata,
    /// A service inside this process.
    Memory(Arc<dyn InMemoryService>),
}

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    reach: Reach,
    last_good: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
}

impl Connector {
    pub(crate) fn new(reach: Reach) -> Self {
        Self { reach, last_good: Arc::new(Mutex::new(HashMap::new())) }
    }

    async fn connect(self, uri: Uri) -> Result<Transport, ConnectError> {
        let check: fn(IpAddr) -> Result<(), AddressError> = match &self.reach {
            Reach::Memory(service) => return Ok(Transport::Memory(TokioIo::new(service.connect()))),
            Reach::Network { allow_private: true } => |address| address::check_address(address, true),
            Reach::Network { allow_private: false } => |address| address::check_address(address, false),
            Reach::Metadata => address::check_metadata,
        };
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let resolved = self.resolve(host, port).await?;
        let allowed = permitted(&resolved, check)?;
        race(&allowed, port).await.map(|stream| Transport::Tcp(TokioIo::new(stream)))
    }

    /// The addresses of `host`; its last good ones where the resolver fails, so that a resolver outage is not an
    /// outage of every upstream.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<IpAddr>, ConnectError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        if host.is_empty() || address::is_disguised_number(host) {
            return Err(ConnectError::Address(AddressError::NumericHost { host: host.to_owned() }));
        }
        match tokio::net::lookup_host((host, port)).await {
            Ok(found) => {
                let found: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
                if found.is_empty() {
                    return Err(ConnectError::Dns { host: host.to_owned(), why: "the name has no address".to_owned() });
                }
                let mut last_good = self.last_good.lock();
                if last_good.len() < MOST_NAMES || last_good.contains_key(host) {
                    last_good.insert(host.to_owned(), found.clone());
                }
                Ok(found)
            }
            Err(error) => match self.last_good.lock().get(host) {
                Some(known) => {
                    tracing::warn!(host, %error, "name resolution failed: using the last good addresses");
                    Ok(known.clone())
                }
                None => Err(ConnectError::Dns { host: host.to_owned(), why: error.to_string() }),
            },
        }
    }
}

/// The addresses that may be connected to; an error where there is none.
fn permitted(
    resolved: &[IpAddr],
    check: impl Fn(IpAddr) -> Result<(), AddressError>,
) -> Result<Vec<IpAddr>, ConnectError> {
    let mut refusal = None;
    let mut allowed = Vec::new();
    for address in resolved {
        match check(*address) {
            Ok(()) if !allowed.contains(address) => allowed.push(*address),
            Ok(()) => {}
            Err(error) => refusal = Some(error),
        }
    }
    match refusal {
        Some(error) if allowed.is_empty() => Err(ConnectError::Address(error)),
        _ => Ok(allowed),
    }
}

/// Connects to the first address that answers, each starting a little after the one before.
async fn race(addresses: &[IpAddr], port: u16) -> Result<TcpStream, ConnectError> {
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .take(MOST_ADDRESSES)
        .zip(0_u32..)
        .map(|(address, place)| {
            let socket = SocketAddr::new(*address, port);
            async move {
                if place > 0 {
                    tokio::time::sleep(HEAD_START.saturating_mul(place)).await;
                }
                let stream = TcpStream::connect(socket).await?;
                stream.set_nodelay(true)?;
                io::Result::Ok(stream)
            }
        })
        .collect();
    let mut last = None;
    while let Some(result) = attempts.next().await {
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(ConnectError::from_io(last.as_ref()))
}

impl tower::Service<Uri> for Connector {
    type Response = Transport;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Transport, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl Connection for Transport {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests;
