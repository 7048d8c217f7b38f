//! What is found without being told.

use super::*;
use crate::environment::Fixed;

#[test]
fn keys_in_the_environment_are_found_with_a_fingerprint_and_never_shown() {
    let environment = Fixed::default()
        .variable("OPENAI_API_KEY", "canary-of-openai")
        .variable("ANTHROPIC_API_KEY", "canary-of-anthropic")
        .variable("ANTHROPIC_BASE_URL", "http://127.0.0.1:9000/")
        .variable("GROQ_API_KEY", " ");
    let (found, notes) = in_environment(&Vendors::builtin().unwrap(), &environment, &[8787]);
    let names: Vec<&str> = found.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["anthropic", "openai"]);
    assert_eq!(found[0].base_url.as_deref(), Some("http://127.0.0.1:9000/v1"));
    assert_eq!(found[1].fingerprint.as_ref().unwrap().len(), 6);
    assert!(!format!("{found:?}").contains("canary") && notes.is_empty());
}

#[test]
fn a_key_in_the_environment_is_referred_to_and_never_written_down() {
    let environment = Fixed::default().variable("ANTHROPIC_API_KEY", "sk-ant-very-secret");
    let (mut found, notes) = in_environment(&Vendors::builtin().unwrap(), &environment, &[8787]);
    found.push(simulator());
    let text = document(&found);
    assert!(text.contains("anthropic: { key: env:ANTHROPIC_API_KEY }"), "{text}");
    assert!(!text.contains("very-secret") && notes.is_empty());
    assert!(text.contains("sim: {}"));
}

#[test]
fn what_leads_back_to_the_gateway_is_passed_over_and_said() {
    let environment = Fixed::default()
        .variable("OPENAI_API_KEY", "tg_abcdefgh_0123456789")
        .variable("ANTHROPIC_API_KEY", "sk-ant-x")
        .variable("ANTHROPIC_BASE_URL", "http://localhost:8787");
    let vendors = Vendors::builtin().unwrap();
    let (found, notes) = in_environment(&vendors, &environment, &[8787]);
    assert_eq!(found, []);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(!notes.concat().contains("0123456789"));
    let (found, _) = in_environment(&vendors, &environment, &[9]);
    assert_eq!(found[0].base_url.as_deref(), Some("http://localhost:8787/v1"));

    let local = local_candidates(&vendors, &[]);
    assert_eq!(local.len(), 5);
    assert!(local.iter().all(|(found, url)| url.starts_with(&found.from) && found.base_url.is_none()));
    let ollama = local.iter().find(|(found, _)| found.name == "ollama").unwrap();
    let port = Url::parse(&ollama.1).unwrap().port().unwrap();
    assert_eq!(local_candidates(&vendors, &[port]).len(), 4, "the gateway itself is no model server");
}

#[test]
fn googles_key_is_found_under_either_name_and_its_address_gets_the_version() {
    let vendors = Vendors::builtin().unwrap();
    for (variable, url, expected) in [
        ("GEMINI_API_KEY", "https://proxy.example", "https://proxy.example/v1beta"),
        ("GOOGLE_API_KEY", "https://proxy.example/v1beta/", "https://proxy.example/v1beta"),
    ] {
        let environment =
            Fixed::default().variable(variable, "canary-of-google").variable("GOOGLE_GEMINI_BASE_URL", url);
        let (found, notes) = in_environment(&vendors, &environment, &[]);
        assert_eq!((found.len(), found[0].name.as_str(), found[0].from.as_str()), (1, "google", variable));
        assert_eq!(found[0].base_url.as_deref(), Some(expected));
        assert!(notes.is_empty());
    }
}
