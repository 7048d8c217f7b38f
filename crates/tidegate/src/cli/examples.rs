//! Examples that every command's help begins with.
//!
//! Kept apart from the arguments so that a test can go through all of them: each command has some, and each is read
//! without a mistake.

use clap::Command;

/// Each command's examples: what is typed, and what it does.
const EXAMPLES: [(&str, &[(&str, &str)]); 54] = [
    (
        "",
        &[
            ("tidegate up", "try it: a gateway on this machine, with a key"),
            ("tidegate chat \"hello\"", "the first answer"),
            ("tidegate init", "a configuration of what was found"),
            ("tidegate serve -c tidegate.yaml", "run it in production"),
            ("tidegate why call_0190…", "the whole story of one call"),
        ],
    ),
    (
        "up",
        &[
            ("tidegate up", "with what is found"),
            ("tidegate up -c tidegate.yaml", "with a configuration, which is read again when it changes"),
        ],
    ),
    (
        "serve",
        &[(
            "tidegate serve -c tidegate.yaml --listen 0.0.0.0:8787",
            "for clients elsewhere; the control plane stays on loopback",
        )],
    ),
    ("init", &[("tidegate init", "writes tidegate.yaml"), ("tidegate init --dry-run", "shows it")]),
    (
        "doctor",
        &[
            ("tidegate doctor", "every look, with what to do"),
            ("tidegate doctor -c tidegate.yaml --offline -o json", "for scripts"),
        ],
    ),
    (
        "connect",
        &[
            ("tidegate connect claude-code --dry-run", "what would change"),
            ("tidegate connect claude-code", "models and tools of Claude Code"),
            ("tidegate connect openai-python --print", "lines for a shell: eval \"$(…)\""),
        ],
    ),
    ("disconnect", &[("tidegate disconnect claude-code", "back to the byte")]),
    (
        "import",
        &[
            ("tidegate import litellm config.yaml", "writes tidegate.yaml, and says what is not the same"),
            ("tidegate import bifrost config.json --dry-run", "shows it"),
            ("tidegate import portkey config.json -o json", "for scripts"),
        ],
    ),
    ("check", &[("tidegate check tidegate.yaml", "every mistake at once")]),
    (
        "explain",
        &[("tidegate explain TG0217", "what a code means"), ("tidegate explain models.chat", "what a place is for")],
    ),
    ("schema", &[("tidegate schema", "the JSON Schema of the configuration")]),
    (
        "key",
        &[("tidegate key create ci --allow models=chat --budget '10 usd/month' --expires 30d", "a key with a budget")],
    ),
    (
        "key create",
        &[
            ("tidegate key create ci --allow models=chat --budget '10 usd/month' --expires 30d", "shown once"),
            ("tidegate key create ci --dry-run", "nothing is made"),
        ],
    ),
    ("key list", &[("tidegate key list", "all keys, without secrets")]),
    ("key show", &[("tidegate key show ci", "what it may, and what is left of its budgets")]),
    ("key print", &[("tidegate key print", "for programs that run a helper")]),
    ("key store", &[("tidegate key store", "reads the key from stdin: tidegate key store < FILE")]),
    (
        "key edit",
        &[
            ("tidegate key edit ci --budget '20 usd/month' --allow models=chat,code", "the rest stays as it is"),
            ("tidegate key edit ci --clear expires --limit requests=60/min --dry-run", "what would be changed"),
        ],
    ),
    ("key rm", &[("tidegate key rm ci", "refused from now on, and gone")]),
    ("key issue", &[("tidegate key issue team-a", "the secret of a key that the configuration declares")]),
    ("key rotate", &[("tidegate key rotate ci", "another secret, at once")]),
    ("key revoke", &[("tidegate key revoke ci", "refused from now on, open streams are cut")]),
    ("team", &[("tidegate team list", "all teams"), ("tidegate team show research", "one")]),
    ("team list", &[("tidegate team list -o json", "all teams, for scripts")]),
    ("team show", &[("tidegate team show research", "its budget, limits and keys")]),
    ("provider", &[("tidegate provider list", "all providers")]),
    ("provider list", &[("tidegate provider list", "each with the fingerprint of its key")]),
    ("provider show", &[("tidegate provider show openai", "one")]),
    ("model", &[("tidegate model list", "what callers may name")]),
    ("model list", &[("tidegate model list", "aliases first")]),
    ("model show", &[("tidegate model show chat", "its route")]),
    (
        "mcp",
        &[
            ("tidegate mcp list", "all servers"),
            ("tidegate mcp pins list --changed", "tools that changed since they were pinned"),
        ],
    ),
    ("mcp pins", &[("tidegate mcp pins refresh notes --dry-run", "what a server offers otherwise by now")]),
    ("mcp list", &[("tidegate mcp list", "each with the tools that it may offer")]),
    ("mcp show", &[("tidegate mcp show notes", "one")]),
    ("guardrail", &[("tidegate guardrail list", "all guardrails")]),
    ("guardrail list", &[("tidegate guardrail list", "what each detects and does")]),
    ("guardrail show", &[("tidegate guardrail show leaks", "one")]),
    (
        "chat",
        &[
            ("tidegate chat \"hello\"", "one answer"),
            ("tidegate chat --model sim/stream -o json \"hello\"", "for scripts"),
            ("tidegate chat", "a conversation, in a terminal"),
        ],
    ),
    (
        "call",
        &[
            ("tidegate call sim", "the tools of a server"),
            ("tidegate call sim/get_weather --arg city=Rome", "one call"),
            ("tidegate call sim__add --json '{\"a\": 2, \"b\": 40}'", "the same, by the other name"),
        ],
    ),
    (
        "calls",
        &[
            ("tidegate calls", "the last ones"),
            ("tidegate calls --error any --limit 100 -o jsonl", "failures, for scripts"),
        ],
    ),
    (
        "tail",
        &[("tidegate tail", "calls as they finish"), ("tidegate tail --error any -o jsonl", "failures, for scripts")],
    ),
    ("why", &[("tidegate why call_0190…", "who, what, which policies, what each stage said")]),
    ("spend", &[("tidegate spend --by team", "money by team")]),
    (
        "catalog",
        &[
            ("tidegate catalog diff model_prices_and_context_window.json", "what a list would change"),
            ("tidegate catalog import data.json --accept zero", "and make a price file of it"),
        ],
    ),
    (
        "catalog price",
        &[
            ("tidegate catalog price calls.jsonl", "what each of these calls cost"),
            ("tidegate catalog price calls.jsonl --file prices/list.json", "and what at other prices"),
        ],
    ),
    (
        "catalog diff",
        &[
            ("tidegate catalog diff model_prices_and_context_window.json --provider openai", "LiteLLM's list"),
            ("tidegate catalog diff - --from genai-prices -o json", "from stdin, for scripts"),
        ],
    ),
    (
        "catalog import",
        &[
            ("tidegate catalog import data.json --dry-run", "whether it would pass"),
            (
                "tidegate catalog import data.json --file prices/list.json --accept moved=openai/gpt-5",
                "after a look at what moved",
            ),
        ],
    ),
    ("status", &[("tidegate status", "revision, providers, audit log")]),
    (
        "policy",
        &[("tidegate policy check tidegate.yaml", "every mistake"), ("tidegate policy show", "all that is in force")],
    ),
    ("audit", &[("tidegate audit verify", "every hash and the signature")]),
    ("sim", &[("tidegate sim --listen 127.0.0.1:8790", "the scripted upstream on its own")]),
    ("api", &[("tidegate api GET /status", "any route of the admin API")]),
    (
        "completions",
        &[("tidegate completions bash", "put it into ~/.local/share/bash-completion/completions/tidegate")],
    ),
];

