//! `schema --dialects`: what each pair of dialects carries, loses or refuses, found out by translating the probes of
//! `catalog/dialects/`. Never says of a pair what was not tried: what is neither told as a loss nor found in what is
//! sent is a mistake of the codecs, and no document is written.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_protocol::llm::{
    Answer, Dialect, Loss, ModelCall, Named, Operation, Quirks, TargetWire, TranslateContext, translate_answer,
};

/// The dialects, and what the probes and the document call them. InvokeModel has Anthropic's bodies.
const DIALECTS: [(Dialect, &str, &str); 5] = [
    (Dialect::OpenAiChat, "openai_chat", "OpenAI Chat"),
    (Dialect::OpenAiResponses, "openai_responses", "OpenAI Responses"),
    (Dialect::Anthropic, "anthropic", "Anthropic"),
    (Dialect::Gemini, "gemini", "Gemini"),
    (Dialect::Bedrock, "bedrock", "Bedrock Converse"),
];

const HEAD: &str = "\
# What translations carry
Written by `cargo xtask schemas`, which translates one probe for each cell (`catalog/dialects/probes.json`); never by hand. \
A caller's dialect that is the provider's too changes nothing: every feature passes as it came. InvokeModel on Bedrock has \
Anthropic's bodies. Losses are told in `x-tidegate-loss` and in the record of a call.

- **carried**: it is in what is sent.
- **in part**: it is in what is sent, and something about it is not.
- **lost**: it is not, and the loss is told.
- **refused**: the call ends with 400 before anything is sent.

A number leads to the words below the table.
";

#[derive(Deserialize)]
struct Probes {
    format: String,
    requests: Vec<Requests>,
    answers: Vec<Answers>,
}

#[derive(Deserialize)]
struct Requests {
    dialect: String,
    base: Map<String, Value>,
    probes: Vec<RequestProbe>,
}

#[derive(Deserialize)]
struct RequestProbe {
    feature: String,
    set: Map<String, Value>,
    seen: Vec<String>,
}

#[derive(Deserialize)]
struct Answers {
    dialect: String,
    probes: Vec<AnswerProbe>,
}

#[derive(Deserialize)]
struct AnswerProbe {
    feature: String,
    body: Value,
    seen: Vec<String>,
}

/// What becomes of a feature.
enum Fate {
    Carried,
    InPart(String),
    Lost(String),
    Refused(String),
}

