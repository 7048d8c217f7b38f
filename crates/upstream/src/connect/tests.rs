//! What keeps a connection from coming about is told apart, and what must not be connected to is not.
//!
//! The certificates in `fixtures` were made for these tests by an authority whose key was thrown away: `good` and
//! `expired` are for `localhost`, `other` is for another name. `leaf-key` belongs to all three.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tidegate_core::clock;

use super::*;
use crate::{
    clocks::Limits,
    pool::{Pool, SendError},
    target::Destination,
};

const AUTHORITY: &[u8] = include_bytes!("fixtures/authority.der");
const GOOD: &[u8] = include_bytes!("fixtures/good.der");
const EXPIRED: &[u8] = include_bytes!("fixtures/expired.der");
const OTHER: &[u8] = include_bytes!("fixtures/other.der");
const KEY: &[u8] = include_bytes!("fixtures/leaf-key.der");

/// A TLS server for one connection on a port of loopback.
fn tls_server(certificate: &'static [u8]) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate)], key)
        .unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = Stream::new(&mut connection, &mut socket);
        let mut buffer = [0_u8; 4096];
        if stream.read(&mut buffer).is_ok_and(|length| length > 0) {
            drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
        }
    });
    port
}

async fn fetch(url: &str, trusting: bool, allow_private: bool) -> Result<u16, ConnectError> {
    let roots = trusting.then(|| CertificateDer::from(AUTHORITY)).into_iter().collect();
    let pool = Pool::new(None, roots).unwrap();
    let limits = Limits::new(clock::now(), Duration::from_secs(5), None);
    let second = Duration::from_secs(2);
    let destination = Destination::http(url, allow_private).unwrap();
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = destination.uri("").unwrap();
    match pool.send(&destination, request, (second, second), &limits).await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(unanswered) => match unanswered.error {
            SendError::Connect(error) => Err(error),
            other => panic!("{other}"),
        },
    }
}

#[tokio::test]
async fn certificates_that_do_not_hold_are_told_apart() {
    let url = |certificate| format!("https://localhost:{}/", tls_server(certificate));
    assert_eq!(fetch(&url(GOOD), true, true).await, Ok(204));
    assert_eq!(fetch(&url(EXPIRED), true, true).await, Err(ConnectError::TlsExpired));
    assert_eq!(fetch(&url(OTHER), true, true).await, Err(ConnectError::TlsWrongName));
    assert_eq!(fetch(&url(GOOD), false, true).await, Err(ConnectError::TlsUntrusted));
}

#[tokio::test]
async fn names_and_ports_that_lead_nowhere_are_told_apart() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    assert_eq!(fetch(&format!("http://127.0.0.1:{port}/"), false, true).await, Err(ConnectError::Refused));
    let unknown = fetch("http://nobody.invalid/", false, true).await.unwrap_err();
    assert_eq!(unknown.kind(), "dns", "{unknown}");
}

#[tokio::test]
async fn ssrf_corpus() {
    let hosts = [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::7f00:1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[fec0::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "224.0.0.1",
        "255.255.255.255",
    ];
    for host in hosts {
        let error = fetch(&format!("http://{host}:9/"), false, false).await.unwrap_err();
        assert_eq!(error.kind(), "address_not_allowed", "{host}: {error}");
    }
    for host in ["169.254.169.254", "0.0.0.0", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"] {
        let error = fetch(&format!("http://{host}:9/"), false, true).await.unwrap_err();
        assert_eq!(error.kind(), "address_not_allowed", "{host} passes where private addresses do: {error}");
    }
}

#[tokio::test]
async fn a_disguised_number_is_never_given_to_the_resolver() {
    let connector = Connector::new(Reach::Network { allow_private: true });
    for host in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1."] {
        let uri = Uri::try_from(format!("http://{host}:9/")).unwrap();
        let Err(error) = connector.clone().connect(uri).await else { panic!("{host} was connected to") };
        assert_eq!(error.kind(), "address_not_allowed", "{host}: {error}");
    }
}

#[tokio::test]
async fn the_last_good_addresses_serve_while_the_resolver_fails() {
    let connector = Connector::new(Reach::Network { allow_private: true });
    connector.last_good.lock().insert("known.invalid".to_owned(), vec![[127, 0, 0, 1].into()]);
    assert_eq!(connector.resolve("known.invalid", 80).await, Ok(vec![IpAddr::from([127, 0, 0, 1])]));
    assert_eq!(connector.resolve("unknown.invalid", 80).await.unwrap_err().kind(), "dns");
}

#[test]
fn a_name_that_rebinds_is_checked_address_by_address() {
    let guard = |address| crate::address::check_address(address, false);
    let public: IpAddr = "93.184.216.34".parse().unwrap();
    let private: IpAddr = "10.0.0.1".parse().unwrap();
    assert_eq!(permitted(&[public, private], guard), Ok(vec![public]));
    assert!(permitted(&[private], guard).is_err());
    let known = HashMap::from([("name".to_owned(), vec![private])]);
    assert!(permitted(&known["name"], guard).is_err(), "a remembered address is checked like any other");
}
