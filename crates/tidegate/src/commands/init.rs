//! `init`: a commented configuration of what was found.
//!
//! Writes references, never a secret; never over a file unless told so, and then keeps what it held.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use tidegate_config::{
    check::{self, Mode, Options},
    document::Document,
    environment::Machine,
    found::{self, Found},
    render,
    source::Sources,
    vendor::Vendors,
};
use tidegate_upstream::{Upstream, UpstreamOptions};

use crate::{
    cli::setup::Init,
    detect, exit,
    output::{self, exit},
};

/// Where editors find what may stand in the file.
const SCHEMA: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/main/docs/generated/tidegate.schema.json");

/// A model to begin with, by vendor; each is in the catalogue of prices.
const FIRST_MODELS: [(&str, &str); 2] = [("openai", "gpt-5.2"), ("anthropic", "claude-sonnet-4-6")];

/// Runs the command.
pub(crate) async fn run(arguments: &Init) -> Result<()> {
    let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
    let (mut found, notes) = found::in_environment(&vendors, &Machine, &[8787, 8788]);
    let upstream = Arc::new(Upstream::new(UpstreamOptions::default())?);
    found.extend(detect::on_this_machine(&upstream, &vendors, &[8787, 8788]).await);
    for note in &notes {
        output::talk(note);
    }
    let text = document(&found);
    sound(&text, &vendors)?;
    let file = arguments.file.display();
    let there = arguments.file.symlink_metadata().is_ok();
    if there && !arguments.force {
        return Err(exit(
            exit::CONFLICT,
            format!("{file} is there already\nhint: tidegate init --force writes over it and keeps what it held"),
        ));
    }
    if arguments.dry_run {
        output::raw(&text);
        return Err(exit(exit::PENDING, format!("{file} would be written: nothing was done")));
    }
    if there {
        let kept = arguments.file.with_extension("yaml.before-init");
        fs::copy(&arguments.file, &kept).with_context(|| format!("cannot keep {file} as {}", kept.display()))?;
        output::talk(&format!("what {file} held is kept as {}", kept.display()));
    }
    write(&arguments.file, &text, there)?;
    let names: Vec<&str> = found.iter().map(|provider| provider.name.as_str()).collect();
    let providers = if names.is_empty() { "no provider found yet".to_owned() } else { names.join(", ") };
    output::talk(&format!("wrote {file} ({providers})"));
    output::next(&format!("tidegate check {file} && tidegate up -c {file}"));
    Ok(())
}

