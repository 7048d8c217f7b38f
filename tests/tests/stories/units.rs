//! What is charged by other than tokens: pictures, speech, sounds, searches and pages, reserved before and exact after.

use std::path::Path;

use serde_json::{Value, json};
use tidegate_testkit::scripted::{Reply, Scripted};

use super::{
    gateway::{Gateway, Start, key},
    http,
};

/// A gateway in front of `upstream` as several vendors, with a key that may spend so much.
async fn start(folder: &Path, upstream: &Scripted, secret: &str, budget: &str, models: &Value) -> Gateway {
    let provider = |kind: &str| json!({"type": kind, "base_url": upstream.url("/v1"), "key": "env:VENDOR"});
    let config = json!({
        "version": 1,
        "providers": {"openai": provider("openai"), "cohere": provider("cohere"), "xai": provider("xai"),
            "mistral": provider("mistral"), "groq": provider("groq"),
            "anthropic": {"base_url": upstream.url("/v1"), "key": "env:VENDOR"}},
        "models": models,
        "keys": {"a": {"secret": "env:A", "allow": {"models": "*"}, "budget": budget}},
    });
    Start::new("serve", folder).config(config).env("A", secret).env("VENDOR", "of-the-vendor-0123456789").run().await
}

async fn post(gateway: &Gateway, secret: &str, path: &str, body: &Value) -> http::Answer {
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    http::send("POST", &format!("{}{path}", gateway.url), &headers, body.to_string()).await
}

/// A form with a model and a file.
async fn form(gateway: &Gateway, secret: &str, model: &str, file: &[u8]) -> http::Answer {
    let mut body = format!("--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n").into_bytes();
    body.extend_from_slice(b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n");
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--b--\r\n");
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "multipart/form-data; boundary=b")];
    http::send("POST", &format!("{}/v1/audio/transcriptions", gateway.url), &headers, body).await
}

