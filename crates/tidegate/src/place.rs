//! Where a running gateway is: what it writes into its data directory when it listens, and commands read.
//!
//! Holds addresses only, never a secret. Written by `up` and `serve`, read by every command that was not told an address.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::directory::Directory;

/// The addresses of a running gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Where models and tools are served.
    pub(crate) data_plane: String,
    /// Where the admin API is served.
    pub(crate) control_plane: String,
    /// The gateway's process.
    pub(crate) pid: u32,
}

impl Place {
    /// The place of this process, which listens on these addresses.
    pub(crate) fn here(data_plane: SocketAddr, control_plane: SocketAddr) -> Self {
        Self { data_plane: url(data_plane), control_plane: url(control_plane), pid: std::process::id() }
    }

    /// Tells commands where the gateway is.
    pub(crate) fn announce(&self, directory: &Directory) -> Result<()> {
        let path = directory.place();
        let beside = path.with_extension("new");
        fs::write(&beside, serde_json::to_string_pretty(self)?)
            .and_then(|()| fs::rename(&beside, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Takes it back, unless another gateway has announced itself since.
    pub(crate) fn leave(&self, directory: &Directory) {
        if Self::of(directory).as_ref() == Some(self) {
            // What stays is found stale by whoever follows it.
            let _ = fs::remove_file(directory.place());
        }
    }

    /// Where the gateway over this data directory said that it is.
    pub(crate) fn of(directory: &Directory) -> Option<Self> {
        let text = fs::read_to_string(directory.place()).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// The address as this machine reaches it.
fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_takes_back_only_its_own_place() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::at(folder.path());
        let one = Place::here("0.0.0.0:8787".parse().unwrap(), "[::]:8788".parse().unwrap());
        assert_eq!(
            (one.data_plane.as_str(), one.control_plane.as_str()),
            ("http://127.0.0.1:8787", "http://[::1]:8788")
        );
        one.announce(&directory).unwrap();
        let other = Place { pid: 1, ..one.clone() };
        other.announce(&directory).unwrap();
        one.leave(&directory);
        assert_eq!(Place::of(&directory), Some(other.clone()));
        other.leave(&directory);
        assert_eq!(Place::of(&directory), None);
    }
}