/// The command with examples before each one's help.
pub(crate) fn with(command: Command) -> Command {
    below(command, "")
}

fn below(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |sub| below(sub, &path));
    }
    match of(path) {
        Some(text) => command.before_help(format!("Examples:\n{text}")),
        None => command,
    }
}

/// A command's examples, a line each; `None` where it has none.
pub(crate) fn of(path: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(known, _)| *known == path)?;
    let width = examples.iter().map(|(typed, _)| typed.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = examples
        .iter()
        .map(|(typed, what)| {
            let blanks = " ".repeat(width.saturating_sub(typed.chars().count()));
            format!("  {typed}{blanks}   {what}")
        })
        .collect();
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    /// The words that a shell makes of a line.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in line.chars().chain([' ']) {
            match (letter, quote) {
                ('"' | '\'', None) => quote = Some(letter),
                (letter, Some(open)) if letter == open => quote = None,
                (' ', None) if !word.is_empty() => words.push(std::mem::take(&mut word)),
                (' ', None) => {}
                (letter, _) => word.push(letter),
            }
        }
        words
    }

    fn missing(command: &Command, path: &str, found: &mut Vec<String>) {
        if of(path).is_none() && path.split(' ').count() < 2 {
            found.push(path.to_owned());
        }
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            missing(sub, format!("{path} {}", sub.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_has_examples_and_each_is_read_without_a_mistake() {
        let mut without = Vec::new();
        missing(&Cli::command(), "", &mut without);
        assert_eq!(without, [""; 0]);
        for (path, examples) in EXAMPLES {
            for (typed, _) in examples {
                let words = words(typed);
                assert_eq!(words[0], "tidegate");
                assert!(words.join(" ").contains(path), "{typed}");
                assert!(Cli::try_parse_from(words).is_ok(), "{typed}");
            }
        }
    }

    #[test]
    fn help_begins_with_examples_and_a_wrong_word_gets_the_right_one() {
        let help = |arguments: &[&str]| {
            let error = with(Cli::command()).try_get_matches_from(arguments).unwrap_err();
            error.render().to_string()
        };
        assert!(help(&["tidegate", "--help"]).starts_with("Examples:\n  tidegate up "));
        assert!(help(&["tidegate", "key", "create", "--help"]).starts_with("Examples:\n  tidegate key create ci"));
        assert!(help(&["tidegate", "chta"]).contains("'chat'"));
        assert!(help(&["tidegate", "chat", "--modle", "x"]).contains("'--model'"));
    }
}
