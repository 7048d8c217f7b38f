//! No credential is ever serialised or printed: what holds one has no way to write it (GHSA-69x8-hrgq-fjj8 was a key
//! that a configuration type gave away as JSON).

use tidegate_core::secret::Secret;

use crate::{
    identity::{Declared, KeyDigest, Pepper, StoredKey},
    snapshot::{Snapshot, tests_support},
};

/// Both implementations fit a type that can be serialised, and then the line does not compile.
trait Never<Which> {
    fn serialises() {}
}

impl<T: ?Sized> Never<()> for T {}

struct Serialises;

impl<T: ?Sized + serde::Serialize> Never<Serialises> for T {}

#[test]
fn never_serialise_credentials() {
    <Secret as Never<_>>::serialises();
    <Pepper as Never<_>>::serialises();
    <KeyDigest as Never<_>>::serialises();
    <Declared as Never<_>>::serialises();
    <StoredKey as Never<_>>::serialises();
    <Snapshot as Never<_>>::serialises();
    <crate::check::Checked as Never<_>>::serialises();
    <tidegate_upstream::Provider as Never<_>>::serialises();
    <tidegate_upstream::McpServer as Never<_>>::serialises();
    <tidegate_upstream::Auth as Never<_>>::serialises();

    let text = "version: 1
providers:
  openai: { key: env:OPENAI_API_KEY, headers: { x-extra: env:ANTHROPIC_API_KEY } }
mcp_servers:
  notes: { url: https://notes.example/mcp, key: env:OPENAI_API_KEY, headers: { x-extra: env:ANTHROPIC_API_KEY } }
keys:
  team-a: { allow: { models: '*' }, secret: env:GOOD_KEY }
";
    let snapshot = tests_support::compiled(text);
    let key = crate::environment::Environment::variable(&tests_support::machine(), "GOOD_KEY");
    assert!(key.is_some());
    for shown in [
        format!("{snapshot:?}"),
        format!("{snapshot:#?}"),
        format!("{:?}", snapshot.providers().collect::<Vec<_>>()),
        format!("{:?}", snapshot.servers().collect::<Vec<_>>()),
        format!("{:?}", snapshot.declared),
        serde_json::to_string(&*snapshot.document).unwrap(),
        snapshot.document.canonical().unwrap(),
    ] {
        assert!(!shown.contains("canary") && !shown.contains("tg_"), "{shown}");
    }
    let secret = Secret::new("canary".to_owned());
    assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[secret] [secret] Some([secret])");
}
