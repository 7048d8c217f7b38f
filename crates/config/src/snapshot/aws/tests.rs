//! Where a provider on AWS gets its credential from.

use tidegate_upstream::Destination;

use crate::{environment::Fixed, snapshot::tests::with_machine};

fn shown(fields: &str, machine: &Fixed) -> Result<(String, String), String> {
    let text = format!("version: 1\nproviders:\n  bedrock: {{ {fields} }}\n");
    let snapshot = with_machine(&text, machine, Vec::new(), Vec::new()).map_err(|rejection| rejection.to_string())?;
    let provider = snapshot.providers().next().unwrap();
    let Destination::Http { url, .. } = &provider.base else { panic!("{:?}", provider.base) };
    let auth = format!("{:?}", provider.auth);
    assert!(!auth.contains("canary"), "{auth}");
    Ok((url.to_string(), auth))
}

fn keys() -> Fixed {
    Fixed::default()
        .variable("AWS_ACCESS_KEY_ID", "AKIDENV")
        .variable("AWS_SECRET_ACCESS_KEY", "canary-secret")
        .variable("AWS_REGION", "eu-central-1")
}

#[test]
fn the_machines_own_keys_are_found_in_the_order_of_awss_sdks() {
    let (url, auth) = shown("", &keys()).unwrap();
    assert_eq!(url, "https://bedrock-runtime.eu-central-1.amazonaws.com/");
    assert!(auth.contains("AKIDENV") && auth.contains("eu-central-1"), "{auth}");
    let bearer = keys().variable("AWS_BEARER_TOKEN_BEDROCK", "canary-bearer");
    assert!(shown("", &bearer).unwrap().1.starts_with("Bearer"));
    let pod = Fixed::default()
        .variable("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
        .variable("AWS_ROLE_ARN", "arn:role-of-the-pod")
        .variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    let (url, auth) = shown("", &pod).unwrap();
    assert!(
        url.contains("us-east-1") && auth.contains("WebIdentity") && auth.contains("arn:role-of-the-pod"),
        "{auth}"
    );
    let task = Fixed::default().variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    assert!(shown("", &task).unwrap().1.contains("Container"));
    assert!(shown("", &Fixed::default()).unwrap().1.contains("Machine"));
}

#[test]
fn what_is_written_wins_and_what_the_machine_holds_goes_to_aws_alone() {
    let written =
        "region: eu-west-1, aws: { access_key_id: AKIDWRITTEN, secret_access_key: env:AWS_SECRET_ACCESS_KEY }";
    let (url, auth) = shown(written, &keys()).unwrap();
    assert!(url.contains("eu-west-1") && auth.contains("AKIDWRITTEN"), "{auth}");
    let role = "aws: { role: arn:other, external_id: ext }";
    let (_, auth) = shown(role, &keys()).unwrap();
    assert!(auth.contains("Role") && auth.contains("arn:other") && auth.contains("AKIDENV"), "{auth}");
    let (url, auth) = shown("base_url: http://127.0.0.1:9", &keys()).unwrap();
    assert_eq!((url.as_str(), auth.as_str()), ("http://127.0.0.1:9/", "None"));
    assert!(shown("base_url: https://vpce.example, aws: {}", &keys()).unwrap().1.contains("AKIDENV"));
}

#[test]
fn a_profile_is_read_from_the_file_of_awss_tools() {
    let machine = Fixed::default().variable("HOME", "/home/u").file(
        "/home/u/.aws/credentials",
        "[default]\naws_access_key_id = AKIDDEFAULT\n# note\n[models]\naws_access_key_id=AKIDPROFILE\naws_secret_access_key = canary\n",
    );
    assert!(shown("aws: { profile: models }", &machine).unwrap().1.contains("AKIDPROFILE"));
    assert!(shown("aws: { profile: default }", &machine).unwrap_err().contains("has no keys of the profile `default`"));
}

#[test]
fn what_does_not_go_together_is_told() {
    for (fields, expected) in [
        ("key: env:K, aws: {}", "either a `key`"),
        ("aws: { access_key_id: AKID }", "belong together"),
        ("aws: { web_identity_token_file: /token }", "needs the `role`"),
        ("region: 'eu west'", "cannot stand in an address as `region`"),
        ("aws: { access_key_id: A, secret_access_key: plainly-written }", "secret_access_key"),
        ("type: openai, key: env:K, aws: {}", "means nothing to a provider of type `openai`"),
    ] {
        let error = shown(fields, &keys().variable("K", "canary")).unwrap_err();
        assert!(error.contains(expected), "{fields}: {error}");
    }
}
