//! Google's ways to a token, over a scripted service.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose};
use tidegate_testkit::scripted::{Reply, Scripted};

use super::*;

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(None, Vec::new()).unwrap())
}

fn pem(key: &RsaKeyPair) -> String {
    let der = key.as_der().unwrap();
    let text = general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..(at + 64).min(text.len())]).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn account(private_key: &str, token_uri: &str) -> serde_json::Value {
    serde_json::json!({
        "type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": private_key,
        "client_email": "svc@p.iam.gserviceaccount.com", "token_uri": token_uri,
    })
}

#[tokio::test]
async fn a_service_account_signs_for_its_token() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let server = Scripted::start([Reply::json(200, r#"{"access_token":"g","expires_in":3599}"#)]).await.unwrap();
    let read = serde_json::from_value(account(&pem(&key), "https://oauth2.googleapis.com/token")).unwrap();
    let to = Destination::http(&server.url("/token"), true).unwrap();
    let tokens = Tokens::google_account_at(read, None, to).unwrap();
    assert_eq!(tokens.token(&pool()).await.unwrap().expose(), "g");
    let body = server.received()[0].text();
    let fields: std::collections::HashMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!(fields["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let parts: Vec<&str> = fields["assertion"].split('.').collect();
    let decode = |text: &str| general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    let json = |text: &str| serde_json::from_slice::<serde_json::Value>(&decode(text)).unwrap();
    assert_eq!(json(parts[0]), serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    let claims = json(parts[1]);
    assert_eq!(claims["iss"], "svc@p.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
    assert_eq!(claims["scope"], GOOGLE_SCOPE);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3_600);
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    let signed = format!("{}.{}", parts[0], parts[1]);
    public.verify(signed.as_bytes(), &decode(parts[2])).unwrap();
}

#[tokio::test]
async fn a_foreign_token_is_exchanged_and_a_service_account_impersonated() {
    let folder = std::env::temp_dir().join(format!("tidegate-subject-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("token.json");
    std::fs::write(&file, r#"{"id_token":"subject"}"#).unwrap();
    let server = Scripted::answering(|received| match received.path.as_str() {
        "/v1/token" => Reply::json(200, r#"{"access_token":"exchanged","expires_in":3600}"#),
        _ => Reply::json(200, r#"{"accessToken":"impersonated","expireTime":"2099-01-01T00:00:00Z"}"#),
    })
    .await
    .unwrap();
    let read = serde_json::from_value(serde_json::json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "token_url": "https://sts.googleapis.com/v1/token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "credential_source": { "file": file, "format": { "type": "json", "subject_token_field_name": "id_token" } },
    }))
    .unwrap();
    let at = |path: &str| Destination::http(&server.url(path), true).unwrap();
    let tokens = Tokens::google_external_at(read, None, at("/v1/token"), Some(at("/svc:generateAccessToken"))).unwrap();
    assert_eq!(tokens.token(&pool()).await.unwrap().expose(), "impersonated");
    let received = server.received();
    assert!(received[0].text().contains("subject_token=subject"), "{}", received[0].text());
    assert!(received[0].text().contains("audience=%2F%2Fiam.googleapis.com%2Fpool"));
    assert_eq!(received[1].header("authorization"), Some("Bearer exchanged"));
    assert!(received[1].text().contains(GOOGLE_SCOPE));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_metadata_server_is_asked_with_its_header() {
    let server = Scripted::start([Reply::json(200, r#"{"access_token":"m","expires_in":3599}"#)]).await.unwrap();
    let tokens = Tokens::google(Way::Metadata { to: Destination::metadata(&server.url("")).unwrap() }, None);
    assert_eq!(tokens.token(&pool()).await.unwrap().expose(), "m");
    let received = &server.received()[0];
    assert!(received.path.starts_with("/computeMetadata/v1/instance/service-accounts/default/token?scopes="));
    assert_eq!((received.method.as_str(), received.header("metadata-flavor")), ("GET", Some("Google")));
}

#[test]
fn a_file_that_cannot_be_used_says_why_and_shows_nothing() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let good = account(&pem(&key), "https://oauth2.googleapis.com/token");
    let with = |name: &str, value: &str| {
        let mut file = good.clone();
        file[name] = value.into();
        file.to_string()
    };
    assert!(Tokens::google_account(&Secret::new(good.to_string()), None).is_ok());
    for (file, why) in [
        ("canary".to_owned(), "it is no JSON"),
        (r#"{"type":"service_account"}"#.to_owned(), "a member is missing"),
        (with("type", "authorized_user"), "not `service_account`"),
        (with("private_key", "canary"), "no PEM"),
        (with("token_uri", "http://oauth2.googleapis.com/token"), "over https alone"),
        (with("token_uri", "not a url"), "no URL"),
    ] {
        let error = Tokens::google_account(&Secret::new(file), None).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("canary"), "{error}");
    }
    let external = r#"{"type":"external_account","audience":"a","subject_token_type":"t","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"environment_id":"aws1"}}"#;
    let error = Tokens::google_external(&Secret::new(external.to_owned()), None).unwrap_err();
    assert!(error.to_string().contains("no `file`"), "{error}");
}