/// The cost and the usage that the record of a call has.
async fn recorded(gateway: &Gateway, answer: &http::Answer) -> (String, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let path = format!("/api/v1/calls/{}", answer.header("x-tidegate-call-id"));
    let mut call = Value::Null;
    for _ in 0..100 {
        call = gateway.show(&path).await["call"].clone();
        if !call.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    (call["usd"].as_str().unwrap_or_default().to_owned(), call["usage"].clone())
}

async fn vendors() -> Scripted {
    let answering = Scripted::answering(|request| {
        match request.path.as_str() {
        "/v1/images/generations" => Reply::json(200, r#"{"created":1,"data":[{"url":"https://x/1"},{"url":"https://x/2"}]}"#),
        "/v1/audio/speech" => Reply::new(200, "audio/mpeg", &[], vec![7_u8; 4_000]),
        "/v1/audio/transcriptions" => {
            Reply::json(200, r#"{"text":"hello","usage":{"type":"duration","seconds":13}}"#)
        }
        "/v1/rerank" => Reply::json(
            200,
            r#"{"results":[{"index":0,"relevance_score":0.5}],"meta":{"billed_units":{"search_units":3}}}"#,
        ),
        "/v1/ocr" => Reply::json(200, r##"{"pages":[{"index":0,"markdown":"# a"}],"usage_info":{"pages_processed":4}}"##),
        "/v1/messages" => Reply::json(
            200,
            r#"{"id":"m","type":"message","role":"assistant","model":"claude-sonnet-4-6","stop_reason":"end_turn",
                "content":[{"type":"text","text":"hi"}],
                "usage":{"input_tokens":1000,"output_tokens":100,"server_tool_use":{"web_search_requests":2}}}"#,
        ),
        "/v1/responses" => Reply::json(
            200,
            json!({"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-4.1",
                "tools": [{"type": "web_search"}], "output": [
                    {"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search", "query": "a"}},
                    {"type": "web_search_call", "id": "w2", "status": "completed", "action": {"type": "open_page", "url": "https://x"}},
                    {"type": "message", "id": "m", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
                "usage": {"input_tokens": 1_000, "output_tokens": 100, "total_tokens": 1_100}})
            .to_string(),
        ),
        _ => Reply::json(404, "{}"),
    }
    });
    answering.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_speech_sounds_searches_and_pages_cost_what_their_vendors_charge() {
    let folder = tempfile::tempdir().unwrap();
    let (upstream, secret) = (vendors().await, key());
    let gateway = start(folder.path(), &upstream, &secret, "100 usd/day", &json!({})).await;
    let of = async |path: &str, body: Value| recorded(&gateway, &post(&gateway, &secret, path, &body).await).await;

    let (cost, usage) = of(
        "/v1/images/generations",
        json!({"model": "xai/grok-imagine-image-2.0", "prompt": "a", "n": 2, "resolution": "1k"}),
    )
    .await;
    assert_eq!(
        (cost.as_str(), &usage["units"], &usage["picture"]["size"]),
        ("0.08", &json!({"image": 2}), &json!("1k"))
    );
    let (cost, _) =
        of("/v1/images/generations", json!({"model": "xai/grok-imagine-image-2.0", "prompt": "a", "n": 2})).await;
    assert_eq!(cost, "0.12", "the usual sort where the call names none");
    let (cost, usage) =
        of("/v1/audio/speech", json!({"model": "openai/tts-1", "voice": "alloy", "input": "Grüße!"})).await;
    assert_eq!((cost.as_str(), &usage["units"]), ("0.00009", &json!({"character": 6})));
    let (cost, usage) =
        of("/v1/rerank", json!({"model": "cohere/rerank-v3.5", "query": "q", "documents": ["a", "b"]})).await;
    assert_eq!((cost.as_str(), &usage["units"]), ("0.006", &json!({"search_unit": 3})));
    let document = json!({"type": "document_url", "document_url": "https://x.example/a.pdf"});
    let (cost, usage) = of("/v1/ocr", json!({"model": "mistral/mistral-ocr-latest", "document": document})).await;
    assert_eq!((cost.as_str(), &usage["units"]), ("0.016", &json!({"page": 4})));
    let (cost, usage) = recorded(&gateway, &form(&gateway, &secret, "openai/whisper-1", &[0; 60_000]).await).await;
    assert_eq!((cost.as_str(), &usage["units"]), ("0.0013", &json!({"audio": 13_000})));
    // Groq charges 0.111 dollars an hour: a third of a nano-dollar is rounded up once.
    let (cost, _) = recorded(&gateway, &form(&gateway, &secret, "groq/whisper-large-v3", &[0; 60_000]).await).await;
    assert_eq!(cost, "0.000400834");

    // Fees for a vendor's own searches come on top of the tokens.
    let search = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 5});
    let asked = json!({"model": "anthropic/claude-sonnet-4-6", "max_tokens": 200, "tools": [search],
        "messages": [{"role": "user", "content": "what is new?"}]});
    let (cost, usage) = of("/v1/messages", asked).await;
    assert_eq!((cost.as_str(), &usage["units"]), ("0.0245", &json!({"web_search": 2})), "0.003 + 0.0015 + 2 × 0.01");
    let asked = json!({"model": "openai/gpt-4.1", "input": "what is new?", "tools": [{"type": "web_search"}]});
    let (cost, usage) = of("/v1/responses", asked).await;
    assert_eq!((cost.as_str(), &usage["units"]), ("0.0128", &json!({"web_search": 1})), "0.002 + 0.0008 + 0.01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_refuses_the_pictures_that_would_go_over_it_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (upstream, secret) = (vendors().await, key());
    let models = json!({
        "drawn": {"route": "openai/own-painter", "price": {"pictures": [
            {"size": "1024x1024", "quality": "standard", "price": "0.04 usd/image"},
            {"size": "1024x1024", "quality": "hd", "price": "0.08 usd/image"}]}},
    });
    let gateway = start(folder.path(), &upstream, &secret, "0.15 usd/day", &models).await;
    let draw = async |body: Value| post(&gateway, &secret, "/v1/images/generations", &body).await;

    let over = draw(json!({"model": "drawn", "prompt": "a", "n": 2, "quality": "hd"})).await;
    assert_eq!((over.status, over.header("x-tidegate-error")), (402, "budget_exhausted"), "{}", over.text());
    // What is not named may be the dearest, so that two of them do not fit either.
    assert_eq!(draw(json!({"model": "drawn", "prompt": "a", "n": 2})).await.status, 402);
    assert_eq!(upstream.count(), 0, "nothing was sent");
    let fits = draw(json!({"model": "drawn", "prompt": "a", "n": 2, "size": "1024x1024", "quality": "standard"})).await;
    assert_eq!(recorded(&gateway, &fits).await.0, "0.08");
    let again =
        draw(json!({"model": "drawn", "prompt": "a", "n": 2, "size": "1024x1024", "quality": "standard"})).await;
    assert_eq!(again.status, 402, "0.08 of 0.15 is spent");

    // A sound may be as long as its bytes at the lowest rate; a model without a price is none to spend on.
    let long = form(&gateway, &secret, "openai/whisper-1", &vec![0; 2_000_000]).await;
    assert_eq!((long.status, long.header("x-tidegate-error")), (402, "budget_exhausted"), "{}", long.text());
    let unpriced = draw(json!({"model": "openai/unheard-of", "prompt": "a"})).await;
    assert_eq!(unpriced.status, 403, "{}", unpriced.text());
    assert_eq!(upstream.count(), 1);
}
