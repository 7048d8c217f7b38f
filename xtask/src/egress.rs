//! One way out: no source but the connector's opens a connection, so that every destination stands behind its guard.
//!
//! Reads the text of the crates, without their tests. The command line's way to its own gateway is the one exception.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{say, sizes::collect};

/// What opens a connection, or is only there to open some.
const WAYS_OUT: [&str; 17] = [
    "TcpStream::connect",
    "TcpStream as ",
    "TcpSocket",
    "UnixStream::connect",
    "UnixStream as ",
    "UdpSocket",
    "lookup_host",
    "ToSocketAddrs",
    "to_socket_addrs",
    "client::conn",
    "client::legacy",
    "HttpConnector",
    "HttpsConnector",
    "reqwest",
    "ureq::",
    "isahc",
    "tungstenite::connect",
];

/// The files that may: the guarded connector and what lies over it, and a user's own connection to a gateway.
const MAY: [&str; 3] = ["crates/upstream/src/connect.rs", "crates/upstream/src/pool.rs", "crates/tidegate/src/wire.rs"];

pub(crate) fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(&root.join("crates"), &mut files)?;
    let (mut wrong, mut looked) = (Vec::new(), 0_usize);
    for file in &files {
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        if is_test(&shown) || MAY.contains(&shown.as_str()) {
            continue;
        }
        looked = looked.saturating_add(1);
        let text = std::fs::read_to_string(file).with_context(|| shown.clone())?;
        wrong.extend(ways_out(&text).map(|(line, way)| format!("{shown}:{line}: {way}")));
    }
    if let Some(gone) = MAY.iter().find(|name| !root.join(name).is_file()) {
        bail!("egress: {gone} is gone: correct xtask/src/egress.rs");
    }
    if !wrong.is_empty() {
        bail!(
            "connections are opened beside the one guarded connector (crates/upstream/src/connect.rs); go through \
             `Upstream` instead:\n  {}",
            wrong.join("\n  ")
        );
    }
    say(&format!("egress: {looked} files open no connection of their own\n"));
    Ok(())
}

fn is_test(shown: &str) -> bool {
    shown.contains("/tests/") || shown.ends_with("/tests.rs") || shown.ends_with("/testing.rs")
}

/// The lines outside of comments and tests that open a connection.
fn ways_out(text: &str) -> impl Iterator<Item = (usize, &'static str)> + '_ {
    let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().enumerate();
    code.filter(|(_, line)| !line.trim_start().starts_with("//")).flat_map(|(at, line)| {
        WAYS_OUT.iter().filter(move |way| line.contains(**way)).map(move |way| (at.saturating_add(1), *way))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_beside_the_connector_is_found_and_the_connectors_own_is_one() {
        let found = |text: &str| ways_out(text).collect::<Vec<_>>();
        let text = "use x;\nasync fn f() {\n    tokio::net::TcpStream::connect(a).await\n}\n";
        assert_eq!(found(text), [(3, "TcpStream::connect")]);
        assert_eq!(found("    client::legacy::{Client, connect::HttpConnector},\n").len(), 2);
        assert!(found("// TcpStream::connect\nstream: TcpStream,\n").is_empty());
        assert!(found("fn f() {}\n#[cfg(test)]\nmod tests { TcpStream::connect }\n").is_empty());
        let root = crate::root();
        for name in MAY {
            let text = std::fs::read_to_string(root.join(name)).unwrap();
            assert!(ways_out(&text).next().is_some(), "{name} needs no exception");
        }
    }

    #[test]
    fn the_house_has_one_way_out() {
        check(&crate::root()).unwrap();
    }
}
