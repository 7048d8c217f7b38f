//! Keys from everybody who hands them out, their renewal, and what is signed with them.

use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_testkit::scripted::{Reply, Scripted};

use super::*;
use crate::credential::Auth;

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(None, Vec::new()).unwrap())
}

fn known() -> AwsKeys {
    AwsKeys { id: "AKIDKNOWN".to_owned(), secret: Secret::new("known-secret".to_owned()), session: None }
}

fn keys(number: u64, seconds: i64) -> String {
    let until = jiff::Timestamp::from_millisecond(i64::try_from(clock::wall().0).unwrap() + seconds * 1000).unwrap();
    format!(
        r#"{{"Code":"Success","AccessKeyId":"AKID{number}","SecretAccessKey":"sec/ret","Token":"sess+ion","Expiration":"{}"}}"#,
        until.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
}

fn assumed(action: &str) -> String {
    let until = clock::wall().0 / 1000 + 3600;
    format!(
        r#"{{"{action}Response":{{"{action}Result":{{"AssumedRoleUser":{{"Arn":"a"}},"Credentials":{{"AccessKeyId":"AKIDROLE","SecretAccessKey":"s","SessionToken":"t","Expiration":{until}.0}}}}}}}}"#
    )
}

fn aws(identity: AwsIdentity, to: Destination) -> Aws {
    Aws { region: "eu-west-1".to_owned(), identity, to }
}

fn signer(aws: Aws) -> Auth {
    let keys = Keys::Tokens(Tokens::new(Source::Aws(aws)));
    Auth::Aws(AwsSigner { region: "eu-west-1".into(), keys })
}

fn request() -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(b"{}"));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse".parse().unwrap();
    request
}

#[tokio::test]
async fn known_keys_sign_for_bedrock_in_their_region() {
    let auth = Auth::Aws(AwsSigner::new("eu-west-1", AwsSource::Keys(known())).unwrap());
    let mut request = request();
    request.headers_mut().insert("authorization", http::HeaderValue::from_static("Bearer callers-own"));
    auth.authorize(&mut request, &pool()).await.unwrap();
    let shown = request.headers()["authorization"].to_str().unwrap();
    assert!(
        shown.starts_with("AWS4-HMAC-SHA256 Credential=AKIDKNOWN/")
            && shown.contains("/eu-west-1/bedrock/aws4_request")
    );
    assert!(!format!("{auth:?} {:?}", request.headers()).contains("known-secret"));
}

#[tokio::test]
async fn a_machine_is_asked_for_a_session_its_role_and_its_keys() {
    let server = Scripted::answering(|received| match received.path.as_str() {
        "/latest/api/token" => Reply::new(200, "text/plain", &[], "imds-session"),
        "/latest/meta-data/iam/security-credentials/" => Reply::new(200, "text/plain", &[], "the-role\n"),
        _ => Reply::json(200, keys(7, 3600)),
    });
    let server = server.await.unwrap();
    let auth = signer(aws(AwsIdentity::Machine, Destination::metadata(&server.url("")).unwrap()));
    let mut request = request();
    auth.authorize(&mut request, &pool()).await.unwrap();
    assert!(request.headers()["authorization"].to_str().unwrap().contains("Credential=AKID7/"));
    assert_eq!(request.headers()["x-amz-security-token"], "sess+ion");
    let received = server.received();
    let asked: Vec<_> = received.iter().map(|asked| (asked.method.as_str(), asked.path.as_str())).collect();
    let expected = [
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/iam/security-credentials/"),
        ("GET", "/latest/meta-data/iam/security-credentials/the-role"),
    ];
    assert_eq!(asked, expected);
    assert!(received[1..].iter().all(|asked| asked.header("x-aws-ec2-metadata-token") == Some("imds-session")));
    // What the vendor might echo is taken out of its answers.
    assert_eq!(auth.shown().as_deref(), Some("sess+ion"));
}

