//! The clients that can be connected: data in `catalog/clients`, each with where its makers say so.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::edit::Edit;
use crate::{
    exit,
    output::{self, exit},
};

const FILES: [(&str, &str); 10] = [
    ("anthropic-python", include_str!("../../../../../catalog/clients/anthropic-python.toml")),
    ("claude-code", include_str!("../../../../../catalog/clients/claude-code.toml")),
    ("claude-desktop", include_str!("../../../../../catalog/clients/claude-desktop.toml")),
    ("codex", include_str!("../../../../../catalog/clients/codex.toml")),
    ("cursor", include_str!("../../../../../catalog/clients/cursor.toml")),
    ("gemini", include_str!("../../../../../catalog/clients/gemini.toml")),
    ("google-python", include_str!("../../../../../catalog/clients/google-python.toml")),
    ("openai-python", include_str!("../../../../../catalog/clients/openai-python.toml")),
    ("opencode", include_str!("../../../../../catalog/clients/opencode.toml")),
    ("vscode", include_str!("../../../../../catalog/clients/vscode.toml")),
];

/// A client as its data has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) title: String,
    #[expect(dead_code, reason = "for readers of the data; that it is there is checked")]
    date: String,
    pub(super) sources: Vec<String>,
    next: String,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    file: Vec<File>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: String,
    path: Vec<String>,
    macos: Option<String>,
    #[serde(default)]
    set: Vec<Template>,
    #[serde(default)]
    append: Vec<Template>,
    #[serde(default)]
    server: Vec<Template>,
    /// All that the file holds, where it is the client's to give up: what its strings hold is escaped as in JSON.
    whole: Option<String>,
    /// What is added to `whole` for each server.
    #[serde(default)]
    whole_server: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    at: Vec<String>,
    to: Value,
}

/// What is filled in.
pub(super) struct Words {
    /// The gateway's address, without a slash at its end.
    pub(super) url: String,
    /// The command that prints the key.
    pub(super) helper: String,
    /// The models, each as an editor wants it described.
    pub(super) models: Value,
    /// MCP endpoints: name and address.
    pub(super) servers: Vec<(String, String)>,
}

/// A file to be changed, and how.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) edits: Vec<Edit>,
}

/// A client with everything filled in.
pub(super) struct Filled {
    pub(super) files: Vec<Target>,
    /// The lines that a shell takes, where the client reads variables.
    pub(super) lines: Option<String>,
    pub(super) next: String,
    pub(super) notes: Vec<String>,
}

/// Every client, by name.
pub(super) fn all() -> Result<Vec<Client>> {
    let read =
        |(name, text): (&str, &str)| toml::from_str(text).with_context(|| format!("catalog/clients/{name}.toml"));
    FILES.into_iter().map(read).collect()
}

/// The client of this name.
pub(super) fn find(name: &str) -> Result<Client> {
    if let Some(client) = all()?.into_iter().find(|client| client.name == name) {
        return Ok(client);
    }
    let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    let hint = output::meant(name, &names).unwrap_or_else(|| format!("there are {}", names.join(", ")));
    Err(exit(exit::USAGE, format!("there is no client `{name}`\nhint: {hint}")))
}

