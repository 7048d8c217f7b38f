//! What counts as an address of a host.

use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{Chain, DetectorName, GuardrailSpec, Phase};

fn found(detect: &str, text: &str) -> Vec<String> {
    let spec = GuardrailSpec {
        name: GuardrailName::from("g"),
        detect: vec![DetectorName::from(detect)],
        on: vec![Phase::Request],
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    };
    let chain = Chain::compile(&[spec]).unwrap();
    chain.scan(Origin::Prompt, text).into_iter().map(|finding| text[finding.range].to_owned()).collect()
}

#[test]
fn addresses_are_found_as_they_are_written() {
    for (text, address) in [
        ("from 8.8.8.8.", "8.8.8.8"),
        ("http://93.184.216.34:8080/x", "93.184.216.34"),
        ("10.1.2.3/24", "10.1.2.3"),
        ("\"ip\":\"1.2.3.4\"", "1.2.3.4"),
        ("see 2001:db8::8a2e:370:7334, now", "2001:db8::8a2e:370:7334"),
        ("[2606:4700:4700::1111]:443", "2606:4700:4700::1111"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.128 mapped", "::ffff:192.0.2.128"),
        ("at 2001:0db8:85a3:0000:0000:8a2e:0370:7334.", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
        ("64:ff9b::192.0.2.33", "64:ff9b::192.0.2.33"),
    ] {
        assert_eq!(found("ip", text), [address], "{text}");
    }
}

#[test]
fn versions_times_and_paths_of_code_are_none() {
    for text in [
        "version 1.2.3.4",
        "v1.2.3.4",
        "pkg==1.2.3.4",
        "Chrome/120.0.0.0",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.02.03.04",
        "127.0.0.1 and 0.0.0.0 and ::1 and 255.255.255.255",
        "12:30:45 and 2024:01:02",
        "a::b, std::vec, fade::cafe, 2001::xyz",
        "00:1a:2b:3c:4d:5e",
        "1.2.3.4-beta",
        "a-1.2.3.4",
    ] {
        assert!(found("ip", text).is_empty(), "{text}: {:?}", found("ip", text));
    }
}

#[test]
fn public_ip_passes_over_what_the_internet_does_not_route() {
    let text = "10.0.0.1 172.31.0.1 192.168.1.1 100.64.0.1 169.254.1.1 203.0.113.7 fd00::1 fe80::1 2001:db8::1";
    assert!(found("public_ip", text).is_empty());
    assert_eq!(found("ip", text).len(), 9);
    assert_eq!(found("public_ip", "1.1.1.1 2606:4700::1111"), ["1.1.1.1", "2606:4700::1111"]);
}

#[test]
fn an_address_is_found_wherever_a_block_parts_it() {
    for before in 40..80 {
        let text = format!("{} 1.2.3.4 ", ".".repeat(before));
        assert_eq!(found("ip", &text), ["1.2.3.4"], "{before}");
    }
}
