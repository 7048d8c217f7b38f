//! Signatures as AWS's published examples and its own Python SDK make them.

use http::Method;

use super::*;

fn keys(session: Option<&str>) -> AwsKeys {
    AwsKeys {
        id: "AKIDEXAMPLE".to_owned(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        session: session.map(|token| Secret::new(token.to_owned())),
    }
}

fn signature(request: &Request<Bytes>) -> &str {
    request.headers()["authorization"].to_str().unwrap().rsplit_once("Signature=").unwrap().1
}

fn request(method: Method, uri: &str, media_type: Option<&'static str>, body: &'static str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(body.as_bytes()));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().unwrap();
    if let Some(media_type) = media_type {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    request
}

/// 2015-08-30T12:36:00Z, the moment of the published examples.
const PUBLISHED: UnixMillis = UnixMillis(1_440_938_160_000);
/// 2026-11-30T12:36:00Z.
const LATER: UnixMillis = UnixMillis(1_796_042_160_000);

#[test]
fn published_examples_are_signed_as_they_say() {
    let form = Some("application/x-www-form-urlencoded");
    let cases = [
        (
            Method::GET,
            "https://example.amazonaws.com/",
            None,
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Method::GET,
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            None,
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            Method::POST,
            "https://example.amazonaws.com/",
            None,
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            Method::POST,
            "https://example.amazonaws.com/",
            form,
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ];
    for (method, uri, media_type, body, expected) in cases {
        let mut request = request(method, uri, media_type, body);
        let scope = Scope { region: "us-east-1", service: "service", at: PUBLISHED };
        sign(&mut request, &keys(None), scope).unwrap();
        assert_eq!(signature(&request), expected, "{uri} {body}");
    }
}

#[test]
fn a_model_in_the_path_and_a_session_are_signed_as_the_python_sdk_does() {
    let uri = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-v1%3A0/converse";
    let mut request = request(Method::POST, uri, Some("application/json"), r#"{"messages":[]}"#);
    let scope = Scope { region: "eu-west-1", service: "bedrock", at: LATER };
    sign(&mut request, &keys(Some("session/token==")), scope).unwrap();
    assert_eq!(signature(&request), "3f8155e164cf6961ebe478d27ecdc8c4f20dbe38cd574292c8c8311c08af7796");
    let authorization = request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"));
    assert!(
        request.headers()["authorization"].is_sensitive() && request.headers()["x-amz-security-token"].is_sensitive()
    );
    // Signed again, as a second attempt is, it is the same.
    sign(&mut request, &keys(Some("session/token==")), scope).unwrap();
    assert_eq!(signature(&request), "3f8155e164cf6961ebe478d27ecdc8c4f20dbe38cd574292c8c8311c08af7796");
}

#[test]
fn a_query_is_brought_in_order() {
    let uri = "https://sts.eu-west-1.amazonaws.com/?b=2&a=1&a=0";
    let mut request = request(Method::POST, uri, Some("application/x-www-form-urlencoded"), "Action=X");
    sign(&mut request, &keys(None), Scope { region: "eu-west-1", service: "sts", at: LATER }).unwrap();
    assert_eq!(signature(&request), "c21e13d11266692678ec6dbcc4b32495d92cdbdbe55bc5d01dcf586928996f3a");
}

#[test]
fn ports_are_named_where_they_are_unusual() {
    for (uri, expected) in [
        ("https://a.example/x", "a.example"),
        ("https://a.example:443/x", "a.example"),
        ("http://127.0.0.1:8080/x", "127.0.0.1:8080"),
    ] {
        assert_eq!(host(&uri.parse().unwrap()), expected);
    }
}
