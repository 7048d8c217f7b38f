//! The SSRF corpus: every range and spelling that was used against a gateway.

use super::*;

#[test]
fn ssrf_corpus_of_addresses() {
    let never = [
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::a9fe:a9fe",
        "::7f00:1",
        "::ffff:169.254.169.254",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2001:db8::1",
        "2001::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff02::1",
        "100::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "4000::1",
    ];
    for text in never {
        let address: IpAddr = text.parse().unwrap();
        assert!(check_address(address, false).is_err(), "{text} passes");
        assert!(check_address(address, true).is_err(), "{text} passes where private addresses do");
    }
    let private = [
        "127.0.0.1",
        "127.255.255.255",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "fc00::1",
        "fd12:3456::1",
    ];
    for text in private {
        let address: IpAddr = text.parse().unwrap();
        assert!(check_address(address, false).is_err(), "{text} passes");
        assert!(check_address(address, true).is_ok(), "{text} is refused although it was named");
    }
    for text in
        ["1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "9.255.255.255", "2606:4700::1", "::ffff:8.8.8.8"]
    {
        let address: IpAddr = text.parse().unwrap();
        assert!(check_address(address, false).is_ok(), "{text} is refused");
    }
}

#[test]
fn ssrf_corpus_of_spellings() {
    let refused = [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://017700000001/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://user:pass@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com/#x",
        "gopher://x/",
        "//example.com",
        "example.com",
        "",
    ];
    for text in refused {
        assert!(parse_destination(text).is_err(), "{text} passes");
    }
    for text in ["https://api.example.com/v1", "http://127.0.0.1:8080/v1", "http://[::1]:8080/", "http://localhost:1/"]
    {
        assert!(parse_destination(text).is_ok(), "{text} is refused");
    }
}

#[test]
fn a_number_in_disguise_is_seen_before_the_resolver_is_asked() {
    for host in ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "1.2.3.0x4", "127.0.0.1.", "0x"] {
        assert!(is_disguised_number(host), "{host}");
    }
    for host in ["127.0.0.1", "example.com", "1.example", "0x7f.example", "a1"] {
        assert!(!is_disguised_number(host), "{host}");
    }
}

#[test]
fn an_error_shows_no_credential() {
    let error = parse_destination("http://user:hunter2@[::bad").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = parse_destination("http://user:hunter2@example.com").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
