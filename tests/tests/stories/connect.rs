//! Other programs' settings: what is changed, what is not, and how it is undone.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    gateway::{Gateway, Start},
    terminal::{Done, tidegate},
};

const SETTINGS: &str = "// my settings\n{\n    \"theme\": \"dark\", // at night\n    \"env\": { \"FOO\": \"1\" },\n}\n";
const SERVERS: &str =
    "{\"numStartups\":7,\"mcpServers\":{\"mine\":{\"command\":\"x\"}},\"oauth\":\"canary-of-the-user\"}";

struct Home {
    gateway: Gateway,
    home: PathBuf,
    _folder: tempfile::TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Start::new("up", folder.path()).run().await;
        Self { gateway, home: folder.path().join("home"), _folder: folder }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.join(name)).unwrap()
    }

    /// The states of the keys of this name, as the gateway has them.
    async fn keys(&self, name: &str) -> Vec<String> {
        let listed = self.run(&["key", "list", "-o", "json"]).await.json();
        let of_name = listed.as_array().unwrap().iter().filter(|key| key["name"] == name);
        of_name.map(|key| key["state"].as_str().unwrap().to_owned()).collect()
    }

    async fn run(&self, arguments: &[&str]) -> Done {
        tidegate(&self.gateway, arguments).await
    }

    /// Everything below the home folder but what the command keeps for itself.
    fn all(&self) -> Vec<(PathBuf, String)> {
        fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.home, &mut found);
        found.retain(|(path, _)| !path.to_str().unwrap().contains(".local/state"));
        found.sort();
        found
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_and_disconnecting_leaves_every_byte_as_it_was() {
    let home = Home::new().await;
    home.write(".claude/settings.json", SETTINGS);
    home.write(".claude.json", SERVERS);
    home.write(".cursor/mcp.json", "{}");
    home.write(".config/Code/User/mcp.json", "{\r\n\t\"servers\": {},\r\n\t\"inputs\": []\r\n}\r\n");
    home.write(".codex/config.toml", "model = \"gpt-5\"\n[mcp_servers.mine]\ncommand = \"mine\"\n");
    home.write(".gemini/settings.json", "{\n  // mine\n  \"theme\": \"Dracula\",\n}\n");
    home.write(".config/opencode/opencode.json", "{ \"provider\": { \"mine\": {} }, }");
    home.write(".config/Claude/claude_desktop_config.json", "{\"mcpServers\":{\"mine\":{\"command\":\"mine\"}}}");
    let before = home.all();
    let clients = ["claude-code", "claude-desktop", "codex", "cursor", "gemini", "opencode", "vscode"];
    for client in clients.into_iter().chain(["openai-python", "anthropic-python", "google-python"]) {
        let shown = home.run(&["connect", client, "--dry-run"]).await;
        assert_eq!(shown.code, 2, "{client}: {shown:?}");
        assert_eq!(home.all(), before, "{client}: a dry run changed something");
        assert!(home.keys(client).await.is_empty(), "{client}: a dry run made a key");
        let done = home.run(&["connect", client]).await;
        assert_eq!(done.code, 0, "{client}: {done:?}");
        assert!(done.err.contains("asked as the client will: "), "{client}: {done:?}");
        assert!(done.err.lines().any(|line| line.starts_with("+ ") || line.starts_with('+')), "{client}: {done:?}");
        let after = home.all();
        assert_ne!(after, before, "{client}");
        for (path, text) in &after {
            assert!(!text.contains(&home.gateway.key) && !text.contains("tg_"), "a key is in {}", path.display());
        }
        assert_eq!(home.keys(client).await, ["active"], "{client} has a key of its own");
        let again = home.run(&["connect", client]).await;
        assert!(again.code == 0 && again.err.contains("already"), "{client}: {again:?}");
        assert_eq!(home.all(), after, "{client}");
        assert_eq!(home.keys(client).await, ["active"], "{client}");
        let done = home.run(&["disconnect", client]).await;
        assert_eq!(done.code, 0, "{client}: {done:?}");
        assert_eq!(home.all(), before, "{client}");
        assert_eq!(home.keys(client).await, ["revoked"], "{client}");
        assert_eq!(home.run(&["disconnect", client]).await.code, 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connected_client_has_what_it_reads_and_keeps_what_its_user_wrote() {
    let home = Home::new().await;
    home.write(".claude/settings.json", SETTINGS);
    home.write(".claude.json", SERVERS);
    assert_eq!(home.run(&["connect", "claude-code"]).await.code, 0);
    let text = home.read(".claude/settings.json");
    assert!(text.starts_with("// my settings\n") && text.contains("\"theme\": \"dark\", // at night\n"), "{text}");
    assert!(text.contains(&format!("\"FOO\": \"1\", \"ANTHROPIC_BASE_URL\": \"{}\"", home.gateway.url)), "{text}");
    let line = text.lines().find(|line| line.contains("apiKeyHelper")).unwrap();
    let helper: String = serde_json::from_str(line.split_once(": ").unwrap().1.trim_end_matches(',')).unwrap();
    // The helper is run as the client runs it.
    let ran = std::process::Command::new("/bin/sh").args(["-c", &helper]).env_clear().output().unwrap();
    let lent = String::from_utf8(ran.stdout).unwrap().trim().to_owned();
    assert!(lent.starts_with("tg_") && lent != home.gateway.key, "{helper}");
    let asked = home.run(&["chat", "hello"]).await;
    let with_helper = super::terminal::with_key(&home.gateway, &lent, &["chat", "hello", "-o", "json"]).await;
    assert!(asked.code == 0 && with_helper.code == 0, "{with_helper:?}");
    let call = with_helper.json()["call"].as_str().unwrap().to_owned();
    let rows = home.run(&["calls", "-o", "json"]).await.json();
    let row = rows.as_array().unwrap().iter().find(|row| row["id"] == call.as_str()).unwrap();
    assert_eq!(row["key"], "claude-code", "its calls are told apart");
    let servers: Value = serde_json::from_str(&home.read(".claude.json")).unwrap();
    let ours =
        servers["mcpServers"].as_object().unwrap().iter().find(|(name, _)| name.starts_with("tidegate")).unwrap().1;
    assert!(ours["url"].as_str().unwrap().starts_with(&format!("{}/mcp", home.gateway.url)), "{ours}");
    let helper = ours["headersHelper"].as_str().unwrap();
    let ran = std::process::Command::new("/bin/sh").args(["-c", helper]).env_clear().output().unwrap();
    let headers: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let bearer = headers["Authorization"].as_str().unwrap();
    assert!(bearer.starts_with(&format!("Bearer {}", lent.get(..12).unwrap())), "the same key: {bearer}");

    // What the user changes meanwhile stays; what was put in goes.
    home.write(
        ".claude/settings.json",
        &text.replace("\"dark\"", "\"light\"").replace("\"FOO\": \"1\"", "\"FOO\": \"2\""),
    );
    let done = home.run(&["disconnect", "claude-code"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("was changed since"), "{done:?}");
    let text = home.read(".claude/settings.json");
    assert_eq!(text, SETTINGS.replace("\"dark\"", "\"light\"").replace("\"1\"", "\"2\""), "{text}");
    assert_eq!(home.read(".claude.json"), SERVERS);
    // What the helper was lent went with the key.
    assert_eq!(super::terminal::with_key(&home.gateway, &lent, &["chat", "hello"]).await.code, 3);
}

/// An editor that asks its user for the key gets one of its own, shown once; it outlives the gateway's next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_for_a_key_has_its_own_until_it_is_disconnected() {
    let mut home = Home::new().await;
    let done = home.run(&["connect", "vscode"]).await;
    let key = done
        .err
        .split_whitespace()
        .find_map(|word| word.find("tg_").map(|at| word[at..].trim_end_matches(',').to_owned()));
    let key = key.unwrap_or_else(|| panic!("no key is shown: {done:?}"));
    home.gateway.stop().await;
    home.gateway = Start::new("up", home._folder.path()).run().await;
    assert_eq!(super::terminal::with_key(&home.gateway, &key, &["chat", "hello"]).await.code, 0);
    // Rotated since, it is still the one that goes.
    let rotated = home.run(&["key", "rotate", "vscode", "-o", "json"]).await.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(home.run(&["disconnect", "vscode"]).await.code, 0);
    assert_eq!(super::terminal::with_key(&home.gateway, &rotated, &["chat", "hello"]).await.code, 3);

    // Without its gateway the settings go back all the same, and what stays is said.
    assert_eq!(home.run(&["connect", "cursor"]).await.code, 0);
    home.gateway.stop().await;
    let done = home.run(&["disconnect", "cursor"]).await;
    assert!(done.code == 0 && done.err.contains("tidegate key revoke cursor"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_is_left_alone_and_a_shell_gets_its_lines() {
    let home = Home::new().await;
    home.write(".cursor/mcp.json", "{ \"mcpServers\": [\n");
    let done = home.run(&["connect", "cursor"]).await;
    assert_eq!(done.code, 5, "{done:?}");
    assert!(done.err.contains("line 2") && done.err.contains("nothing was changed"), "{done:?}");
    assert_eq!(home.read(".cursor/mcp.json"), "{ \"mcpServers\": [\n");
    let wrong = home.run(&["connect", "claud-code"]).await;
    assert!(wrong.code == 64 && wrong.err.contains("did you mean `claude-code`"), "{wrong:?}");

    let done = home.run(&["connect", "openai-python", "--print"]).await;
    assert!(done.code == 0 && !done.out.contains("tg_"), "{done:?}");
    let script = format!("{}\nprintf '%s %s' \"$OPENAI_BASE_URL\" \"$OPENAI_API_KEY\"", done.out);
    let ran = std::process::Command::new("/bin/sh").args(["-c", &script]).env_clear().output().unwrap();
    let told = String::from_utf8(ran.stdout).unwrap();
    let id = home.gateway.key.get(..12).unwrap();
    assert!(told.starts_with(&format!("{}/v1 {id}", home.gateway.url)), "the key of the quick start, lent: {told}");

    let listed = home.run(&["connect", "-o", "json"]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 10);
}
