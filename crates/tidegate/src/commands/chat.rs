//! `chat`: talk to a model through the gateway, once or again and again.
//!
//! Speaks the OpenAI surface, streamed. Answers go to stdout, everything else to stderr.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};
use tidegate_core::clock;

use crate::{
    caller::{Caller, Reply, refused},
    cli::talk::Chat,
    exit,
    output::{self, Format, exit},
};

/// The most bytes that are read from stdin as a prompt.
const LARGEST_PROMPT: u64 = 8 << 20;

/// One answer.
#[derive(Default)]
struct Answer {
    call: String,
    model: String,
    text: String,
    finish: Option<String>,
    usage: Value,
    millis: u64,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Chat) -> Result<()> {
    let caller = Caller::new(&arguments.plane).await?;
    let model = match &arguments.model {
        Some(model) => model.clone(),
        None => usual(&caller).await?,
    };
    let mut messages: Vec<Value> = Vec::new();
    if let Some(system) = &arguments.system {
        messages.push(json!({"role": "system", "content": system}));
    }
    let interactive = arguments.prompt.is_none() && std::io::stdin().is_terminal();
    if !interactive {
        let prompt = arguments.prompt.clone().map_or_else(piped, Ok)?;
        messages.push(json!({"role": "user", "content": prompt}));
        let answer = ask(&caller, arguments, &model, &messages).await?;
        return tell(arguments.plane.output, &answer);
    }
    output::talk(&format!("talking to {model} through {}: an empty line or Ctrl-D ends it", caller.base()));
    while let Some(prompt) = asked()? {
        messages.push(json!({"role": "user", "content": prompt}));
        match ask(&caller, arguments, &model, &messages).await {
            Ok(answer) => {
                tell(arguments.plane.output, &answer)?;
                messages.push(json!({"role": "assistant", "content": answer.text}));
            }
            Err(error) => {
                output::problem(&format!("{error:#}"));
                messages.pop();
            }
        }
    }
    Ok(())
}

/// The next line of a person; `None` where there is no more.
fn asked() -> Result<Option<String>> {
    output::prompt("› ");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).context("the terminal cannot be read")?;
    let line = line.trim();
    Ok((read > 0 && !line.is_empty()).then(|| line.to_owned()))
}

/// What stands on stdin.
fn piped() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().take(LARGEST_PROMPT).read_to_string(&mut text).context("stdin holds no text")?;
    if text.trim().is_empty() {
        return Err(exit(exit::USAGE, "there is nothing to say: tidegate chat \"hello\", or pipe the prompt in"));
    }
    Ok(text)
}

/// The model that is talked to where nothing is said: an alias, `chat` before others, else a provider's, else `sim/chat`.
async fn usual(caller: &Caller) -> Result<String> {
    let reply = caller.send(Method::GET, "/v1/models", &[], None).await?;
    if !reply.status.is_success() {
        return Err(reply.refusal().await);
    }
    let listed = reply.json().await?;
    let names: Vec<&str> = listed
        .get("data")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|model| model.get("id").and_then(Value::as_str))
        .collect();
    choose(&names).map(str::to_owned).ok_or_else(|| {
        exit(exit::DENIED, "this key may use no model\nhint: tidegate key create NAME --allow models=chat")
    })
}

fn choose<'a>(names: &[&'a str]) -> Option<&'a str> {
    let alias = |name: &&&str| !name.contains('/');
    let known = |wanted: &str| names.iter().find(|name| **name == wanted);
    known("chat")
        .or_else(|| names.iter().find(alias))
        .or_else(|| names.iter().find(|name| !name.starts_with("sim/")))
        .or_else(|| known("sim/chat"))
        .or_else(|| names.first())
        .copied()
}

async fn ask(caller: &Caller, arguments: &Chat, model: &str, messages: &[Value]) -> Result<Answer> {
    let began = clock::now();
    let mut body = json!({
        "model": model, "messages": messages, "stream": true, "stream_options": {"include_usage": true},
    });
    if let (Some(most), Some(members)) = (arguments.max_tokens, body.as_object_mut()) {
        members.insert("max_tokens".to_owned(), json!(most));
    }
    let reply = caller.send(Method::POST, "/v1/chat/completions", &[], Some(&body)).await?;
    if !reply.status.is_success() {
        return Err(reply.refusal().await);
    }
    let mut answer = Answer {
        call: reply.header("x-tidegate-call-id").to_owned(),
        model: Some(reply.header("x-tidegate-served-by")).filter(|name| !name.is_empty()).unwrap_or(model).to_owned(),
        ..Answer::default()
    };
    read(reply, &mut answer, arguments.plane.output == Format::Table).await?;
    answer.millis = u64::try_from(clock::now().saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX);
    Ok(answer)
}

/// Reads the stream, and shows the text as it comes where `live`.
async fn read(mut reply: Reply, answer: &mut Answer, live: bool) -> Result<()> {
    let mut ended = false;
    while let Some(frame) = reply.event().await? {
        let data = frame.data.as_deref().unwrap_or_default();
        if data == b"[DONE]" {
            ended = true;
            break;
        }
        let chunk: Value = serde_json::from_slice(data).context("an event of the answer is no JSON")?;
        if let Some(error) = chunk.get("error") {
            output::end_line(live);
            let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
            return Err(refused(part("code"), 502, part("message"), &answer.call));
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            answer.usage = usage.clone();
        }
        let Some(choice) = chunk.pointer("/choices/0") else { continue };
        if let Some(text) = choice.pointer("/delta/content").and_then(Value::as_str) {
            answer.text.push_str(text);
            if live {
                output::raw(&output::printable(text));
            }
        }
        for call in choice.pointer("/delta/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            if let Some(name) = call.pointer("/function/name").and_then(Value::as_str) {
                output::talk(&format!("the model asks for the tool {}", output::printable(name)));
            }
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            answer.finish = Some(reason.to_owned());
        }
    }
    output::end_line(live);
    if ended { Ok(()) } else { Err(refused("upstream_error", 502, "the answer broke off", &answer.call)) }
}

fn tell(format: Format, answer: &Answer) -> Result<()> {
    let count = |name: &str| answer.usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (input, output_tokens) = (count("prompt_tokens"), count("completion_tokens"));
    if format != Format::Table {
        return output::object(
            format,
            &json!({
                "call": answer.call, "model": answer.model, "text": answer.text, "finish": answer.finish,
                "input_tokens": input, "output_tokens": output_tokens, "millis": answer.millis,
            }),
        );
    }
    output::talk(&format!("{} · {input} tokens in, {output_tokens} out · {} ms", answer.model, answer.millis));
    output::next(&format!("tidegate why {}", answer.call));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_names_comes_first_and_the_simulator_last() {
        assert_eq!(choose(&["sim/slow", "sim/chat"]), Some("sim/chat"));
        assert_eq!(choose(&["sim/chat", "openai/a", "openai/b"]), Some("openai/a"));
        assert_eq!(choose(&["draft", "chat", "openai/a", "sim/chat"]), Some("chat"));
        assert_eq!(choose(&["openai/a", "draft"]), Some("draft"));
        assert_eq!(choose(&["sim/other"]), Some("sim/other"));
        assert_eq!(choose(&[]), None);
    }
}
