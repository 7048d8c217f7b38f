//! Tokens over a scripted source: asked for once, renewed in time, and not asked for again right after a failure.

use http::{HeaderValue, Request, header};
use tidegate_testkit::scripted::{Reply, Scripted, Step};

use super::*;
use crate::{
    credential::{Auth, azure::AzureIdentity},
    target::Destination,
};

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(None, Vec::new()).unwrap())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn application() -> AzureIdentity {
    AzureIdentity::Secret { tenant: "t".to_owned(), client: "app".to_owned(), secret: secret("canary+secret") }
}

fn tokens(server: &Scripted, identity: AzureIdentity) -> Tokens {
    let to = match identity {
        AzureIdentity::Machine { .. } => Destination::metadata(&server.url("")),
        AzureIdentity::AppService { .. } => Destination::metadata(&server.url("/msi/token")),
        _ => Destination::http(&server.url(""), true),
    };
    Tokens::azure_at(identity, None, to.unwrap())
}

fn token(name: &str, seconds: u64) -> Reply {
    Reply::json(200, format!(r#"{{"access_token":"{name}","expires_in":{seconds},"token_type":"Bearer"}}"#))
}

/// What a call finds at a moment, as it would be told.
async fn at(tokens: &Tokens, pool: &Arc<Pool>, now: Instant) -> Result<String, CredentialError> {
    loop {
        match tokens.look(now, pool) {
            Found::Token(token) => return Ok(token.expose().to_owned()),
            Found::Failed(error) => return Err(error),
            Found::Wait(mut over) => drop(over.changed().await),
        }
    }
}

async fn settled(server: &Scripted, count: usize) {
    for _ in 0..400 {
        if server.count() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} requests and not {count}", server.count());
}

#[tokio::test]
async fn an_application_shows_its_secret_once_for_many_calls() {
    let slow = Reply(vec![Step::Pause(Duration::from_millis(50))]);
    let reply = Reply(slow.0.into_iter().chain(token("one", 3_600).0).collect());
    let server = Scripted::start([reply]).await.unwrap();
    let (tokens, pool) = (tokens(&server, application()), pool());
    let auth = Auth::Tokens(tokens);
    let calls = (0..20).map(|_| async {
        let mut request = Request::new(bytes::Bytes::new());
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer callers-own"));
        auth.authorize(&mut request, &pool).await.unwrap();
        let value = request.headers().get(header::AUTHORIZATION).unwrap();
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_owned()
    });
    for shown in futures_util::future::join_all(calls).await {
        assert_eq!(shown, "Bearer one");
    }
    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].method.as_str(), received[0].path.as_str()), ("POST", "/t/oauth2/v2.0/token"));
    assert_eq!(
        received[0].text(),
        "grant_type=client_credentials&client_id=app&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default\
         &client_secret=canary%2Bsecret"
    );
    assert_eq!(auth.shown().as_deref(), Some("one"), "what was shown is taken out of answers");
    assert!(!format!("{auth:?}").contains("canary"));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_never_waited_for_while_it_holds() {
    let server = Scripted::start([token("one", 3_600), token("two", 3_600)]).await.unwrap();
    let (tokens, pool) = (tokens(&server, application()), pool());
    let start = clock::now();
    assert_eq!(at(&tokens, &pool, start).await.unwrap(), "one");
    assert_eq!(at(&tokens, &pool, start + Duration::from_secs(3_200)).await.unwrap(), "one");
    assert_eq!(server.count(), 1, "far from its end nobody is asked");
    // Five minutes before its end it is renewed, and the call goes on with the old one.
    assert_eq!(at(&tokens, &pool, start + Duration::from_secs(3_400)).await.unwrap(), "one");
    settled(&server, 2).await;
    // Past its end the new one is there, or waited for.
    assert_eq!(at(&tokens, &pool, start + Duration::from_secs(3_599)).await.unwrap(), "two");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_failure_is_told_without_secrets_and_asked_again_only_after_a_while() {
    let refusal = Reply::json(401, r#"{"error":"invalid_client","error_description":"canary+secret is wrong"}"#);
    let server = Scripted::start([refusal, token("one", 3_600)]).await.unwrap();
    let (tokens, pool) = (tokens(&server, application()), pool());
    let error = tokens.token(&pool).await.unwrap_err().to_string();
    assert_eq!(error, "no credential from Microsoft Entra ID: it answered 401 (`invalid_client`)");
    assert!(tokens.token(&pool).await.is_err(), "the same answer, and nobody is asked");
    assert_eq!(server.count(), 1);
    assert_eq!(at(&tokens, &pool, clock::now() + AFTER_FAILURE).await.unwrap(), "one");
}

#[tokio::test]
async fn an_outage_at_renewal_leaves_the_token_that_holds() {
    let server = Scripted::start([token("one", 3_600), Reply::hang_up()]).await.unwrap();
    let (tokens, pool) = (tokens(&server, application()), pool());
    let start = clock::now();
    assert_eq!(at(&tokens, &pool, start).await.unwrap(), "one");
    assert_eq!(at(&tokens, &pool, start + Duration::from_secs(3_400)).await.unwrap(), "one");
    settled(&server, 2).await;
    assert_eq!(at(&tokens, &pool, start + Duration::from_secs(3_500)).await.unwrap(), "one");
    let late = at(&tokens, &pool, start + Duration::from_secs(3_600)).await;
    assert!(matches!(late, Err(CredentialError::Unavailable { .. })), "{late:?}");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_end_what_others_wait_for() {
    let reply = Reply(vec![Step::Pause(Duration::from_millis(100))].into_iter().chain(token("one", 60).0).collect());
    let server = Scripted::start([reply]).await.unwrap();
    let (tokens, pool) = (tokens(&server, application()), pool());
    let impatient = tokio::time::timeout(Duration::from_millis(20), tokens.token(&pool)).await;
    assert!(impatient.is_err());
    assert_eq!(tokens.token(&pool).await.unwrap().expose(), "one");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_answer_without_a_token_or_an_end_is_no_token() {
    for body in [
        "{}",
        r#"{"access_token":"x"}"#,
        r#"{"access_token":1,"expires_in":5}"#,
        r#"{"access_token":"x","expires_in":0}"#,
        "<html>",
    ] {
        let server = Scripted::start([Reply::json(200, body)]).await.unwrap();
        let error = tokens(&server, application()).token(&pool()).await.unwrap_err();
        assert!(error.to_string().contains("token"), "{error}");
    }
}

#[tokio::test]
async fn a_federated_token_is_read_anew_each_time() {
    let folder = std::env::temp_dir().join(format!("tidegate-token-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("token");
    let server = Scripted::start([token("one", 3_600), token("two", 3_600)]).await.unwrap();
    let identity = AzureIdentity::Federated { tenant: "t".to_owned(), client: "app".to_owned(), file: file.clone() };
    let (tokens, pool) = (tokens(&server, identity), pool());
    std::fs::write(&file, "first\n").unwrap();
    let start = clock::now();
    at(&tokens, &pool, start).await.unwrap();
    std::fs::write(&file, "second\n").unwrap();
    at(&tokens, &pool, start + Duration::from_secs(7_200)).await.unwrap();
    let bodies: Vec<String> = server.received().iter().map(|received| received.text()).collect();
    assert!(bodies[0].ends_with("client_assertion=first") && bodies[1].ends_with("client_assertion=second"));
    assert!(
        bodies[0].contains("client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer")
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_machine_and_an_app_service_ask_for_their_own_identity() {
    let server = Scripted::start([Reply::json(200, r#"{"access_token":"m","expires_in":"3599"}"#)]).await.unwrap();
    let machine = tokens(&server, AzureIdentity::Machine { client: Some("id 1".to_owned()) });
    assert_eq!(machine.token(&pool()).await.unwrap().expose(), "m");
    let received = server.received();
    assert_eq!(
        received[0].path,
        "/metadata/identity/oauth2/token?api-version=2018-02-01\
         &resource=https%3A%2F%2Fcognitiveservices.azure.com&client_id=id+1"
    );
    assert_eq!((received[0].method.as_str(), received[0].header("metadata")), ("GET", Some("true")));

    let end = clock::wall().0 / 1_000 + 600;
    let body = format!(r#"{{"access_token":"s","expires_on":"{end}"}}"#);
    let server = Scripted::start([Reply::json(200, body)]).await.unwrap();
    let identity =
        AzureIdentity::AppService { client: None, endpoint: server.url("/msi/token"), header: secret("canary") };
    assert_eq!(tokens(&server, identity).token(&pool()).await.unwrap().expose(), "s");
    let received = server.received();
    assert_eq!(
        received[0].path,
        "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fcognitiveservices.azure.com"
    );
    assert_eq!(received[0].header("x-identity-header"), Some("canary"));
}

#[test]
fn a_metadata_service_stands_where_clouds_keep_it() {
    for there in ["169.254.169.254", "169.254.170.2", "127.0.0.1", "::1", "fd00:ec2::254", "fd20:ce::254"] {
        assert!(crate::address::check_metadata(there.parse().unwrap()).is_ok(), "{there}");
    }
    for elsewhere in ["10.0.0.1", "8.8.8.8", "192.168.1.1", "fd00::1", "fe80::1", "0.0.0.0"] {
        assert!(crate::address::check_metadata(elsewhere.parse().unwrap()).is_err(), "{elsewhere}");
    }
    assert!(crate::address::check_address("169.254.169.254".parse().unwrap(), true).is_err(), "for nothing else");
}