/// The document.
pub(crate) fn markdown() -> Result<String> {
    let probes: Probes = serde_json::from_str(include_str!("../../../../catalog/dialects/probes.json"))
        .context("catalog/dialects/probes.json")?;
    ensure!(probes.format == "probes.v1", "catalog/dialects/probes.json: its format is not `probes.v1`");
    let mut text = String::from(HEAD);
    text.push_str("\n## Requests\n");
    let mut wrong: Vec<String> = Vec::new();
    for requests in &probes.requests {
        let (from, shown) = dialect(&requests.dialect)?;
        let rows =
            requests.probes.iter().map(|probe| (probe.feature.as_str(), |to| request(requests, probe, from, to)));
        wrong.extend(section(&mut text, from, shown, rows).err().map(|error| format!("{error:#}")));
    }
    text.push_str("\n## Answers\nFrom what a provider answers to what a caller of another dialect reads.\n");
    for answers in &probes.answers {
        let (from, shown) = dialect(&answers.dialect)?;
        let rows = answers.probes.iter().map(|probe| (probe.feature.as_str(), |to| answer(probe, from, to)));
        wrong.extend(section(&mut text, from, shown, rows).err().map(|error| format!("{error:#}")));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(text)
}

fn dialect(name: &str) -> Result<(Dialect, &'static str)> {
    let known = DIALECTS.iter().find(|(_, known, _)| *known == name);
    known.map(|(dialect, _, shown)| (*dialect, *shown)).with_context(|| format!("there is no dialect `{name}`"))
}

/// A table of one dialect to every other, with its notes.
fn section<'a, F: Fn(Dialect) -> Result<Fate>>(
    text: &mut String,
    from: Dialect,
    shown: &str,
    rows: impl Iterator<Item = (&'a str, F)>,
) -> Result<()> {
    let others: Vec<_> = DIALECTS.iter().filter(|(to, ..)| *to != from).collect();
    let names: Vec<&str> = others.iter().map(|(.., shown)| *shown).collect();
    let _ = write!(text, "\n### From {shown}\n| | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(names.len()));
    let (mut notes, mut silent): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (feature, fate_at) in rows {
        let mut cells = Vec::new();
        for (to, _, name) in &others {
            let fate = match fate_at(*to) {
                Ok(fate) => fate,
                Err(error) => {
                    silent.push(format!("{feature}, from {shown} to {name}: {error:#}"));
                    continue;
                }
            };
            let (word, note) = match fate {
                Fate::Carried => ("carried", None),
                Fate::InPart(note) => ("in part", Some(note)),
                Fate::Lost(note) => ("lost", Some(note)),
                Fate::Refused(note) => ("refused", Some(note)),
            };
            cells.push(match note {
                None => word.to_owned(),
                Some(note) => format!("{word} ({})", number(&mut notes, note)),
            });
        }
        let _ = writeln!(text, "| {feature} | {} |", cells.join(" | "));
    }
    ensure!(silent.is_empty(), "{}", silent.join("\n"));
    if !notes.is_empty() {
        text.push('\n');
    }
    for (at, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "{}. {note}", at.saturating_add(1));
    }
    Ok(())
}

/// The number of a note, which stands once.
fn number(notes: &mut Vec<String>, note: String) -> usize {
    let at = notes.iter().position(|known| *known == note).unwrap_or(notes.len());
    if at == notes.len() {
        notes.push(note);
    }
    at.saturating_add(1)
}

fn request(requests: &Requests, probe: &RequestProbe, from: Dialect, to: Dialect) -> Result<Fate> {
    let mut body = requests.base.clone();
    body.extend(probe.set.clone());
    let named = (!body.contains_key("model")).then(|| Named { model: "m".to_owned(), stream: false });
    let body = Bytes::from(Value::Object(body).to_string());
    let call = ModelCall::read_named(from, Operation::Generate, named, body).context("the probe is no request")?;
    let quirks = Quirks::default();
    // The scope of another target: sealed reasoning that carries one is not shown to this.
    let wire = TargetWire {
        dialect: to,
        model: "m",
        default_max_output: Some(1_000),
        quirks: &quirks,
        reasoning_scope: Some("another"),
    };
    match call.prepare(&wire) {
        Ok(sent) => fate(&sent.body, &sent.losses, &probe.seen),
        Err(error) => Ok(Fate::Refused(format!("refused: {error}"))),
    }
}

fn answer(probe: &AnswerProbe, from: Dialect, to: Dialect) -> Result<Fate> {
    let context = TranslateContext {
        model: "m",
        client_wants_usage: true,
        call_id: "call_0",
        created: 1,
        reasoning_scope: Some("this"),
        tools: &[],
        forms: &[],
    };
    let answer = Answer::read(from, Bytes::from(probe.body.to_string())).context("the probe is no answer")?;
    let (body, losses) = translate_answer(&answer, to, &context)?;
    fate(&body, &losses, &probe.seen)
}

fn fate(body: &[u8], losses: &[Loss], seen: &[String]) -> Result<Fate> {
    let text = String::from_utf8_lossy(body);
    let there = seen.iter().any(|mark| text.contains(mark.as_str()));
    let told: Vec<String> = losses.iter().map(|loss| format!("`{}`: {}", loss.what, loss.why)).collect();
    Ok(match (there, told.is_empty()) {
        (true, true) => Fate::Carried,
        (true, false) => Fate::InPart(told.join("; ")),
        (false, false) => Fate::Lost(told.join("; ")),
        (false, true) => bail!("it is neither sent nor told as a loss: {text}"),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_pair_carries_loses_or_refuses_aloud() {
        let text = super::markdown().unwrap();
        for word in ["carried", "in part (", "lost (", "refused ("] {
            assert!(text.contains(word), "{word}");
        }
    }
}
