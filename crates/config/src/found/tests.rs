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
    let found = in_environment(&Vendors::builtin().unwrap(), &environment);
    let names: Vec<&str> = found.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["anthropic", "openai"]);
    assert_eq!(found[0].base_url.as_deref(), Some("http://127.0.0.1:9000/v1"));
    assert_eq!(found[1].fingerprint.as_ref().unwrap().len(), 6);
    assert!(!format!("{found:?}").contains("canary"));
}

#[test]
fn the_quick_start_has_what_was_found_and_the_simulator() {
    let environment = Fixed::default().variable("OPENAI_API_KEY", "x");
    let vendors = Vendors::builtin().unwrap();
    let document = Document::default_up(&in_environment(&vendors, &environment));
    let names: Vec<&str> = document.providers.keys().map(String::as_str).collect();
    assert_eq!(names, ["openai", "sim"]);
    assert!(document.keys.is_empty());
    assert_eq!(Document::default_up(&[]).providers.len(), 1);
    assert_eq!(local_candidates(&vendors).len(), 4);
}