impl Client {
    /// The client with everything filled in.
    pub(super) fn fill(&self, words: &Words) -> Result<Filled> {
        let mut files = Vec::new();
        for file in &self.file {
            let mut edits = Vec::new();
            let (none, each) = (("", ""), &words.servers);
            for (append, template) in
                file.set.iter().map(|it| (false, it)).chain(file.append.iter().map(|it| (true, it)))
            {
                edits.push(template.fill(words, none, append));
            }
            for (name, url) in each {
                edits.extend(file.server.iter().map(|template| template.fill(words, (name, url), false)));
            }
            edits.extend(file.whole(words));
            files.push(Target { path: file.place(|name| std::env::var(name).ok())?, edits });
        }
        let mut env_file = String::new();
        let mut lines = None;
        if !self.variables.is_empty() {
            let path = config_home()?.join("tidegate").join(format!("{}.env", self.name));
            let line =
                |(name, value): (&String, &String)| format!("export {name}=\"{}\"\n", text(value, words, ("", "")));
            let all: String = self.variables.iter().map(line).collect();
            env_file = quoted(&path)?;
            files.push(Target { path, edits: vec![Edit::Whole { text: all.clone() }] });
            lines = Some(all);
        }
        let said = |text_of: &String| text(text_of, words, ("", "")).replace("{env_file}", &env_file);
        Ok(Filled { files, lines, next: said(&self.next), notes: self.notes.iter().map(said).collect() })
    }
}

impl Template {
    fn fill(&self, words: &Words, server: (&str, &str), append: bool) -> Edit {
        let at = self.at.iter().map(|name| text(name, words, server)).collect();
        let to = value(&self.to, words, server);
        if append { Edit::Append { at, to } } else { Edit::Set { at, to } }
    }
}

impl File {
    /// The edit that writes all of the file, where it is written whole.
    fn whole(&self, words: &Words) -> Option<Edit> {
        let begins = self.whole.as_deref()?;
        let escaped = |word: &str| {
            let quoted = Value::from(word).to_string();
            quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
        };
        let inside = Words {
            url: escaped(&words.url),
            helper: escaped(&words.helper),
            models: Value::Null,
            servers: Vec::new(),
        };
        let mut all = text(begins, &inside, ("", ""));
        for (name, url) in &words.servers {
            all.push_str(&text(&self.whole_server, &inside, (&escaped(name), &escaped(url))));
        }
        Some(Edit::Whole { text: all })
    }

    /// Where the file is: the first place whose variable is set.
    fn place(&self, variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
        let macos = self.macos.iter().filter(|_| cfg!(target_os = "macos"));
        for path in macos.chain(&self.path) {
            let (name, rest) = match path.strip_prefix('$') {
                Some(path) => path.split_once('/').unwrap_or((path, "")),
                None => ("HOME", path.strip_prefix("~/").unwrap_or(path)),
            };
            if let Some(root) = variable(name).filter(|root| root.starts_with('/')) {
                return Ok(PathBuf::from(root).join(rest));
            }
        }
        Err(exit(exit::USAGE, "there is no home folder: set HOME"))
    }
}

/// Where programs of this user keep their settings.
fn config_home() -> Result<PathBuf> {
    home_of("XDG_CONFIG_HOME", ".config")
}

/// A folder of the user: the variable's, else below the home folder.
pub(super) fn home_of(name: &str, below: &str) -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var(name).ok().filter(|root| root.starts_with('/')).map(PathBuf::from);
    absolute(name)
        .or_else(|| absolute("HOME").map(|home| home.join(below)))
        .ok_or_else(|| exit(exit::USAGE, "there is no home folder: set HOME"))
}

fn text(template: &str, words: &Words, (name, url): (&str, &str)) -> String {
    template
        .replace("{url}", &words.url)
        .replace("{helper}", &words.helper)
        .replace("{name}", name)
        .replace("{server_url}", url)
}

fn value(template: &Value, words: &Words, server: (&str, &str)) -> Value {
    match template {
        Value::String(whole) if whole == "{models}" => words.models.clone(),
        Value::String(whole) if whole == "{models_by_name}" => {
            let ids = words.models.as_array().into_iter().flatten().filter_map(|model| model.get("id")?.as_str());
            Value::Object(ids.map(|id| (id.to_owned(), serde_json::json!({ "name": id }))).collect())
        }
        Value::String(part) => Value::from(text(part, words, server)),
        Value::Array(items) => items.iter().map(|item| value(item, words, server)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, part)| (name.clone(), value(part, words, server))).collect())
        }
        other => other.clone(),
    }
}

