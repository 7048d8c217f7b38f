//! The reference of all commands as Markdown, made of the same description that reads them.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::examples;

/// Every command with its examples and arguments.
pub(crate) fn markdown(mut command: Command) -> String {
    command.build();
    let mut out = "# The command line\nMade by `cargo xtask schemas` from the program's own description. Data goes to stdout, talk to stderr.\n\n\
        Exit codes: 0 ok, 1 error, 2 changes pending, 3 unauthenticated, 4 not found, 5 conflict, 6 unavailable, \
        7 denied by a rule, 8 held for approval, 64 usage.\n"
        .to_owned();
    section(&mut out, &command, "");
    out
}

fn section(out: &mut String, command: &Command, path: &str) {
    let title = format!("tidegate {path}");
    let _ = write!(out, "\n## {}\n", title.trim());
    if let Some(about) = command.get_about() {
        let _ = writeln!(out, "{about}");
    }
    if let Some(examples) = examples::of(path) {
        let lines: Vec<&str> = examples.lines().map(str::trim_start).collect();
        let _ = write!(out, "```\n{}\n```\n", lines.join("\n"));
    }
    let arguments: Vec<&Arg> = command.get_arguments().filter(|arg| shown(arg)).collect();
    if !arguments.is_empty() {
        out.push_str("| argument | what |\n| --- | --- |\n");
    }
    for argument in arguments {
        let _ = writeln!(out, "| `{}` | {} |", name(argument).replace('|', "\\|"), what(argument).replace('|', "\\|"));
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        section(out, sub, format!("{path} {}", sub.get_name()).trim());
    }
}

fn shown(argument: &Arg) -> bool {
    !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
}

fn name(argument: &Arg) -> String {
    let value = argument
        .get_value_names()
        .map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .unwrap_or_else(|| argument.get_id().as_str().to_uppercase());
    let takes = argument.get_action().takes_values();
    match (argument.get_short(), argument.get_long()) {
        (None, None) if argument.is_required_set() => value,
        (None, None) => format!("[{value}]"),
        (short, long) => {
            let names = [short.map(|short| format!("-{short}")), long.map(|long| format!("--{long}"))];
            let names = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
            if takes { format!("{names} {value}") } else { names }
        }
    }
}

fn what(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if !text.ends_with(['.', '?']) {
        text.push('.');
    }
    let values: Vec<String> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if argument.get_action().takes_values() && !values.is_empty() {
        let _ = write!(text, " One of {}.", values.join(", "));
    }
    let default: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if argument.get_action().takes_values() && !default.is_empty() {
        let _ = write!(text, " Default: `{}`.", default.join(" "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, " Variable: `{}`.", variable.to_string_lossy());
    }
    text
}
