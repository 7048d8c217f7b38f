//! Setting up: a configuration of what was found, and a look whether all is well.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{
    gateway::{Start, binary},
    terminal::{Done, bare, run},
};

async fn here(folder: &std::path::Path, arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = bare(binary(), folder);
    command.args(arguments).envs(variables.iter().copied());
    run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_writes_what_check_accepts_and_never_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let found = [("OPENAI_API_KEY", "sk-canary-0123456789"), ("ANTHROPIC_API_KEY", "tg_abcdefgh_0123456789")];
    let shown = here(at, &["init", "--dry-run"], &found).await;
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(!at.join("tidegate.yaml").exists());
    let done = here(at, &["init"], &found).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("ANTHROPIC_API_KEY holds a key of a gateway"), "{done:?}");
    let text = std::fs::read_to_string(at.join("tidegate.yaml")).unwrap();
    assert_eq!(text, shown.out);
    assert!(text.starts_with("# yaml-language-server: $schema="), "{text}");
    assert!(text.contains("openai: { key: env:OPENAI_API_KEY }") && !text.contains("canary"), "{text}");
    let checked = here(at, &["check", "tidegate.yaml"], &[]).await;
    assert_eq!(checked.code, 0, "{checked:?}");

    std::fs::write(at.join("tidegate.yaml"), "version: 1\n").unwrap();
    let refused = here(at, &["init"], &found).await;
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains("--force"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(at.join("tidegate.yaml")).unwrap(), "version: 1\n");
    assert_eq!(here(at, &["init", "--force"], &found).await.code, 0);
    assert_eq!(std::fs::read_to_string(at.join("tidegate.yaml")).unwrap(), text);
    assert_eq!(std::fs::read_to_string(at.join("tidegate.yaml.before-init")).unwrap(), "version: 1\n");
}

fn states(done: &Done, check: &str) -> Vec<String> {
    let rows: Value = done.json();
    let of = rows.as_array().unwrap().iter().filter(|row| row["check"] == check);
    of.map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_what_does_not_hold_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = async |config: &str| {
        let mut arguments = vec!["doctor", "--offline", "-o", "json", "--data-dir", "data"];
        if !config.is_empty() {
            arguments.extend(["-c", config]);
        }
        here(folder.path(), &arguments, &[]).await
    };
    let done = doctor("").await;
    assert_eq!(done.code, 0, "nothing there is nothing wrong: {done:?}");
    let mut gateway = Start::new("up", folder.path()).run().await;
    let done = doctor("").await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(states(&done, "gateway"), ["ok"]);
    assert_eq!(states(&done, "data directory"), ["ok"]);
    assert!(!done.out.contains("tg_"));

    std::fs::write(folder.path().join("bad.yaml"), "version: 1\nmodels: { chat: none/such }\n").unwrap();
    let done = doctor("bad.yaml").await;
    assert_eq!((done.code, states(&done, "configuration")), (1, vec!["fail".to_owned()]), "{done:?}");

    let key = gateway.data.join("keys/admin-token");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let done = doctor("").await;
    assert_eq!((done.code, states(&done, "data directory")), (1, vec!["fail".to_owned()]));
    assert!(done.out.contains("chmod 600 data/keys/admin-token"), "{done:?}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    gateway.kill().await;
    let done = doctor("").await;
    assert_eq!((done.code, states(&done, "gateway")), (0, vec!["warn".to_owned()]), "{done:?}");
    // One byte of the log is another one.
    let checkpoint = gateway.data.join("audit/log.pub");
    let text = std::fs::read_to_string(&checkpoint).unwrap();
    std::fs::write(&checkpoint, text.replacen('+', "-", 1)).unwrap();
    let done = doctor("").await;
    assert_eq!((done.code, states(&done, "audit log")), (1, vec!["fail".to_owned()]), "{done:?}");
}
