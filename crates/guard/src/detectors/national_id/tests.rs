//! What counts as a national number, and what looks like one.

use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};

use crate::{Chain, DetectorName, GuardrailSpec, Phase};

fn found(detect: &str, text: &str) -> Vec<(String, String)> {
    let spec = GuardrailSpec {
        name: GuardrailName::from("g"),
        detect: vec![DetectorName::from(detect)],
        on: vec![Phase::Request],
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    };
    let chain = Chain::compile(&[spec]).unwrap();
    let found = chain.scan(Origin::Prompt, text);
    found.into_iter().map(|finding| (finding.category.to_string(), text[finding.range].to_owned())).collect()
}

#[test]
fn numbers_of_every_country_are_found_as_they_are_written() {
    for (name, text, number) in [
        ("us_ssn", "SSN 123-45-6789.", "123-45-6789"),
        ("us_ssn", "\"ssn\": \"123456789\"", "123456789"),
        ("uk_nino", "NI number AB 12 34 56 C", "AB 12 34 56 C"),
        ("uk_nino", "AB123456C", "AB123456C"),
        ("uk_nino", "nino: ab123456c", "ab123456c"),
        ("de_steuer_id", "86 095 742 719", "86 095 742 719"),
        ("de_steuer_id", "IdNr. 86095742719,", "86095742719"),
        ("fr_nir", "1 85 05 78 006 084 91", "1 85 05 78 006 084 91"),
        ("fr_nir", "185052A00608435", "185052A00608435"),
        ("es_dni", "DNI: 12345678Z", "12345678Z"),
        ("es_dni", "12.345.678-Z", "12.345.678-Z"),
        ("es_dni", "NIE X1234567L", "X1234567L"),
        ("it_codice_fiscale", "CF RSSMRA85T10A562S.", "RSSMRA85T10A562S"),
        ("it_codice_fiscale", "\\nMRTMTTNRD0VF20RK", "MRTMTTNRD0VF20RK"),
        ("nl_bsn", "BSN 111222333", "111222333"),
        ("pl_pesel", "PESEL 44051401359", "44051401359"),
        ("se_personnummer", "811218-9876", "811218-9876"),
        ("se_personnummer", "19811218-9876", "19811218-9876"),
        ("br_cpf", "CPF 529.982.247-25", "529.982.247-25"),
        ("in_aadhaar", "7260 1815 9082", "7260 1815 9082"),
        ("cn_resident_id", "身份证11010519491231002X，", "11010519491231002X"),
    ] {
        for detect in [name, "national_id"] {
            assert_eq!(found(detect, text), [(format!("pii.{name}"), number.to_owned())], "{detect}: {text}");
        }
    }
}

#[test]
fn look_alikes_are_none() {
    for text in [
        "123456789",
        "111222333",
        "000-12-3456",
        "123-45-67890",
        "9123-45-6789",
        "12345678A",
        "12345678z",
        "x12345678Z",
        "ab123456c",
        "1700000000",
        "1700000000000",
        "202401011234",
        "2019 2020 2021",
        "7260 1815 9082 1234",
        "52998224725",
        "20240101-1234",
        "{\"id\":86095742718,\"at\":1719414000123}",
        "550e8400-e29b-41d4-a716-446655440000",
        "RSSMRA85T10A562T",
    ] {
        assert!(found("national_id", text).is_empty(), "{text}: {:?}", found("national_id", text));
    }
}

#[test]
fn a_number_is_found_wherever_a_block_parts_it() {
    for before in 30..80 {
        let text = format!("{} AB 12 34 56 C ", ".".repeat(before));
        assert_eq!(found("uk_nino", &text).len(), 1, "{before}");
    }
}