#[tokio::test]
async fn a_container_shows_its_token_from_the_file_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "pod-token\n").unwrap();
    let server = Scripted::answering(|_| Reply::json(200, keys(1, 3600))).await.unwrap();
    let identity = AwsIdentity::Container { uri: server.url("/v1/credentials"), token: None, token_file: Some(file) };
    let to = container(&server.url("/v1/credentials")).unwrap();
    let issued = aws(identity, to).ask(&pool()).await.unwrap();
    assert_eq!(unpacked(&issued.token).unwrap().id, "AKID1");
    assert!(issued.holds > Duration::from_secs(3_500));
    let received = server.received();
    assert_eq!(
        (received[0].path.as_str(), received[0].header("authorization")),
        ("/v1/credentials", Some("pod-token"))
    );
}

#[test]
fn containers_are_gone_to_without_tls_only_where_they_are() {
    for good in [
        "/v2/x",
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1",
        "http://127.0.0.1:9/x",
        "https://keys.example/x",
    ] {
        assert!(container(good).is_ok(), "{good}");
    }
    for bad in ["http://keys.example/x", "http://169.254.169.254/latest", "http://10.0.0.1/x", "ftp://127.0.0.1/x"] {
        assert!(container(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_role_is_assumed_with_a_web_identity_or_with_signed_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "oidc.jwt.token").unwrap();
    let server = Scripted::answering(|received| {
        let action = if received.text().contains("WebIdentity") { "AssumeRoleWithWebIdentity" } else { "AssumeRole" };
        Reply::json(200, assumed(action))
    });
    let server = server.await.unwrap();
    let to = || Destination::http(&server.url(""), true).unwrap();
    let (role, session) = ("arn:aws:iam::1:role/r".to_owned(), "tidegate".to_owned());
    let identity = AwsIdentity::WebIdentity { role: role.clone(), file, session: session.clone() };
    let issued = aws(identity, to()).ask(&pool()).await.unwrap();
    assert_eq!(unpacked(&issued.token).unwrap().session.unwrap().expose(), "t");
    let external_id = Some("ext".to_owned());
    let identity = AwsIdentity::Role { role, external_id, session, with: Box::new(AwsSource::Keys(known())) };
    let issued = aws(identity, to()).ask(&pool()).await.unwrap();
    assert_eq!(unpacked(&issued.token).unwrap().id, "AKIDROLE");
    let received = server.received();
    assert_eq!(received[0].header("authorization"), None);
    assert!(received[0].text().contains("WebIdentityToken=oidc.jwt.token"));
    let signed = received[1].header("authorization").unwrap();
    assert!(signed.contains("Credential=AKIDKNOWN/") && signed.contains("/eu-west-1/sts/"), "{signed}");
    assert!(received[1].text().contains("ExternalId=ext") && !received[1].text().contains("known-secret"));
}

#[tokio::test]
async fn keys_are_asked_for_once_kept_and_renewed_when_they_expire() {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    // The first keys hold for a second less than nothing is shown of them; what follows holds for an hour.
    let server = Scripted::answering(move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        Reply::json(200, keys(number, if number == 0 { 2 } else { 3600 }))
    });
    let server = server.await.unwrap();
    let identity = || AwsIdentity::Container { uri: server.url("/"), token: None, token_file: None };
    let auth = signer(aws(identity(), container(&server.url("/")).unwrap()));
    let pool = pool();
    let sign = || async {
        let mut request = request();
        auth.authorize(&mut request, &pool).await.unwrap();
        request.headers()["authorization"].to_str().unwrap().to_owned()
    };
    let all = futures_util::future::join_all((0..8).map(|_| sign())).await;
    assert!(all.iter().all(|shown| shown.contains("Credential=AKID0/")));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert!(sign().await.contains("Credential=AKID1/"));
    assert!(sign().await.contains("Credential=AKID1/"));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refusal_an_expired_answer_and_a_page_are_told_without_their_text() {
    let page = "<html>secret-canary</html>".to_owned();
    for (status, body) in
        [(403, r#"{"Error":{"Message":"secret-canary"}}"#.to_owned()), (200, keys(1, -5)), (200, page)]
    {
        let server = Scripted::answering(move |_| Reply::json(status, body.clone())).await.unwrap();
        let identity = AwsIdentity::Container { uri: server.url("/"), token: None, token_file: None };
        let error = aws(identity, container(&server.url("/")).unwrap()).ask(&pool()).await.unwrap_err();
        assert!(matches!(&error, CredentialError::Unavailable { .. }));
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