/// A path as a shell takes it, also inside double quotes.
pub(super) fn quoted(path: &std::path::Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{} is no text", path.display()))?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+,@%:".contains(letter);
    if text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words() -> Words {
        Words {
            url: "http://127.0.0.1:8787".to_owned(),
            helper: "/bin/tidegate key print".to_owned(),
            models: json!([]),
            servers: vec![("tidegate-notes".to_owned(), "http://127.0.0.1:8787/mcp/notes".to_owned())],
        }
    }

    #[test]
    fn every_client_is_complete_and_leaves_no_word_unfilled() {
        let clients = all().unwrap();
        assert_eq!(clients.len(), FILES.len());
        for (client, (name, _)) in clients.iter().zip(FILES) {
            assert_eq!(client.name, name);
            assert!(!client.sources.is_empty() && client.sources.iter().all(|source| source.starts_with("https://")));
            let filled = client.fill(&words()).unwrap();
            for text in filled.notes.iter().chain([&filled.next]).chain(&filled.lines) {
                for word in ["{url}", "{helper}", "{name}", "{server_url}", "{env_file}"] {
                    assert!(!text.contains(word), "{name}: {text}");
                }
            }
            assert!(!filled.files.is_empty(), "{name}");
        }
        let error = find("claude_code").unwrap_err().to_string();
        assert!(error.contains("did you mean `claude-code`"), "{error}");
    }

    #[test]
    fn a_file_is_where_the_variable_says_else_in_the_home_folder() {
        let client = find("claude-code").unwrap();
        let at = |set: &'static [(&str, &str)]| {
            let variable =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            client.file[0].place(variable)
        };
        assert_eq!(at(&[("HOME", "/home/a")]).unwrap(), PathBuf::from("/home/a/.claude/settings.json"));
        let both = at(&[("HOME", "/home/a"), ("CLAUDE_CONFIG_DIR", "/etc/c")]).unwrap();
        assert_eq!(both, PathBuf::from("/etc/c/settings.json"));
        assert!(at(&[]).is_err());
    }

    #[test]
    fn a_file_that_is_written_whole_names_every_server_and_stays_readable() {
        let mut odd = words();
        odd.servers.push(("tidegate".to_owned(), "http://127.0.0.1:8787/mcp?\"".to_owned()));
        let client = find("codex").unwrap();
        let [Edit::Whole { text }] = &client.fill(&odd).unwrap().files[0].edits[..] else { panic!("not whole") };
        let read: toml::Table = toml::from_str(text).unwrap();
        assert_eq!(read["model_providers"]["tidegate"]["base_url"].as_str(), Some("http://127.0.0.1:8787/v1"));
        let servers = read["mcp_servers"].as_table().unwrap();
        assert_eq!(servers["tidegate-notes"]["url"].as_str(), Some("http://127.0.0.1:8787/mcp/notes"));
        assert_eq!(servers["tidegate"]["url"].as_str(), Some("http://127.0.0.1:8787/mcp?\""));
    }

    #[test]
    fn models_are_named_one_by_one_where_a_client_wants_that() {
        let words = Words { models: json!([{"id": "chat", "vision": false}, {"id": "sim/chat"}]), ..words() };
        let filled = find("opencode").unwrap().fill(&words).unwrap();
        let Edit::Set { to, .. } = &filled.files[0].edits[0] else { panic!("not set") };
        assert_eq!(to["models"], json!({"chat": {"name": "chat"}, "sim/chat": {"name": "sim/chat"}}));
        assert_eq!(to["options"]["apiKey"], "{env:TIDEGATE_API_KEY}");
    }

    #[test]
    fn a_path_is_quoted_for_a_shell() {
        assert_eq!(quoted("/usr/bin/tidegate".as_ref()).unwrap(), "/usr/bin/tidegate");
        assert_eq!(quoted("/a b/it's $x".as_ref()).unwrap(), "'/a b/it'\\''s $x'");
    }
}
