//! What policies and settings do to answers: proposals that are forbidden, bodies that are kept, names that are served.

use std::process::Command;

use serde_json::json;

use super::{
    gateway::{Start, binary, key, question},
    http,
};

/// Forbids one tool and observes the other.
const POLICY: &str = r#"
@id("no-shell")
forbid (principal, action == Tidegate::Action::"propose_tool", resource == Tidegate::ProposedTool::"shell");

@id("watch-weather") @mode("observe")
forbid (principal, action == Tidegate::Action::"propose_tool", resource == Tidegate::ProposedTool::"get_weather");
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_proposal_withholds_the_answer_and_cuts_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("tools.cedar"), POLICY).unwrap();
    let gateway = Start::new("up", folder.path()).config(json!({"version": 1, "policies": policies})).run().await;
    for (path, stream) in [
        ("/v1/chat/completions", false),
        ("/v1/chat/completions", true),
        ("/v1/messages", false),
        ("/v1/messages", true),
    ] {
        let ask = async |tool: &str| {
            let prompt = format!("[[sim: tool {tool} {{\"a\":\"distinct\"}}]]");
            gateway.post(path, &gateway.key, &question("sim/chat", &prompt, stream)).await
        };
        let allowed = ask("get_weather").await;
        assert!(allowed.status == 200 && allowed.text().contains("get_weather"), "{path} {}", allowed.text());
        let forbidden = ask("shell").await;
        let text = forbidden.text();
        assert_eq!(forbidden.status, if stream { 200 } else { 403 }, "{path} {text}");
        assert!(text.contains("policy_denied") && !text.contains("distinct"), "{path} {text}");
        assert!(!text.contains("[DONE]") && !text.contains("message_stop"), "{path} {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_bodies_are_encrypted_hold_what_guards_let_through_and_can_be_printed() {
    let folder = tempfile::tempdir().unwrap();
    let caller = key();
    let config = json!({
        "version": 1,
        "audit": {"bodies": "redacted"},
        "guardrails": {"pii": {"detect": ["email"], "on": ["request"], "action": "redact"}},
        "keys": {"k": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}, "guardrails": ["pii"]}},
    });
    let gateway = Start::new("up", folder.path()).config(config).env("CALLER_KEY", &caller).run().await;
    let answer = gateway.post("/v1/messages", &caller, &question("sim/chat", "I am jo@example.com today", true)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let story = gateway.show(&format!("/api/v1/calls/{}", answer.header("x-tidegate-call-id"))).await;
    let audit = story["audit"].as_array().unwrap();
    let outcome = audit.iter().find_map(|row| row.pointer("/entry/record/outcome/outcome")).unwrap();
    let blobs: Vec<&str> = outcome["blobs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let printed: Vec<String> = blobs
        .iter()
        .map(|name| {
            let print = || {
                Command::new(binary()).args(["audit", "body", name, "--data-dir"]).arg(&gateway.data).output().unwrap()
            };
            let mut output = print();
            // Bodies are written behind the calls they belong to.
            for _ in 0..50 {
                if output.status.success() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
                output = print();
            }
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!(printed.len(), 2, "{outcome}");
    assert!(printed[0].contains("I am [REDACTED:email] today"), "{}", printed[0]);
    assert_eq!(printed[1].as_bytes(), answer.body);
    for name in blobs {
        let file = gateway.data.join("blobs").join(&name[..2]).join(name);
        let raw = std::fs::read(file).unwrap();
        assert!(!raw.windows(8).any(|window| window == b"REDACTED"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dns_rebinding_host_and_origin() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Start::new("up", folder.path()).config(json!({"version": 1, "hosts": ["gate.example"]})).run().await;
    let bearer = format!("Bearer {}", gateway.key);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    for (host, origin, status) in [
        ("localhost:1", "", 200),
        ("gate.example", "https://gate.example", 200),
        ("evil.example", "", 403),
        ("127.0.0.1.evil.example:80", "", 403),
        ("localhost", "https://evil.example", 403),
        ("localhost", "null", 403),
    ] {
        let mut headers = vec![("authorization", bearer.as_str()), ("host", host)];
        if !origin.is_empty() {
            headers.push(("origin", origin));
        }
        let answer = http::send("POST", &format!("{}/mcp/sim", gateway.url), &headers, ping).await;
        // The simulator's server is not named in this configuration: who is let in learns that, others learn nothing.
        let expected = if status == 200 { 404 } else { status };
        assert_eq!(answer.status, expected, "{host} {origin}: {}", answer.text());
    }
}