fn write(file: &Path, text: &str, there: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    // A file that came about meanwhile is not ours to write over either.
    let options = if there { options.write(true).truncate(true) } else { options.write(true).create_new(true) };
    let mut open = options.open(file).with_context(|| format!("cannot write {}", file.display()))?;
    open.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// What is written passes `tidegate check`.
fn sound(text: &str, vendors: &Vendors) -> Result<()> {
    let options = Options { mode: Mode::Serve, secrets: false, public_listener: false, vendors };
    let written = Document::parse(Sources::of_text("tidegate.yaml", text));
    if let Err(problems) = check::check(&written, &Machine, &options) {
        bail!("the file would not pass `tidegate check`: {}", render::render_all(&problems, &written.sources));
    }
    Ok(())
}

/// Whether a model's name may stand in a route: what a server of this machine says is not taken on trust.
fn plain(model: &str) -> bool {
    !model.is_empty() && model.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:".contains(letter))
}

/// The file.
fn document(found: &[Found]) -> String {
    let first = |provider: &Found| {
        let usual = FIRST_MODELS.iter().find(|(vendor, _)| *vendor == provider.name).map(|(_, model)| *model);
        usual
            .or(provider.model.as_deref())
            .filter(|model| plain(model))
            .map(|model| format!("{}/{model}", provider.name))
    };
    let chain: Vec<String> =
        found.iter().filter_map(first).map(|name| serde_json::Value::from(name).to_string()).collect();
    let mut text = format!("# yaml-language-server: $schema={SCHEMA}\n{HEAD}");
    if found.is_empty() {
        text.push_str(NO_PROVIDERS);
    } else {
        text.push_str("providers:\n");
        for provider in found {
            text.push_str(&format!("{:<46} # found: {}\n", found::line(provider), provider.from));
        }
    }
    text.push_str(MODELS);
    if chain.is_empty() {
        text.push_str("# models:\n#   chat: { fallback: [openai/gpt-5.2, anthropic/claude-sonnet-4-6] }\n");
    } else {
        text.push_str(&format!("models:\n  chat: {{ fallback: [{}] }}\n", chain.join(", ")));
    }
    text.push_str(GUARDRAILS);
    let allowed = if chain.is_empty() { "[\"*\"]" } else { "[chat]" };
    text.push_str(&format!(
        "{KEYS}  team-a: {{ allow: {{ models: {allowed} }}, guardrails: [leaks], budget: 10 usd/month }}\n"
    ));
    text.push_str(TAIL);
    text
}

const HEAD: &str = "
# What every call has to pass. Names are references and are checked, order never matters, unknown fields are errors:
#   tidegate check tidegate.yaml                 every mistake at once, with its line and what to do
#   tidegate explain models.chat                 what a place in this file is for
#   tidegate up -c tidegate.yaml                 try it; a change of this file is taken up while it runs
version: 1

# Whom the gateway asks. A key is a reference (env:NAME, file:PATH), never the secret itself.
";

const NO_PROVIDERS: &str = "# None was found. Set its key and write `tidegate init --force`, or take one of these:
# providers:
#   openai:    { key: env:OPENAI_API_KEY }
#   anthropic: { key: env:ANTHROPIC_API_KEY }
#   local:     { type: openai, base_url: http://127.0.0.1:8080/v1 }
";

const MODELS: &str = "
# Names that your programs use. The first target that answers serves; the next is tried where it fails.
";

const GUARDRAILS: &str = "
# What is looked for in prompts, answers, tool arguments and results, inside streams too.
guardrails:
  leaks: { detect: [secrets, pii], on: [request, response], action: redact }
";

const KEYS: &str = "
# Who may call, what, and for how much. What nothing allows is denied. `tidegate key issue team-a` makes the secret,
# prints it once and keeps an HMAC of it.
keys:
";

const TAIL: &str = "
# Tools: servers of the Model Context Protocol, and which of their tools may be used.
# mcp_servers:
#   notes: { url: https://notes.example/mcp, key: env:NOTES_TOKEN, tools: [search, read] }

# The names by which others reach the gateway; needed to listen on more than this machine.
# hosts: [gateway.example]

# What is recorded before anything is sent: off, buffered (outlives the process) or durable (outlives the power).
audit: { model_calls: buffered, tool_calls: durable }
";

#[cfg(test)]
mod tests {
    use tidegate_config::environment::Fixed;

    use super::*;

    #[test]
    fn the_file_passes_check_whatever_was_found() {
        let vendors = Vendors::builtin().unwrap();
        let all = vendors.iter().flat_map(|vendor| vendor.env.iter());
        let everything = all.fold(Fixed::default(), |environment, name| environment.variable(name, "sk-canary-x"));
        let (mut found, _) = found::in_environment(&vendors, &everything, &[]);
        found.push(Found {
            name: "ollama".to_owned(),
            from: "http://127.0.0.1:11434".to_owned(),
            fingerprint: None,
            key: None,
            base_url: None,
            model: Some("a model: with \"marks\" #1".to_owned()),
        });
        found.push(Found {
            name: "vllm".to_owned(),
            model: Some("org/model-7b:q4".to_owned()),
            ..found[found.len() - 1].clone()
        });
        assert!(found.len() > 5);
        for found in [&[][..], &found[..1], &found[..]] {
            let text = document(found);
            sound(&text, &vendors).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(text.starts_with("# yaml-language-server: $schema=https://"), "{text}");
            assert!(!text.contains("canary") && !text.contains("with \\"));
        }
        // What is commented out is right too.
        let bare = document(&[]);
        let open: String = bare
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(code) if code.starts_with("  ") && !code.contains("tidegate ") => format!("{code}\n"),
                Some(code) if code.ends_with(':') && !code.contains(' ') => format!("{code}\n"),
                Some(code) if code.starts_with("hosts:") => format!("{code}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        sound(&open, &vendors).unwrap_or_else(|error| panic!("{error}\n{open}"));
        assert!(open.contains("\n  local:     {") && open.contains("\nmcp_servers:"), "{open}");
    }
}
